/* Division, as its two parts see it: by registers (x64_divide.c), by constants (x64_reciprocal.c).
 */
#pragma once

#include "engine/x64_exit.h"

struct fort_x64_division {
	unsigned bits;
	bool is_signed, remainder;
	enum fort_x64_reg dst, a, b;
	bool keep_rax, keep_rdx; /* somebody needs them, and they are not dst */
};

/* Where an operand is once rax and rdx have been put away. */
static inline enum fort_x64_reg fort_x64_away(enum fort_x64_reg reg)
{
	return reg == FORT_X64_RAX ? FORT_X64_FREE1 : reg == FORT_X64_RDX ? FORT_X64_FREE2 : reg;
}
/* To FREE1 and FREE2, also where they are an operand that is needed after they changed. */
void fort_x64_put_away(struct fort_x64 *x, const struct fort_x64_division *d,
		       enum fort_x64_reg operand);
void fort_x64_take_back(struct fort_x64 *x, const struct fort_x64_division *d);

/* By a constant that is neither 0 nor, for signed division, -1. */
void fort_x64_divide_by(struct fort_x64 *x, const struct fort_x64_division *d, int64_t divisor);
