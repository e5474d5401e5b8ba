/* Which instructions may have put something into a register, as the program's text has it: on any
 * path, possible or not. */
#pragma once

#include "isa/graph.h"

#define FORT_WRITERS_MAX 8u

struct fort_writers {
	uint32_t list[FORT_WRITERS_MAX]; /* instructions; calls write r0 and end r1 to r5 */
	uint32_t n;
	bool entry; /* a path comes from the function's start without writing it */
	bool over;  /* there are more */
};

/* The last writers of `reg` on the ways to `pc`. Returns 0 or -ENOMEM. */
FORT_CHECKED int fort_writers_find(struct fort_arena *arena, const struct fort_program *program,
				   uint32_t pc, unsigned reg, struct fort_writers *out);
/* Does the instruction write the register? Calls write r0 and end r1 to r5. */
bool fort_insn_writes(const struct fort_insn *insn, unsigned reg);
