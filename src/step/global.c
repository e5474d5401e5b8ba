/* Calls of global functions: arguments against the prototype. The function itself is a root, which
 * is proven once, for all that the prototype allows (enter.c). (K: btf_check_func_arg_match,
 * check_func_call.)
 */
#include "btf/match.h"
#include "step/dynptr.h"
#include "step/kernel.h"
#include "step/rules.h"

/* What was found is wrong with an argument of this call. */
static bool bad_argument(struct fort_rule *rule, enum fort_diag cause)
{
	struct fort_violation *v = &rule->out->violation;

	if (rule->err)
		return false;
	v->inner = v->diag;
	v->diag = (uint16_t)cause;
	return false;
}

static bool number_param(struct fort_rule *rule, unsigned reg)
{
	if (fort_rule_reg(rule, reg)->type != FORT_NUM)
		return fort_rule_bad(rule, FORT_DIAG_FUNC_ARG_NUMBER, reg, reg - FORT_R1, 0, 0, 0);
	return true;
}

static bool context_param(struct fort_rule *rule, unsigned reg)
{
	const struct fort_value *value = fort_rule_reg(rule, reg);
	int64_t moved = fort_scalar_smin(&value->num);

	if (value->type != FORT_CTX)
		return fort_rule_bad(rule, FORT_DIAG_FUNC_ARG_CTX, reg, reg - FORT_R1, 0, 0, 0);
	if (fort_scalar_is_const(&value->num) && !moved)
		return true;
	fort_rule_bad(rule,
		      !fort_scalar_is_const(&value->num) ? FORT_DIAG_CTX_VARIABLE
		      : moved < 0                        ? FORT_DIAG_CTX_NEGATIVE
							 : FORT_DIAG_CTX_MODIFIED,
		      reg, moved, 0, 0, 0);
	return bad_argument(rule, FORT_DIAG_FUNC_ARG_MOVED);
}

/* Are so many bytes the program's, to be read and written? */
static bool is_memory(struct fort_rule *rule, struct fort_reach *reach)
{
	const struct fort_value *value = fort_rule_reg(rule, reach->reg);
	struct fort_stack_reach where;

	switch (value->type) {
	case FORT_MAP_VALUE: return fort_rule_in_value(rule, reach);
	case FORT_MAP_KEY: return fort_rule_in_key(rule, reach);
	case FORT_MEM:
	case FORT_RING_MEM: return fort_rule_in_memory(rule, reach);
	case FORT_PACKET:
	case FORT_PACKET_META: return fort_rule_in_packet(rule, reach);
	case FORT_STACK:
		if (!fort_rule_in_stack(rule, reach, &where) ||
		    !fort_stack_readable(rule, reach, &where))
			return false;
		if (reach->write)
			fort_stack_clobber(&where);
		return true;
	default: return true; /* excluded by points_to_memory */
	}
}

static bool points_to_memory(const struct fort_value *value)
{
	return value->type == FORT_MAP_VALUE || value->type == FORT_MAP_KEY ||
	       value->type == FORT_MEM || value->type == FORT_RING_MEM ||
	       value->type == FORT_PACKET || value->type == FORT_PACKET_META ||
	       value->type == FORT_STACK;
}

static bool memory_param(struct fort_rule *rule, unsigned reg, const struct fort_param *param)
{
	const struct fort_value *value = fort_rule_reg(rule, reg);
	struct fort_reach reach = {.reg = reg, .bytes = param->bytes, .helper = true};
	uint64_t number;

	/* Untrusted memory is read by loads that may fault: any number is an address. */
	if (param->is_untrusted)
		return fort_rule_readable(rule, reg);
	if (fort_value_known(value, &number) && !number)
		return param->may_be_null ||
		       fort_rule_bad(rule, FORT_DIAG_FUNC_ARG_NULL, reg, reg - FORT_R1, 0, 0, 0);
	if (!points_to_memory(value))
		return fort_rule_bad(rule, FORT_DIAG_FUNC_ARG_NO_MEMORY, reg, reg - FORT_R1, 0, 0,
				     0);
	if (!is_memory(rule, &reach))
		return bad_argument(rule, FORT_DIAG_FUNC_ARG_MEMORY);
	reach.write = true;
	if (!is_memory(rule, &reach))
		return bad_argument(rule, FORT_DIAG_FUNC_ARG_MEMORY);
	if ((value->flags & FORT_MAYBE_NULL) && !param->may_be_null)
		return fort_rule_bad(rule, FORT_DIAG_FUNC_ARG_NULL, reg, reg - FORT_R1, 0, 0, 0);
	return true;
}

