/* Inside step/: objects that live in stack slots. */
#pragma once

#include "step/rules.h"

/* Neighbouring slots: `low` is the one at the lowest address, `n` of them upwards from there, so
 * low, low - 1, ... */
struct fort_place {
	struct fort_frame *frame;
	uint32_t low, n;
};

enum fort_place_fault {
	FORT_PLACE_GOOD,
	FORT_PLACE_VARIABLE, /* nobody knows which */
	FORT_PLACE_OFFSET,   /* not whole slots, or it ends above the stack */
	FORT_PLACE_BELOW,    /* it begins below the stack */
};

/* The place that a stack pointer leads to. It may be deeper than the stack was touched. Rejects
 * nothing. */
enum fort_place_fault fort_place_find(struct fort_rule *rule, unsigned reg, uint32_t n,
				      struct fort_place *out);

/* The object that fills the place, or NULL. */
const struct fort_value *fort_place_object(const struct fort_place *place, enum fort_type type);
/* Is some part of such an object there? */
bool fort_place_touches(const struct fort_place *place, enum fort_type type);
/* Puts an object there; what was there was overwritten (fort_slots_overwrite). */
void fort_place_put(const struct fort_place *place, const struct fort_value *value);
void fort_place_clear(const struct fort_place *place);

/* These bytes are about to be overwritten: ends the objects that they touch. Rejects where
 * something that is held would be lost. */
bool fort_slots_overwrite(struct fort_rule *rule, const struct fort_stack_reach *where);
/* The first of these bytes that belongs to a dynptr; 0 for none. */
int32_t fort_slots_dynptr_in(const struct fort_stack_reach *where);
/* Ends the objects that this reference held. */
void fort_slots_release(struct fort_state *state, uint32_t ref);
