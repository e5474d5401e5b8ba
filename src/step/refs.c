/* References: what a program holds and must give back. */
#include "step/rules.h"

bool fort_ref_acquire(struct fort_rule *rule, uint32_t *id)
{
	struct fort_state *state = rule->state;

	if (state->n_refs == FORT_REFS_MAX)
		return fort_rule_bad(rule, FORT_DIAG_REF_LIMIT, FORT_REGS, FORT_REFS_MAX,
				     FORT_REFS_MAX + 1, 0, 0);
	*id = fort_rule_fresh(rule);
	state->refs[state->n_refs++] = (struct fort_ref){.id = *id, .pc = rule->pc};
	return true;
}

static bool forget_ref(struct fort_value *value, void *context)
{
	const uint32_t *id = context;

	/* What is left in the register is a number of no use: the window's address. */
	if (value->type != FORT_NONE && value->ref == *id)
		*value = fort_value_unknown();
	return true;
}

void fort_ref_release(struct fort_state *state, uint32_t id)
{
	for (uint32_t i = 0; i < state->n_refs; i++) {
		if (state->refs[i].id != id)
			continue;
		state->n_refs--;
		for (; i < state->n_refs; i++)
			state->refs[i] = state->refs[i + 1];
	}
	(void)fort_state_visit(state, forget_ref, &id);
}
