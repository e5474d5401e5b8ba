/* Inside verify/: a join while it is made (join.c), and what it keeps of the relations between
 * values (join_relations.c).
 */
#pragma once

#include "verify/join.h"

#define FORT_JOIN_PAIRS_MAX 128u

/* Two ids that become one; symbols only where their distance is the same. */
struct fort_join_pair {
	uint32_t a, b, now;
	int64_t shift;          /* symbols: delta in a minus delta in b */
	int64_t first;          /* symbols: delta in a of the value that became the symbol */
	struct fort_scalar num; /* symbols: what became of that */
};

struct fort_join {
	const struct fort_state *a, *b;
	struct fort_state *out;
	const struct fort_widening *widening;
	struct fort_cell at; /* that is being joined */
	struct fort_join_pair symbols[FORT_JOIN_PAIRS_MAX], ids[FORT_JOIN_PAIRS_MAX];
	uint32_t n_symbols, n_ids;
};

const struct fort_ghost *fort_join_ghost(const struct fort_state *state, uint32_t owner);

/* Facts and rates that hold in both, or are likely to; the values of `out` are there. */
void fort_join_relations(struct fort_join *join);
