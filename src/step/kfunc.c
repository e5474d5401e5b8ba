/* Calls of functions of the kernel: may it be called here, are its arguments good, what does it
 * leave? Which there are is abi/kfuncs.def, what they take is in the kernel's BTF. (K:
 * check_kfunc_call)
 */
#include "step/kfunc.h"

static const uint16_t later[] = {
#define FORT_KFUNC_RULE(id, diag) [FORT_KFUNC_RULE_##id] = FORT_DIAG_##diag,
#include "step/kfunc_rules.def"
};

static const uint8_t rules[FORT_KFUNCS] = {
#define FORT_KFUNC_SPECIAL(kfunc, rule) [FORT_KFUNC_##kfunc] = FORT_KFUNC_RULE_##rule,
#include "step/kfunc_rules.def"
};

const struct fort_kfunc_ref *fort_env_kfunc(const struct fort_env *env,
					    const struct fort_insn *insn)
{
	for (uint32_t i = 0; i < env->n_kfuncs; i++)
		if (env->kfuncs[i].imm == insn->imm && env->kfuncs[i].off == insn->off)
			return &env->kfuncs[i];
	return NULL;
}

/* --- may it be called? --- */

/* K: check_css_task_iter_allowlist: its lock may be held elsewhere. */
static bool is_allowed_here(const struct fort_rule *rule)
{
	const struct fort_hook *hook = &rule->env->hook;

	return hook->prog->bit == FORT_BIT_LSM ||
	       (hook->prog->bit == FORT_BIT_TRC && hook->attach == FORT_ATTACH_TRACE_ITER) ||
	       fort_rule_may_sleep(rule);
}

static enum fort_diag why_not(const struct fort_rule *rule, const struct fort_kcall *call)
{
	const struct fort_env *env = rule->env;

	if (!env->gpl)
		return FORT_DIAG_KFUNC_GPL;
	if (fort_kcall_is(call, FORT_KFUNC_DEVICE))
		return FORT_DIAG_KFUNC_DEVICE;
	if (!fort_kfunc_is_for(call->kfunc, &env->hook))
		return FORT_DIAG_KFUNC_TYPE;
	if (fort_kcall_is(call, FORT_KFUNC_DESTRUCTIVE) && !(env->rights & FORT_MAY_DESTROY))
		return FORT_DIAG_KFUNC_DESTRUCTIVE;
	if (fort_kcall_is(call, FORT_KFUNC_SLEEPABLE) && !fort_rule_may_sleep(rule))
		return FORT_DIAG_KFUNC_SLEEPS;
	if (later[call->rule])
		return later[call->rule];
	if (fort_kcall_is(call, FORT_KFUNC_RCU_PROTECTED) && !fort_rule_in_rcu(rule))
		return FORT_DIAG_KFUNC_RCU;
	if (call->rule == FORT_KFUNC_RULE_NOT_EVERYWHERE && !is_allowed_here(rule))
		return FORT_DIAG_KFUNC_NOT_EVERYWHERE;
	return FORT_DIAG_NONE;
}

/* What is wrong with the name. */
static bool is_function(struct fort_rule *rule, const struct fort_kfunc_ref *ref)
{
	if (!ref)
		return fort_rule_bad(rule, FORT_DIAG_KFUNC_LIMIT, FORT_REGS,
				     FORT_KFUNCS_PER_PROG_MAX, 0, 0, 0);
	if (!ref->diag)
		return true;
	fort_rule_bad(rule, ref->diag, FORT_REGS, ref->imm, ref->off, 0, 0);
	rule->out->violation.remark = ref->why;
	return false;
}

static bool may_call(struct fort_rule *rule, struct fort_kcall *call)
{
	enum fort_diag diag;

	if (!fort_rule_kernel(rule))
		return false;
	call->ref = fort_env_kfunc(rule->env, rule->insn);
	if (!is_function(rule, call->ref))
		return false;
	call->kfunc = &fort_kfuncs[call->ref->id];
	call->rule = rules[call->ref->id];
	diag = why_not(rule, call);
	return !diag || fort_rule_bad(rule, diag, FORT_REGS, call->ref->imm, 0, 0, 0);
}

/* --- the call --- */

static bool change_memory(struct fort_rule *rule, const struct fort_kcall *call)
{
	for (unsigned i = 0; i < call->n_written; i++) {
		if (!fort_slots_overwrite(rule, &call->written[i]))
			return false;
		fort_stack_clobber(&call->written[i]);
	}
	return true;
}

/* K: the clone of a dynptr is held by the same reference. */
static bool change_objects(struct fort_rule *rule, const struct fort_kcall *call)
{
	uint32_t ref = call->rule == FORT_KFUNC_RULE_DYNPTR_CLONE ? call->old.value.ref : 0;

	return (!call->made.given || fort_dynptr_make(rule, &call->made, ref)) &&
	       (!call->iter.given || fort_iter_apply(rule, call));
}

bool fort_rule_call_kfunc(struct fort_rule *rule)
{
	const struct fort_value remains = fort_rule_remains(rule);
	struct fort_kcall call = {0};
	struct fort_value result;

	if (!may_call(rule, &call) || !fort_kcall_args(rule, &call) ||
	    !change_memory(rule, &call) || !change_objects(rule, &call))
		return false;
	if (call.released)
		fort_ref_release(rule->state, call.released, &remains);
	if (call.rule == FORT_KFUNC_RULE_MOVES_PACKET)
		fort_rule_move_packet(rule);
	if (!fort_kcall_result(rule, &call, &result))
		return false;
	for (unsigned reg = FORT_R1; reg <= FORT_R5; reg++)
		*fort_rule_reg(rule, reg) = (struct fort_value){0};
	if (fort_kcall_is(&call, FORT_KFUNC_ITER_NEXT))
		return fort_iter_next(rule, &call, &result);
	*fort_rule_reg(rule, FORT_R0) = result;
	return true;
}
