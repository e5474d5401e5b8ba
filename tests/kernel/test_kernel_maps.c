/* Map types: maps.def beside the running kernel. Which shapes it makes maps of, which helpers take
 * them, what lookups give, what values may hold, and which programs may use them.
 */
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>

#include "abi/helpers.h"
#include "abi/uapi.h"
#include "proto_lab.h"

#define SHAPES 1500u

static struct kernel_hooks hooks;
static unsigned count, failed;
static int fds[FORT_MAPS]; /* one map of each type, or -1 */

/* BTF of values, one struct for each special field; and plain ones. */
static struct {
	int fd;
	uint32_t word, wide, plain, special[FORT_SPECIALS];
} types;

static void report(bool good, const char *what, const char *of)
{
	printf("%s %u - %s%s\n", good ? "ok" : "not ok", ++count, what, of);
	failed += !good;
}

static bool differ(const struct fort_map_info *map, const char *what, bool ours, bool theirs)
{
	if (ours != theirs)
		printf("# %s: %s: %s\n", map->name, what,
		       ours ? "ours alone" : "the kernel's alone");
	return ours != theirs;
}

/* --- BTF --- */

/* struct NAME { TYPE field; }, of these bytes. */
static int wrap(struct btf *btf, const char *name, uint32_t bytes, int type)
{
	int id = btf__add_struct(btf, name, bytes);

	return btf__add_field(btf, "field", type, 0, 0) ? -1 : id;
}

/* A list head or tree names the type of its nodes and the field in them by a tag. */
static int graph(struct btf *btf, enum fort_special what, int words)
{
	bool list = what == FORT_SPECIAL_LIST_HEAD;
	int lock = wrap(btf, "bpf_spin_lock", 4, btf__find_by_name(btf, "int"));
	int node = wrap(btf, list ? "bpf_list_node" : "bpf_rb_node", list ? 24 : 32, words);
	int element = btf__add_struct(btf, list ? "in_list" : "in_tree", list ? 24 : 32), root,
	    value;

	btf__add_field(btf, "node", node, 0, 0);
	root = wrap(btf, fort_specials[what].name, 16, words);
	value = btf__add_struct(btf, "value", 24);
	btf__add_field(btf, "lock", lock, 0, 0);
	btf__add_field(btf, "root", root, 64, 0);
	btf__add_decl_tag(btf, list ? "contains:in_list:node" : "contains:in_tree:node", value, 1);
	return element < 0 ? -1 : value;
}

/* A pointer to a struct: the kernel's, or one of the program's own. */
static int pointer(struct btf *btf, enum fort_special what)
{
	bool own = what == FORT_SPECIAL_PERCPU_KPTR || what == FORT_SPECIAL_UPTR;
	int target = wrap(btf, own ? "own" : "task_struct", 8, btf__find_by_name(btf, "long"));
	int tag = btf__add_type_tag(btf, fort_specials[what].name, target);

	return wrap(btf, "value", 8, btf__add_ptr(btf, tag));
}

static int special_value(struct btf *btf, enum fort_special what, int words)
{
	const struct fort_special_info *info = &fort_specials[what];

	if (what == FORT_SPECIAL_LIST_HEAD || what == FORT_SPECIAL_RB_ROOT)
		return graph(btf, what, words);
	if (what >= FORT_SPECIAL_KPTR_UNTRUSTED)
		return pointer(btf, what);
	return wrap(btf, "value", (uint32_t)fort_round_up(info->bytes, 8),
		    wrap(btf, info->name, info->bytes,
			 info->bytes == 4 ? btf__find_by_name(btf, "int") : words));
}

