/* Liveness: which registers and stack slots may still be read, before each instruction. What is
 * dead is left out of claimed states, so that states that differ in nothing else are one.
 *
 * Stack slots are followed as far as addresses are copies of r10 plus constants; where an address
 * leaves that (is stored, passed to another function), everything from it upwards counts as live.
 * Only the search uses this; a register wrongly called dead is a program wrongly rejected, never
 * one wrongly accepted.
 */
#pragma once

#include "step/step.h"
#include "verify/loops.h"

/* In fort_live.regs: the frame's count of may_gotos. */
#define FORT_LIVE_GOES 0x8000u

struct fort_live {
	uint16_t regs;  /* bits of enum fort_reg, FORT_LIVE_GOES */
	uint64_t slots; /* bit i: the slot at fp - 8 (i + 1) */
};

/* One per slot of the program, in the arena. Returns 0 or -ENOMEM. */
FORT_CHECKED int fort_live_find(struct fort_arena *arena, const struct fort_env *env,
				const struct fort_loops *loops, const struct fort_live **out);
