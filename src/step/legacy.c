/* Packet loads of the old kind: a call in disguise, which ends the program where there is no such
 * byte. (K: check_ld_abs) */
#include "step/rules.h"

/* Programs whose context is a socket buffer with all of its packet. (K: may_access_skb) */
#define FORT_LEGACY_PROGS ((uint32_t)FORT_BIT_SF | (uint32_t)FORT_BIT_TC | (uint32_t)FORT_BIT_ACT)

static bool in_callback(const struct fort_state *state)
{
	for (uint32_t f = 0; f < state->n_frames; f++)
		if (state->frames[f]->kind == FORT_FRAME_CALLBACK)
			return true;
	return false;
}

/* The end of the program gives nothing back; that of a function leaves it to the caller. */
static bool may_end(struct fort_rule *rule)
{
	if (rule->state->n_frames == 1)
		return fort_rule_holds_nothing(rule, FORT_DIAG_LOCK_LEGACY, FORT_DIAG_LEGACY_REF);
	return !rule->state->lock.type ||
	       fort_rule_bad(rule, FORT_DIAG_LOCK_LEGACY, FORT_REGS, 0, 0, 0, 0);
}

static bool is_allowed(struct fort_rule *rule)
{
	const struct fort_insn *insn = rule->insn;
	enum fort_diag diag = FORT_DIAG_NONE;

	if (!(rule->env->hook.prog->bit & FORT_LEGACY_PROGS))
		diag = FORT_DIAG_LEGACY_PROG;
	else if (fort_rule_in_void(rule))
		diag = FORT_DIAG_LEGACY_VOID;
	else if (in_callback(rule->state))
		diag = FORT_DIAG_LEGACY_CALLBACK;
	if (diag != FORT_DIAG_NONE)
		return fort_rule_bad(rule, diag, FORT_REGS, 0, 0, 0, 0);
	if (!fort_rule_readable(rule, FORT_R6) || !may_end(rule))
		return false;
	if (fort_rule_reg(rule, FORT_R6)->type != FORT_CTX)
		return fort_rule_bad(rule, FORT_DIAG_LEGACY_CTX, FORT_R6, 0, 0, 0, 0);
	if (insn->kind == FORT_LDIND && !fort_rule_readable(rule, insn->src))
		return false;
	return fort_rule_is_ctx(rule, FORT_R6);
}

bool fort_rule_legacy(struct fort_rule *rule)
{
	const struct fort_value ended = fort_value_const(0);

	if (!is_allowed(rule) || !fort_rule_may_leave(rule, &ended))
		return false;
	for (unsigned reg = FORT_R1; reg <= FORT_R5; reg++)
		*fort_rule_reg(rule, reg) = (struct fort_value){0};
	*fort_rule_reg(rule, FORT_R0) = fort_value_number(fort_scalar_of_width(rule->insn->bits));
	return true;
}
