/* Special fields of map values beside the running kernel: random structs with locks, timers, owned
 * pointers, lists and trees, right and wrong. BTF_LOAD, and MAP_CREATE of several types of maps,
 * must end alike; then the verifier is asked byte for byte where the fields are. The seed is
 * printed.
 *
 * What the kernel itself does not expect, and warns of in its log, is left out: two of what there
 * may be one of, in different structs of a value; a bpf_res_spin_lock beside another lock, list or
 * tree.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <cmocka.h>

#include "ask.h"
#include "base/text.h"
#include "btf/kernel.h"
#include "btf/values.h"
#include "btf_build.h"
#include "random_types.h"

#define VALUES  450
#define MEMBERS 7

static struct fort_btf *kernel;

static int open_kernel(void **state)
{
	struct fort_btf_error error;

	(void)state;
	libbpf_set_print(NULL);
	return access(FORT_BTF_VMLINUX, R_OK) ? 0 : fort_btf_open_kernel(NULL, &kernel, &error);
}

static int close_kernel(void **state)
{
	(void)state;
	fort_btf_free(kernel);
	return 0;
}

static void need_kernel(void)
{
	if (!kernel) {
		print_message("no " FORT_BTF_VMLINUX " here\n");
		skip();
	}
}

/* --- values --- */

static const struct {
	const char *name;
	uint32_t bytes;
	bool once;
} specials[] = {
	{"bpf_spin_lock", 4, true},  {"bpf_res_spin_lock", 4, true}, {"bpf_timer", 16, true},
	{"bpf_wq", 16, true},        {"bpf_task_work", 8, true},     {"bpf_list_head", 16, false},
	{"bpf_list_node", 24, true}, {"bpf_rb_root", 16, false},     {"bpf_rb_node", 32, true},
	{"bpf_refcount", 4, true},
};
enum {
	SPIN_LOCK = 0,
	RES_LOCK = 1,
	LIST_HEAD = 5,
	LIST_NODE = 6,
	RB_ROOT = 7,
	RB_NODE = 8,
	REFCOUNT = 9
};

struct value {
	uint64_t state, seed; /* now, and when this value was begun */
	struct btf *btf;
	int number, wide, special[FORT_LEN(specials)], kptrs[32], n_kptrs;
	int type; /* of the value */
	bool is_section;
	uint32_t used;
};

static uint32_t pick(struct value *v, uint32_t below)
{
	return random_below(&v->state, below);
}

static int good(int id)
{
	if (id < 0)
		abort();
	return id;
}

static int array_of(struct value *v, int type, uint32_t count)
{
	return good(btf__add_array(v->btf, v->number, type, count));
}

static void add_specials(struct value *v)
{
	for (unsigned i = 0; i < FORT_LEN(specials); i++) {
		bool wrong = !pick(v, 60);
		uint32_t bytes = specials[i].bytes;
		int words = array_of(v, v->number, bytes / 4);

		v->special[i] =
			good(btf__add_struct(v->btf, specials[i].name, bytes + (wrong ? 8 : 0)));
		good(btf__add_field(v->btf, "opaque", words, 0, 0));
	}
}

/* What lists and trees contain. */
static void add_elements(struct value *v)
{
	good(btf__add_struct(v->btf, "elem_l", 32));
	good(btf__add_field(v->btf, "node", v->special[LIST_NODE], 0, 0));
	good(btf__add_field(v->btf, "v", v->number, 192, 0));
	good(btf__add_struct(v->btf, "elem_r", 40));
	good(btf__add_field(v->btf, "v", v->number, 0, 0));
	good(btf__add_field(v->btf, "node", v->special[RB_NODE], 64, 0));
	good(btf__add_struct(v->btf, "elem_both", 64));
	good(btf__add_field(v->btf, "node", v->special[LIST_NODE], 0, 0));
	good(btf__add_field(v->btf, "r", v->special[RB_NODE], 192, 0));
	if (pick(v, 20))
		good(btf__add_field(v->btf, "count", v->special[REFCOUNT], 448, 0));
}

