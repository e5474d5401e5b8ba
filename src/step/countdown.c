/* A 32-bit counter that may be 0, and one less of it: 0xffffffff, or what is related to the counter
 * as before. `while (i--)` is made of this: it compares the old number with 0, or the new one with
 * -1, and as one value the new number would be neither less than the old one nor not. Only where
 * the next instruction compares so: elsewhere one value is enough. That the program says, and not
 * what is known of the state, since search and checker must part in two at the same places.
 */
#include "step/relate.h"
#include "step/rules.h"

/* The old number, which another register has, with 0; or the new one with -1. */
static bool is_asked_next(const struct fort_rule *rule)
{
	const struct fort_insn *next = rule->insn + 1;

	return next->kind == FORT_JCC_K && (next->op == FORT_OP_JEQ || next->op == FORT_OP_JNE) &&
	       next->imm == (next->dst == rule->insn->dst ? -1 : 0);
}

static bool counts_down(const struct fort_rule *rule)
{
	const struct fort_insn *insn = rule->insn;
	const struct fort_value *value = fort_rule_reg(rule, insn->dst);
	bool less = insn->kind == FORT_ALU_K && insn->bits == 32 &&
		    ((insn->op == FORT_OP_ADD && insn->imm == -1) ||
		     (insn->op == FORT_OP_SUB && insn->imm == 1));

	return less && is_asked_next(rule) && value->type == FORT_NUM &&
	       fort_scalar_umin(&value->num) == 0 && fort_scalar_umax(&value->num) > 0 &&
	       fort_scalar_umax(&value->num) <= INT32_MAX;
}

/* The counter is in this range, and gets one less. False when it cannot be. */
static bool take_one(struct fort_state *state, unsigned reg, int64_t low, int64_t high)
{
	struct fort_value *value = fort_state_reg(state, reg);
	struct fort_scalar range = fort_scalar_signed_range(low, high);
	struct fort_scalar minus = fort_scalar_const(UINT32_MAX);

	if (!fort_relate_narrow(state, value->sym, value->delta, &range))
		return false;
	if (fort_scalar_is_const(&value->num)) {
		*value = fort_value_const((uint32_t)(fort_scalar_umin(&value->num) - 1));
		return true;
	}
	value->num = fort_scalar_alu(FORT_OP_ADD, 32, &value->num, &minus, false);
	value->delta = fort_wrap_add(value->delta, -1);
	return true;
}

bool fort_rule_count_down(struct fort_rule *rule, bool *done)
{
	unsigned reg = rule->insn->dst;
	struct fort_value *value = fort_rule_reg(rule, reg);
	struct fort_state *zero;
	bool goes, ends;

	*done = counts_down(rule);
	if (!*done)
		return true;
	fort_rule_name(rule, value);
	zero = fort_state_clone(rule->pool, rule->state);
	if (!zero)
		return fort_rule_no_memory(rule);
	ends = take_one(zero, reg, 0, 0);
	goes = take_one(rule->state, reg, 1, fort_scalar_smax(&value->num));
	if (goes && ends) {
		rule->out->outcome = FORT_STEP_FORK;
		rule->out->other = zero;
		rule->out->other_pc = rule->pc + 1;
		return true;
	}
	if (ends) { /* that side takes over this state */
		struct fort_state swap = *rule->state;

		*rule->state = *zero;
		*zero = swap;
	}
	fort_state_free(rule->pool, zero);
	return goes || ends || fort_rule_dead(rule);
}
