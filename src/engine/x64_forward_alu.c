/* The forward pass: arithmetic. */
#include "engine/x64_forward.h"

/* --- sums --- */

/* a + (b or imm), if that can be written as one sum. */
static bool sum_of_both(const struct fort_x64_values *values, const struct fort_x64_op *op,
			bool exact, struct fort_x64_sum *out)
{
	struct fort_x64_sum other;

	*out = fort_x64_sum_of(values, op->a, exact);
	if (op->b == FORT_X64_NO_REG)
		return fort_x64_sum_add_constant(out, op->imm);
	other = fort_x64_sum_of(values, op->b, exact);
	return fort_x64_sum_add(out, &other);
}

/* The sum of a and (b or imm), or nothing changed and false. */
static bool add_up(struct fort_x64_values *values, struct fort_x64_op *op)
{
	bool wide = op->bits == 64, itself, known;
	struct fort_x64_value *value;
	struct fort_x64_sum sum, low;

	if (!sum_of_both(values, op, wide, &sum) || (wide && !sum.exact))
		return false;
	/* In terms of itself, dst is no sum any more; of others it may be, in its low half. */
	itself = fort_x64_sum_names(&sum, op->dst);
	known = itself && sum_of_both(values, op, false, &low);
	if (fort_x64_sum_is_constant(&sum)) {
		fort_x64_become_constant(values, op, wide ? sum.disp : (int64_t)(uint32_t)sum.disp);
		return true;
	}
	op->kind = FORT_X64_OP_SUM;
	fort_x64_put_sum(op, &sum);
	fort_x64_use(values, sum.base);
	fort_x64_use(values, sum.index);
	sum.exact &= wide;
	value = fort_x64_define_sum(values, op->dst, &sum);
	value->width = op->bits;
	if (known) {
		low.exact = false;
		fort_x64_set_sum(values, op->dst, &low);
	}
	return true;
}

static uint32_t number_of(const struct fort_x64_value *value, unsigned bits)
{
	return bits == 64 ? value->number : value->low_number;
}

/* (a << n) | (a >> bits - n), of the same a. The left shift's a must be there still, or again
 * without the shifts. */
static bool is_rotation(const struct fort_x64 *x, const struct fort_x64_values *values,
			const struct fort_x64_op *op, uint8_t left, uint8_t right)
{
	const struct fort_x64_value *l = &values->of[left], *r = &values->of[right];
	const struct fort_x64_op *shl = &x->ops[l->at], *shr = &x->ops[r->at];
	const struct fort_x64_value *source = &values->of[l->other];

	if (left == right || l->origin != FORT_X64_SHIFTED || r->origin != FORT_X64_SHIFTED ||
	    l->used || r->used)
		return false;
	if (shl->op != FORT_OP_LSH || shr->op != FORT_OP_RSH || shl->bits != op->bits ||
	    shr->bits != op->bits || shl->imm + shr->imm != op->bits)
		return false;
	return l->other_version == r->other_version &&
	       (number_of(source, op->bits) == l->other_version ||
		(source == l && shl->a == left) || (source == r && shr->a == right));
}

static void mark_rotation(struct fort_x64 *x, struct fort_x64_values *values,
			  struct fort_x64_op *op, uint8_t a, uint8_t b)
{
	if (is_rotation(x, values, op, a, b))
		fort_x64_mark(x, op, FORT_X64_ROTATION, values->of[a].at, values->of[b].at);
	else if (is_rotation(x, values, op, b, a))
		fort_x64_mark(x, op, FORT_X64_ROTATION, values->of[b].at, values->of[a].at);
}

/* a - (a / b) * b. Division by constants is multiplication: there is nothing to gain. */
static void mark_remainder(struct fort_x64 *x, struct fort_x64_values *values,
			   struct fort_x64_op *op, uint8_t a, uint8_t product)
{
	const struct fort_x64_value *value = &values->of[product];

	if (value->origin == FORT_X64_MULTIPLIED && !value->used && value->needs.base == a &&
	    fort_x64_sum_holds(values, &value->needs) && x->ops[value->before].bits == op->bits)
		fort_x64_mark(x, op, FORT_X64_REMAINDER, value->at, value->before);
}

/* --- ALU --- */

/* Did a load give a, that an ALU in place goes on with? */
static bool goes_on_from_load(const struct fort_x64 *x, const struct fort_x64_values *values,
			      const struct fort_x64_op *op)
{
	const struct fort_x64_value *a = &values->of[op->a];
	const struct fort_x64_op *load = &x->ops[a->at];

	return a->origin == FORT_X64_LOADED && !a->used && op->a == op->dst && op->b != op->a &&
	       op->pattern == FORT_X64_ALONE && values->last_effect == a->at + 1 &&
	       load->bits == op->bits && load->op == FORT_OP_LDX;
}

