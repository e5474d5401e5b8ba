/* The forward pass (x64_forward.c), as its parts see it. */
#pragma once

#include "engine/x64_value.h"

static inline void fort_x64_use(struct fort_x64_values *values, uint8_t reg)
{
	if (reg != FORT_X64_NO_REG)
		values->of[reg].used = true;
}

static inline bool fort_x64_fits(int64_t value)
{
	return value == (int32_t)value;
}

/* Bits that a mask lets through, from the lowest. */
static inline uint8_t fort_x64_width_of(uint64_t value)
{
	return value <= UINT8_MAX ? 8 : value <= UINT16_MAX ? 16 : value <= UINT32_MAX ? 32 : 64;
}

/* --- operands (x64_forward_operand.c) --- */

/* They become what they are copies of, or constants: a; and b or imm, for an operation of `bits`.
 */
void fort_x64_take_a(struct fort_x64_values *values, struct fort_x64_op *op, unsigned bits);
void fort_x64_take_b(struct fort_x64_values *values, struct fort_x64_op *op);
/* mem becomes the access through a register, of which the sum is returned. */
struct fort_x64_sum fort_x64_take_mem(const struct fort_x64 *x, struct fort_x64_values *values,
				      struct fort_x64_op *op, uint8_t reg, int32_t off);
void fort_x64_put_sum(struct fort_x64_op *op, const struct fort_x64_sum *sum);
void fort_x64_define_constant(struct fort_x64_values *values, uint8_t dst, int64_t constant);
void fort_x64_become_constant(struct fort_x64_values *values, struct fort_x64_op *op,
			      int64_t constant);
void fort_x64_become_nothing(struct fort_x64_op *op);
/* Is this what a load gave that can be moved to here? Nothing may have come between that a fault
 * could be told from, and its address must be there still, or again without the load. */
bool fort_x64_can_take(const struct fort_x64 *x, const struct fort_x64_values *values, uint8_t reg);
/* The same, of the operation's width. */
bool fort_x64_takes_memory(const struct fort_x64 *x, const struct fort_x64_values *values,
			   const struct fort_x64_op *op, uint8_t reg);
/* Operations `from` and `from2` could be done by this one. */
void fort_x64_mark(struct fort_x64 *x, struct fort_x64_op *op, enum fort_x64_pattern pattern,
		   uint32_t from, uint32_t from2);

/* --- one operation, by kind --- */

typedef void fort_x64_forwarder(struct fort_x64 *x, struct fort_x64_values *values,
				struct fort_x64_op *op);
fort_x64_forwarder fort_x64_forward_move, fort_x64_forward_alu, fort_x64_forward_shift,
	fort_x64_forward_divide, fort_x64_forward_extend, fort_x64_forward_swap;
fort_x64_forwarder fort_x64_forward_load, fort_x64_forward_store, fort_x64_forward_atomic;
