/* Arguments of global functions beside the running kernel's verifier: random prototypes with random
 * tags, in programs of many types. Refusals must have the kernel's words and errno; where we accept
 * and the test can make such arguments, what the kernel starts to verify the function with must be
 * what we say. The seed is printed.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/btf.h>
#include <cmocka.h>

#include "ask.h"
#include "btf/args.h"
#include "btf/contexts.h"
#include "btf/index.h"
#include "btf/kernel.h"
#include "random_types.h"

#define BLOBS     60
#define FUNCTIONS 40 /* of each */
#define TYPES_MAX 64

static struct fort_btf *kernel;

/* Program types, and how to attach them to something. */
static const struct {
	uint32_t type, attach_type, flags;
	uint8_t target_kind;
	const char *target;
} programs[] = {
	{BPF_PROG_TYPE_SCHED_CLS, 0, 0, 0, NULL},
	{BPF_PROG_TYPE_SOCKET_FILTER, 0, 0, 0, NULL},
	{BPF_PROG_TYPE_XDP, 0, 0, 0, NULL},
	{BPF_PROG_TYPE_KPROBE, 0, 0, 0, NULL},
	{BPF_PROG_TYPE_TRACEPOINT, 0, 0, 0, NULL},
	{BPF_PROG_TYPE_PERF_EVENT, 0, 0, 0, NULL},
	{BPF_PROG_TYPE_RAW_TRACEPOINT, 0, 0, 0, NULL},
	{BPF_PROG_TYPE_CGROUP_SKB, 0, 0, 0, NULL},
	{BPF_PROG_TYPE_CGROUP_SOCK, BPF_CGROUP_INET_SOCK_CREATE, 0, 0, NULL},
	{BPF_PROG_TYPE_SOCK_OPS, BPF_CGROUP_SOCK_OPS, 0, 0, NULL},
	{BPF_PROG_TYPE_SK_LOOKUP, BPF_SK_LOOKUP, 0, 0, NULL},
	{BPF_PROG_TYPE_SYSCALL, 0, BPF_F_SLEEPABLE, 0, NULL},
	{BPF_PROG_TYPE_TRACING, BPF_TRACE_RAW_TP, 0, FORT_BTF_TYPEDEF, "btf_trace_sched_switch"},
	{BPF_PROG_TYPE_TRACING, BPF_TRACE_ITER, 0, FORT_BTF_FUNC, "bpf_iter_task"},
	{BPF_PROG_TYPE_STRUCT_OPS, 8, 0, FORT_BTF_STRUCT, "tcp_congestion_ops"},
};

/* What parameters may point to. */
struct pool {
	uint64_t state;
	struct btf *btf;
	int types[TYPES_MAX], n;
	int functions[FUNCTIONS], main;
};

static uint32_t pick(struct pool *pool, uint32_t below)
{
	return random_below(&pool->state, below);
}

static int good(int id)
{
	if (id < 0)
		abort();
	return id;
}

static void add(struct pool *pool, int id)
{
	pool->types[pool->n++] = good(id);
}

