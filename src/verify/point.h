/* Points: where paths arrive, and the states that were stored there.
 *
 * A point is a cut point in one chain of calls. States that arrive at it are stored as spots. Spots
 * wait until everything that comes before them in the order of work is done, so that all that
 * arrives at one point outside of loops is there before any of it goes on.
 *
 * A layer is the states at the head of a loop, as they are entered: for a loop that is unrolled one
 * layer per time around, for one that has an invariant a single one, which grows until it covers
 * what comes back. Spots inside a loop remember from which layer they come.
 */
#pragma once

#include "proof/certificate.h"
#include "verify/counters.h"
#include "verify/loops.h"
#include "verify/tally.h"

struct fort_point;
struct fort_spot;

/* Numbers that may show that a loop ends: candidates for its rank. */
#define FORT_RANKS_MAX 4u

struct fort_rank {
	struct fort_cell cell;
	bool rises, falls; /* so far, each time around */
};

struct fort_layer {
	struct fort_layer *outer;  /* around this loop, or NULL */
	struct fort_layer *next;   /* another of the same point */
	struct fort_layer *before; /* the one whose next this is */
	struct fort_layer *inside; /* loops entered from here, by `beside` */
	struct fort_layer *beside;
	struct fort_layer *after; /* the next time around, when unrolled */
	struct fort_layer *probe; /* an earlier one, or this, to compare with */
	struct fort_point *point;
	struct fort_spot *members, *derived; /* derived: spots inside, by next_derived */
	uint32_t number; /* of layers in a search; a new one when ranks are chosen again */
	uint32_t turn;   /* how often around */
	uint32_t n_members, visits;
	bool draws;     /* the loop takes elements from an iterator */
	bool wide;      /* one layer for all times around */
	bool ends_soon; /* all the same, the next time around has its own: there are few */
	bool begun;     /* its states have been worked on */
	bool closed;    /* something came around */
	struct fort_rank ranks[FORT_RANKS_MAX];
	uint32_t n_ranks;
	uint32_t order; /* in the certificate: number of its group */
	uint8_t color;
};

/* A decision on the way to a state: the side of a fork. */
struct fort_trail {
	const struct fort_trail *before;
	uint32_t pc;
	bool taken;
};

struct fort_spot {
	struct fort_spot *next, *next_derived;
	struct fort_point *point;
	struct fort_layer *layer;             /* that it is a member of, or NULL */
	struct fort_layer *origin;            /* innermost layer that it comes from, or NULL */
	struct fort_state *state;             /* NULL when only the claim is left */
	struct fort_span claim, ghosts, kept; /* kept: the claim if nothing but `from` makes it, or
					       * empty */
	uint64_t shape, constants;
	/* After work: where its paths arrived, in order, and how many instructions it took. */
	struct fort_spot **edges;
	uint32_t n_edges, steps, works; /* works: how often that was found out */
	/* The way here: the spot before, the decisions since. NULL: a root. */
	struct fort_spot *from;
	uint32_t from_edge, from_works; /* which of its edges, found out at which time */
	const struct fort_trail *trail;
	uint32_t root;
	uint32_t order; /* in the certificate */
	uint32_t joins; /* states that it took over */
	uint8_t color;
	bool pending, dead;
	bool exact;      /* nothing was joined on the way: a run may have exactly this state */
	bool settled;    /* what is dead was left out, so that it is not what arrived */
	bool met, gives; /* in the certificate: something arrived; that was what `kept` is of */
};

/* A chain of calls. */
struct fort_context {
	struct fort_context *caller;
	uint32_t call_pc; /* the call, in the caller's function */
	uint32_t depth, number;
	uint32_t places[FORT_FRAMES_MAX]; /* of the calls, in the order of work */
};

struct fort_point {
	struct fort_point *next; /* in the table */
	const struct fort_context *context;
	uint32_t pc, place;
	struct fort_spot *spots;   /* newest first; those that wait, and dead ones */
	struct fort_layer *layers; /* newest first */
	uint32_t n_spots;          /* stored here, outside of layers, and not dead */
	uint32_t n_waiting;        /* spots to be worked on, those of layers included */
	/* An invariant that was found here before the loop around this one, `memory_of`, had to be
	 * done again. NULL: none. */
	struct fort_state *memory;
	const struct fort_layer *memory_of;
	uint32_t memory_number; /* what that was: its ghosts are known by it */
	const struct fort_counters
		*counters; /* of the loop that begins here; NULL: not looked for */
	struct fort_tally tally;
	uint32_t heap; /* place in the heap + 1; 0 when not in it */
};

struct fort_points {
	struct fort_arena *arena;
	const struct fort_loops *loops;
	struct fort_point **table;
	uint32_t room, n;
	struct fort_context **contexts; /* by hash of caller and return */
	uint32_t contexts_room, n_contexts;
	struct fort_point **heap;
	uint32_t heap_room, n_heap;
};

/* Returns 0 or -ENOMEM. */
FORT_CHECKED int fort_points_init(struct fort_points *points, struct fort_arena *arena,
				  const struct fort_loops *loops);
/* The chain of calls of a state whose chain without the top frame is `caller` (NULL: none). NULL:
 * out of memory. */
const struct fort_context *fort_points_context(struct fort_points *points,
					       const struct fort_state *state, uint32_t root);
/* The point, new if need be; NULL: out of memory. */
struct fort_point *fort_points_at(struct fort_points *points, const struct fort_context *context,
				  uint32_t pc);
/* There is work at the point. False: out of memory. */
FORT_CHECKED bool fort_points_wait(struct fort_points *points, struct fort_point *point);
/* The first point in the order of work, taken from those that wait; NULL when none does. */
struct fort_point *fort_points_take(struct fort_points *points);
