/* Where the work of a search went that came to its limit: loops and branches by the instructions
 * that were processed there, and what kept their states apart.
 */
#pragma once

#include "step/diag.h"
#include "verify/tally.h"

#define FORT_COST_PLACES_MAX 5u

enum fort_cost_kind {
	FORT_COST_LOOP,  /* pc is its head; what it calls is included */
	FORT_COST_BRANCH /* pc is the jump; what is behind it, up to where paths meet again */
};

struct fort_cost_place {
	uint8_t kind; /* enum fort_cost_kind */
	uint32_t pc, percent;
	uint64_t insns;
	uint32_t states; /* kept at the head; behind the branch */
	uint32_t most;   /* of them, at one time */
	uint32_t turns;  /* times around that were followed one by one; 0: they were joined */
	struct fort_aparts aparts;
};

struct fort_cost {
	struct fort_cost_place places[FORT_COST_PLACES_MAX]; /* most instructions first */
	uint32_t n_places;
	uint32_t worst; /* the one that multiplies the work most; n_places: none */
	/* Why states were not joined: what was found when they were. `diag` NONE: nothing. */
	struct fort_violation doubt;
};

struct fort_point;
struct fort_search;

/* A state has been stored at the point; `with`: one that it is to be compared with, or NULL. False
 * for want of memory. */
FORT_CHECKED bool fort_cost_store(struct fort_search *s, struct fort_point *point,
				  const struct fort_state *state, const struct fort_state *with);
/* Sums the points of a search up, in its arena. Returns 0 or -ENOMEM. */
FORT_CHECKED int fort_cost_sum(struct fort_search *s, const struct fort_cost **out);
