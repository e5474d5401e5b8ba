/* Helpers that call a function of the program before they return.
 *
 * How often is not known, so the call is the head of a loop: each time the state gets there it may
 * go on behind the call, or into the function, whose end leads back to the call. The caller's frame
 * counts the turns, from 0 at each call; nothing else keeps the loop from being endless. (K:
 * push_callback_call and the set_..._callback_state functions.)
 */
#include "step/call.h"

#include <errno.h>

#include "abi/uapi.h"
#include "step/kernel.h"

bool fort_rule_ldimm_func(struct fort_rule *rule)
{
	const struct fort_program *program = &rule->env->graph->program;
	uint32_t subprog =
		(uint32_t)fort_subprog_at(program, fort_insn_target(rule->insn, rule->pc));

	if (!rule->env->prototypes)
		return fort_rule_bad(rule, FORT_DIAG_FUNC_NO_INFO, FORT_REGS, 0, 0, 0, 0);
	if (fort_env_linkage(rule->env, subprog) != FORT_LINKAGE_STATIC)
		return fort_rule_bad(rule, FORT_DIAG_FUNC_NOT_STATIC, FORT_REGS, 0, 0, 0, 0);
	if (!subprog)
		return fort_rule_bad(rule, FORT_DIAG_FUNC_MAIN, FORT_REGS, 0, 0, 0, 0);
	*fort_rule_reg(rule, rule->insn->dst) = fort_value_pointer(FORT_FUNC, subprog);
	return true;
}

/* --- bpf_loop --- */

/* Loops at most: the helper reads 32 bits, and refuses more than a limit of its own. */
static uint64_t most_turns(const struct fort_state *state)
{
	uint64_t most = fort_scalar_umax32(&fort_state_reg(state, FORT_R1)->num);

	return most < FORT_LOOP_TURNS_MAX ? most : FORT_LOOP_TURNS_MAX;
}

/* The next index is below the number of loops. False when it cannot be. */
static bool learn_index(struct fort_rule *rule, struct fort_state *state)
{
	struct fort_value *turns = &fort_state_top(state)->turns;
	struct fort_value *wanted = fort_state_reg(state, FORT_R1), index, count;
	uint64_t most = most_turns(state);
	struct fort_scalar below;

	if (!most)
		return false;
	below = fort_scalar_range(0, most - 1);
	fort_rule_name(rule, turns);
	if (turns->sym ? !fort_relate_narrow(state, turns->sym, turns->delta, &below)
		       : !fort_scalar_meet(&turns->num, &below))
		return false;
	if (wanted->type != FORT_NUM || fort_scalar_umax(&wanted->num) > UINT32_MAX)
		return true;
	index = *turns;
	count = *wanted;
	return fort_relate_learn(state, &index, NULL, &count, -1);
}

/* --- arguments --- */

/* Memory that is held while the function looks at it. */
static bool vma(struct fort_rule *rule, struct fort_value *out)
{
	const struct fort_kernel *kernel = fort_rule_kernel(rule);
	uint32_t type = kernel ? kernel->others[FORT_KNOWN_VMA] : 0;

	if (!kernel)
		return false;
	*out = fort_value_pointer(FORT_BTF, type);
	return type || fort_rule_bad(rule, FORT_DIAG_TYPES_LATER, FORT_REGS, 0, 0, 0, 0);
}

/* What the function gets, from the caller's arguments `a`. False: it is not called here. */
static bool pass_arguments(struct fort_rule *rule, struct fort_state *state,
			   const struct fort_call *call)
{
	struct fort_frame *caller = state->frames[state->n_frames - 2];
	struct fort_frame *callee = fort_state_top(state);
	struct fort_value *out = &callee->regs[FORT_R1];

	switch (call->helper->number) {
	case BPF_FUNC_loop:
		out[0] = caller->turns;
		out[1] = caller->regs[FORT_R3];
		return true;
	case BPF_FUNC_for_each_map_elem:
		out[0] = caller->regs[FORT_R1];
		out[1] = fort_value_pointer(FORT_MAP_KEY, call->map_index);
		out[2] = fort_env_map_value(rule->env, state, call->map_index, call->map_base);
		out[3] = caller->regs[FORT_R3];
		return true;
	case BPF_FUNC_user_ringbuf_drain:
		out[0] = fort_value_pointer(FORT_DYNPTR, FORT_DYNPTR_LOCAL);
		out[1] = caller->regs[FORT_R3];
		return true;
	case BPF_FUNC_find_vma:
		out[0] = caller->regs[FORT_R1];
		out[2] = caller->regs[FORT_R4];
		return vma(rule, &out[1]);
	default: return false;
	}
}

/* The argument that is the function. */
static unsigned func_arg(const struct fort_helper_info *helper)
{
	for (unsigned i = 0; i < FORT_HELPER_ARGS; i++)
		if (helper->args[i] == FORT_ARG_FUNC)
			return FORT_R1 + i;
	return FORT_REGS;
}

/* The side on which the function is called once more; *called is NULL if it is not. */
static bool call_once_more(struct fort_rule *rule, const struct fort_call *call,
			   struct fort_state **called)
{
	uint32_t subprog = fort_rule_reg(rule, func_arg(call->helper))->object;
	struct fort_state *state = fort_state_clone(rule->pool, rule->state);

	*called = NULL;
	if (!state)
		return fort_rule_no_memory(rule);
	if (call->helper->number == BPF_FUNC_loop && !learn_index(rule, state)) {
		fort_state_free(rule->pool, state);
		return true;
	}
	if (!fort_rule_push(rule, state, FORT_FRAME_CALLBACK, subprog, rule->pc) ||
	    !pass_arguments(rule, state, call)) {
		fort_state_free(rule->pool, state);
		return false;
	}
	*called = state;
	return true;
}

bool fort_rule_call_back(struct fort_rule *rule, const struct fort_call *call)
{
	uint32_t subprog = fort_rule_reg(rule, func_arg(call->helper))->object;
	struct fort_state *called;

	if (!call_once_more(rule, call, &called))
		return false;
	if (!called)
		return true;
	rule->out->outcome = FORT_STEP_FORK;
	rule->out->other = called;
	rule->out->other_pc = rule->env->graph->program.subprogs[subprog].start;
	return true;
}

/* What the helper returns behind the last turn; the count starts anew. */
struct fort_value fort_rule_called_back(struct fort_rule *rule, const struct fort_call *call)
{
	struct fort_frame *frame = fort_state_top(rule->state);
	uint64_t most = most_turns(rule->state), turns = fort_scalar_umax(&frame->turns.num);

	frame->turns = fort_value_const(0);
	if (call->helper->number != BPF_FUNC_loop)
		return fort_value_unknown();
	return fort_value_number(
		fort_scalar_signed_range(-EINVAL, (int64_t)(turns < most ? turns : most)));
}
