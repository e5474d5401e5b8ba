/* What bytes of a kernel struct are, beside the running kernel's verifier: bpf_rdonly_cast makes a
 * pointer to any struct, and a load through it shows the verifier's opinion. Structs, offsets and
 * sizes are random; the seed is printed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <cmocka.h>

#include "ask.h"
#include "btf/index.h"
#include "btf/kernel.h"
#include "btf/match.h"
#include "random_types.h"

#define ACCESSES     12000
#define OBJECT_BLOBS 12
#define RELATIVES    4000
#define HOPS         40

static const char *const loads[] = {[1] = "ldxb", [2] = "ldxh", [4] = "ldxw", [8] = "ldxdw"};
static struct fort_btf *kernel;
static uint64_t random_state;

static uint32_t pick(uint32_t below)
{
	return random_below(&random_state, below);
}

static int open_kernel(void **state)
{
	struct fort_btf_error error;
	const char *seed = getenv("BPFORT_TEST_SEED");

	(void)state;
	random_state = seed ? strtoull(seed, NULL, 0) : (uint64_t)getpid();
	print_message("BPFORT_TEST_SEED=%llu\n", (unsigned long long)random_state);
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

/* A struct to look into: half of them ones that programs look into. */
static uint32_t any_struct(void)
{
	static const char *const names[] = {"task_struct",  "sk_buff", "sock",      "file",
					    "inode",        "cgroup",  "mm_struct", "tcp_sock",
					    "net_device",   "dentry",  "bpf_map",   "bpf_prog",
					    "request",      "bio",     "css_set",   "socket",
					    "signal_struct"};

	if (pick(2))
		return fort_btf_find(kernel, names[pick(FORT_LEN(names))], FORT_BTF_STRUCT);
	for (;;) {
		uint32_t id = 1 + pick(fort_btf_count(kernel) - 1);

		if (fort_btf_type(kernel, id).kind == FORT_BTF_STRUCT)
			return id;
	}
}

/* Mostly where a member starts, sometimes beside it, or behind the end. */
static uint32_t any_offset(const struct fort_btf *btf, uint32_t id)
{
	struct fort_btf_type type = fort_btf_type(btf, id);
	uint32_t offset = type.size ? pick(type.size) : 0;

	if (type.vlen && pick(4)) {
		struct fort_btf_member member = fort_btf_member(&type, pick(type.vlen));
		struct fort_btf_type inner = fort_btf_strip(btf, member.type);

		offset = member.bit_offset / 8;
		if (fort_btf_is_struct(inner.kind) && inner.vlen)
			offset += fort_btf_member(&inner, pick(inner.vlen)).bit_offset / 8;
	}
	if (!pick(8))
		offset += pick(9);
	if (!pick(40))
		offset = type.size + pick(64);
	return offset;
}

/* What we say about the access, as the verifier writes it. */
static int opinion(uint32_t id, uint32_t offset, uint32_t bytes, struct fort_text *text)
{
	struct fort_btf_remark remark = {0};
	struct fort_btf_spot spot;
	int err = fort_btf_access(kernel, id, offset, bytes, FORT_VIEW_KERNEL, &spot, &remark);

	if (err)
		fort_btf_remark_print(&remark, text);
	else if (spot.kind == FORT_SPOT_NUMBER)
		fort_text_add(text, "scalar(");
	else if (spot.kind == FORT_SPOT_OTHER_POINTER)
		fort_text_add(text, "rdonly_untrusted_mem(");
	else
		fort_text_add(text, "untrusted_ptr_%s(",
			      fort_btf_string(kernel, fort_btf_type(kernel, spot.type).name));
	return err;
}

