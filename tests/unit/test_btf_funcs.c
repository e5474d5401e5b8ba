/* Prototypes and contexts where the running kernel cannot be asked: what the names of parameters
 * say, static functions, programs that trace functions, LSM.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <linux/btf.h>

#include <cmocka.h>

#include "abi/uapi.h"
#include "btf/args.h"
#include "btf/tracing.h"
#include "btf_build.h"

static struct btf_build build;
static uint32_t number, wide, pair, pointer, void_pointer, char_pointer;

static void start(void)
{
	memset(&build, 0, sizeof(build));
	number = build_type(&build, "int", INFO(FORT_BTF_INT, 0, 0), 4);
	BUILD_MORE(&build, FORT_BTF_SIGNED << 24 | 32);
	wide = build_type(&build, "__int128", INFO(FORT_BTF_INT, 0, 0), 16);
	BUILD_MORE(&build, 128);
	pair = build_type(&build, "pair", INFO(FORT_BTF_STRUCT, 2, 0), 8);
	BUILD_MORE(&build, build_name(&build, "a"), number, 0, build_name(&build, "b"), number, 32);
	pointer = build_type(&build, NULL, INFO(FORT_BTF_PTR, 0, 0), pair);
	void_pointer = build_type(&build, NULL, INFO(FORT_BTF_PTR, 0, 0), 0);
	char_pointer = build_type(&build, NULL, INFO(FORT_BTF_PTR, 0, 0), number);
}

/* FUNC `name` with parameters of these names and types. */
static uint32_t add_func(const char *name, uint32_t result, unsigned n, const char *const *names,
			 const uint32_t *types)
{
	uint32_t proto = build_type(&build, NULL, INFO(FORT_BTF_FUNC_PROTO, n, 0), result);

	for (unsigned i = 0; i < n; i++)
		BUILD_MORE(&build, build_name(&build, names[i]), types[i]);
	return build_type(&build, name, INFO(FORT_BTF_FUNC, BTF_FUNC_GLOBAL, 0), proto);
}

static struct fort_btf *finish(void)
{
	struct fort_btf_error error;
	struct fort_btf *btf;

	build_finish(&build);
	if (fort_btf_parse(build.blob, build.bytes, NULL, &btf, &error))
		fail_msg("type %u: %s", error.type_id, error.what);
	return btf;
}

static void expect_remark(const struct fort_btf_remark *remark, const char *wanted)
{
	struct fort_text text = fort_text_new();

	fort_btf_remark_print(remark, &text);
	assert_string_equal(text.data ? text.data : "", wanted);
	fort_text_free(&text);
}

static void suffixes(void **state)
{
	static const char *const names[] = {"p",        "mem",       "mem__sz",   "buf__opt",
					    "buf__szk", "type__k",   "meta__ign", "map__map",
					    "o__alloc", "d__uninit", "s__str",    "__sz"};
	static const uint32_t wanted[] = {0,
					  0,
					  FORT_SUFFIX_SIZE,
					  FORT_SUFFIX_OPTIONAL,
					  FORT_SUFFIX_CONSTANT_SIZE,
					  FORT_SUFFIX_CONSTANT,
					  FORT_SUFFIX_IGNORED,
					  FORT_SUFFIX_MAP,
					  FORT_SUFFIX_ALLOCATED,
					  FORT_SUFFIX_UNINITIALISED,
					  FORT_SUFFIX_STRING,
					  0};
	uint32_t types[FORT_LEN(names)], func;
	struct fort_btf_remark remark;
	struct fort_btf_proto proto;
	struct fort_btf *btf;

	(void)state;
	start();
	for (unsigned i = 0; i < FORT_LEN(names); i++)
		types[i] = i % 3 == 0 ? pointer : i % 3 == 1 ? void_pointer : number;
	func = add_func("kfunc", number, FORT_LEN(names), names, types);
	btf = finish();
	assert_int_equal(fort_btf_read_proto(btf, func, &proto, &remark), 0);
	assert_int_equal(proto.n_params, FORT_LEN(names));
	assert_string_equal(fort_btf_string(btf, proto.name), "kfunc");
	assert_int_equal(proto.result.kind, FORT_BTF_INT);
	assert_true(proto.result.is_signed);
	for (unsigned i = 0; i < FORT_LEN(names); i++) {
		assert_string_equal(fort_btf_string(btf, proto.params[i].name), names[i]);
		assert_int_equal(proto.params[i].suffixes, wanted[i]);
	}
	assert_int_equal(proto.params[0].value.target, FORT_BTF_STRUCT);
	assert_int_equal(proto.params[0].value.type, pair);
	assert_int_equal(proto.params[0].value.target_bytes, 8);
	assert_int_equal(proto.params[1].value.target, FORT_BTF_VOID);
	assert_int_equal(proto.params[1].value.target_bytes, 0);
	assert_int_equal(fort_btf_read_proto(btf, number, &proto, &remark), -EINVAL);
	assert_int_equal(remark.id, FORT_REMARK_NONE);
	fort_btf_free(btf);
}

