/* Rewriting: from a proven program to one that an engine runs.
 *
 * The proof speaks of the ABI's contexts; at run time a program sees an image of its context in
 * the window, in which numbers lie where the ABI has them and pointers are 64 bits wide behind
 * them (abi/ctx/). Loads of such pointers are rewritten to where the image has them. What the
 * proof found about each instruction says which loads these are. Then what no engine has is
 * expanded (harden/expand.h).
 */
#pragma once

#include "harden/expand.h"
#include "proof/check.h"

/* A program for engines. `program` is what they run; unless something of it had to be expanded,
 * slots are those of the proven program. */
struct fort_hardened {
	struct fort_program program;
	const struct fort_prog_info *prog;
	const uint32_t *origin; /* as in struct fort_expanded; NULL: slots are the same */
	const uint8_t *sights;
	bool hidden;
};

/* The slot of the proven program that a slot of `program` was made of. */
static inline uint32_t fort_hardened_origin(const struct fort_hardened *hardened, uint32_t pc)
{
	return hardened->origin && pc < hardened->program.n_insns ? hardened->origin[pc] : pc;
}

/* Rewrites into the arena; the result lives as long as the arena and the proven program's
 * subprogram table. Returns 0, or fort_expand's errors.
 */
FORT_CHECKED int fort_harden(const struct fort_proven *proven, struct fort_arena *arena,
			     struct fort_hardened *out);
