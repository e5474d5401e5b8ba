/* Inclusion of states: the test on which every certificate rests. Trusted. */
#pragma once

#include "step/state.h"

/* Is everything that `claimed` says true in `actual`? Both are at the same instruction. Ids of the
 * two have nothing to do with each other; what is claimed to be one must be one. Working memory is
 * the pool's; false without it. */
bool fort_state_covers(struct fort_pool *pool, const struct fort_state *claimed,
		       const struct fort_state *actual);