static void pointees(void **state)
{
	static const struct {
		const char *name;
		uint8_t kind, pointee;
	} rows[] = {
		{"bpf_dynptr", FORT_BTF_STRUCT, FORT_POINTEE_DYNPTR},
		{"bpf_dynptr", FORT_BTF_UNION, FORT_POINTEE_PLAIN},
		{"bpf_list_head", FORT_BTF_STRUCT, FORT_POINTEE_LIST_HEAD},
		{"bpf_rb_node", FORT_BTF_STRUCT, FORT_POINTEE_RB_NODE},
		{"bpf_wq", FORT_BTF_STRUCT, FORT_POINTEE_WORK_QUEUE},
		{"bpf_iter_num", FORT_BTF_STRUCT, FORT_POINTEE_ITERATOR},
		{"bpf_iter", FORT_BTF_STRUCT, FORT_POINTEE_PLAIN},
	};

	(void)state;
	for (unsigned i = 0; i < FORT_LEN(rows); i++) {
		const char *name = "x";
		uint32_t id, type, func;
		struct fort_btf_remark remark;
		struct fort_btf_proto proto;
		struct fort_btf *btf;

		start();
		id = build_type(&build, rows[i].name, INFO(rows[i].kind, 0, 0), 16);
		type = build_type(&build, NULL, INFO(FORT_BTF_PTR, 0, 0), id);
		func = add_func("f", 0, 1, &name, &type);
		btf = finish();
		assert_int_equal(fort_btf_read_proto(btf, func, &proto, &remark), 0);
		assert_int_equal(proto.params[0].value.pointee, rows[i].pointee);
		assert_int_equal(proto.result.kind, FORT_BTF_VOID);
		fort_btf_free(btf);
	}
}

/* Structs of numbers, four levels deep at most. */
static void contents(void **state)
{
	uint32_t levels[6], array, none, with_array, with_none, with_pointer;
	struct fort_btf *btf;

	(void)state;
	start();
	levels[0] = pair;
	for (unsigned i = 1; i < FORT_LEN(levels); i++) {
		levels[i] = build_type(&build, "level", INFO(FORT_BTF_STRUCT, 2, 0), 8 + 4 * i);
		BUILD_MORE(&build, 0, levels[i - 1], 0, 0, number, (4 + 4 * i) * 8);
	}
	array = build_type(&build, NULL, INFO(FORT_BTF_ARRAY, 0, 0), 0);
	BUILD_MORE(&build, number, number, 4);
	none = build_type(&build, NULL, INFO(FORT_BTF_ARRAY, 0, 0), 0);
	BUILD_MORE(&build, number, number, 0);
	with_array = build_type(&build, "with_array", INFO(FORT_BTF_STRUCT, 1, 0), 16);
	BUILD_MORE(&build, 0, array, 0);
	with_none = build_type(&build, "with_none", INFO(FORT_BTF_STRUCT, 1, 0), 16);
	BUILD_MORE(&build, 0, none, 0);
	with_pointer = build_type(&build, "with_pointer", INFO(FORT_BTF_STRUCT, 2, 0), 16);
	BUILD_MORE(&build, 0, pair, 0, 0, pointer, 64);
	btf = finish();
	for (unsigned i = 0; i < FORT_LEN(levels); i++)
		assert_int_equal(fort_btf_contents_of(btf, levels[i]),
				 i < 4 ? FORT_CONTENTS_NUMBERS : FORT_CONTENTS_TOO_DEEP);
	assert_int_equal(fort_btf_contents_of(btf, with_array), FORT_CONTENTS_NUMBERS);
	assert_int_equal(fort_btf_contents_of(btf, with_none), FORT_CONTENTS_OTHER);
	assert_int_equal(fort_btf_contents_of(btf, with_pointer), FORT_CONTENTS_OTHER);
	assert_int_equal(fort_btf_contents_of(btf, number), FORT_CONTENTS_OTHER);
	fort_btf_free(btf);
}

