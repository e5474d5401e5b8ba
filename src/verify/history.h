/* What happened on the way to a rejection, as far as it can matter: where the values concerned came
 * from, what was learned of them, and which comparisons there were of others. With the numbers that
 * were known at the time, as data; explain.c makes sentences of it.
 */
#pragma once

#include "verify/origin.h"
#include "verify/walk.h"

/* What earlier events are about. */
enum fort_focus {
	FORT_FOCUS_NONE,
	FORT_FOCUS_REG,   /* the violation's register; for arguments also the size that goes with it
			   */
	FORT_FOCUS_SLOTS, /* stack bytes {0} to {0} + {1} */
	FORT_FOCUS_ACQUIRED, /* what the instruction {1} acquired */
	FORT_FOCUS_LOOP,     /* what decides whether the loop ends */
};

/* One event. */
struct fort_past {
	uint32_t id; /* its origin's */
	struct fort_origin origin;
	bool flows; /* into the focus; else it is a comparison of something else */
	bool taken; /* a jump, and it was */
	struct fort_value before, after; /* of the origin's cell */
	struct fort_value left, right;   /* registers dst and src, before */
	int64_t proven;                  /* bytes behind the cell's packet pointer, after */
	int64_t length_most;             /* a packet: its length is at least so much, after */
};

struct fort_history {
	const struct fort_origins *origins;
	const struct fort_past *items; /* oldest first */
	uint32_t n;
	uint32_t focus[4], n_focus; /* origins */
	bool joined;                /* the path's state was joined with others' */
	uint32_t joined_pc, joins;  /* where, the last time, and with how many */
};

/* The event with this origin, or NULL. */
const struct fort_past *fort_history_find(const struct fort_history *history, uint32_t origin);

/* Picks and measures the events of a path that has been walked with `origins` up to `violation`, in
 * the arena of the search. Returns 0 or -ENOMEM. */
FORT_CHECKED int fort_history_make(struct fort_search *s, const struct fort_origins *origins,
				   const struct fort_violation *violation, enum fort_focus focus,
				   const struct fort_state *state, struct fort_history *out);
