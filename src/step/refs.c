/* References: what a program holds and must give back. */
#include "step/slots.h"

#include <string.h>

/* --- ends of values --- */

static void forget_slot(struct fort_slot *slot, const struct fort_value *remains)
{
	if (remains->type == FORT_NONE)
		memset(slot, 0, sizeof(*slot));
	else
		slot->spill = *remains;
}

void fort_state_forget(struct fort_state *state, fort_value_match *match, const void *context,
		       const struct fort_value *remains)
{
	for (uint32_t f = 0; f < state->n_frames; f++) {
		struct fort_frame *frame = state->frames[f];

		for (unsigned r = 0; r < FORT_REGS; r++)
			if (match(&frame->regs[r], context))
				frame->regs[r] = *remains;
		for (uint32_t s = 0; s < frame->n_slots; s++)
			if (frame->slots[s].bytes[0] == FORT_BYTE_SPILL &&
			    match(&frame->slots[s].spill, context))
				forget_slot(&frame->slots[s], remains);
	}
}

/* --- references --- */

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

static bool holds(const struct fort_value *value, const void *context)
{
	const uint32_t *id = context;

	return value->type != FORT_NONE && value->ref == *id;
}

void fort_ref_release(struct fort_state *state, uint32_t id, const struct fort_value *remains)
{
	for (uint32_t i = 0; i < state->n_refs; i++) {
		if (state->refs[i].id != id)
			continue;
		state->n_refs--;
		for (; i < state->n_refs; i++)
			state->refs[i] = state->refs[i + 1];
	}
	fort_state_forget(state, holds, &id, remains);
	fort_slots_release(state, id);
}

bool fort_rule_holds_nothing(struct fort_rule *rule, enum fort_diag locked, enum fort_diag leaks)
{
	const struct fort_state *state = rule->state;

	if (state->lock.type)
		return fort_rule_bad(rule, locked, FORT_REGS, 0, 0, 0, 0);
	if (state->n_refs)
		return fort_rule_bad(rule, leaks, FORT_REGS, state->refs[0].id, state->refs[0].pc,
				     0, 0);
	return true;
}