static void static_functions(void **state)
{
	const struct fort_func_owner owner = {BPF_PROG_TYPE_SCHED_CLS, 0, NULL};
	static const char *const names[] = {"ctx", "n"};
	uint32_t skb, skb_pointer, numbers, with_context, with_memory, tagged;
	struct fort_btf_remark remark;
	struct fort_func_args args;
	struct fort_btf *btf;

	(void)state;
	start();
	skb = build_type(&build, "__sk_buff", INFO(FORT_BTF_STRUCT, 0, 0), 8);
	skb_pointer = build_type(&build, NULL, INFO(FORT_BTF_PTR, 0, 0), skb);
	numbers = add_func("numbers", number, 2, names, (const uint32_t[]){number, number});
	with_context = add_func("ctx", number, 2, names, (const uint32_t[]){skb_pointer, number});
	with_memory = add_func("mem", number, 2, names, (const uint32_t[]){pointer, number});
	tagged = add_func("tagged", number, 2, names, (const uint32_t[]){skb_pointer, number});
	build_type(&build, "arg:ctx", INFO(FORT_BTF_DECL_TAG, 0, 0), tagged);
	BUILD_MORE(&build, 0);
	btf = finish();
	assert_int_equal(fort_btf_func_args(btf, numbers, false, &owner, &args, &remark), 0);
	assert_int_equal(args.count, 2);
	assert_int_equal(args.args[0].kind, FORT_FUNC_NUMBER);
	assert_int_equal(fort_btf_func_args(btf, with_context, false, &owner, &args, &remark), 0);
	assert_int_equal(args.args[0].kind, FORT_FUNC_CONTEXT);
	assert_int_equal(fort_btf_func_args(btf, with_memory, false, &owner, &args, &remark),
			 -EINVAL);
	assert_int_equal(remark.id, FORT_REMARK_NONE);
	assert_int_equal(fort_btf_func_args(btf, tagged, false, &owner, &args, &remark),
			 -EOPNOTSUPP);
	expect_remark(&remark, "arg#0 type tag is not supported in static functions");
	assert_int_equal(fort_btf_func_args(btf, tagged, true, &owner, &args, &remark), 0);
	assert_int_equal(fort_btf_func_args(btf, number, true, &owner, &args, &remark), -EFAULT);
	fort_btf_free(btf);
}

static void expect_load(const struct fort_btf_target *target, uint32_t offset, int err,
			struct fort_btf_ctx_value wanted, const char *said)
{
	struct fort_btf_ctx_value value = {0};
	struct fort_btf_remark remark;

	assert_int_equal(fort_btf_target_access(target, offset, 8, &value, &remark), err);
	expect_remark(&remark, said);
	if (err)
		return;
	assert_int_equal(value.kind, wanted.kind);
	assert_int_equal(value.type, wanted.type);
	assert_int_equal(value.is_trusted, wanted.is_trusted);
	assert_int_equal(value.may_be_null, wanted.may_be_null);
	assert_int_equal(value.is_result, wanted.is_result);
}

#define NUMBER ((struct fort_btf_ctx_value){.kind = FORT_CTX_NUMBER})

static void find(const struct fort_btf *btf, uint32_t prog_type, uint32_t attach_type, uint32_t id,
		 struct fort_btf_target *target)
{
	struct fort_btf_remark remark;

	assert_int_equal(fort_btf_find_target(btf, prog_type, attach_type, id, target, &remark), 0);
}

static void traced_functions(void **state)
{
	static const char *const names[] = {"p__nullable", "value", "n"};
	uint32_t func, gives_pointer, gives_wide;
	struct fort_btf_target target;
	struct fort_btf_remark remark;
	struct fort_btf *btf;

	(void)state;
	start();
	func = add_func("func", number, 3, names, (const uint32_t[]){pointer, wide, number});
	gives_pointer = add_func("gives_pointer", pointer, 0, NULL, NULL);
	gives_wide = add_func("gives_wide", wide, 0, NULL, NULL);
	btf = finish();

	find(btf, BPF_PROG_TYPE_TRACING, BPF_TRACE_FENTRY, func, &target);
	expect_load(&target, 0, 0,
		    (struct fort_btf_ctx_value){
			    .kind = FORT_CTX_POINTER, .may_be_null = true, .type = pair},
		    "func 'func' arg0 has btf_id 3 type STRUCT 'pair'");
	expect_load(&target, 8, -EACCES, NUMBER,
		    "func 'func' arg1 '__int128' has type INT. Only pointer access is allowed");
	expect_load(&target, 24, 0, NUMBER, ""); /* the second of them takes two words */
	expect_load(&target, 32, -EACCES, NUMBER, "func 'func' doesn't have 4-th argument");
	expect_load(&target, 40, -EACCES, NUMBER, "func 'func' doesn't have 5-th argument");
	expect_load(&target, 96, -EACCES, NUMBER, "");

	find(btf, BPF_PROG_TYPE_TRACING, BPF_TRACE_FEXIT, func, &target);
	expect_load(&target, 32, 0, NUMBER, "");
	expect_load(&target, 40, -EACCES, NUMBER, "func 'func' doesn't have 5-th argument");
	find(btf, BPF_PROG_TYPE_TRACING, BPF_TRACE_FEXIT, gives_pointer, &target);
	expect_load(&target, 0, 0,
		    (struct fort_btf_ctx_value){.kind = FORT_CTX_POINTER, .type = pair},
		    "func 'gives_pointer' arg0 has btf_id 3 type STRUCT 'pair'");
	find(btf, BPF_PROG_TYPE_TRACING, BPF_MODIFY_RETURN, func, &target);
	expect_load(&target, 32, 0, NUMBER, "");
	find(btf, BPF_PROG_TYPE_TRACING, BPF_MODIFY_RETURN, gives_pointer, &target);
	expect_load(&target, 0, -EACCES, NUMBER, "ret type PTR not allowed for fmod_ret");

	assert_int_equal(fort_btf_find_target(btf, BPF_PROG_TYPE_TRACING, BPF_TRACE_FEXIT,
					      gives_wide, &target, &remark),
			 -EOPNOTSUPP);
	expect_remark(&remark, "Attach to function gives_wide with a >8 byte return value is not "
			       "supported for this attach type");
	find(btf, BPF_PROG_TYPE_TRACING, BPF_TRACE_FENTRY, gives_wide, &target);

	target = (struct fort_btf_target){.btf = btf, .attach_type = BPF_TRACE_FEXIT, .name = 0};
	expect_load(&target, 32, 0, NUMBER, ""); /* nothing is known: five numbers, and a result */
	expect_load(&target, 40, 0, NUMBER, "");
	expect_load(&target, 48, -EACCES, NUMBER, "func '' doesn't have 7-th argument");
	fort_btf_free(btf);
}

