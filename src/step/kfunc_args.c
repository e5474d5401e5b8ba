/* Arguments of functions of the kernel. (K: check_kfunc_args, get_kfunc_ptr_arg_type) */
#include "step/kfunc.h"

#include <string.h>

#include "btf/contexts.h"

bool fort_kcall_bad(struct fort_rule *rule, enum fort_diag diag, unsigned i, int64_t a1, int64_t a2)
{
	return fort_rule_bad(rule, diag, FORT_R1 + i, i, a1, a2, 0);
}

static bool is_null(const struct fort_value *value)
{
	uint64_t number;

	return fort_value_known(value, &number) && !number;
}

static const struct fort_btf_parameter *param_of(const struct fort_kcall *call, unsigned i)
{
	return &call->ref->proto.params[i];
}

static bool is_number(uint8_t kind)
{
	return kind == FORT_BTF_INT || kind == FORT_BTF_ENUM || kind == FORT_BTF_ENUM64;
}

/* --- numbers --- */

static bool has_name(const struct fort_rule *rule, const struct fort_btf_parameter *param,
		     const char *name)
{
	const char *own = fort_btf_string(rule->env->kernel->btf, param->name);

	return own && !strcmp(own, name);
}

static bool take_constant(struct fort_rule *rule, struct fort_kcall *call, unsigned i)
{
	if (!fort_value_known(fort_rule_reg(rule, FORT_R1 + i), &call->constant))
		return fort_kcall_bad(rule, FORT_DIAG_KFUNC_NOT_CONSTANT, i, 0, 0);
	call->has_constant = true;
	return true;
}

/* How many bytes the function returns. */
static bool take_result_size(struct fort_rule *rule, struct fort_kcall *call, unsigned i,
			     bool rdonly)
{
	call->rdonly_result = rdonly;
	call->sizes_result = true;
	if (!fort_value_known(fort_rule_reg(rule, FORT_R1 + i), &call->result_bytes))
		return fort_kcall_bad(rule, FORT_DIAG_KFUNC_SIZE_UNKNOWN, i, 0, 0);
	return call->result_bytes <= UINT32_MAX ||
	       fort_kcall_bad(rule, FORT_DIAG_KFUNC_SIZE_LARGE, i, (int64_t)call->result_bytes, 0);
}

static bool number_arg(struct fort_rule *rule, struct fort_kcall *call, unsigned i)
{
	const struct fort_btf_parameter *param = param_of(call, i);

	if (fort_rule_reg(rule, FORT_R1 + i)->type != FORT_NUM)
		return fort_kcall_bad(rule, FORT_DIAG_KFUNC_NO_NUMBER, i, 0, 0);
	if (param->suffixes & FORT_SUFFIX_CONSTANT)
		return take_constant(rule, call, i);
	if (has_name(rule, param, "rdonly_buf_size"))
		return take_result_size(rule, call, i, true);
	if (has_name(rule, param, "rdwr_buf_size"))
		return take_result_size(rule, call, i, false);
	return true;
}

/* --- memory --- */

static bool stack_memory(struct fort_rule *rule, struct fort_kcall *call,
			 const struct fort_reach *reach)
{
	struct fort_stack_reach where;

	if (!fort_rule_in_stack(rule, reach, &where) || !fort_stack_readable(rule, reach, &where))
		return false;
	if (!reach->write)
		return true;
	/* Of a buffer that may be filled in part, nothing is surely written. */
	where.fixed = where.fixed && !reach->size;
	if (!fort_stack_breakable(rule, reach, &where))
		return false;
	call->written[call->n_written++] = where;
	return true;
}

/* A context without a layout is memory whose size is known when the program runs. */
static bool context_memory(struct fort_rule *rule, struct fort_reach reach)
{
	const struct fort_ctx_field *field;

	if (rule->env->hook.prog->bit != FORT_BIT_SYS)
		return fort_rule_bad(rule, FORT_DIAG_KFUNC_NO_MEMORY, reach.reg, 0, 0, 0, 0);
	if (!reach.bytes)
		return true;
	reach.off = (int32_t)reach.bytes - 1;
	reach.bytes = 1;
	return fort_rule_in_ctx(rule, &reach, false, &field);
}