/* Is it (a / b) * b? */
static bool multiplies_quotient(const struct fort_x64 *x, const struct fort_x64_values *values,
				const struct fort_x64_op *op)
{
	const struct fort_x64_value *a = &values->of[op->a];

	return op->op == FORT_OP_MUL && a->origin == FORT_X64_DIVIDED && !a->used &&
	       op->b != FORT_X64_NO_REG && a->needs.index == op->b &&
	       a->needs.index_version == values->of[op->b].version &&
	       x->ops[a->at].bits == op->bits;
}

/* What an ALU made of its operands, for those that go on with it. */
static void define_alu(struct fort_x64 *x, struct fort_x64_values *values, struct fort_x64_op *op,
		       uint8_t width)
{
	bool loaded = goes_on_from_load(x, values, op);
	bool quotient = multiplies_quotient(x, values, op);
	uint32_t before = values->of[op->a].at;
	uint32_t b_version = op->b == FORT_X64_NO_REG ? 0 : values->of[op->b].version;
	struct fort_x64_sum needs = values->of[op->a].needs;
	struct fort_x64_value *value;

	fort_x64_use(values, op->a);
	fort_x64_use(values, op->b);
	value = fort_x64_define(values, op->dst);
	value->width = width;
	if (!loaded && !quotient)
		return;
	value->origin = loaded ? FORT_X64_LOADED_ALU : FORT_X64_MULTIPLIED;
	value->at = x->at;
	value->before = before;
	value->needs = needs;
	value->other = op->b;
	value->other_version = b_version;
}

static uint8_t lesser(uint8_t a, uint8_t b)
{
	return a < b ? a : b;
}

static uint8_t width_of_result(const struct fort_x64_values *values, const struct fort_x64_op *op)
{
	uint8_t a = values->of[op->a].width;
	uint8_t b = op->b == FORT_X64_NO_REG ? fort_x64_width_of((uint64_t)op->imm)
					     : values->of[op->b].width;

	switch (op->op) {
	case FORT_OP_AND: return lesser(lesser(a, b), op->bits);
	case FORT_OP_OR:
	case FORT_OP_XOR: return lesser(a > b ? a : b, op->bits);
	default: return op->bits;
	}
}

/* Masks that let everything through, those that an extension does, and those whose upper half is
 * zero: a 32-bit operation does. */
static void narrow_and(struct fort_x64_values *values, struct fort_x64_op *op)
{
	uint8_t width = values->of[op->a].width;
	int64_t mask = op->imm;

	if (op->b != FORT_X64_NO_REG &&
	    !(fort_x64_constant_of(values, op->b, &mask) && (uint64_t)mask <= UINT32_MAX))
		return;
	if (op->bits == 64 && mask < 0)
		return;
	mask = (uint32_t)mask;
	op->b = FORT_X64_NO_REG;
	op->imm = (int32_t)mask;
	op->bits = 32;
	if (mask == UINT32_MAX || (width < 32 && !(~mask & ((1ll << width) - 1)))) {
		op->kind = FORT_X64_OP_MOVE;
	} else if (mask == UINT8_MAX || mask == UINT16_MAX) {
		op->kind = FORT_X64_OP_EXTEND;
		op->op = FORT_OP_LE;
		op->imm = mask == UINT8_MAX ? 8 : 16;
	}
}

/* To a width that it may have. */
void fort_x64_forward_extend(struct fort_x64 *x, struct fort_x64_values *values,
			     struct fort_x64_op *op)
{
	bool sign = op->op != FORT_OP_LE;
	uint8_t width = sign ? op->bits : lesser(values->of[op->a].width, (uint8_t)op->imm);

	if (!sign && values->of[op->a].width <= op->imm) {
		op->kind = FORT_X64_OP_MOVE;
		fort_x64_forward_move(x, values, op);
		return;
	}
	fort_x64_take_a(values, op, 32);
	fort_x64_define(values, op->dst)->width = width;
}

/* Two bytes that have nothing above them need no extension once swapped. */
void fort_x64_forward_swap(struct fort_x64 *x, struct fort_x64_values *values,
			   struct fort_x64_op *op)
{
	op->value = values->of[op->a].width <= 16;
	fort_x64_take_a(values, op, op->bits);
	fort_x64_define(values, op->dst)->width = op->bits;
}

void fort_x64_forward_shift(struct fort_x64 *x, struct fort_x64_values *values,
			    struct fort_x64_op *op);

