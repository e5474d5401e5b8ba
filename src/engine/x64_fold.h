/* What a register is used for after it was written, where that is but addresses: then what wrote
 * it, if it only shifted it or added a constant, can be left to the addresses.
 *
 * Filled in backwards along a block: each use is noted, and forgotten where the register is written
 * or paths join.
 */
#pragma once

#include "engine/x64_op.h"

#define FORT_X64_USES_MAX 6u

struct fort_x64_uses {
	struct {
		uint8_t n;
		bool other; /* it is needed for more than the addresses noted */
		uint32_t ops[FORT_X64_USES_MAX];
	} of[FORT_REGS];
	/* The next operation that writes each register, or may lose it, in what is placed from
	 * here on. */
	uint32_t written[FORT_REGS];
};

/* Nothing follows. */
void fort_x64_uses_start(struct fort_x64_uses *uses);
/* Registers in `live` are needed by somebody else. */
void fort_x64_uses_other(struct fort_x64_uses *uses, uint32_t live);
/* Operation x->at, which is `op`, uses its operands: `data` and `mem` are what it reads. */
void fort_x64_uses_note(const struct fort_x64 *x, struct fort_x64_uses *uses,
			const struct fort_x64_op *op, uint32_t data, uint32_t mem);
/* The register is written here: what follows is about what it holds then. */
static inline void fort_x64_uses_forget(struct fort_x64_uses *uses, uint8_t reg)
{
	uses->of[reg].n = 0;
	uses->of[reg].other = false;
}
/* Leaves what `op` does to its own register to the addresses that it is used for, if that is all;
 * then nothing needs the operation, and *live, what is needed before it, says so. */
bool fort_x64_fold(struct fort_x64 *x, struct fort_x64_uses *uses, const struct fort_x64_op *op,
		   uint32_t *live);
/* Leaves the array's start, and the size of its elements, to the addresses that its lookup is for.
 */
void fort_x64_fold_lookup(struct fort_x64 *x, const struct fort_x64_uses *uses,
			  struct fort_x64_op *op);