static void add_kptrs(struct value *v)
{
	static const char *const tags[] = {"kptr", "kptr", "kptr_untrusted", "percpu_kptr", "uptr"};
	int targets[16], n = 0;

	targets[n++] = good(btf__add_struct(v->btf, "task_struct", 8));
	targets[n++] = good(btf__add_struct(v->btf, "cgroup", 8));
	targets[n++] = good(btf__add_struct(v->btf, "bpf_cpumask", 8));
	targets[n++] = good(btf__add_struct(v->btf, "mine", 8));
	targets[n++] = good(btf__find_by_name_kind(v->btf, "elem_l", BTF_KIND_STRUCT));
	targets[n++] = good(btf__add_typedef(v->btf, "mine_t", targets[3]));
	if (!pick(v, 6)) { /* one that breaks a rule */
		targets[n++] = good(btf__add_struct(v->btf, "sk_buff", 8));
		targets[n++] = v->number;
		targets[n++] = good(btf__add_union(v->btf, "either", 8));
		targets[n++] = good(btf__add_struct(v->btf, "big", 5000));
		targets[n++] = good(btf__add_struct(v->btf, "empty", 0));
		targets[n++] = good(btf__add_type_tag(v->btf, "user", targets[3]));
	}
	for (v->n_kptrs = 0; v->n_kptrs < 12; v->n_kptrs++) {
		const char *tag = pick(v, 60) ? tags[pick(v, FORT_LEN(tags))] : "other";
		int id = targets[pick(v, (uint32_t)n)];

		if (!pick(v, 5))
			id = good(btf__add_const(v->btf, id));
		id = good(btf__add_ptr(v->btf, good(btf__add_type_tag(v->btf, tag, id))));
		if (!pick(v, 8))
			id = good(pick(v, 2) ? btf__add_volatile(v->btf, id)
					     : btf__add_const(v->btf, id));
		v->kptrs[v->n_kptrs] = id;
	}
}

static bool may_use(struct value *v, unsigned special)
{
	const uint32_t apart = 1u << SPIN_LOCK | 1u << LIST_HEAD | 1u << RB_ROOT;

	if (specials[special].once && v->used >> special & 1)
		return false;
	if (special == RES_LOCK ? v->used & apart : v->used >> RES_LOCK & 1 && apart >> special & 1)
		return false;
	v->used |= 1u << special;
	return true;
}

static int any_special(struct value *v)
{
	static const uint8_t likely[] = {0, 0, 1, 2, 3, 4, 5, 7, 9};

	for (;;) {
		unsigned i = pick(v, 8) ? likely[pick(v, FORT_LEN(likely))]
					: pick(v, FORT_LEN(specials));

		if (may_use(v, i))
			return v->special[i];
		if (!pick(v, 4))
			return v->wide;
	}
}

static int inner_struct(struct value *v)
{
	int first = pick(v, 2) ? v->kptrs[pick(v, (uint32_t)v->n_kptrs)] : any_special(v);
	int second = pick(v, 2) ? v->wide : v->kptrs[pick(v, (uint32_t)v->n_kptrs)];
	char name[16];
	int id;

	snprintf(name, sizeof(name), "inner%u", btf__type_cnt(v->btf));
	id = good(btf__add_struct(v->btf, name, 48));
	good(btf__add_field(v->btf, "a", first, 0, 0));
	good(btf__add_field(v->btf, "b", second, 320, 0));
	return id;
}

static int member_type(struct value *v)
{
	int id;

	switch (pick(v, 12)) {
	case 0: return v->number;
	case 1: return v->wide;
	case 2:
	case 3:
	case 4: return any_special(v);
	case 5:
	case 6:
	case 7: return v->kptrs[pick(v, (uint32_t)v->n_kptrs)];
	case 8: return array_of(v, v->kptrs[pick(v, (uint32_t)v->n_kptrs)], pick(v, 5));
	case 9: id = any_special(v); return array_of(v, id, 1 + !pick(v, 6));
	case 10: id = inner_struct(v); return pick(v, 3) ? id : array_of(v, id, pick(v, 4));
	default:
		id = any_special(v);
		return good(pick(v, 2) ? btf__add_const(v->btf, id)
				       : btf__add_typedef(v->btf, "renamed", id));
	}
}

