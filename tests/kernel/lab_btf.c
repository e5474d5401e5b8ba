#include "lab_btf.h"

#include <stdio.h>

#include "abi/uapi.h"

/* Types that are there before those of functions. */
enum { T_VOID, T_INT, T_CTX, T_CTX_PTR, T_VOID_PTR, T_TASK, T_TASK_PTR, T_DYNPTR, T_DYNPTR_PTR };

static const char *context_name(const struct lab *lab)
{
	switch (lab->env.hook.prog->number) {
	case BPF_PROG_TYPE_XDP: return "xdp_md";
	case BPF_PROG_TYPE_SOCKET_FILTER:
	case BPF_PROG_TYPE_SCHED_CLS: return "__sk_buff";
	default: return NULL;
	}
}

static uint32_t struct_type(struct btf_build *b, const char *name, uint32_t bytes)
{
	return build_type(b, name, INFO(FORT_BTF_STRUCT, 0, 0), bytes);
}

static uint32_t pointer_to(struct btf_build *b, uint32_t type)
{
	return build_type(b, NULL, INFO(FORT_BTF_PTR, 0, 0), type);
}

static void build_common(struct btf_build *b, const char *context)
{
	build_type(b, "int", INFO(FORT_BTF_INT, 0, 0), 4);
	BUILD_MORE(b, 1u << 24 | 32);
	struct_type(b, context, 192);
	pointer_to(b, T_CTX);
	pointer_to(b, T_VOID);
	struct_type(b, "task_struct", 64);
	pointer_to(b, T_TASK);
	struct_type(b, "bpf_dynptr", 16);
	pointer_to(b, T_DYNPTR);
}

/* A parameter's type, and its tags. */
static uint32_t param_type(struct btf_build *b, const struct fort_param *param, const char **tag,
			   const char **second)
{
	char name[16];

	switch (param->kind) {
	case FORT_FUNC_CONTEXT: return T_CTX_PTR;
	case FORT_FUNC_MEMORY:
		if (param->is_untrusted) {
			*tag = "arg:untrusted";
			return T_VOID_PTR;
		}
		*tag = param->may_be_null ? NULL : "arg:nonnull";
		snprintf(name, sizeof(name), "m%u", param->bytes);
		return pointer_to(b, struct_type(b, name, param->bytes));
	case FORT_FUNC_STRUCT:
		*tag = param->is_untrusted ? "arg:untrusted" : "arg:trusted";
		*second = param->may_be_null ? "arg:nullable" : NULL;
		return T_TASK_PTR;
	case FORT_FUNC_DYNPTR: return T_DYNPTR_PTR;
	case FORT_FUNC_ARENA: *tag = "arg:arena"; return T_VOID_PTR;
	default: return T_INT;
	}
}

static void build_tag(struct btf_build *b, const char *tag, uint32_t func, uint32_t param)
{
	build_type(b, tag, INFO(FORT_BTF_DECL_TAG, 0, 0), func);
	BUILD_MORE(b, param);
}

/* The function's type, with two tags that do not go together if it is to be a bad one. */
static uint32_t build_function(struct btf_build *b, const struct fort_prototype *of,
			       const char *name)
{
	uint32_t n = of->err ? 1 : of->n_params, types[FORT_BTF_FUNC_ARGS_MAX] = {T_CTX_PTR}, func;
	const char *tags[FORT_BTF_FUNC_ARGS_MAX][2] = {{NULL}};

	for (uint32_t i = 0; i < of->n_params; i++)
		types[i] = param_type(b, &of->params[i], &tags[i][0], &tags[i][1]);
	build_type(b, NULL, INFO(FORT_BTF_FUNC_PROTO, n, 0), of->is_void ? T_VOID : T_INT);
	for (uint32_t i = 0; i < n; i++)
		BUILD_MORE(b, build_name(b, "a"), types[i]);
	func = build_type(b, name, INFO(FORT_BTF_FUNC, of->linkage == FORT_LINKAGE_GLOBAL, 0),
			  b->n_types);
	for (uint32_t i = 0; i < 2 * n; i++)
		if (tags[i / 2][i % 2])
			build_tag(b, tags[i / 2][i % 2], func, i / 2);
	if (of->err) {
		build_tag(b, "arg:ctx", func, 0);
		build_tag(b, "arg:nonnull", func, 0);
	}
	return func;
}

bool lab_btf_make(const struct lab *lab, struct lab_btf *out)
{
	const struct fort_program *program = &lab->graph.program;
	const char *context = context_name(lab);

	memset(out, 0, sizeof(*out));
	build_common(&out->build, context ? context : "unknown");
	for (uint32_t i = 0; i < program->n_subprogs; i++) {
		const struct fort_prototype *of = &lab->prototypes[i];

		for (uint32_t k = 0; i && !context && k < of->n_params; k++)
			if (of->params[k].kind == FORT_FUNC_CONTEXT)
				return false;
		out->funcs[out->n_funcs++] = (struct bpf_func_info){
			.insn_off = program->subprogs[i].start,
			.type_id = build_function(&out->build, of, lab->words[i].name)};
	}
	build_finish(&out->build);
	return true;
}