static void compare(struct ask *ask, uint32_t cast, uint32_t id, uint32_t offset, uint32_t bytes,
		    unsigned *accepted)
{
	struct fort_text ours = fort_text_new();
	char program[256];
	const char *theirs;
	int err = opinion(id, offset, bytes, &ours);

	snprintf(program, sizeof(program),
		 "mov r1, 0\nmov r2, %u\ncall kfunc %u\nadd r0, %u\n%s r1, [r0+0]\nmov r0, "
		 "0\nexit\n",
		 id, cast, offset, loads[bytes]);
	ask_load(ask, program);
	theirs = ask->err ? ask_last_line(ask, 0) : ask_register(ask, 4, 1);
	if (err != ask->err || !theirs ||
	    (err ? strcmp(theirs, ours.data) : strncmp(theirs, ours.data, ours.length)))
		fail_msg("%s, %u bytes at %u: kernel %d %s, here %d %s\n%s",
			 fort_btf_string(kernel, fort_btf_type(kernel, id).name), bytes, offset,
			 ask->err, theirs, err, ours.data, ask->log);
	*accepted += !err;
	fort_text_free(&ours);
}

static void loads_from_kernel_structs(void **state)
{
	unsigned accepted = 0;
	struct ask ask;
	uint32_t cast;

	(void)state;
	need_kernel();
	cast = fort_btf_find(kernel, "bpf_rdonly_cast", FORT_BTF_FUNC);
	assert_int_not_equal(cast, 0);
	ask_open(&ask, BPF_PROG_TYPE_SCHED_CLS);
	for (unsigned i = 0; i < ACCESSES; i++) {
		uint32_t id = any_struct();

		compare(&ask, cast, id, any_offset(kernel, id), 1u << (pick(2) ? 3 : pick(4)),
			&accepted);
	}
	print_message("%u accesses, %u accepted\n", ACCESSES, accepted);
	assert_in_range(accepted, ACCESSES / 4, ACCESSES * 3 / 4);
	ask_close(&ask);
}

static void every_load_from_a_few(void **state)
{
	static const char *const names[] = {"sk_buff", "file", "request_sock", "page", "bpf_map"};
	unsigned accepted = 0;
	struct ask ask;
	uint32_t cast;

	(void)state;
	need_kernel();
	cast = fort_btf_find(kernel, "bpf_rdonly_cast", FORT_BTF_FUNC);
	ask_open(&ask, BPF_PROG_TYPE_SCHED_CLS);
	for (unsigned i = 0; i < FORT_LEN(names); i++) {
		uint32_t id = fort_btf_find(kernel, names[i], FORT_BTF_STRUCT);
		uint32_t size = fort_btf_type(kernel, id).size;

		assert_int_not_equal(id, 0);
		for (uint32_t at = 0; at < size + 2; at++)
			for (uint32_t bytes = 1; bytes <= 8; bytes *= 2)
				compare(&ask, cast, id, at, bytes, &accepted);
	}
	print_message("%u accepted\n", accepted);
	ask_close(&ask);
}

/* --- structs of a program --- */

/* Both kinds of objects are given back, or the load would not matter. */
static const char object_program[] = "mov r1, %u\nmov r2, 0\ncall kfunc %u\n"
				     "jne r0, 0, got\nmov r0, 0\nexit\n"
				     "got: mov r6, r0\nadd r0, %u\n%s r1, [r0+0]\n"
				     "mov r1, r6\nmov r2, 0\ncall kfunc %u\nmov r0, 0\nexit\n";
#define OBJECT_LOAD 8

struct object_test {
	struct ask ask;
	struct fort_btf *btf;
	uint32_t make, drop;
	unsigned accesses, accepted, behind;
};

/* Is the kernel's verdict the one of this view? */
static bool agrees(struct object_test *t, uint32_t id, uint32_t offset, uint32_t bytes,
		   enum fort_btf_view view, struct fort_text *ours)
{
	struct fort_btf_remark remark = {0};
	struct fort_btf_spot spot;
	int err = fort_btf_access(t->btf, id, offset, bytes, view, &spot, &remark);
	const char *theirs =
		t->ask.err ? ask_last_line(&t->ask, 0) : ask_register(&t->ask, OBJECT_LOAD, 1);

	if (err)
		fort_btf_remark_print(&remark, ours);
	else
		fort_text_add(ours, "%s",
			      spot.kind == FORT_SPOT_OTHER_POINTER ? "rdonly_untrusted_mem("
								   : "scalar(");
	return err == t->ask.err && theirs &&
	       !(err ? strcmp(theirs, ours->data) : strncmp(theirs, ours->data, ours->length));
}

/* 6.18 lets programs read and write behind structs whose last member is an array without length,
 * and so behind objects; later kernels, and we, do not. Then it is the other view that it agrees
 * with.
 */