/* Says what a list or tree holds, if that is what this type is. */
static void add_tag(struct value *v, uint32_t type, int tagged, int component)
{
	static const char *const tags[] = {"contains:elem_l:nope", "contains:nope:node",
					   "contains:elem_l",      "contains:elem_l:",
					   "contains::node",       "other"};
	bool is_list;
	const char *tag;

	if (btf_is_array(btf__type_by_id(v->btf, type)))
		type = btf_array(btf__type_by_id(v->btf, type))->type;
	is_list = (int)type == v->special[LIST_HEAD];
	if ((!is_list && (int)type != v->special[RB_ROOT]) || !pick(v, 30))
		return;
	tag = is_list ? "contains:elem_l:node" : "contains:elem_r:node";
	if (is_list && !pick(v, 4))
		tag = "contains:elem_both:node";
	if (!pick(v, 20))
		tag = tags[pick(v, FORT_LEN(tags))];
	good(btf__add_decl_tag(v->btf, tag, tagged, component));
	if (!pick(v, 30))
		good(btf__add_decl_tag(v->btf, tag, tagged, component));
}

/* Lists and trees, wherever they are. */
static void add_tags(struct value *v)
{
	uint32_t count = btf__type_cnt(v->btf);

	for (uint32_t id = 1; id < count; id++) {
		const struct btf_type *type = btf__type_by_id(v->btf, id);
		uint16_t vlen = btf_is_struct(type) ? btf_vlen(type) : 0;

		if (btf_is_var(type))
			add_tag(v, type->type, (int)id, -1);
		for (uint16_t i = 0; i < vlen; i++) {
			type = btf__type_by_id(v->btf, id); /* adding may have moved it */
			add_tag(v, btf_members(type)[i].type, (int)id, i);
		}
	}
}

static uint32_t next_offset(struct value *v, uint32_t at, int type)
{
	at += (uint32_t)btf__resolve_size(v->btf, (uint32_t)type);
	return pick(v, 12) ? (at + 7) / 8 * 8 : at;
}

static uint32_t make_struct(struct value *v, const int *members, uint32_t n)
{
	uint32_t at = 0;

	v->type = good(btf__add_struct(v->btf, "value", 0));
	for (uint32_t i = 0; i < n; i++) {
		char name[16];

		snprintf(name, sizeof(name), "m%u", i);
		good(btf__add_field(v->btf, name, members[i], at * 8, 0));
		at = next_offset(v, at, members[i]);
	}
	return at;
}

/* Global variables. */
static uint32_t make_section(struct value *v, const int *members, uint32_t n)
{
	int vars[MEMBERS];
	uint32_t at = 0;

	for (uint32_t i = 0; i < n; i++) {
		char name[16];

		snprintf(name, sizeof(name), "v%u", i);
		vars[i] = good(btf__add_var(v->btf, name, BTF_VAR_GLOBAL_ALLOCATED, members[i]));
	}
	v->type = good(btf__add_datasec(v->btf, ".bss", 0));
	for (uint32_t i = 0; i < n; i++) {
		uint32_t bytes = (uint32_t)btf__resolve_size(v->btf, (uint32_t)members[i]);

		if (!bytes)
			continue;
		good(btf__add_datasec_var_info(v->btf, vars[i], at, bytes + (pick(v, 30) ? 0 : 8)));
		at = next_offset(v, at + 8, members[i]);
	}
	return at;
}

static void make_value(struct value *v)
{
	uint32_t n = 1 + pick(v, MEMBERS), bytes;
	int members[MEMBERS];

	v->btf = btf__new_empty();
	v->used = 0;
	v->number = good(btf__add_int(v->btf, "int", 4, BTF_INT_SIGNED));
	v->wide = good(btf__add_int(v->btf, "long", 8, 0));
	add_specials(v);
	add_elements(v);
	add_kptrs(v);
	for (uint32_t i = 0; i < n; i++)
		members[i] = member_type(v);
	v->is_section = !pick(v, 4);
	bytes = v->is_section ? make_section(v, members, n) : make_struct(v, members, n);
	((struct btf_type *)(uintptr_t)btf__type_by_id(v->btf, (uint32_t)v->type))->size =
		bytes ? (bytes + 7) / 8 * 8 : 8;
	add_tags(v);
}

/* --- comparison --- */

