/* What registers hold along a block, in terms of what other registers hold: constants, and sums of
 * registers and constants (copies are sums of one). A register that is written again makes sums of
 * what it held before worthless, which versions tell.
 */
#pragma once

#include "engine/x64_op.h"

/* base + index << scale + disp. `exact`: in 64 bits, with the sign of disp; else only the low half
 * of the sum is that of the value. Of no registers: a constant. */
struct fort_x64_sum {
	uint8_t base, index, scale;
	bool exact;
	int32_t disp;
	uint32_t base_version, index_version;
};

/* How a register came to its value, for what can be done together; and which registers must not
 * have changed since: base and index of `needs`. */
enum fort_x64_origin {
	FORT_X64_OTHER,
	FORT_X64_LOADED,     /* by a load: those of its address */
	FORT_X64_LOADED_ALU, /* from what a load gave, by an ALU in place: the same, and its b */
	FORT_X64_SHIFTED,    /* by a constant: what was shifted has number `other_version` */
	FORT_X64_DIVIDED,    /* a / b, without sign: a and b */
	FORT_X64_MULTIPLIED, /* (a / b) * b: the same */
	FORT_X64_COVERS,     /* by a constant: what was there before has `other_version` */
};

struct fort_x64_value {
	uint32_t version; /* of the register, never used again */
	/* Registers with equal numbers hold the same: all of it, or in the lower half. */
	uint32_t number, low_number;
	bool is_sum, is_constant;
	bool used;     /* since it was written */
	uint8_t width; /* bits that may not be zero, from the lowest: 8, 16, 32 or 64 */
	uint8_t origin;
	bool source_low; /* SHIFTED: the upper half of what was shifted was zero */
	uint8_t other;   /* LOADED_ALU: b; SHIFTED: what was shifted */
	uint32_t other_version;
	struct fort_x64_sum sum;
	int64_t constant;
	/* Of `origin`: the operation, and the one before it that it continues. */
	uint32_t at, before;
	struct fort_x64_sum needs;
};

/* What was stored in the frame and can be had from a register, or is a constant. */
struct fort_x64_spill {
	int32_t disp; /* from r10 */
	uint8_t bits; /* 0: nothing */
	uint8_t reg;
	uint32_t version;
	int64_t constant; /* where reg is FORT_X64_NO_REG */
};
#define FORT_X64_SPILLS 8u

struct fort_x64_values {
	struct fort_x64_value of[FORT_REGS];
	struct fort_x64_spill spills[FORT_X64_SPILLS];
	uint32_t n_spills;             /* that were; the last FORT_X64_SPILLS are there */
	uint16_t mentioned[FORT_REGS]; /* registers whose sums may have it: a bit each */
	uint32_t last_version;
	uint32_t last_effect; /* operation that last accessed memory or called, plus one */
};

/* Have the registers of a sum not changed? */
bool fort_x64_sum_holds(const struct fort_x64_values *values, const struct fort_x64_sum *sum);

/* A register is written: nothing is known of it but what the caller fills in. Sums that it was in
 * go on with a copy of what it held, if there is one. */
void fort_x64_let_go(struct fort_x64_values *values, uint8_t reg);
static inline struct fort_x64_value *fort_x64_define(struct fort_x64_values *values, uint8_t reg)
{
	struct fort_x64_value *value = &values->of[reg];

	if (values->mentioned[reg])
		fort_x64_let_go(values, reg);
	/* Not more: what else there is means something only where one of these says so. */
	value->version = value->number = value->low_number = ++values->last_version;
	value->is_sum = value->is_constant = value->used = false;
	value->origin = FORT_X64_OTHER;
	value->width = 64;
	return value;
}
/* The same; and it is this sum now, unless it was in it. */
struct fort_x64_value *fort_x64_define_sum(struct fort_x64_values *values, uint8_t reg,
					   const struct fort_x64_sum *sum);
void fort_x64_set_sum(struct fort_x64_values *values, uint8_t reg, const struct fort_x64_sum *sum);
/* Paths join: known is what facts says. */
void fort_x64_values_join(struct fort_x64_values *values, const uint8_t known[FORT_REGS]);

/* Of one register, or none. Field by field: compilers clear what an initializer leaves out by
 * stores that overlap, and reading it then waits for all of them. */