static bool one_access(struct fort_rule *rule, struct fort_kcall *call,
		       const struct fort_reach *reach)
{
	const struct fort_value *value = fort_rule_reg(rule, reach->reg);
	struct fort_value unused;

	switch (value->type) {
	case FORT_MAP_VALUE: return fort_rule_in_value(rule, reach);
	case FORT_MAP_KEY: return fort_rule_in_key(rule, reach);
	case FORT_MEM:
	case FORT_RING_MEM: return fort_rule_in_memory(rule, reach);
	case FORT_BUF: return fort_rule_in_buffer(rule, reach);
	case FORT_PACKET:
	case FORT_PACKET_META: return fort_rule_in_packet(rule, reach);
	case FORT_STACK: return stack_memory(rule, call, reach);
	case FORT_BTF: return fort_rule_in_btf(rule, reach, &unused);
	case FORT_CTX: return context_memory(rule, *reach);
	default:
		return (is_null(value) && !reach->bytes) ||
		       fort_rule_bad(rule, FORT_DIAG_KFUNC_NO_MEMORY, reach->reg, 0, 0, 0, 0);
	}
}

/* K: as if the function read and wrote all of it, and as if it was not NULL */
static bool in_memory(struct fort_rule *rule, struct fort_kcall *call, struct fort_reach *reach)
{
	reach->helper = reach->zero_ok = true;
	reach->write = false;
	if (!one_access(rule, call, reach))
		return false;
	reach->write = true;
	return one_access(rule, call, reach);
}

static bool memory_arg(struct fort_rule *rule, struct fort_kcall *call, unsigned i)
{
	const struct fort_btf_value *wanted = &param_of(call, i)->value;
	struct fort_reach reach = {.reg = FORT_R1 + i, .bytes = wanted->target_bytes};

	if (!wanted->target_bytes)
		return fort_kcall_bad(rule, FORT_DIAG_KFUNC_ARG_SIZELESS, i, wanted->type, 0);
	return is_null(fort_rule_reg(rule, FORT_R1 + i)) || in_memory(rule, call, &reach);
}

static bool sized_memory(struct fort_rule *rule, struct fort_kcall *call, unsigned i)
{
	const struct fort_value *size = fort_rule_reg(rule, FORT_R1 + i + 1);
	uint64_t low = fort_scalar_umin(&size->num), high = fort_scalar_umax(&size->num);
	struct fort_reach reach = {.reg = FORT_R1 + i, .bytes = (uint32_t)high};

	if (fort_scalar_smin(&size->num) < 0)
		return fort_rule_bad(rule, FORT_DIAG_SIZE_NEGATIVE, FORT_R1 + i + 1,
				     fort_scalar_smin(&size->num), 0, 0, 0);
	if (high >= FORT_ACCESS_BYTES_MAX)
		return fort_rule_bad(rule, FORT_DIAG_SIZE_UNBOUNDED, FORT_R1 + i + 1, (int64_t)high,
				     0, 0, 0);
	reach.size = low != high ? size : NULL;
	return in_memory(rule, call, &reach);
}

/* What is wrong with the memory is said first, then which arguments it is about. */
static bool bad_pair(struct fort_rule *rule, unsigned i)
{
	struct fort_violation *v = &rule->out->violation;

	if (rule->err)
		return false;
	v->inner = v->diag;
	v->diag = FORT_DIAG_KFUNC_PAIR;
	v->arg = (uint8_t)i;
	return false;
}

static bool pair_arg(struct fort_rule *rule, struct fort_kcall *call, unsigned i)
{
	bool optional = param_of(call, i)->suffixes & FORT_SUFFIX_OPTIONAL;

	call->sized = true;
	if (!(is_null(fort_rule_reg(rule, FORT_R1 + i)) && optional) &&
	    !sized_memory(rule, call, i))
		return bad_pair(rule, i);
	return !(param_of(call, i + 1)->suffixes & FORT_SUFFIX_CONSTANT_SIZE) ||
	       take_constant(rule, call, i + 1);
}

/* --- pointers by kind --- */

static bool context_arg(struct fort_rule *rule, struct fort_kcall *call, unsigned i)
{
	(void)call;
	if (fort_rule_reg(rule, FORT_R1 + i)->type != FORT_CTX)
		return fort_kcall_bad(rule, FORT_DIAG_KFUNC_ARG_CTX, i, 0, 0);
	return true;
}

static uint8_t dynptr_made_by(const struct fort_kcall *call)
{
	switch (call->rule) {
	case FORT_KFUNC_RULE_DYNPTR_FROM_SKB: return FORT_DYNPTR_SKB;
	case FORT_KFUNC_RULE_DYNPTR_FROM_SKB_META: return FORT_DYNPTR_SKB_META;
	case FORT_KFUNC_RULE_DYNPTR_FROM_XDP: return FORT_DYNPTR_XDP;
	case FORT_KFUNC_RULE_DYNPTR_CLONE: return (uint8_t)call->old.value.object;
	default: return FORT_DYNPTR_ANY;
	}
}

