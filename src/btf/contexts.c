#include "btf/contexts.h"

#include <string.h>

#include "abi/uapi.h"
#include "btf/match.h"

const struct fort_btf_context *fort_btf_context_of(uint32_t prog_type)
{
	static const struct fort_btf_context rows[] = {
#define FORT_CONTEXT(id_, number_, name_, behind_, kernel_, rules_) \
	{(number_), (name_), (behind_), (kernel_), (rules_)},
#include "btf/contexts.def"
	};

	for (unsigned i = 0; i < FORT_LEN(rows); i++)
		if (rows[i].number == prog_type)
			return &rows[i];
	return NULL;
}

static bool is_called(const struct fort_btf *btf, const struct fort_btf_type *type,
		      const char *name)
{
	const char *text = fort_btf_string(btf, type->name);

	return text && !strcmp(text, name);
}

/* The first typedef that a pointer leads to is the one for registers. */
static bool is_regs_typedef(const struct fort_btf *btf, const struct fort_btf_type *pointer)
{
	struct fort_btf_type type = fort_btf_type(btf, pointer->ref);

	while (fort_btf_is_modifier(type.kind) && type.kind != FORT_BTF_TYPEDEF)
		type = fort_btf_type(btf, type.ref);
	return type.kind == FORT_BTF_TYPEDEF && is_called(btf, &type, "bpf_user_pt_regs_t");
}

bool fort_btf_is_context(const struct fort_btf *btf, const struct fort_btf_type *pointer,
			 uint32_t prog_type)
{
	if (prog_type == BPF_PROG_TYPE_KPROBE && is_regs_typedef(btf, pointer))
		return true;
	return fort_btf_is_context_struct(btf, fort_btf_strip(btf, pointer->ref).id, prog_type);
}

bool fort_btf_is_context_struct(const struct fort_btf *btf, uint32_t id, uint32_t prog_type)
{
	const struct fort_btf_context *context = fort_btf_context_of(prog_type);
	struct fort_btf_type type = fort_btf_type(btf, id);
	const char *name = fort_btf_string(btf, type.name);

	if (!context || !context->name[0] || !fort_btf_is_struct(type.kind) || !name)
		return false;
	return fort_btf_is_projection(context->name, name) || !strcmp(context->name, name) ||
	       (context->behind[0] && !strcmp(context->behind, name));
}

static bool is_number_of_64(const struct fort_btf_type *type)
{
	return type->kind == FORT_BTF_INT && type->size == 8;
}

static bool is_tracing_context(const struct fort_btf *btf, const struct fort_btf_type *type,
			       uint32_t attach_type)
{
	static const char iterator[] = "bpf_iter__";
	const char *name = fort_btf_string(btf, type->name);
	bool is_struct = type->kind == FORT_BTF_STRUCT;

	switch (attach_type) {
	case BPF_TRACE_RAW_TP:
		return is_number_of_64(type) ||
		       (is_struct && is_called(btf, type, "bpf_raw_tracepoint_args"));
	case BPF_TRACE_ITER: return is_struct && name && !strncmp(name, iterator, strlen(iterator));
	case BPF_TRACE_FENTRY:
	case BPF_TRACE_FEXIT:
	case BPF_MODIFY_RETURN: return is_number_of_64(type);
	default: return false;
	}
}

/* What a rule of contexts.def allows. */
static bool is_allowed(const struct fort_btf *btf, const struct fort_btf_type *type, char rule,
		       uint32_t attach_type)
{
	switch (rule) {
	case 'A': return true;
	case 'N': return is_number_of_64(type);
	case 'R': return type->kind == FORT_BTF_STRUCT && is_called(btf, type, "pt_regs");
	case 'T': return is_tracing_context(btf, type, attach_type);
	default: return false;
	}
}

int fort_btf_check_context(const struct fort_btf *btf, const struct fort_btf_type *pointer,
			   uint32_t index, uint32_t prog_type, uint32_t attach_type,
			   struct fort_btf_remark *remark)
{
	const struct fort_btf_context *context = fort_btf_context_of(prog_type);
	const char *rules = context ? context->rules : "", *wanted;
	struct fort_btf_type type;
	int err;

	if (pointer->kind != FORT_BTF_PTR)
		return FORT_BTF_SAY(remark, btf, CONTEXT_NO_POINTER, index);
	if (strchr(rules, 'R') && is_regs_typedef(btf, pointer))
		return 0;
	type = fort_btf_strip(btf, pointer->ref);
	if (type.kind == FORT_BTF_VOID)
		return 0;
	if (!type.name)
		return FORT_BTF_SAY(remark, btf, CONTEXT_NO_NAME, index);
	for (; *rules; rules++)
		if (is_allowed(btf, &type, *rules, attach_type))
			return 0;
	wanted = !context ? "" : context->behind[0] ? context->behind : context->name;
	if (!wanted[0])
		return FORT_BTF_SAY(remark, btf, CONTEXT_VOID, index);
	if (type.kind == FORT_BTF_STRUCT && is_called(btf, &type, wanted))
		return 0;
	err = FORT_BTF_SAY(remark, btf, CONTEXT_OTHER, index);
	remark->word = wanted;
	return err;
}
