/* What the search counts at a point while it works, for the report on where the work went (cost.h).
 */
#pragma once

#include "step/state.h"

#define FORT_APART_MAX 8u
#define FORT_NO_BRANCH UINT32_MAX

/* A cell in which states differed, and how often. */
struct fort_apart {
	/* `frame` counts from the running function to its callers. Kind FORT_CELL_KINDS: not a cell
	 * but references that are held. */
	struct fort_cell cell;
	uint32_t n;
};

/* The cells that differ most often, of any number: a new one takes the place of one that has been
 * outvoted (Misra and Gries, "Finding repeated elements", 1982). */
struct fort_aparts {
	struct fort_apart items[FORT_APART_MAX];
	uint32_t n, compared;
};

struct fort_tally {
	uint64_t insns;             /* processed in regions that begin here */
	uint32_t states;            /* stored here */
	uint32_t most;              /* of them, at one time */
	uint32_t branch;            /* the jump that the newest came from */
	struct fort_aparts *aparts; /* NULL while there are few states */
};

/* Notes in which cells two states of one point differ. */
void fort_aparts_compare(struct fort_aparts *aparts, const struct fort_state *a,
			 const struct fort_state *b);
/* Adds what was found elsewhere. */
void fort_aparts_add(struct fort_aparts *aparts, const struct fort_aparts *more);