/* What K: btf_ptr_types has. */
static bool is_object(const struct fort_value *value, const struct fort_param *param)
{
	uint16_t flags = value->flags;

	if (param->may_be_null)
		flags &= (uint16_t)~FORT_MAYBE_NULL;
	return value->type == FORT_BTF && (!flags || flags == FORT_TRUSTED || flags == FORT_RCU);
}

/* The function relies on an object that somebody holds. The kernel also takes what is known of no
 * more than a type, or protected by RCU for a while. */
static bool is_held(const struct fort_value *value)
{
	struct fort_value there = *value;

	there.flags &= (uint16_t)~FORT_MAYBE_NULL;
	return fort_value_is_trusted(&there);
}

static bool struct_param(struct fort_rule *rule, unsigned reg, const struct fort_param *param)
{
	const struct fort_kernel *kernel = fort_rule_kernel(rule);
	const struct fort_value *value = fort_rule_reg(rule, reg);
	int64_t off = fort_scalar_smin(&value->num);
	struct fort_btf_remark remark;
	uint64_t number;

	if (!kernel)
		return false;
	/* As with untrusted memory. */
	if (param->is_untrusted)
		return fort_rule_readable(rule, reg);
	if (param->may_be_null && fort_value_known(value, &number) && !number)
		return true;
	if (!is_object(value, param))
		return fort_rule_bad(rule, FORT_DIAG_FUNC_ARG_OBJECT, reg, reg - FORT_R1, 0, 0, 0);
	if (!is_held(value))
		return fort_rule_bad(rule, FORT_DIAG_FUNC_ARG_TRUST, reg, reg - FORT_R1, 0, 0, 0);
	if (off < 0 || off > (int64_t)FORT_PTR_OFFSET_MAX ||
	    !fort_btf_has_struct(kernel->btf, value->object, (uint32_t)off, kernel->btf,
				 param->type, false, FORT_VIEW_KERNEL, &remark))
		return fort_rule_bad(rule, FORT_DIAG_FUNC_ARG_STRUCT, reg, reg - FORT_R1,
				     param->type, 0, 0);
	return fort_rule_in_place(rule, reg, false);
}

/* The function may look into it, and write to its memory, but not change it. */
static bool dynptr_param(struct fort_rule *rule, unsigned reg)
{
	struct fort_dynptr_arg arg = {.kind = FORT_DYNPTR_ANY};

	if ((fort_rule_reg(rule, reg)->type != FORT_DYNPTR ||
	     fort_rule_in_place(rule, reg, false)) &&
	    fort_dynptr_check(rule, reg, &arg))
		return true;
	return bad_argument(rule, FORT_DIAG_FUNC_ARG_DYNPTR);
}

static bool check_param(struct fort_rule *rule, unsigned reg, const struct fort_param *param)
{
	switch (param->kind) {
	case FORT_FUNC_NUMBER: return number_param(rule, reg);
	case FORT_FUNC_CONTEXT: return context_param(rule, reg);
	case FORT_FUNC_MEMORY: return memory_param(rule, reg, param);
	case FORT_FUNC_DYNPTR: return dynptr_param(rule, reg);
	case FORT_FUNC_STRUCT: return struct_param(rule, reg, param);
	default:
		return fort_rule_bad(rule, FORT_DIAG_FUNC_ARENA_LATER, reg, reg - FORT_R1, 0, 0, 0);
	}
}

static bool check_params(struct fort_rule *rule, const struct fort_prototype *function)
{
	if (function->err) {
		fort_rule_bad(rule, FORT_DIAG_FUNC_PROTOTYPE, FORT_REGS, 0, 0, 0, 0);
		rule->out->violation.err = function->err;
		return false;
	}
	for (unsigned i = 0; i < function->n_params; i++)
		if (!check_param(rule, FORT_R1 + i, &function->params[i]))
			return false;
	return true;
}

bool fort_rule_call_global(struct fort_rule *rule, uint32_t callee)
{
	const struct fort_root root = {.kind = FORT_ROOT_GLOBAL, .subprog = callee};
	const struct fort_summary *summary = &rule->env->summaries[callee];

	if (rule->state->lock.type)
		return fort_rule_bad(rule, FORT_DIAG_LOCK_GLOBAL, FORT_REGS, 0, 0, 0, 0);
	if (!check_params(rule, &rule->env->prototypes[callee]))
		return false;
	if (summary->may_sleep && !fort_rule_may_sleep(rule))
		return fort_rule_bad(rule, FORT_DIAG_FUNC_SLEEPS, FORT_REGS, 0, 0, 0, 0);
	if (!fort_rule_demand(rule, &root))
		return false;
	if (summary->moves_packet)
		fort_rule_move_packet(rule);
	for (unsigned reg = FORT_R1; reg <= FORT_R5; reg++)
		*fort_rule_reg(rule, reg) = (struct fort_value){0};
	*fort_rule_reg(rule, FORT_R0) = fort_value_unknown();
	return true;
}
