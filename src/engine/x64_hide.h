/* Constants of a program that must not be in its code as they are: all of them, for programs of
 * those who are not trusted, so that nobody chooses what bytes an image has (the constants are
 * split by random keys); or those that spell what x64_layout.h forbids.
 */
#pragma once

#include "engine/x64_op.h"

enum fort_x64_hiding {
	FORT_X64_HIDE_NOTHING,
	FORT_X64_HIDE_FORBIDDEN, /* what the bytes of a constant spell */
	FORT_X64_HIDE_ALL,
};

/* Must this constant be hidden here? */
bool fort_x64_hides(const struct fort_x64 *x, int64_t value);
/* reg = value, split if it must be hidden, by the shortest form otherwise. Changes the flags if it
 * was hidden. */
void fort_x64_put(struct fort_x64 *x, enum fort_x64_reg reg, uint64_t value);
/* `temp` with the constant in it, if it must be hidden; else FORT_X64_NONE. */
enum fort_x64_reg fort_x64_hidden(struct fort_x64 *x, int64_t value, enum fort_x64_reg temp);
/* dst op= imm, for rows of two operands; what is hidden goes through FREE1. */
void fort_x64_put_alu(struct fort_x64 *x, enum fort_x64_row row, unsigned bits,
		      enum fort_x64_reg dst, int32_t imm);
/* dst = a * imm; the same. */
void fort_x64_put_mul(struct fort_x64 *x, unsigned bits, enum fort_x64_reg dst, enum fort_x64_reg a,
		      int32_t imm);
/* The same memory, without a displacement that spells something forbidden: then through `temp`.
 * Offsets are too short to choose bytes by them: they are not hidden otherwise. */
struct fort_x64_mem fort_x64_put_mem(struct fort_x64 *x, struct fort_x64_mem mem,
				     enum fort_x64_reg temp);
/* A few bytes of nothing, of a length by chance: what comes next is elsewhere, and distances over
 * it are others. */
void fort_x64_pad(struct fort_x64 *x);