static void load_btf(void)
{
	struct btf *btf = btf__new_empty();
	const void *raw;
	uint32_t bytes;
	int wide, words;

	types.word = (uint32_t)btf__add_int(btf, "int", 4, BTF_INT_SIGNED);
	wide = btf__add_int(btf, "long", 8, BTF_INT_SIGNED);
	types.wide = (uint32_t)wide;
	words = btf__add_array(btf, wide, wide, 1);
	types.plain = (uint32_t)wrap(btf, "plain", 8, wide);
	for (unsigned i = 0; i < FORT_SPECIALS; i++)
		types.special[i] = (uint32_t)special_value(btf, i, words);
	raw = btf__raw_data(btf, &bytes);
	types.fd = bpf_btf_load(raw, bytes, NULL);
	btf__free(btf);
}

/* --- creation --- */

static int create(const struct fort_map_shape *shape, uint32_t key_type, uint32_t value_type,
		  int inner)
{
	struct fort_map_info none = {0};
	const struct fort_map_info *info = fort_map_info_of(shape);
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = shape->flags);
	int fd;

	info = info ? info : &none;
	if (value_type) {
		opts.btf_fd = (uint32_t)types.fd;
		opts.btf_key_type_id = key_type;
		opts.btf_value_type_id = value_type;
	}
	if (info == &fort_maps[FORT_MAP_ARENA])
		opts.map_extra = 1ull << 44; /* where it is mapped */
	if (info->gives == FORT_GIVES_MAP)
		opts.inner_map_fd = (uint32_t)inner;
	fd = bpf_map_create(shape->type, "lab", shape->key_bytes, shape->value_bytes,
			    shape->max_entries, &opts);
	return fd < 0 ? -errno : fd;
}

/* A small shape that fits the row. */
static struct fort_map_shape good_shape(const struct fort_map_info *map)
{
	struct fort_map_shape shape = {.type = map->number, .flags = map->needed};
	static const uint32_t sizes[] = {8, 4, 0, 16}, entries[] = {1, 0, 4096};

	for (unsigned k = 0; k < FORT_LEN(sizes); k++)
		for (unsigned v = 0; v < FORT_LEN(sizes); v++)
			for (unsigned e = 0; e < FORT_LEN(entries); e++) {
				shape.key_bytes = sizes[k];
				shape.value_bytes = sizes[v];
				shape.max_entries = entries[e];
				if (!fort_map_verdict(&shape))
					return shape;
			}
	return shape;
}

/* The smallest map of a type, with the BTF it needs. */
static int create_good(const struct fort_map_info *map)
{
	struct fort_map_shape shape = good_shape(map);

	if (map->btf == FORT_MAP_BTF_NEEDED)
		return create(&shape, types.word, types.plain, -1);
	return create(&shape, 0, 0, fds[FORT_MAP_ARRAY]);
}

static void make_maps(void)
{
	for (unsigned i = 0; i < FORT_MAPS; i++)
		fds[i] = create_good(&fort_maps[i]);
}

static uint32_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(*state >> 33);
}

static uint32_t pick(uint64_t *state, const uint32_t *from, size_t n)
{
	return from[next_random(state) % n];
}

/* Shapes near the edges of rules, as small as they can be: memory is not the question. */
static struct fort_map_shape random_shape(const struct fort_map_info *map, uint64_t *state)
{
	static const uint32_t keys[] = {0, 1, 3, 4, 4, 5, 8, 8, 12, 16, 260, 261, 512, 513};
	static const uint32_t values[] = {0,        1,
					  2,        4,
					  4,        7,
					  8,        8,
					  12,       16,
					  24,       1008,
					  1016,     1024,
					  32768,    32769,
					  65000,    65535,
					  65536,    65537,
					  4u << 20, (4u << 20) + 1};
	static const uint32_t entries[] = {0, 1, 1, 2, 3, 4096, 8192, 12288};
	struct fort_map_shape shape = good_shape(map);
	uint32_t flags = next_random(state) % 4;

	if (next_random(state) % 2)
		shape.key_bytes = pick(state, keys, FORT_LEN(keys));
	if (next_random(state) % 2)
		shape.value_bytes = pick(state, values, FORT_LEN(values));
	if (next_random(state) % 3 == 0)
		shape.max_entries = pick(state, entries, FORT_LEN(entries));
	while (flags--)
		shape.flags ^= 1u << next_random(state) % 20;
	/* A token's descriptor is not the map's; a module's BTF is not asked for here. */
	shape.flags &= ~(FORT_BPF_F_TOKEN_FD | 1u << 15);
	return shape;
}

