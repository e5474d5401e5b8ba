/* Walking once more the way that led to a rejection, with the states that the search had: where it
 * joined what arrived on several paths, the walk goes on with the joined state. So what ended the
 * search ends the walk, at the same place and for the same reason.
 */
#pragma once

#include "verify/search.h"

struct fort_walk {
	struct fort_search *s;
	struct fort_state *state; /* before the instruction at pc; the walk's */
	uint32_t pc;
	uint32_t number; /* instructions before it */
	/* Regions on the way, oldest first, and where the decisions of each end. */
	const struct fort_spot **spots;
	uint32_t *ends, n_spots, at_spot;
	const struct fort_trail **trail; /* decisions, oldest first */
	uint32_t n_trail, at;
};

enum fort_walk_move {
	FORT_WALK_ON,
	FORT_WALK_JOINED, /* the state has become what several paths were joined to */
	FORT_WALK_ENDS,   /* the way ends at this instruction: step->outcome says why */
	FORT_WALK_FAILS   /* for want of memory */
};

/* Where the search stopped there must be a state (s->spot, s->state). The walk begins before the
 * first instruction. Returns 0 or -ENOMEM. */
FORT_CHECKED int fort_walk_start(struct fort_walk *walk, struct fort_search *s);
/* Is the instruction at pc the one at which the search stopped without being hurt by it? */
bool fort_walk_is_over(const struct fort_walk *walk);
/* Applies the instruction: ON (the state has taken it), ENDS or FAILS. */
enum fort_walk_move fort_walk_next(struct fort_walk *walk, struct fort_step *step);
/* After it: what the search did with a state that came here. ON, JOINED or FAILS. */
enum fort_walk_move fort_walk_arrive(struct fort_walk *walk);
/* Gives the state back. */
void fort_walk_end(struct fort_walk *walk);
