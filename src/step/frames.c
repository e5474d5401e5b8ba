/* Frames: calls of the program's own functions, and what their ends give back. */
#include "step/rules.h"

#include "abi/uapi.h"

bool fort_rule_push(struct fort_rule *rule, struct fort_state *state, enum fort_frame_kind kind,
		    uint32_t subprog, uint32_t return_pc)
{
	if (state->n_frames == FORT_FRAMES_MAX)
		return fort_rule_bad(rule, FORT_DIAG_CALL_DEPTH, FORT_REGS, FORT_FRAMES_MAX + 1, 0,
				     0, 0);
	if (!fort_state_push_frame(rule->pool, state, subprog, return_pc))
		return fort_rule_no_memory(rule);
	fort_state_top(state)->kind = (uint8_t)kind;
	return true;
}

bool fort_rule_call_local(struct fort_rule *rule)
{
	struct fort_state *state = rule->state;
	const struct fort_program *program = &rule->env->graph->program;
	uint32_t callee =
		(uint32_t)fort_subprog_at(program, fort_insn_target(rule->insn, rule->pc));
	struct fort_frame *caller = fort_state_top(state);

	if (fort_env_linkage(rule->env, callee) == FORT_LINKAGE_GLOBAL)
		return fort_rule_call_global(rule, callee);
	if (!fort_rule_push(rule, state, FORT_FRAME_CALLED, callee, rule->pc + 1))
		return false;
	for (unsigned reg = FORT_R1; reg <= FORT_R5; reg++) {
		*fort_rule_reg(rule, reg) = caller->regs[reg];
		caller->regs[reg] = (struct fort_value){0};
	}
	caller->regs[FORT_R0] = (struct fort_value){0};
	rule->out->pc = program->subprogs[callee].start;
	return true;
}

/* --- ends --- */

/* r0 must be a number of low..high. */
static bool returns_within(struct fort_rule *rule, int64_t low, int64_t high,
			   enum fort_diag no_number, enum fort_diag outside)
{
	const struct fort_value *result = fort_rule_reg(rule, FORT_R0);

	if (result->type != FORT_NUM)
		return fort_rule_bad(rule, no_number, FORT_R0, 0, 0, 0, 0);
	if (fort_scalar_smin(&result->num) < low || fort_scalar_smax(&result->num) > high)
		return fort_rule_bad(rule, outside, FORT_R0, low, high, 0, 0);
	return true;
}

/* Whoever called may see no address. (K: "subprogram exit") */
static bool leave_global(struct fort_rule *rule)
{
	const struct fort_value *result = fort_rule_reg(rule, FORT_R0);

	if (fort_rule_is_secret(rule, result))
		return fort_rule_bad(rule, FORT_DIAG_RETURN_LEAK, FORT_R0, 0, 0, 0, 0);
	if (result->type != FORT_NUM)
		return fort_rule_bad(rule, FORT_DIAG_GLOBAL_RETURN, FORT_R0, 0, 0, 0, 0);
	return true;
}

/* The end of a run, or of a function that is proven on its own. */
static bool leave_root(struct fort_rule *rule)
{
	uint32_t root = rule->state->frames[0]->subprog;

	rule->out->outcome = FORT_STEP_END;
	if (!fort_rule_holds_nothing(rule, FORT_DIAG_LOCK_EXIT, FORT_DIAG_REF_LEAK))
		return false;
	if (!root)
		return fort_rule_result(rule);
	if (!fort_rule_readable(rule, FORT_R0))
		return false;
	if (fort_env_linkage(rule->env, root) == FORT_LINKAGE_GLOBAL)
		return leave_global(rule);
	return returns_within(rule, 0, 0, FORT_DIAG_ASYNC_POINTER, FORT_DIAG_ASYNC_RETURN);
}

/* Back to the helper, which may call again: the caller is as it was, but for what it let the
 * callback change. (K: prepare_func_exit) */
static bool leave_callback(struct fort_rule *rule)
{
	struct fort_state *state = rule->state;

	if (!returns_within(rule, 0, 1, FORT_DIAG_CALLBACK_POINTER, FORT_DIAG_CALLBACK_RETURN))
		return false;
	rule->out->pc = fort_state_top(state)->return_pc;
	fort_state_pop_frame(rule->pool, state);
	return fort_value_count(&fort_state_top(state)->turns) || fort_rule_dead(rule);
}

bool fort_rule_exit(struct fort_rule *rule)
{
	struct fort_state *state = rule->state;
	struct fort_value result = *fort_rule_reg(rule, FORT_R0);
	const struct fort_frame *top = fort_state_top(state);

	if (state->n_frames == 1)
		return leave_root(rule);
	if (result.type == FORT_STACK && result.frame == state->n_frames - 1)
		return fort_rule_bad(rule, FORT_DIAG_RETURN_STACK, FORT_R0, 0, 0, 0, 0);
	if (top->kind == FORT_FRAME_CALLBACK)
		return leave_callback(rule);
	rule->out->pc = top->return_pc;
	fort_state_pop_frame(rule->pool, state);
	*fort_rule_reg(rule, FORT_R0) = result;
	return true;
}

/* --- loops that count themselves --- */

/* Falling through goes on in the loop, and is counted; jumping leaves it. (K: is_may_goto_insn) */
bool fort_rule_may_goto(struct fort_rule *rule)
{
	struct fort_state *out = fort_state_clone(rule->pool, rule->state);

	if (!out)
		return fort_rule_no_memory(rule);
	if (!fort_value_count(&fort_state_top(rule->state)->goes)) {
		fort_state_free(rule->pool, out);
		return fort_rule_dead(rule);
	}
	rule->out->outcome = FORT_STEP_FORK;
	rule->out->other = out;
	rule->out->other_pc = (uint32_t)fort_insn_target(rule->insn, rule->pc);
	return true;
}