static int open_kernel(void **state)
{
	struct fort_btf_error error;

	(void)state;
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

/* A struct name that the kernel has twice. */
static const char *ambiguous(void)
{
	for (uint32_t id = 1; id < fort_btf_count(kernel); id++) {
		struct fort_btf_type type = fort_btf_type(kernel, id);
		const char *name = fort_btf_string(kernel, type.name);
		uint32_t first;

		if (type.kind == FORT_BTF_STRUCT && name[0] &&
		    fort_btf_find_flavours(kernel, name, FORT_BTF_STRUCT, &first) == 2)
			return name;
	}
	return "nobody";
}

static int add_struct(struct pool *pool, const char *name, uint32_t bytes)
{
	int id = good(btf__add_struct(pool->btf, name, bytes));

	if (bytes)
		good(btf__add_field(pool->btf, "m", 1, 0, 0));
	return id;
}

static void fill(struct pool *pool)
{
	static const char *const structs[] = {"task_struct",
					      "task_struct___x",
					      "sk_buff",
					      "__sk_buff",
					      "xdp_md",
					      "xdp_buff",
					      "pt_regs",
					      "bpf_dynptr",
					      "bpf_sock",
					      "bpf_raw_tracepoint_args",
					      "cgroup",
					      "bpf_iter__task",
					      "bpf_perf_event_data",
					      "bpf_sock_ops",
					      "bpf_sk_lookup",
					      "user_regs_struct",
					      "nobody",
					      "bpf_nf_ctx",
					      "bpf_user_pt_regs_t"};
	struct btf *btf = pool->btf;
	int number = good(btf__add_int(btf, "int", 4, BTF_INT_SIGNED));

	add(pool, number);
	add(pool, btf__add_int(btf, "long", 8, 0));
	add(pool, btf__add_int(btf, "char", 1, 0));
	add(pool, btf__add_enum(btf, "color", 4));
	add(pool, btf__add_enum64(btf, "wide", 8, false));
	add(pool, btf__add_float(btf, "double", 8));
	add(pool, 0);
	for (unsigned i = 0; i < FORT_LEN(structs); i++)
		add(pool, add_struct(pool, structs[i], 4 + 4 * (i % 5)));
	add(pool, add_struct(pool, NULL, 8));
	add(pool, add_struct(pool, "empty", 0));
	add(pool, add_struct(pool, ambiguous(), 8));
	add(pool, btf__add_union(btf, "either", 8));
	add(pool, btf__add_union(btf, "bpf_dynptr", 8));
	add(pool, btf__add_fwd(btf, "bpf_dynptr", BTF_FWD_STRUCT));
	add(pool, btf__add_fwd(btf, "bpf_dynptr", BTF_FWD_UNION));
	/* not a name of the kernel: its cache of candidates forgets their kind */
	add(pool, btf__add_fwd(btf, "elsewhere", BTF_FWD_STRUCT));
	add(pool, btf__add_array(btf, number, number, 5));
	add(pool, btf__add_array(btf, number, number, 0));
	add(pool, btf__add_ptr(btf, number));
	add(pool, btf__add_func_proto(btf, number));
	add(pool, btf__add_typedef(btf, "bpf_user_pt_regs_t", pool->types[7 + 6]));
	add(pool, btf__add_typedef(btf, "my_regs", pool->types[7 + 6]));
	add(pool, btf__add_typedef(btf, "bpf_user_pt_regs_t", number));
}

static int wrap(struct pool *pool, int id)
{
	switch (pick(pool, 8)) {
	case 0: return good(btf__add_const(pool->btf, id));
	case 1: return good(btf__add_volatile(pool->btf, id));
	case 2: return good(btf__add_typedef(pool->btf, "wrapped", id));
	default: return id;
	}
}

static int param_type(struct pool *pool)
{
	int id = pool->types[pick(pool, (uint32_t)pool->n)];

	if (pick(pool, 4) || btf__resolve_size(pool->btf, (uint32_t)id) < 0)
		id = good(btf__add_ptr(pool->btf, wrap(pool, id)));
	return wrap(pool, id);
}

static int add_function(struct pool *pool, const char *name, bool is_global)
{
	static const char *const tags[] = {"arg:ctx",      "arg:nonnull", "arg:trusted",
					   "arg:nullable", "arg:arena",   "arg:untrusted",
					   "arg:other",    "other"};
	uint32_t count = pick(pool, 20) ? 1 + pick(pool, 3) : 6;
	int types[6], result, func, proto;

	for (uint32_t i = 0; i < count; i++)
		types[i] = param_type(pool);
	result = pick(pool, 12) ? 1 : pick(pool, 3) ? param_type(pool) : 0;
	proto = good(btf__add_func_proto(pool->btf, result));
	for (uint32_t i = 0; i < count; i++)
		good(btf__add_func_param(pool->btf, "a", types[i]));
	func = good(btf__add_func(pool->btf, name, is_global ? BTF_FUNC_GLOBAL : BTF_FUNC_STATIC,
				  proto));
	for (uint32_t i = 0; i < count; i++)
		for (unsigned n = pick(pool, 5) < 3 ? 0 : 1 + !pick(pool, 3); n--;)
			good(btf__add_decl_tag(pool->btf, tags[pick(pool, FORT_LEN(tags))], func,
					       (int)i));
	return func;
}

static void make_pool(struct pool *pool)
{
	int context, proto;

	pool->btf = btf__new_empty();
	pool->n = 0;
	fill(pool);
	context = good(btf__add_ptr(pool->btf, 0));
	proto = good(btf__add_func_proto(pool->btf, 1));
	good(btf__add_func_param(pool->btf, "ctx", context));
	pool->main = good(btf__add_func(pool->btf, "main", BTF_FUNC_STATIC, proto));
	for (unsigned i = 0; i < FUNCTIONS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%u", i);
		pool->functions[i] = add_function(pool, name, true);
	}
}

/* --- one function --- */

struct trial {
	struct ask ask;
	struct fort_btf *btf;
	unsigned refused, verified, unmade;
};

/* Instructions that put such an argument into a register; false when the test has none. */
static bool make_arg(struct trial *t, const struct fort_func_arg *arg, unsigned reg,
		     struct fort_text *program)
{
	bool is_task = arg->kind == FORT_FUNC_STRUCT && !arg->is_untrusted &&
		       arg->type == fort_btf_find(kernel, "task_struct", FORT_BTF_STRUCT);

	if (arg->kind == FORT_FUNC_CONTEXT)
		fort_text_add(program, "mov r%u, r6\n", reg);
	else if (arg->kind == FORT_FUNC_NUMBER || arg->may_be_null || arg->is_untrusted)
		fort_text_add(program, "mov r%u, 0\n", reg);
	else if (arg->kind == FORT_FUNC_MEMORY && arg->bytes <= 256)
		fort_text_add(program, "mov r%u, r10\nadd r%u, -512\n", reg, reg);
	else if (arg->kind == FORT_FUNC_DYNPTR && t->ask.type == BPF_PROG_TYPE_SCHED_CLS)
		fort_text_add(program, "mov r%u, r10\nadd r%u, -16\n", reg, reg);
	else if (is_task && t->ask.type == BPF_PROG_TYPE_SCHED_CLS)
		fort_text_add(program, "mov r%u, r7\n", reg);
	else
		return false;
	return true;
}

/* The verifier's word for it. */
static void name_arg(const struct fort_func_arg *arg, struct fort_text *text)
{
	const char *null = arg->may_be_null ? "_or_null" : "";

	switch (arg->kind) {
	case FORT_FUNC_NUMBER: fort_text_add(text, "scalar("); return;
	case FORT_FUNC_CONTEXT: fort_text_add(text, "ctx("); return;
	case FORT_FUNC_DYNPTR: fort_text_add(text, "dynptr_ptr("); return;
	case FORT_FUNC_MEMORY:
		if (arg->is_untrusted)
			fort_text_add(text, "rdonly_untrusted_mem(sz=0)");
		else if (arg->may_be_null)
			fort_text_add(text, "mem_or_null(id=");
		else
			fort_text_add(text, arg->bytes ? "mem(sz=%u)" : "mem(", arg->bytes);
		return;
	default:
		fort_text_add(text, "%strusted_ptr%s_%s(", arg->is_untrusted ? "un" : "", null,
			      fort_btf_string(kernel, fort_btf_type(kernel, arg->type).name));
	}
}

static bool make_program(struct trial *t, const struct fort_func_args *args, bool accepted,
			 struct fort_text *program, uint32_t *function_at)
{
	bool made = accepted;

	fort_text_add(program, "mov r6, r1\n");
	if (accepted && t->ask.type == BPF_PROG_TYPE_SCHED_CLS)
		fort_text_add(program,
			      "call 158\nmov r7, r0\nmov r1, r6\nmov r2, 0\nmov r3, r10\n"
			      "add r3, -16\ncall kfunc %u\n",
			      fort_btf_find(kernel, "bpf_dynptr_from_skb", FORT_BTF_FUNC));
	for (uint32_t i = 0; i < FORT_BTF_FUNC_ARGS_MAX; i++)
		if (!accepted || i >= args->count)
			fort_text_add(program, "mov r%u, 0\n", i + 1);
		else
			made &= make_arg(t, &args->args[i], i + 1, program);
	fort_text_add(program, "call local f\nmov r0, 0\nexit\n");
	*function_at = 0;
	for (const char *at = program->data; (at = strchr(at, '\n')); at++)
		++*function_at;
	fort_text_add(program, "f: mov r0, 0\nexit\n");
	return made;
}

static void check_start(const struct trial *t, const struct fort_func_args *args)
{
	const char *at = strstr(t->ask.log, "\nValidating "), *end;

	if (!at)
		fail_msg("accepted here, kernel %d:\n%s", t->ask.err, t->ask.log);
	at = strstr(at + 1, "\n");
	end = strstr(at + 1, "\n");
	for (uint32_t i = 0; i < args->count; i++) {
		struct fort_text wanted = fort_text_new();
		const char *found;

		fort_text_add(&wanted, " R%u=", i + 1);
		name_arg(&args->args[i], &wanted);
		found = strstr(at, wanted.data);
		if (!found || found > end)
			fail_msg("no%s in %.*s\n%s", wanted.data, (int)(end - at), at, t->ask.log);
		fort_text_free(&wanted);
	}
}

static void compare(struct trial *t, const struct pool *pool, unsigned number)
{
	struct fort_func_owner owner = {t->ask.type, t->ask.attach_type, kernel};
	uint32_t func = (uint32_t)pool->functions[number], at;
	struct bpf_func_info funcs[2] = {{.type_id = (uint32_t)pool->main}, {.type_id = func}};
	struct fort_text program = fort_text_new(), ours = fort_text_new();
	struct fort_btf_remark remark;
	struct fort_func_args args;
	int err = fort_btf_func_args(t->btf, func, true, &owner, &args, &remark);
	bool made = make_program(t, &args, !err, &program, &at);

	funcs[1].insn_off = at;
	t->ask.funcs = funcs;
	t->ask.n_funcs = 2;
	ask_load(&t->ask, program.data);
	fort_btf_remark_print(&remark, &ours);
	if (err && (t->ask.err != err || strcmp(ask_last_line(&t->ask, 1), ours.data) != 0 ||
		    !strstr(ask_last_line(&t->ask, 0), "Caller passes invalid args")))
		fail_msg("type %u: here %d %s, kernel %d\n%s", t->ask.type, err, ours.data,
			 t->ask.err, t->ask.log);
	if (made)
		check_start(t, &args);
	t->refused += err != 0;
	t->verified += made;
	t->unmade += !err && !made;
	fort_text_free(&program);
	fort_text_free(&ours);
}

static void random_functions(void **state)
{
	const char *seed = getenv("BPFORT_TEST_SEED");
	struct pool pool = {.state = seed ? strtoull(seed, NULL, 0) : (uint64_t)getpid()};
	struct trial t = {0};

	(void)state;
	need_kernel();
	print_message("BPFORT_TEST_SEED=%llu\n", (unsigned long long)pool.state);
	for (unsigned i = 0; i < BLOBS; i++) {
		unsigned program = i % FORT_LEN(programs);
		struct fort_btf_error error;
		const void *blob;
		uint32_t bytes;

		make_pool(&pool);
		blob = btf__raw_data(pool.btf, &bytes);
		if (fort_btf_parse(blob, bytes, NULL, &t.btf, &error))
			fail_msg("type %u: %s", error.type_id, error.what);
		if (btf__load_into_kernel(pool.btf))
			fail_msg("the kernel does not take these types");
		ask_open(&t.ask, programs[program].type);
		t.ask.attach_type = programs[program].attach_type;
		t.ask.flags = programs[program].flags;
		if (programs[program].target)
			t.ask.attach_id = fort_btf_find(kernel, programs[program].target,
							programs[program].target_kind);
		t.ask.btf_fd = btf__fd(pool.btf);
		for (unsigned f = 0; f < FUNCTIONS; f++)
			compare(&t, &pool, f);
		ask_close(&t.ask);
		fort_btf_free(t.btf);
		btf__free(pool.btf);
	}
	print_message("%u refused, %u verified, %u could not be called\n", t.refused, t.verified,
		      t.unmade);
	assert_true(t.refused > 100 && t.verified > 100);
}

static const char *name_of(uint32_t id, uint8_t kind)
{
	struct fort_btf_type type = fort_btf_type(kernel, id);

	return type.kind == kind ? fort_btf_string(kernel, type.name) : "";
}

/* The type of a member of bpf_ctx_convert, or 0. */
static uint32_t converted(const char *member)
{
	struct fort_btf_type type =
		fort_btf_type(kernel, fort_btf_find(kernel, "bpf_ctx_convert", FORT_BTF_STRUCT));

	for (uint32_t i = 0; i < type.vlen; i++) {
		struct fort_btf_member m = fort_btf_member(&type, i);

		if (!strcmp(fort_btf_string(kernel, m.name), member))
			return m.type;
	}
	return 0;
}

/* The kernel's BTF has a struct with two members for every program type. */
static void contexts(void **state)
{
	static const struct {
		const char *prog, *kern;
		struct fort_btf_context row;
	} rows[] = {
#define FORT_CONTEXT(id, number, name, behind, kernel_, rules) \
	{"BPF_PROG_TYPE_" #id "_prog",                         \
	 "BPF_PROG_TYPE_" #id "_kern",                         \
	 {BPF_PROG_TYPE_##id, name, behind, kernel_, rules}},
#define BPF_PROG_TYPE_NETFILTER 32
#include "btf/contexts.def"
	};
	unsigned checked = 0;

	(void)state;
	need_kernel();
	for (unsigned i = 0; i < FORT_LEN(rows); i++) {
		const struct fort_btf_context *row = fort_btf_context_of(rows[i].row.number);
		uint32_t prog = converted(rows[i].prog), kern = converted(rows[i].kern);
		struct fort_btf_type behind = fort_btf_strip(kernel, prog);

		assert_non_null(row);
		assert_string_equal(row->name, rows[i].row.name);
		if (!prog) /* not in this kernel */
			continue;
		checked++;
		assert_string_equal(row->kernel, name_of(kern, FORT_BTF_STRUCT));
		if (fort_btf_type(kernel, prog).kind == FORT_BTF_TYPEDEF) {
			assert_string_equal(row->name, name_of(prog, FORT_BTF_TYPEDEF));
			assert_string_equal(row->behind, name_of(behind.id, FORT_BTF_STRUCT));
		} else {
			assert_string_equal(row->name, name_of(prog, FORT_BTF_STRUCT));
		}
	}
	print_message("%u program types\n", checked);
	assert_true(checked > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(contexts),
		cmocka_unit_test(random_functions),
	};

	return cmocka_run_group_tests(tests, open_kernel, close_kernel);
}