/* The value's members, for a failure. */
static void describe(const struct value *v, const struct fort_btf *btf, uint32_t id)
{
	struct fort_btf_type type = fort_btf_type(btf, id);

	print_error("BPFORT_TEST_SEED=%llu\n", (unsigned long long)v->seed);
	for (uint32_t i = 0; i < type.vlen; i++) {
		struct fort_btf_member member = fort_btf_member(&type, i);
		uint32_t at = member.type;

		print_error("  %u:", member.bit_offset / 8);
		for (unsigned depth = 0; at && depth < 8; depth++) {
			struct fort_btf_type t = fort_btf_type(btf, at);

			print_error(" %s %s", fort_btf_kind_name(t.kind),
				    fort_btf_string(btf, t.name));
			if (t.kind == FORT_BTF_ARRAY)
				print_error("[%u]", fort_btf_array(&t).count);
			at = t.kind == FORT_BTF_ARRAY ? fort_btf_array(&t).element
			     : fort_btf_is_modifier(t.kind) || t.kind == FORT_BTF_PTR ? t.ref
										      : 0;
		}
		print_error("\n");
	}
}

struct counts {
	unsigned loads, refused, maps, created, fields, bytes;
};

static int load_here(const void *blob, uint32_t bytes, struct fort_btf **out)
{
	struct fort_btf_error error;
	int err = fort_btf_parse(blob, bytes, NULL, out, &error);

	if (err)
		return err;
	err = fort_btf_check_objects(*out, kernel);
	if (err) {
		fort_btf_free(*out);
		*out = NULL;
	}
	return err;
}

/* Byte for byte, what the verifier says of a load from the value. */
static void compare_bytes(const struct value *v, const struct fort_btf *btf,
			  const struct fort_btf_record *record, int map, struct counts *counts)
{
	uint32_t bytes = fort_btf_type(btf, (uint32_t)v->type).size;
	struct ask ask;

	ask_open(&ask, BPF_PROG_TYPE_SCHED_CLS);
	ask.level = FORT_LOG_PATH;
	for (uint32_t at = 0; at < bytes; at++) {
		const struct fort_btf_field *field = fort_btf_field_at(record, at, 1);
		struct fort_text wanted = fort_text_new();
		char program[256];

		snprintf(program, sizeof(program),
			 "stw [r10-4], 0\nlddw r1, map_fd %d\nmov r2, r10\nadd r2, -4\ncall 1\n"
			 "jeq r0, 0, out\nldxb r1, [r0+%u]\nout: mov r0, 0\nexit\n",
			 map, at);
		ask_load(&ask, program);
		if (field) {
			bool points = field->kind >= FORT_FIELD_KPTR_UNTRUSTED;

			fort_text_add(&wanted, "%s ", fort_btf_field_name(field->kind));
			fort_text_add(&wanted,
				      !points ? "cannot be accessed directly by load/store"
				      : at == field->offset
					      ? "access size must be BPF_DW"
					      : "access misaligned expected=%u off=%u",
				      field->offset, at);
		}
		if (!field != !ask.err ||
		    (field && strcmp(ask_last_line(&ask, 0), wanted.data) != 0))
			describe(v, btf, (uint32_t)v->type);
		if (!field != !ask.err ||
		    (field && strcmp(ask_last_line(&ask, 0), wanted.data) != 0))
			fail_msg("byte %u: wanted %s\n%s", at, field ? wanted.data : "none",
				 ask.log);
		counts->bytes++;
		fort_text_free(&wanted);
	}
	counts->fields += record->count;
	ask_close(&ask);
}

static void compare_map(const struct value *v, const struct fort_btf *btf, uint32_t type,
			struct counts *counts)
{
	uint32_t key = v->is_section ? 0 : (uint32_t)v->number;
	struct fort_map_shape shape = {
		.type = type,
		.key_bytes = 4,
		.value_bytes = fort_btf_type(btf, (uint32_t)v->type).size,
		.max_entries = v->is_section ? 1 : 4,
	};
	LIBBPF_OPTS(bpf_map_create_opts, opts, .btf_fd = (uint32_t)btf__fd(v->btf),
		    .btf_key_type_id = key, .btf_value_type_id = (uint32_t)v->type);
	struct fort_btf_record record;
	int err, fd, theirs;