/* Products by powers of two are shifts; those by 3, 5 and 9 are sums. */
static bool multiply(struct fort_x64 *x, struct fort_x64_values *values, struct fort_x64_op *op)
{
	uint64_t by = (uint64_t)op->imm;

	if (op->op != FORT_OP_MUL || op->b != FORT_X64_NO_REG)
		return false;
	if (fort_is_power_of_two(by) && by <= INT32_MAX) {
		op->kind = FORT_X64_OP_SHIFT;
		op->op = FORT_OP_LSH;
		op->imm = __builtin_ctzll(by);
		fort_x64_forward_shift(x, values, op);
		return true;
	}
	if (by != 3 && by != 5 && by != 9)
		return false;
	fort_x64_take_a(values, op, op->bits);
	op->kind = FORT_X64_OP_SUM;
	op->base = op->index = op->a;
	op->scale = (uint8_t)__builtin_ctzll(by - 1);
	op->disp = 0;
	fort_x64_define(values, op->dst)->width = op->bits;
	return true;
}

static bool is_commutative(const struct fort_x64_op *op)
{
	return op->op != FORT_OP_SUB;
}

static void alu_operands(struct fort_x64 *x, struct fort_x64_values *values, struct fort_x64_op *op)
{
	op->a = fort_x64_source(values, op->a, op->bits);
	if (op->b != FORT_X64_NO_REG) {
		op->b = fort_x64_source(values, op->b, op->bits);
		if (is_commutative(op) && op->a != op->dst && op->b == op->dst) {
			op->b = op->a;
			op->a = op->dst;
		}
		if (op->a != op->b && fort_x64_takes_memory(x, values, op, op->b))
			fort_x64_mark(x, op, FORT_X64_TAKE_B, values->of[op->b].at, x->at);
		else if (op->op == FORT_OP_OR || op->op == FORT_OP_XOR || op->op == FORT_OP_ADD)
			mark_rotation(x, values, op, op->a, op->b);
		else if (op->op == FORT_OP_SUB)
			mark_remainder(x, values, op, op->a, op->b);
	}
	define_alu(x, values, op, width_of_result(values, op));
}

/* An addition whose lower half is that of a sum: if that is all that is needed, it can be one. */
static void low_sum(struct fort_x64_values *values, struct fort_x64_op *op,
		    struct fort_x64_sum *sum)
{
	sum->exact = false;
	fort_x64_set_sum(values, op->dst, sum);
	if (op->pattern != FORT_X64_ALONE)
		return;
	op->pattern = FORT_X64_LOW_SUM;
	fort_x64_put_sum(op, sum);
	fort_x64_use(values, sum->base);
	fort_x64_use(values, sum->index);
}

/* Would the operation rather work on memory, or be a part of something? */
static bool rather_alu(const struct fort_x64 *x, const struct fort_x64_values *values,
		       const struct fort_x64_op *op)
{
	uint8_t a = fort_x64_source(values, op->a, op->bits), b = op->b;

	if (a == op->dst && fort_x64_takes_memory(x, values, op, a))
		return true;
	if (b == FORT_X64_NO_REG)
		return false;
	b = fort_x64_source(values, b, op->bits);
	return fort_x64_takes_memory(x, values, op, b) || is_rotation(x, values, op, a, b) ||
	       is_rotation(x, values, op, b, a);
}

void fort_x64_forward_alu(struct fort_x64 *x, struct fort_x64_values *values,
			  struct fort_x64_op *op)
{
	struct fort_x64_sum sum;
	int64_t value;
	bool known;

	if (op->op == FORT_OP_AND)
		narrow_and(values, op);
	if (op->kind == FORT_X64_OP_EXTEND) {
		fort_x64_forward_extend(x, values, op);
		return;
	}
	if (op->kind == FORT_X64_OP_MOVE) {
		fort_x64_forward_move(x, values, op);
		return;
	}
	if (op->b != FORT_X64_NO_REG && fort_x64_constant_of(values, op->b, &value) &&
	    (op->bits == 32 || fort_x64_fits(value))) {
		op->b = FORT_X64_NO_REG;
		op->imm = (int32_t)value;
	}
	if (op->op == FORT_OP_SUB && op->b == FORT_X64_NO_REG && op->imm != INT32_MIN) {
		op->op = FORT_OP_ADD;
		op->imm = -op->imm;
	}
	if (op->op == FORT_OP_ADD && !rather_alu(x, values, op) && add_up(values, op))
		return;
	if (multiply(x, values, op))
		return;
	known = op->op == FORT_OP_ADD && sum_of_both(values, op, false, &sum);
	alu_operands(x, values, op);
	if (known)
		low_sum(values, op, &sum);
}

/* --- shifts --- */

/* d <<= 32 was a's only user; then d >>= n: the low half is extended, and shifted back. True if the
 * operation is done with. */