/* What is not in the rows of types that we do not run: which of two faults is told first; the
 * number of processors; build ids in place of addresses; the kernel's struct that a value must be;
 * and how large the kernel's part of a storage element is. */
static bool is_known(const struct fort_map_shape *shape, int ours, int theirs)
{
	const struct fort_map_info *map = fort_map_info_of(shape);

	if (map->runs)
		return false;
	if (ours && theirs)
		return true;
	switch (map - fort_maps) {
	case FORT_MAP_CPUMAP: return shape->max_entries > 1 && theirs == -E2BIG;
	case FORT_MAP_STACK_TRACE: return shape->flags & BPF_F_STACK_BUILD_ID;
	case FORT_MAP_STRUCT_OPS: return theirs == -EINVAL;
	default:
		return map->value_rule == FORT_SIZE_STORAGE_VALUE &&
		       shape->value_bytes > 0xffff - 256 && shape->value_bytes < 0xffff;
	}
}

static void creation(const struct fort_map_info *map)
{
	uint64_t state = map->number;
	unsigned made = 0;
	bool good = true;

	for (unsigned i = 0; i < SHAPES; i++) {
		struct fort_map_shape shape = random_shape(map, &state);
		bool btf = map->btf == FORT_MAP_BTF_NEEDED && shape.value_bytes == 8;
		int ours = fort_map_verdict(&shape), theirs;

		if ((uint64_t)shape.max_entries * shape.value_bytes > 8u << 20 ||
		    (map->btf == FORT_MAP_BTF_NEEDED && !ours && !btf))
			continue;
		theirs = create(&shape, btf ? types.word : 0, btf ? types.plain : 0,
				fds[FORT_MAP_ARRAY]);
		if (theirs >= 0)
			close(theirs);
		made += theirs >= 0;
		theirs = theirs < 0 ? theirs : 0;
		if (ours == theirs || is_known(&shape, ours, theirs))
			continue;
		printf("# %s: key %u, value %u, entries %u, flags %#x: the kernel %d, we %d\n",
		       map->name, shape.key_bytes, shape.value_bytes, shape.max_entries,
		       shape.flags, theirs, ours);
		good = false;
	}
	report(good && (made > SHAPES / 50 || map->btf == FORT_MAP_BTF_STRUCT), "creation of ",
	       map->name);
}

/* --- helpers --- */

/* Maps of programs here: the lab's, then one of each type. */
static struct proto_lab lab;
static int all_fds[PROTO_MAPS + FORT_MAPS];

/* Not because of the other arguments, which are good; but a key of no bytes is nowhere. */
static bool is_refusal(const char *line)
{
	static const char *const words[] = {"cannot pass map_type",
					    "cannot update sockmap",
					    "map cannot be used in prog",
					    "expected prog array map for tail call",
					    "callback function not allowed for map",
					    "invalid arg_type for sockmap/sockhash",
					    "is outside of the allowed memory range",
					    "write into map forbidden"};

	for (unsigned i = 0; i < FORT_LEN(words); i++)
		if (strstr(line, words[i]))
			return true;
	return false;
}

/* The helper, with good arguments and this map. False when they cannot be made. */
static bool call_with(const struct kernel_hook *hook, const struct fort_helper_info *helper,
		      const struct fort_map_info *map, struct kernel_answer *answer)
{
	char array[2048], last[512];
	struct fort_text text = fort_text_on(array, sizeof(array));
	struct fort_text at = fort_text_on(last, sizeof(last));
	struct kernel_program program = {.text = array, .fds = all_fds};

	lab.other_map = true;
	lab.of_sockets = map->gives == FORT_GIVES_SOCKET;
	lab.map_index = PROTO_MAPS + (uint32_t)(map - fort_maps);
	fort_text_add(&text, "mov r6, r1\n");
	for (unsigned i = 0; i < FORT_HELPER_ARGS; i++) {
		if (!proto_argument(&lab, hook, helper, i, &text, &at))
			return false;
		program.has_callback |= fort_args[helper->args[i]].base == FORT_BASE_FUNC;
	}
	fort_text_add(&text, "%scall %u\nmov r0, %u\nexit\n%s", last, helper->number, hook->result,
		      program.has_callback ? "callback: mov r0, 0\nexit\n" : "");
	kernel_hook_load(hook, &program, answer);
	return true;
}