	if (type == BPF_MAP_TYPE_TASK_STORAGE) {
		shape.max_entries = 0;
		opts.map_flags = BPF_F_NO_PREALLOC;
	}
	fd = bpf_map_create(type, "record", shape.key_bytes, shape.value_bytes, shape.max_entries,
			    &opts);
	theirs = fd < 0 ? -errno : 0;
	err = fort_btf_check_map(btf, kernel, &shape, key, (uint32_t)v->type, &record);
	if (err != theirs)
		describe(v, btf, (uint32_t)v->type);
	if (err != theirs)
		fail_msg("map type %u: kernel %d, here %d", type, theirs, err);
	counts->maps++;
	counts->created += !err;
	if (!err && type == (v->is_section ? BPF_MAP_TYPE_ARRAY : BPF_MAP_TYPE_HASH))
		compare_bytes(v, btf, &record, fd, counts);
	if (fd >= 0)
		close(fd);
}

static void compare(struct value *v, struct counts *counts)
{
	static const uint32_t types[] = {BPF_MAP_TYPE_HASH,        BPF_MAP_TYPE_ARRAY,
					 BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_PERCPU_ARRAY,
					 BPF_MAP_TYPE_LRU_HASH,    BPF_MAP_TYPE_LRU_PERCPU_HASH,
					 BPF_MAP_TYPE_TASK_STORAGE};
	struct fort_btf *btf = NULL;
	uint32_t bytes;
	const void *blob = btf__raw_data(v->btf, &bytes);
	int ours = load_here(blob, bytes, &btf), theirs = btf__load_into_kernel(v->btf);

	counts->loads++;
	counts->refused += ours != 0;
	if (ours != theirs)
		fail_msg("BPFORT_TEST_SEED=%llu: BTF_LOAD: kernel %d, here %d",
			 (unsigned long long)v->seed, theirs, ours);
	for (unsigned i = 0; !ours && i < FORT_LEN(types); i++)
		if (!v->is_section || types[i] == BPF_MAP_TYPE_ARRAY ||
		    types[i] == BPF_MAP_TYPE_PERCPU_ARRAY)
			compare_map(v, btf, types[i], counts);
	fort_btf_free(btf);
}

static void random_values(void **state)
{
	const char *seed = getenv("BPFORT_TEST_SEED");
	struct value v = {.state = seed ? strtoull(seed, NULL, 0) : (uint64_t)getpid() << 20};
	struct counts counts = {0};

	(void)state;
	need_kernel();
	for (unsigned i = 0; i < VALUES; i++) {
		v.seed = v.state;
		make_value(&v);
		compare(&v, &counts);
		btf__free(v.btf);
	}
	print_message("%u blobs, %u refused; %u maps, %u created; %u fields in %u bytes\n",
		      counts.loads, counts.refused, counts.maps, counts.created, counts.fields,
		      counts.bytes);
	assert_true(counts.refused > 40 && counts.created > 100 && counts.fields > 100);
}

/* A program may keep references to a few of the kernel's structs, and to no other. */
static void every_kptr(void **state)
{
	static struct btf_build build;
	unsigned asked = 0, allowed = 0;

	(void)state;
	need_kernel();
	for (uint32_t id = 1; id < fort_btf_count(kernel); id++) {
		struct fort_btf_type type = fort_btf_type(kernel, id);
		const char *name = fort_btf_string(kernel, type.name);
		union bpf_attr attr = {.btf = (uint64_t)(uintptr_t)build.blob};
		int theirs;

		if (type.kind != FORT_BTF_STRUCT || !type.name)
			continue;
		memset(&build, 0, sizeof(build));
		build_type(&build, name, INFO(FORT_BTF_STRUCT, 0, 0), 8);
		build_type(&build, "kptr", INFO(FORT_BTF_TYPE_TAG, 0, 0), 1);
		build_type(&build, NULL, INFO(FORT_BTF_PTR, 0, 0), 2);
		build_type(&build, "holder", INFO(FORT_BTF_STRUCT, 1, 0), 8);
		BUILD_MORE(&build, build_name(&build, "p"), 3, 0);
		build_finish(&build);
		attr.btf_size = build.bytes;
		theirs = (int)syscall(SYS_bpf, BPF_BTF_LOAD, &attr, sizeof(attr));
		if (theirs >= 0)
			close(theirs);
		if ((theirs >= 0) != fort_btf_is_kptr(name))
			fail_msg("%s: kernel %d", name, theirs);
		asked++;
		allowed += theirs >= 0;
	}
	print_message("%u structs, %u allowed\n", asked, allowed);
	assert_true(allowed >= 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kptr),
		cmocka_unit_test(random_values),
	};

	return cmocka_run_group_tests(tests, open_kernel, close_kernel);
}
