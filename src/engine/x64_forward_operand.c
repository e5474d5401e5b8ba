#include "engine/x64_forward.h"

/* --- operands --- */

/* b or imm, for an operation of `bits`. */
void fort_x64_take_b(struct fort_x64_values *values, struct fort_x64_op *op)
{
	int64_t value;

	if (op->b == FORT_X64_NO_REG)
		return;
	if (fort_x64_constant_of(values, op->b, &value) &&
	    (op->bits == 32 || fort_x64_fits(value))) {
		op->b = FORT_X64_NO_REG;
		op->imm = (int32_t)value;
		return;
	}
	op->b = fort_x64_source(values, op->b, op->bits);
	fort_x64_use(values, op->b);
}

void fort_x64_take_a(struct fort_x64_values *values, struct fort_x64_op *op, unsigned bits)
{
	op->a = fort_x64_source(values, op->a, bits);
	fort_x64_use(values, op->a);
}

void fort_x64_put_sum(struct fort_x64_op *op, const struct fort_x64_sum *sum)
{
	op->base = sum->base;
	op->index = sum->index;
	op->scale = sum->scale;
	op->disp = sum->disp;
}

/* mem of an access through a register. Without a window addresses are of 64 bits. */
struct fort_x64_sum fort_x64_take_mem(const struct fort_x64 *x, struct fort_x64_values *values,
				      struct fort_x64_op *op, uint8_t reg, int32_t off)
{
	struct fort_x64_sum sum;

	if (!values->of[reg].is_sum && !values->of[reg].is_constant) { /* as most are */
		sum = fort_x64_sum_make(reg, values->of[reg].version, off, true);
		fort_x64_put_sum(op, &sum);
		fort_x64_use(values, reg);
		return sum;
	}
	sum = fort_x64_sum_of(values, reg, !x->window);
	fort_x64_sum_add_constant(&sum, off);
	if (!x->window && (!sum.exact || fort_x64_sum_is_constant(&sum))) {
		sum = (struct fort_x64_sum){.base = reg,
					    .index = FORT_X64_NO_REG,
					    .exact = true,
					    .disp = off,
					    .base_version = values->of[reg].version};
	}
	fort_x64_put_sum(op, &sum);
	fort_x64_use(values, sum.base);
	fort_x64_use(values, sum.index);
	return sum;
}

/* --- results --- */

void fort_x64_define_constant(struct fort_x64_values *values, uint8_t dst, int64_t constant)
{
	struct fort_x64_value *value = fort_x64_define(values, dst);

	value->is_constant = true;
	value->constant = constant;
	value->width = fort_x64_width_of((uint64_t)constant);
}

void fort_x64_become_constant(struct fort_x64_values *values, struct fort_x64_op *op,
			      int64_t constant)
{
	op->kind = FORT_X64_OP_CONST;
	op->bits = 64;
	op->imm = constant;
	fort_x64_define_constant(values, op->dst, constant);
}

void fort_x64_become_nothing(struct fort_x64_op *op)
{
	op->kind = FORT_X64_OP_NOTHING;
	op->dst = FORT_X64_NO_REG;
}

/* A number that is too long to be an operand is copied from where it is. */
static bool move_constant(struct fort_x64_values *values, struct fort_x64_op *op)
{
	int64_t constant;

	if (!fort_x64_constant_of(values, op->a, &constant))
		return false;
	constant = op->bits == 32 ? (int64_t)(uint32_t)constant : constant;
	if (!fort_x64_fits(constant) && (uint64_t)constant > UINT32_MAX)
		return false;
	fort_x64_become_constant(values, op, constant);
	return true;
}

void fort_x64_forward_move(struct fort_x64 *x, struct fort_x64_values *values,
			   struct fort_x64_op *op)
{
	uint32_t number = values->of[op->a].number, low_number = values->of[op->a].low_number;
	uint8_t width = values->of[op->a].width;
	bool whole = op->bits == 64 || width <= 32;
	struct fort_x64_sum sum = fort_x64_sum_of(values, op->a, whole);
	struct fort_x64_value *value;
	int64_t constant;

	if (move_constant(values, op))
		return;
	fort_x64_take_a(values, op, whole ? 64 : 32);
	if (whole && op->a == op->dst) {
		fort_x64_become_nothing(op);
		return;
	}
	sum.exact &= whole;
	value = fort_x64_define_sum(values, op->dst, &sum);
	value->width = width < op->bits ? width : op->bits;
	value->low_number = low_number;
	if (whole)
		value->number = number;
	if (op->bits == 64 && fort_x64_constant_of(values, op->a, &constant)) {
		value->is_constant = true;
		value->constant = constant;
	}
}

/* --- what can be done together --- */

/* Is this what a load gave that can be moved to here? Nothing may have come between that a fault
 * could be told from, and its address must be there still, or again without the load. */
bool fort_x64_can_take(const struct fort_x64 *x, const struct fort_x64_values *values, uint8_t reg)
{
	const struct fort_x64_value *value = &values->of[reg];
	struct fort_x64_sum needs = value->needs;

	if (needs.base == reg)
		needs.base = FORT_X64_NO_REG;
	if (needs.index == reg)
		needs.index = FORT_X64_NO_REG;
	return value->origin == FORT_X64_LOADED && !value->used &&
	       values->last_effect == value->at + 1 && fort_x64_sum_holds(values, &needs);
}

bool fort_x64_takes_memory(const struct fort_x64 *x, const struct fort_x64_values *values,
			   const struct fort_x64_op *op, uint8_t reg)
{
	const struct fort_x64_op *load = &x->ops[values->of[reg].at];

	return fort_x64_can_take(x, values, reg) && load->op == FORT_OP_LDX &&
	       load->bits == op->bits;
}

void fort_x64_mark(struct fort_x64 *x, struct fort_x64_op *op, enum fort_x64_pattern pattern,
		   uint32_t from, uint32_t from2)
{
	if (x->at - from > UINT8_MAX || x->at - from2 > UINT8_MAX)
		return;
	op->pattern = (uint8_t)pattern;
	op->from = (uint8_t)(x->at - from);
	op->from2 = (uint8_t)(x->at - from2);
}