static bool has_map_argument(const struct fort_helper_info *helper)
{
	for (unsigned i = 0; i < FORT_HELPER_ARGS; i++)
		if (fort_args[helper->args[i]].base == FORT_BASE_MAP)
			return fort_args[helper->args[0]].base != FORT_BASE_TIMER; /* its own map */
	return false;
}

static bool same_helper(const struct kernel_hook *hook, const struct fort_helper_info *helper,
			const struct fort_map_info *map, unsigned *asked)
{
	bool ours = fort_helper_takes_map(helper, map, &hook->hook), theirs;
	struct kernel_answer answer;

	if (fds[map - fort_maps] < 0 || !call_with(hook, helper, map, &answer) ||
	    strstr(answer.line, "Sleepable programs can only"))
		return true;
	++*asked;
	theirs = !is_refusal(answer.line);
	if (ours == theirs)
		return true;
	printf("# %s in %s: %s: the kernel says \"%s\"\n", map->name, kernel_hook_text(hook),
	       fort_helper_kernel_name(helper->number), answer.line);
	return false;
}

/* Each helper once; what may change maps of sockets depends on the program. */
static void helpers(const struct fort_map_info *map)
{
	bool good = true, sockets = map->gives == FORT_GIVES_SOCKET;
	unsigned asked = 0;

	for (unsigned h = 0; h < FORT_HELPERS; h++) {
		const struct fort_helper_info *helper = &fort_helpers[h];
		bool done = !has_map_argument(helper);

		for (unsigned i = 0; i < hooks.n && !done; i++) {
			const struct kernel_hook *hook = &hooks.all[i];
			unsigned before = asked;

			if (hook->err || fort_helper_for(helper->number, &hook->hook) != helper)
				continue;
			good &= same_helper(hook, helper, map, &asked);
			done = asked != before && !sockets;
		}
	}
	report(good && (asked > 20 || map->traits & FORT_TRAIT_BARRED), "helpers for ", map->name);
}

/* --- values --- */

static const struct kernel_hook *hook_of(enum fort_prog_id prog)
{
	for (unsigned i = 0; i < hooks.n; i++)
		if (hooks.all[i].hook.prog == &fort_progs[prog])
			return &hooks.all[i];
	return NULL;
}

/* "map_value" for what the map gives, once it is not NULL. */
static void looked_up(const struct fort_map_info *map)
{
	static const char *const words[] = {[FORT_GIVES_VALUE] = "R0=map_value(",
					    [FORT_GIVES_MAP] = "R0=map_ptr(",
					    [FORT_GIVES_SOCKET] = "R0=sock(",
					    [FORT_GIVES_XDP_SOCK] = "R0=xdp_sock("};
	struct kernel_answer answer;
	char text[256];
	bool holds;

	if (!(map->classes & (FORT_CLASS_KEYED | FORT_CLASS_LOOKUP)))
		return;
	snprintf(text, sizeof(text),
		 "lddw r1, map_idx %u\nlddw r2, map_idx_value %u, 0\ncall 1\njne r0, 0, +2\n"
		 "mov r0, 0\nexit\nmov r3, r0\nmov r0, r5\nexit\n",
		 PROTO_MAPS + (uint32_t)(map - fort_maps), PROTO_ARRAY);
	kernel_hook_load(hook_of(FORT_PROG_SCHED_CLS),
			 &(struct kernel_program){.text = text, .fds = all_fds}, &answer);
	holds = map->gives == FORT_GIVES_SOCKET;
	report(strstr(answer.log, words[map->gives]) && !holds == !strstr(answer.log, "refs="),
	       "what lookups give: ", map->name);
}