static void lsm(void **state)
{
	static const char *const names[] = {"p", "n"};
	uint32_t hook, dead, disabled, none, other;
	struct fort_btf_target target;
	struct fort_btf_remark remark;
	struct fort_btf *btf;

	(void)state;
	start();
	hook = add_func("bpf_lsm_file_open", number, 2, names, (const uint32_t[]){pointer, number});
	dead = add_func("bpf_lsm_task_free", 0, 1, names, (const uint32_t[]){pointer});
	disabled = add_func("bpf_lsm_getprocattr", number, 1, names, (const uint32_t[]){pointer});
	none = add_func("bpf_lsm_verify_prog", number, 1, names, (const uint32_t[]){pointer});
	other = add_func("file_open", number, 1, names, (const uint32_t[]){pointer});
	btf = finish();

	find(btf, BPF_PROG_TYPE_LSM, BPF_LSM_MAC, hook, &target);
	expect_load(&target, 0, 0,
		    (struct fort_btf_ctx_value){
			    .kind = FORT_CTX_POINTER, .is_trusted = true, .type = pair},
		    "func 'bpf_lsm_file_open' arg0 has btf_id 3 type STRUCT 'pair'");
	expect_load(&target, 16, 0, (struct fort_btf_ctx_value){.is_result = true}, "");
	find(btf, BPF_PROG_TYPE_LSM, BPF_LSM_CGROUP, hook, &target);
	expect_load(&target, 16, 0, NUMBER, "");
	find(btf, BPF_PROG_TYPE_LSM, BPF_LSM_MAC, dead, &target);
	expect_load(&target, 0, 0,
		    (struct fort_btf_ctx_value){.kind = FORT_CTX_POINTER, .type = pair},
		    "func 'bpf_lsm_task_free' arg0 has btf_id 3 type STRUCT 'pair'");
	assert_int_equal(fort_btf_find_target(btf, BPF_PROG_TYPE_LSM, BPF_LSM_MAC, disabled,
					      &target, &remark),
			 -EINVAL);
	assert_int_equal(remark.id, FORT_REMARK_TARGET_DISABLED_HOOK);
	assert_int_equal(fort_btf_find_target(btf, BPF_PROG_TYPE_LSM, BPF_LSM_MAC, none, &target,
					      &remark),
			 -EINVAL);
	assert_int_equal(fort_btf_find_target(btf, BPF_PROG_TYPE_LSM, BPF_LSM_MAC, other, &target,
					      &remark),
			 -EINVAL);
	assert_int_equal(remark.id, FORT_REMARK_TARGET_WRONG_NAME);
	assert_int_equal(fort_btf_find_target(btf, BPF_PROG_TYPE_LSM, BPF_TRACE_FENTRY, hook,
					      &target, &remark),
			 -EINVAL);
	fort_btf_free(btf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(suffixes),         cmocka_unit_test(pointees),
		cmocka_unit_test(contents),         cmocka_unit_test(static_functions),
		cmocka_unit_test(traced_functions), cmocka_unit_test(lsm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
