/* Numbers that a loop may count with: registers and slots that are compared where it may be left.
 */
#pragma once

#include "step/state.h"
#include "verify/loops.h"

#define FORT_COUNTERS_MAX 16u

struct fort_counter {
	struct fort_cell cell; /* of the running function */
	bool limited;          /* it is compared with `limit` */
	int64_t limit;
};

struct fort_counters {
	struct fort_counter list[FORT_COUNTERS_MAX]; /* a cell is there once for each limit */
	uint32_t n;
};

/* The slot of an access through this base, + 1, where that is r10; else 0. */
uint8_t fort_slot_accessed(const struct fort_insn *insn, unsigned base);

/* Does a counter meet its limit in few rounds, going on from what it is before and after one? */
bool fort_counters_end_soon(const struct fort_counters *counters, const struct fort_state *before,
			    const struct fort_state *after);

/* *out: of each function, the slots that its instructions load through r10. Returns 0 or -ENOMEM.
 */
FORT_CHECKED int fort_loads_find(struct fort_arena *arena, const struct fort_program *program,
				 const uint64_t **out);

/* Of the loop with this head, in a function that runs in frame `frame`. */
void fort_counters_find(const struct fort_program *program, const struct fort_loops *loops,
			uint32_t head, uint8_t frame, struct fort_counters *out);
