/* Our judgement of a program: a unit built from the same PROG_LOAD, searched and checked. The only
 * place of the oracles that knows how that is asked for.
 */
#pragma once

#include "oracle.h"

struct our_side;

struct our_side *our_side_open(void); /* NULL: no memory */
void our_side_close(struct our_side *ours);

/* Judges the program of `attr`, whose maps are the kernel's: their shapes and, of arrays, what they
 * hold now. Accepted programs are run a few times with every value held against what was claimed,
 * and once as `wants` says. side->log points into the judge.
 */
void our_side_judge(struct our_side *ours, const union bpf_attr *attr, enum half half,
		    const struct oracle_wants *wants, struct side *side);

/* What the last judgement cost. */
struct our_cost {
	uint64_t search_ns, check_ns;
	uint64_t states, peak_states, memory_bytes, certificate_bytes;
};

/* The search and the check alone, with no log and no run. */
void our_side_measure(struct our_side *ours, const union bpf_attr *attr, struct side *side,
		      struct our_cost *cost);
