/* Joins of states: one state that covers two. What the search proposes where paths meet and at the
 * heads of loops; whether it really covers both is for the checker to see.
 */
#pragma once

#include "step/step.h"
#include "verify/counters.h"
#include "verify/live.h"

/* Forgets what is dead: registers and slots of all frames. `pc`: where the state is. */
void fort_state_forget_dead(struct fort_state *state, const struct fort_live *live, uint32_t pc);

/* A hash of everything in which two states must be alike for their join to lose no type: frames,
 * kinds of values in registers and slots, references. `reads_all`: slots that were never written
 * are like numbers, for those who may read them as such. */
uint64_t fort_state_shape(const struct fort_state *state, bool reads_all);
/* A hash of the numbers that are known: in registers, and in those slots of each function that it
 * loads (fort_loads_find), zeroes aside. What else lies in the stack, keys and buffers that were
 * cleared, decides little. */
uint64_t fort_state_constants(const struct fort_state *state, const uint64_t *loaded);

/* How a join treats bounds that moved. */
struct fort_widening {
	const int64_t *thresholds; /* ascending */
	uint32_t n;
	/* Of the loop at whose head that is, or NULL. Its limits are thresholds of its own. */
	const struct fort_counters *counters;
	bool reduces; /* what moves with a counter gets bounds from its bounds, once more */
};

/* into = a state that covers both. With `widening` those bounds of `into` that had to move go on to
 * the next threshold, so that a chain of such joins is short. Both are at one instruction, settled,
 * with the same frames. Returns 0 or -ENOMEM. */
FORT_CHECKED int fort_state_join(struct fort_pool *pool, struct fort_state *into,
				 const struct fort_state *other,
				 const struct fort_widening *widening);
