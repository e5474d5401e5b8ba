/* Rewriting: from a proven program to one that an engine runs.
 *
 * The proof speaks of the ABI's contexts; at run time a program sees an image of its context in
 * the window, in which numbers lie where the ABI has them and pointers are 64 bits wide behind
 * them (abi/ctx/). Loads of such pointers are rewritten to where the image has them. What the
 * proof found about each instruction says which loads these are.
 */
#pragma once

#include "base/arena.h"
#include "proof/check.h"

/* A program for engines. Slots are those of the proven program, so that positions and targets
 * stay; only instructions change. */
struct fort_hardened {
	struct fort_program program;
	const struct fort_prog_info *prog;
};

/* Rewrites into the arena; the result lives as long as the arena and the proven program's
 * subprogram table. Returns 0 or -ENOMEM.
 */
FORT_CHECKED int fort_harden(const struct fort_proven *proven, struct fort_arena *arena,
			     struct fort_hardened *out);