static bool dynptr_arg(struct fort_rule *rule, struct fort_kcall *call, unsigned i)
{
	bool makes = param_of(call, i)->suffixes & FORT_SUFFIX_UNINITIALISED;
	struct fort_dynptr_arg *arg = makes ? &call->made : &call->old;

	*arg = (struct fort_dynptr_arg){.kind = makes ? dynptr_made_by(call) : FORT_DYNPTR_ANY,
					.makes = makes};
	if (makes && arg->kind == FORT_DYNPTR_ANY)
		return fort_kcall_bad(rule, FORT_DIAG_KFUNC_ARG_LATER, i, 0, 0);
	return fort_dynptr_check(rule, FORT_R1 + i, arg);
}

static bool string_arg(struct fort_rule *rule, struct fort_kcall *call, unsigned i)
{
	(void)call;
	if (fort_rule_reg(rule, FORT_R1 + i)->type != FORT_MAP_VALUE)
		return fort_kcall_bad(rule, FORT_DIAG_KFUNC_ARG_STRING, i, 0, 0);
	return fort_rule_const_str(rule, FORT_R1 + i);
}

static bool map_arg(struct fort_rule *rule, struct fort_kcall *call, unsigned i)
{
	const struct fort_value *value = fort_rule_reg(rule, FORT_R1 + i);

	if (value->type != FORT_MAP || value->flags & FORT_MAYBE_NULL)
		return fort_kcall_bad(rule, FORT_DIAG_KFUNC_ARG_MAP, i, 0, 0);
	return fort_kcall_object(rule, call, i, rule->env->kernel->regs[FORT_REGTYPE_MAP]);
}

static bool object_arg(struct fort_rule *rule, struct fort_kcall *call, unsigned i)
{
	const struct fort_btf_value *wanted = &param_of(call, i)->value;

	if (!fort_btf_is_struct(wanted->target))
		return fort_kcall_bad(rule, FORT_DIAG_KFUNC_ARG_POINTER, i, wanted->target,
				      wanted->type);
	return fort_kcall_object(rule, call, i, wanted->type);
}

/* Memory of a type that holds numbers only. */
static bool plain_arg(struct fort_rule *rule, struct fort_kcall *call, unsigned i)
{
	const struct fort_btf_value *wanted = &param_of(call, i)->value;
	bool pair =
		i + 1 < call->ref->proto.n_params && is_number(param_of(call, i + 1)->value.kind) &&
		param_of(call, i + 1)->suffixes & (FORT_SUFFIX_SIZE | FORT_SUFFIX_CONSTANT_SIZE) &&
		fort_rule_reg(rule, FORT_R1 + i + 1)->type == FORT_NUM;
	bool numbers = is_number(wanted->target);

	if (fort_btf_is_struct(wanted->target))
		numbers = fort_btf_contents_of(rule->env->kernel->btf, wanted->type) ==
			  FORT_CONTENTS_NUMBERS;
	if (!numbers && !(pair && wanted->target == FORT_BTF_VOID))
		return fort_kcall_bad(rule,
				      pair ? FORT_DIAG_KFUNC_ARG_OTHER_OR_VOID
					   : FORT_DIAG_KFUNC_ARG_OTHER,
				      i, wanted->target, wanted->type);
	return pair ? pair_arg(rule, call, i) : memory_arg(rule, call, i);
}

/* --- which kind --- */

typedef bool arg_rule(struct fort_rule *rule, struct fort_kcall *call, unsigned i);

static bool later_arg(struct fort_rule *rule, struct fort_kcall *call, unsigned i)
{
	(void)call;
	return fort_kcall_bad(rule, FORT_DIAG_KFUNC_ARG_LATER, i, 0, 0);
}

static bool null_arg(struct fort_rule *rule, struct fort_kcall *call, unsigned i)
{
	(void)rule;
	(void)call;
	(void)i;
	return true;
}

/* Does the kernel take what the register holds for a pointer to one of its structs? */
static bool is_object(const struct fort_rule *rule, const struct fort_value *value)
{
	struct fort_value plain = *value;

	plain.flags = 0;
	return value->type == FORT_BTF || rule->env->kernel->regs[fort_value_regtype(&plain)];
}