static void special_fields(const struct fort_map_info *map)
{
	struct fort_map_shape shape = good_shape(map);
	bool good = true;

	if (map->btf != FORT_MAP_BTF_KEYED && map->btf != FORT_MAP_BTF_ARRAY &&
	    map->btf != FORT_MAP_BTF_NEEDED) {
		report(!map->holds || map->btf == FORT_MAP_BTF_GROUP, "no fields in ", map->name);
		return;
	}
	shape.key_bytes = 4;
	for (enum fort_special i = 0; i < FORT_SPECIALS; i++) {
		uint32_t bytes = (uint32_t)fort_round_up(fort_specials[i].bytes, 8);
		int fd;

		shape.value_bytes =
			i == FORT_SPECIAL_LIST_HEAD || i == FORT_SPECIAL_RB_ROOT ? 24 : bytes;
		fd = create(&shape, types.word, types.special[i], -1);
		good &= !differ(map, fort_specials[i].name, map->holds & 1u << i, fd >= 0);
		if (fd >= 0)
			close(fd);
	}
	report(good, "fields in ", map->name);
}

/* --- programs --- */

static bool names_map(const struct kernel_hook *hook, int fd, const char *how,
		      struct kernel_answer *answer)
{
	char text[128];

	snprintf(text, sizeof(text), "lddw r1, %s\nmov r0, %u\nexit\n", how, hook->result);
	kernel_hook_load(hook, &(struct kernel_program){.text = text, .fds = &fd}, answer);
	return !answer->err;
}

/* Of a map that was in no program yet: some belong to the first one's type. */
static bool names_new(const struct fort_map_info *map, const struct kernel_hook *hook,
		      const char *how)
{
	struct kernel_answer answer;
	int fd = create_good(map);
	bool good = names_map(hook, fd, how, &answer);

	close(fd);
	return good;
}

static void traits(const struct fort_map_info *map)
{
	struct kernel_hook tc = *hook_of(FORT_PROG_SCHED_CLS), probe = *hook_of(FORT_PROG_KPROBE);
	struct fort_map_shape shape = {BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 1, 0, 0};
	bool good = true;
	int outer;

	probe.sleepable = true;
	good &= !differ(map, "in programs", !(map->traits & FORT_TRAIT_BARRED),
			names_new(map, &tc, "map_idx 0"));
	good &= !differ(map, "in programs that sleep", map->traits & FORT_TRAIT_SLEEPY,
			names_new(map, &probe, "map_idx 0"));
	good &= !differ(map, "its value named", map->traits & FORT_TRAIT_DIRECT,
			names_new(map, &tc, "map_idx_value 0, 0"));
	outer = create(&shape, 0, 0, fds[map - fort_maps]);
	good &= !differ(map, "inner map", map->traits & FORT_TRAIT_INNER, outer >= 0);
	if (outer >= 0)
		close(outer);
	report(good, "uses of ", map->name);
}

/* Who may make one: with CAP_BPF, and without CAP_NET_ADMIN. */
static void rights(const struct fort_map_info *map)
{
	static const unsigned admin[] = {CAP_SYS_ADMIN, CAP_NET_ADMIN};
	int fd;

	kernel_give_up(admin, FORT_LEN(admin));
	fd = create_good(map);
	kernel_take_back();
	report((map->right == FORT_MAP_RIGHT_NET) == (fd == -EPERM), "who makes ", map->name);
	if (fd >= 0)
		close(fd);
}