static void compare_object(struct object_test *t, uint32_t id, uint32_t offset, uint32_t bytes)
{
	struct fort_text ours = fort_text_new(), other = fort_text_new();
	char program[512];

	snprintf(program, sizeof(program), object_program, id, t->make, offset, loads[bytes],
		 t->drop);
	ask_load(&t->ask, program);
	t->accesses++;
	t->accepted += !t->ask.err;
	if (!agrees(t, id, offset, bytes, FORT_VIEW_OBJECT, &ours)) {
		if (!strstr(ours.data, "access beyond struct ") ||
		    !agrees(t, id, offset, bytes, FORT_VIEW_KERNEL, &other))
			fail_msg("type %u, %u bytes at %u: kernel %d, here %s\n%s", id, bytes,
				 offset, t->ask.err, ours.data, t->ask.log);
		t->behind++;
	}
	fort_text_free(&ours);
	fort_text_free(&other);
}

static void loads_from_these(struct object_test *t)
{
	for (uint32_t id = 1; id < fort_btf_count(t->btf); id++) {
		struct fort_btf_type type = fort_btf_type(t->btf, id);

		if (type.kind != FORT_BTF_STRUCT || !type.size)
			continue;
		for (unsigned i = 0; i < 40; i++)
			compare_object(t, id, any_offset(t->btf, id), 1u << pick(4));
	}
}

static void loads_from_objects(void **state)
{
	struct random_types types = {.state = random_state};
	struct object_test t = {0};

	(void)state;
	need_kernel();
	t.make = fort_btf_find(kernel, "bpf_obj_new_impl", FORT_BTF_FUNC);
	t.drop = fort_btf_find(kernel, "bpf_obj_drop_impl", FORT_BTF_FUNC);
	for (unsigned i = 0; i < OBJECT_BLOBS; i++) {
		struct fort_btf_error error;
		struct bpf_func_info func = {0};
		uint32_t bytes;
		const void *blob;

		random_types_make(&types, 24);
		random_state = types.state;
		func.type_id = (uint32_t)types.func;
		blob = btf__raw_data(types.btf, &bytes);
		if (fort_btf_parse(blob, bytes, NULL, &t.btf, &error))
			fail_msg("type %u: %s", error.type_id, error.what);
		if (btf__load_into_kernel(types.btf))
			fail_msg("the kernel does not take these types");
		ask_open(&t.ask, BPF_PROG_TYPE_SCHED_CLS);
		t.ask.btf_fd = btf__fd(types.btf);
		t.ask.funcs = &func;
		t.ask.n_funcs = 1;
		loads_from_these(&t);
		ask_close(&t.ask);
		fort_btf_free(t.btf);
		btf__free(types.btf);
	}
	print_message("%u accesses, %u accepted by the kernel, %u of them behind a struct\n",
		      t.accesses, t.accepted, t.behind);
	assert_in_range(t.accepted, t.accesses / 4, t.accesses * 3 / 4);
}

/* --- structs in the place of others --- */

/* Functions that take a struct of this name from programs of a slot of tcp_congestion_ops. Such a
 * program is given a tcp_sock, and comes by loads to pointers of other types that it may pass on.
 */
static const struct {
	const char *kfunc, *wanted;
} takers[] = {
	{"tcp_reno_undo_cwnd", "sock"},
	{"tcp_slow_start", "tcp_sock"},
};
#define UNDO_CWND 8

/* How to come to a struct: from which other one, by the pointer at which offset. */
struct way {
	uint32_t from, offset, length;
};

static uint32_t find_ways(struct way *ways, uint32_t *order, uint32_t start)
{
	uint32_t n = 0;

	order[n++] = start;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t id = order[i], bytes = fort_btf_type(kernel, id).size;

		for (uint32_t at = 0; at + 8 <= bytes && at < 32768 && ways[id].length < HOPS;
		     at += 8) {
			struct fort_btf_remark remark;
			struct fort_btf_spot spot;

			if (fort_btf_access(kernel, id, at, 8, FORT_VIEW_KERNEL, &spot, &remark) ||
			    spot.kind != FORT_SPOT_STRUCT_POINTER || spot.traits ||
			    spot.type == start || ways[spot.type].length)
				continue;
			ways[spot.type] = (struct way){id, at, ways[id].length + 1};
			order[n++] = spot.type;
		}
	}
	return n;
}

