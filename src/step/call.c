/* Calls of helpers: may it be called here, are its arguments good, what does it leave? What a
 * helper is, is a row of abi/helpers.def. (K: check_helper_call)
 */
#include "step/call.h"

#include "abi/uapi.h"

/* --- may it be called? --- */

static enum fort_diag why_not(const struct fort_rule *rule, const struct fort_helper_info *helper,
			      uint32_t number)
{
	const struct fort_env *env = rule->env;

	if (!helper)
		return fort_helper_by_number(number) ? FORT_DIAG_HELPER_TYPE
						     : FORT_DIAG_HELPER_UNKNOWN;
	if (helper->right == FORT_RIGHT_PERF && !(env->rights & FORT_MAY_USE_PERF_HELPERS))
		return FORT_DIAG_HELPER_RIGHT;
	if (helper->license == FORT_LICENSE_GPL && !env->gpl)
		return FORT_DIAG_HELPER_GPL;
	if (!fort_helper_is_listed(helper, &env->hook))
		return FORT_DIAG_HELPER_LISTED;
	if (helper->flags & FORT_HELPER_SLEEPS && !fort_rule_may_sleep(rule))
		return FORT_DIAG_HELPER_SLEEPS;
	return fort_call_is_known(helper) ? FORT_DIAG_NONE : FORT_DIAG_HELPER_LATER;
}

static const struct fort_helper_info *allowed_helper(struct fort_rule *rule)
{
	uint32_t number = (uint32_t)rule->insn->imm;
	const struct fort_helper_info *helper = fort_helper_for(number, &rule->env->hook);
	enum fort_diag diag = why_not(rule, helper, number);

	if (diag == FORT_DIAG_NONE)
		return helper;
	fort_rule_bad(rule, diag, FORT_REGS, number, number, 0, 0);
	return NULL;
}

/* --- what some of them ask besides --- */

/* Another program takes the place of this function, and what it does and returns is not known. */
static bool leaves(struct fort_rule *rule)
{
	const struct fort_value any = fort_value_unknown();
	const struct fort_frame *top = fort_state_top(rule->state);

	if (fort_rule_in_void(rule))
		return fort_rule_bad(rule, FORT_DIAG_TAIL_CALL_VOID, FORT_REGS, 0, 0, 0, 0);
	if (rule->state->n_frames == 1)
		return fort_rule_holds_nothing(rule, FORT_DIAG_LOCK_CALL, FORT_DIAG_TAIL_CALL_REF);
	if (top->kind == FORT_FRAME_CALLBACK)
		return fort_rule_bad(rule, FORT_DIAG_TAIL_CALL_CALLBACK, FORT_REGS, 0, 0, 0, 0);
	return fort_rule_may_leave(rule, &any);
}

static bool is_zero(const struct fort_value *value)
{
	uint64_t number;

	return fort_value_known(value, &number) && !number;
}

static bool special_rules(struct fort_rule *rule, const struct fort_call *call)
{
	switch (call->helper->number) {
	case BPF_FUNC_get_local_storage:
		if (!is_zero(fort_rule_reg(rule, FORT_R2)))
			return fort_rule_bad(rule, FORT_DIAG_STORAGE_FLAGS, FORT_R2, 0, 0, 0, 0);
		return true;
	case BPF_FUNC_dynptr_from_mem:
		return fort_rule_reg(rule, FORT_R1)->type == FORT_MAP_VALUE ||
		       fort_call_bad(rule, call, FORT_R1, FORT_DIAG_DYNPTR_FROM);
	case BPF_FUNC_timer_init: return fort_rule_timer_map(rule, FORT_R1, FORT_R2);
	default: return true;
	}
}

/* What changes in the state besides r0 and memory. */
static bool effect(struct fort_rule *rule, const struct fort_call *call)
{
	switch (call->helper->number) {
	case BPF_FUNC_spin_lock: fort_rule_lock(rule, FORT_R1); return true;
	case BPF_FUNC_spin_unlock: return fort_rule_unlock(rule, FORT_R1);
	case BPF_FUNC_timer_set_callback: return fort_rule_call_later(rule, FORT_R1, FORT_R2);
	default: return true;
	}
}

/* Through a dynptr of a packet, which may be made writable for it. */
static bool writes_packet(const struct fort_call *call)
{
	return call->helper->number == BPF_FUNC_dynptr_write &&
	       (call->old.value.object == FORT_DYNPTR_SKB ||
		call->old.value.object == FORT_DYNPTR_SKB_META);
}

static bool is_probe(struct fort_rule *rule, const struct fort_call *call)
{
	const struct fort_hook *hook = &rule->env->hook;

	if (!(call->helper->flags & FORT_HELPER_PROBES) || fort_hook_is_probe(hook))
		return true;
	return fort_rule_bad(rule,
			     hook->prog->bit == FORT_BIT_TRC ? FORT_DIAG_HELPER_TRAMPOLINE
							     : FORT_DIAG_HELPER_PROBE,
			     FORT_REGS, call->helper->number, hook->prog->number, 0, 0);
}

/* --- the call --- */

static bool is_good(struct fort_rule *rule, struct fort_call *call)
{
	call->helper = allowed_helper(rule);
	if (!call->helper)
		return false;
	for (unsigned reg = FORT_R1; reg <= FORT_R5; reg++)
		if (!fort_call_arg(rule, call, reg))
			return false;
	return special_rules(rule, call) && fort_call_fits_map(rule, call) && is_probe(rule, call);
}

bool fort_rule_call(struct fort_rule *rule)
{
	const struct fort_value remains = fort_rule_remains(rule);
	struct fort_call call = {0};
	struct fort_value result;

	if (!is_good(rule, &call))
		return false;
	for (unsigned i = 0; i < call.n_written; i++) {
		if (!fort_slots_overwrite(rule, &call.written[i]))
			return false;
		fort_stack_clobber(&call.written[i]);
	}
	if (!fort_call_make_dynptr(rule, &call))
		return false;
	if (call.releases)
		fort_ref_release(rule->state, call.ref, &remains);
	if (call.helper->flags & (FORT_HELPER_MOVES | FORT_HELPER_LEAVES) || writes_packet(&call))
		fort_rule_move_packet(rule);
	if ((call.helper->flags & FORT_HELPER_LEAVES && !leaves(rule)) || !effect(rule, &call) ||
	    (call.helper->flags & FORT_HELPER_CALLS && !fort_rule_call_back(rule, &call)) ||
	    !fort_call_result(rule, &call, &result))
		return false;
	for (unsigned reg = FORT_R1; reg <= FORT_R5; reg++)
		*fort_rule_reg(rule, reg) = (struct fort_value){0};
	*fort_rule_reg(rule, FORT_R0) = result;
	return true;
}