static inline struct fort_x64_sum fort_x64_sum_make(uint8_t base, uint32_t version, int32_t disp,
						    bool exact)
{
	struct fort_x64_sum sum;

	sum.base = base;
	sum.index = FORT_X64_NO_REG;
	sum.scale = 0;
	sum.exact = exact;
	sum.disp = disp;
	sum.base_version = version;
	sum.index_version = 0;
	return sum;
}

/* The value of a register as a sum that still holds; where nothing is known, the register. With
 * `exact`, exact ones only. */
static inline struct fort_x64_sum fort_x64_sum_of(const struct fort_x64_values *values, uint8_t reg,
						  bool exact)
{
	const struct fort_x64_value *value = &values->of[reg];

	if (value->is_constant && (!exact || value->constant == (int32_t)value->constant))
		return fort_x64_sum_make(FORT_X64_NO_REG, 0, (int32_t)value->constant,
					 value->constant == (int32_t)value->constant);
	if (value->is_sum && (!exact || value->sum.exact))
		return value->sum;
	return fort_x64_sum_make(reg, value->version, 0, true);
}

/* Sums of sums, if they can be written as one. */
bool fort_x64_sum_add(struct fort_x64_sum *to, const struct fort_x64_sum *other);
static inline bool fort_x64_sum_add_constant(struct fort_x64_sum *to, int64_t constant)
{
	int64_t sum;

	if (__builtin_add_overflow((int64_t)to->disp, constant, &sum) || sum != (int32_t)sum)
		to->exact = false;
	to->disp = (int32_t)((uint64_t)to->disp + (uint64_t)constant);
	return true;
}
bool fort_x64_sum_shift(struct fort_x64_sum *to, unsigned by);
static inline bool fort_x64_sum_names(const struct fort_x64_sum *sum, uint8_t reg)
{
	return sum->base == reg || sum->index == reg;
}
static inline bool fort_x64_sum_is_constant(const struct fort_x64_sum *sum)
{
	return sum->base == FORT_X64_NO_REG && sum->index == FORT_X64_NO_REG;
}
static inline bool fort_x64_sum_is_register(const struct fort_x64_sum *sum)
{
	return sum->base != FORT_X64_NO_REG && sum->index == FORT_X64_NO_REG && !sum->disp;
}
/* The register that holds the same, in `bits` bits: the one it was copied from, or itself. */
static inline uint8_t fort_x64_source(const struct fort_x64_values *values, uint8_t reg,
				      unsigned bits)
{
	const struct fort_x64_value *value = &values->of[reg];

	if (!value->is_sum || (bits == 64 && !value->sum.exact) ||
	    (value->is_constant && (bits < 64 || value->constant == (int32_t)value->constant)))
		return reg; /* as fort_x64_sum_of would say: the register, or a constant */
	return fort_x64_sum_is_register(&value->sum) ? value->sum.base : reg;
}
/* Its value, where it is a number. */
static inline bool fort_x64_constant_of(const struct fort_x64_values *values, uint8_t reg,
					int64_t *out)
{
	*out = values->of[reg].constant;
	return values->of[reg].is_constant;
}

/* A store to the frame; what else is stored may be anywhere. */
void fort_x64_spill(struct fort_x64_values *values, const struct fort_x64_op *store);
void fort_x64_spills_forget(struct fort_x64_values *values);
/* If what is at mem was stored from r1 when that had `version`, r1 has it again. */
bool fort_x64_spill_uncover(struct fort_x64_values *values, const struct fort_x64_op *op,
			    uint32_t version);
/* What is at an operation's mem, which is read: if it was stored there by the same width; or NULL.
 */
const struct fort_x64_spill *fort_x64_spilled_at(const struct fort_x64_values *values,
						 const struct fort_x64_op *op);
/* Is mem in the frame, for an access of `bits`? It cannot fault then. */
static inline bool fort_x64_in_frame(const struct fort_x64_op *op, unsigned bits)
{
	return op->base == FORT_R10 && op->index == FORT_X64_NO_REG &&
	       op->disp >= -(int32_t)FORT_STACK_BYTES && op->disp <= -(int32_t)(bits / 8);
}