static bool is_context(const struct fort_rule *rule, const struct fort_kcall *call, unsigned i)
{
	const struct fort_btf *btf = rule->env->kernel->btf;

	return call->rule == FORT_KFUNC_RULE_CAST_TO_KERNEL ||
	       fort_btf_is_context_struct(btf, param_of(call, i)->value.type,
					  rule->env->hook.prog->number);
}

static bool is_iterator(const struct fort_kcall *call, unsigned i)
{
	if (call->kfunc->flags &
	    (FORT_KFUNC_ITER_NEW | FORT_KFUNC_ITER_NEXT | FORT_KFUNC_ITER_DESTROY))
		return i == 0;
	return param_of(call, i)->suffixes & FORT_SUFFIX_ITERATOR;
}

static arg_rule *rule_for(const struct fort_rule *rule, const struct fort_kcall *call, unsigned i)
{
	const struct fort_btf_parameter *param = param_of(call, i);
	const struct fort_value *value = fort_rule_reg(rule, FORT_R1 + i);

	if (is_context(rule, call, i))
		return context_arg;
	if (param->suffixes & FORT_SUFFIX_NULLABLE && is_null(value))
		return null_arg;
	if (param->suffixes &
	    (FORT_SUFFIX_ALLOCATED | FORT_SUFFIX_REFCOUNTED | FORT_SUFFIX_IRQ_FLAG))
		return later_arg;
	if (param->value.pointee == FORT_POINTEE_DYNPTR)
		return dynptr_arg;
	if (is_iterator(call, i))
		return fort_kcall_iter;
	if (param->value.pointee != FORT_POINTEE_PLAIN &&
	    param->value.pointee != FORT_POINTEE_ITERATOR)
		return later_arg;
	if (param->suffixes & FORT_SUFFIX_STRING)
		return string_arg;
	if (param->suffixes & FORT_SUFFIX_MAP)
		return map_arg;
	if (is_object(rule, value))
		return object_arg;
	if (param->value.target == FORT_BTF_FUNC_PROTO)
		return later_arg;
	return plain_arg;
}

static bool pointer_arg(struct fort_rule *rule, struct fort_kcall *call, unsigned i)
{
	const struct fort_value *value = fort_rule_reg(rule, FORT_R1 + i);
	bool wants = fort_kcall_wants_trust(call) || fort_kcall_is(call, FORT_KFUNC_RCU);
	bool releases = fort_kcall_is(call, FORT_KFUNC_RELEASE) && value->ref;
	arg_rule *by;

	if (wants && (is_null(value) || value->flags & FORT_MAYBE_NULL) &&
	    !(param_of(call, i)->suffixes & FORT_SUFFIX_NULLABLE))
		return fort_kcall_bad(rule, FORT_DIAG_KFUNC_ARG_NULL, i, 0, 0);
	if (value->ref) {
		call->held = value->ref;
		if (releases)
			call->released = value->ref;
	}
	by = rule_for(rule, call, i);
	/* Objects are looked at for trust first. */
	if (by != object_arg && by != map_arg && by != null_arg &&
	    !fort_rule_in_place(rule, FORT_R1 + i, releases))
		return false;
	return by(rule, call, i);
}

/* The verifier fills some in, others it does not look at. */
static bool one_arg(struct fort_rule *rule, struct fort_kcall *call, unsigned i)
{
	const struct fort_btf_parameter *param = param_of(call, i);

	if (param->suffixes & (FORT_SUFFIX_IGNORED | FORT_SUFFIX_PROG))
		return true;
	if (is_number(param->value.kind))
		return number_arg(rule, call, i);
	if (param->value.kind != FORT_BTF_PTR)
		return fort_kcall_bad(rule, FORT_DIAG_KFUNC_ARG_KIND, i, param->value.kind, 0);
	return pointer_arg(rule, call, i);
}

bool fort_kcall_args(struct fort_rule *rule, struct fort_kcall *call)
{
	uint32_t n = call->ref->proto.n_params;

	if (n > FORT_BTF_FUNC_ARGS_MAX)
		return fort_rule_bad(rule, FORT_DIAG_KFUNC_ARGS, FORT_REGS, n,
				     FORT_BTF_FUNC_ARGS_MAX, 0, 0);
	for (unsigned i = 0; i < n; i += 1 + call->sized) {
		call->sized = false;
		if (!one_arg(rule, call, i))
			return false;
	}
	if (fort_kcall_is(call, FORT_KFUNC_RELEASE) && !call->released)
		return fort_rule_bad(rule, FORT_DIAG_KFUNC_RELEASES_NONE, FORT_REGS, call->ref->imm,
				     0, 0, 0);
	return true;
}
