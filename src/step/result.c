/* What a program returns. (K: check_return_code) */
#include "step/kernel.h"
#include "step/rules.h"

/* Does the function that the program is attached to return nothing? */
static bool returns_void(struct fort_rule *rule)
{
	const struct fort_btf_target *target = rule->env->target;

	rule->env->uses_kernel |= target != NULL;
	return target && target->proto && !fort_btf_type(target->btf, target->proto).ref;
}

static bool is_within(const struct fort_rule *rule, const struct fort_value *result,
		      const struct fort_retval *range)
{
	/* K: of what security modules return, the kernel reads an int. */
	bool narrow = rule->env->hook.prog->bit == FORT_BIT_LSM &&
		      rule->env->hook.attach != FORT_ATTACH_LSM_CGROUP;
	int64_t low = narrow ? fort_scalar_smin32(&result->num) : fort_scalar_smin(&result->num);
	int64_t high = narrow ? fort_scalar_smax32(&result->num) : fort_scalar_smax(&result->num);

	return range->low <= low && high <= range->high;
}

bool fort_rule_result(struct fort_rule *rule)
{
	const struct fort_value *result = fort_rule_reg(rule, FORT_R0);
	const struct fort_retval *range = fort_hook_retval(&rule->env->hook, returns_void(rule));

	if (!fort_rule_readable(rule, FORT_R0))
		return false;
	if (fort_rule_is_secret(rule, result))
		return fort_rule_bad(rule, FORT_DIAG_RETURN_LEAK, FORT_R0, 0, 0, 0, 0);
	if (!range)
		return true;
	if (result->type != FORT_NUM)
		return fort_rule_bad(rule, FORT_DIAG_RESULT_POINTER, FORT_R0, range->low,
				     range->high, 0, 0);
	if (is_within(rule, result, range))
		return true;
	fort_rule_bad(rule, FORT_DIAG_RESULT_RANGE, FORT_R0, range->low, range->high, 0, 0);
	rule->out->violation.field = range->note;
	return false;
}

bool fort_rule_in_void(const struct fort_rule *rule)
{
	uint32_t subprog = fort_state_top(rule->state)->subprog;

	return subprog && rule->env->prototypes && rule->env->prototypes[subprog].is_void;
}

bool fort_rule_may_leave(struct fort_rule *rule, const struct fort_value *result)
{
	struct fort_state *caller;

	if (rule->state->n_frames == 1)
		return true;
	caller = fort_state_clone(rule->pool, rule->state);
	if (!caller)
		return fort_rule_no_memory(rule);
	rule->out->outcome = FORT_STEP_FORK;
	rule->out->other = caller;
	rule->out->other_pc = fort_state_top(caller)->return_pc;
	fort_state_pop_frame(rule->pool, caller);
	*fort_state_reg(caller, FORT_R0) = *result;
	return true;
}