static bool extend_low(struct fort_x64 *x, struct fort_x64_values *values, struct fort_x64_op *op)
{
	struct fort_x64_value *value = &values->of[op->a];
	struct fort_x64_op *left = &x->ops[value->at];
	struct fort_x64_sum sum;
	uint8_t source;
	bool low;

	if (value->origin != FORT_X64_SHIFTED || value->used || op->a != op->dst ||
	    left->op != FORT_OP_LSH || left->bits != 64 || left->imm != 32 ||
	    op->op == FORT_OP_LSH || op->bits != 64 || !op->imm || op->imm > 32)
		return false;
	source = left->a;
	low = value->source_low;
	if (source != op->dst && values->of[source].number != value->other_version)
		return false;
	left->kind = op->op == FORT_OP_ARSH ? FORT_X64_OP_EXTEND : FORT_X64_OP_MOVE;
	left->op = FORT_OP_MOVSX32;
	left->bits = op->op == FORT_OP_ARSH ? 64 : 32;
	left->imm = 32;
	if (source == op->dst && low && op->op == FORT_OP_RSH) {
		left->kind = FORT_X64_OP_NOTHING;
		left->dst = FORT_X64_NO_REG;
	}
	value = fort_x64_define(values, op->dst);
	value->width = op->op == FORT_OP_RSH ? 32 : 64;
	if (op->op == FORT_OP_RSH && source != op->dst) {
		sum = fort_x64_sum_of(values, source, low);
		sum.exact &= low;
		fort_x64_set_sum(values, op->dst, &sum);
	}
	op->op = FORT_OP_LSH;
	op->imm = 32 - op->imm;
	if (op->imm)
		return false;
	op->kind = FORT_X64_OP_NOTHING;
	op->dst = FORT_X64_NO_REG;
	return true;
}

/* Right shifts leave less, by steps of the widths that are told apart. */
static uint8_t width_of_shifted(const struct fort_x64_op *op, uint8_t width)
{
	uint8_t before = lesser(width, op->bits);

	if (op->op != FORT_OP_RSH)
		return op->bits;
	return before - op->imm <= 8    ? 8
	       : before - op->imm <= 16 ? 16
	       : before - op->imm <= 32 ? 32
					: 64;
}

static void shift_by_constant(struct fort_x64 *x, struct fort_x64_values *values,
			      struct fort_x64_op *op)
{
	struct fort_x64_sum sum;
	struct fort_x64_value *value;
	uint32_t number;
	uint8_t width;
	bool wide = op->bits == 64, is_sum = false;

	if (extend_low(x, values, op))
		return;
	if (!op->imm) {
		op->kind = FORT_X64_OP_MOVE;
		fort_x64_forward_move(x, values, op);
		return;
	}
	sum = fort_x64_sum_of(values, op->a, wide);
	if (op->op == FORT_OP_LSH && op->imm <= 3)
		is_sum = fort_x64_sum_shift(&sum, (unsigned)op->imm) && (!wide || sum.exact);
	fort_x64_take_a(values, op, op->bits);
	width = values->of[op->a].width;
	number = number_of(&values->of[op->a], op->bits);
	value = fort_x64_define(values, op->dst);
	value->width = width_of_shifted(op, width);
	value->at = x->at;
	sum.exact &= wide;
	if (is_sum)
		fort_x64_set_sum(values, op->dst, &sum);
	value->origin = FORT_X64_SHIFTED;
	value->source_low = width <= 32;
	value->other = op->a;
	value->other_version = number;
}

void fort_x64_forward_shift(struct fort_x64 *x, struct fort_x64_values *values,
			    struct fort_x64_op *op)
{
	int64_t count;

	if (op->b != FORT_X64_NO_REG && fort_x64_constant_of(values, op->b, &count)) {
		op->b = FORT_X64_NO_REG;
		op->imm = count & (op->bits - 1);
	}
	if (op->b == FORT_X64_NO_REG) {
		shift_by_constant(x, values, op);
		return;
	}
	fort_x64_take_b(values, op);
	fort_x64_take_a(values, op, op->bits);
	fort_x64_define(values, op->dst)->width = op->bits;
}

void fort_x64_forward_divide(struct fort_x64 *x, struct fort_x64_values *values,
			     struct fort_x64_op *op)
{
	struct fort_x64_sum operands;
	struct fort_x64_value *value;

	fort_x64_take_b(values, op);
	fort_x64_take_a(values, op, op->bits);
	operands = (struct fort_x64_sum){.base = op->a,
					 .index = op->b,
					 .base_version = values->of[op->a].version,
					 .index_version = op->b == FORT_X64_NO_REG
								  ? 0
								  : values->of[op->b].version};
	value = fort_x64_define(values, op->dst);
	value->width = op->bits;
	value->at = x->at;
	if (op->op != FORT_OP_DIV)
		return;
	value->origin = FORT_X64_DIVIDED;
	value->needs = operands;
}