static void add_way(const struct way *ways, uint32_t id, struct fort_text *program)
{
	uint32_t offsets[HOPS], n = ways[id].length;

	for (uint32_t i = n; i; id = ways[id].from)
		offsets[--i] = ways[id].offset;
	fort_text_add(program, "ldxdw r1, [r1+0]\n");
	for (uint32_t i = 0; i < n; i++)
		fort_text_add(program, "ldxdw r1, [r1+%u]\n", offsets[i]);
}

static void compare_relative(struct ask *ask, const struct way *ways, uint32_t id, uint32_t offset,
			     unsigned taker, unsigned *accepted)
{
	uint32_t need = fort_btf_find(kernel, takers[taker].wanted, FORT_BTF_STRUCT);
	struct fort_text ours = fort_text_new(), program = fort_text_new();
	struct fort_btf_remark remark;
	bool fits = fort_btf_has_struct(kernel, id, offset, kernel, need, false, FORT_VIEW_KERNEL,
					&remark);

	fort_btf_remark_print(&remark, &ours);
	add_way(ways, id, &program);
	fort_text_add(&program, "add r1, %u\nmov r2, 0\ncall kfunc %u\nmov r0, 0\nexit\n", offset,
		      fort_btf_find(kernel, takers[taker].kfunc, FORT_BTF_FUNC));
	ask_load(ask, program.data);
	if (fits != !ask->err || (!fits && !strstr(ask_last_line(ask, 0), "expected pointer to")) ||
	    (ours.length && strcmp(ours.data, ask_last_line(ask, 1)) != 0))
		fail_msg("%s at %u for %s: here %d %s\n%s",
			 fort_btf_string(kernel, fort_btf_type(kernel, id).name), offset,
			 takers[taker].wanted, fits, ours.data, ask->log);
	*accepted += fits;
	fort_text_free(&ours);
	fort_text_free(&program);
}

/* Half of the time something that is a socket. */
static uint32_t any_relative(const uint32_t *order, uint32_t n, const struct way *ways)
{
	static const char *const names[] = {"sock",        "inet_sock",    "inet_connection_sock",
					    "tcp_sock",    "udp_sock",     "unix_sock",
					    "sock_common", "request_sock", "tcp_request_sock"};
	uint32_t id = fort_btf_find(kernel, names[pick(FORT_LEN(names))], FORT_BTF_STRUCT);

	return pick(2) && (ways[id].length || id == order[0]) ? id : order[pick(n)];
}

static void structs_for_others(void **state)
{
	unsigned accepted = 0;
	struct way *ways;
	struct ask ask;
	uint32_t *order, n;

	(void)state;
	need_kernel();
	ways = calloc(fort_btf_count(kernel), sizeof(*ways));
	order = calloc(fort_btf_count(kernel), sizeof(*order));
	assert_true(ways && order);
	n = find_ways(ways, order, fort_btf_find(kernel, "tcp_sock", FORT_BTF_STRUCT));
	ask_open(&ask, BPF_PROG_TYPE_STRUCT_OPS);
	ask.attach_id = fort_btf_find(kernel, "tcp_congestion_ops", FORT_BTF_STRUCT);
	ask.attach_type = UNDO_CWND;
	for (unsigned i = 0; i < RELATIVES; i++) {
		uint32_t id = any_relative(order, n, ways);

		compare_relative(&ask, ways, id, pick(2) ? 0 : any_offset(kernel, id),
				 pick(FORT_LEN(takers)), &accepted);
	}
	print_message("%u types within reach; of %u tries %u fit\n", n, RELATIVES, accepted);
	assert_in_range(accepted, RELATIVES / 50, RELATIVES / 2);
	ask_close(&ask);
	free(ways);
	free(order);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loads_from_kernel_structs),
		cmocka_unit_test(every_load_from_a_few),
		cmocka_unit_test(loads_from_objects),
		cmocka_unit_test(structs_for_others),
	};

	return cmocka_run_group_tests(tests, open_kernel, close_kernel);
}