/* BTF with a key that is a number of its size, and without a key. */
static void btf_rules(const struct fort_map_info *map)
{
	struct fort_map_shape shape = good_shape(map);
	enum fort_map_btf rule = map->btf;
	uint32_t key_type;
	bool good;
	int with, without;

	if (map->key_rule == FORT_SIZE_SOME)
		shape.key_bytes = 4;
	key_type = shape.key_bytes == 8 ? types.wide : types.word;
	if (map->value_rule == FORT_SIZE_ZERO || rule == FORT_MAP_BTF_STRUCT)
		return; /* there is no type of no bytes */
	with = create(&shape, key_type, shape.value_bytes == 8 ? types.plain : types.word,
		      fds[FORT_MAP_ARRAY]);
	without = create(&shape, 0, shape.value_bytes == 8 ? types.plain : types.word,
			 fds[FORT_MAP_ARRAY]);
	good = (with >= 0) == (rule == FORT_MAP_BTF_KEYED || rule == FORT_MAP_BTF_ARRAY ||
			       rule == FORT_MAP_BTF_NEEDED || rule == FORT_MAP_BTF_GROUP) &&
	       (without >= 0) == (rule == FORT_MAP_BTF_VALUE) &&
	       (with == -FORT_ENOTSUPP) == (rule == FORT_MAP_BTF_REFUSED);
	if (!good)
		printf("# with a key %d, without %d\n", with, without);
	report(good, "BTF of ", map->name);
	if (with >= 0)
		close(with);
	if (without >= 0)
		close(without);
}

/* Which program types may use an array whose values have such a field. */
static void barred(enum fort_special what)
{
	const struct fort_special_info *info = &fort_specials[what];
	bool graph = what == FORT_SPECIAL_LIST_HEAD || what == FORT_SPECIAL_RB_ROOT;
	struct fort_map_shape shape = {BPF_MAP_TYPE_ARRAY, 4, graph ? 24 : 8, 1, 0, 0};
	bool good = true;
	int fd;

	if (what == FORT_SPECIAL_UPTR)
		return; /* not in arrays */
	if (!graph)
		shape.value_bytes = (uint32_t)fort_round_up(info->bytes, 8);
	fd = create(&shape, types.word, types.special[what], -1);
	for (unsigned i = 0; i < hooks.n; i++) {
		const struct kernel_hook *hook = &hooks.all[i];
		/* Lists and trees have a lock beside them here. */
		uint32_t bits =
			info->barred | (graph ? fort_specials[FORT_SPECIAL_SPIN_LOCK].barred : 0);
		bool ours = !(bits & hook->hook.prog->bit), theirs;
		struct kernel_answer answer;

		if (hook->err)
			continue;
		theirs = names_map(hook, fd, "map_idx 0", &answer);
		if (ours != theirs || (!theirs && !graph && !strstr(answer.line, info->words)))
			printf("# %s: the kernel says \"%s\"\n", kernel_hook_text(hook),
			       answer.line);
		good &= ours == theirs && (theirs || graph || strstr(answer.line, info->words));
	}
	report(good && fd >= 0, "programs that may use ", info->name);
	close(fd);
}

int main(void)
{
	kernel_hooks_open(&hooks);
	load_btf();
	make_maps();
	if (hooks.all[0].err || types.fd < 0 || fds[FORT_MAP_ARRAY] < 0 || proto_lab_open(&lab)) {
		printf("1..0 # SKIP the kernel makes no programs, BTF or maps\n");
		return 0;
	}
	memcpy(all_fds, lab.fds, sizeof(lab.fds));
	memcpy(all_fds + PROTO_MAPS, fds, sizeof(fds));
	for (unsigned i = 0; i < FORT_MAPS; i++) {
		const struct fort_map_info *map = &fort_maps[i];

		creation(map);
		special_fields(map);
		rights(map);
		btf_rules(map);
		if (fds[i] < 0) {
			printf("# skipped: no map of type %s to use: %s\n", map->name,
			       strerror(-fds[i]));
			continue;
		}
		helpers(map);
		looked_up(map);
		traits(map);
	}
	for (enum fort_special i = 0; i < FORT_SPECIALS; i++)
		barred(i);
	printf("1..%u\n", count);
	proto_lab_close(&lab);
	return failed != 0;
}
