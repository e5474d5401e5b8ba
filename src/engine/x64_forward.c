/* Along each block, first to last: operands that are copies, constants or sums of others are
 * replaced by these, so that moves and additions have nobody left who needs them; and operations
 * that one instruction of the machine does together are marked.
 *
 * Nothing here removes an operation that something else may need: that is known backwards only.
 */
#include "engine/x64_value.h"

static void use(struct fort_x64_values *values, uint8_t reg)
{
	if (reg != FORT_X64_NO_REG)
		values->of[reg].used = true;
}

static bool fits(int64_t value)
{
	return value == (int32_t)value;
}

static bool names(const struct fort_x64_sum *sum, uint8_t reg)
{
	return sum->base == reg || sum->index == reg;
}

static bool is_constant(const struct fort_x64_sum *sum)
{
	return sum->base == FORT_X64_NO_REG && sum->index == FORT_X64_NO_REG;
}

/* --- operands --- */

/* b or imm, for an operation of `bits`. */
static void take_b(struct fort_x64_values *values, struct fort_x64_op *op)
{
	int64_t value;

	if (op->b == FORT_X64_NO_REG)
		return;
	if (fort_x64_constant_of(values, op->b, &value) && (op->bits == 32 || fits(value))) {
		op->b = FORT_X64_NO_REG;
		op->imm = (int32_t)value;
		return;
	}
	op->b = fort_x64_source(values, op->b, op->bits);
	use(values, op->b);
}

static void take_a(struct fort_x64_values *values, struct fort_x64_op *op, unsigned bits)
{
	op->a = fort_x64_source(values, op->a, bits);
	use(values, op->a);
}

static void put_sum(struct fort_x64_op *op, const struct fort_x64_sum *sum)
{
	op->base = sum->base;
	op->index = sum->index;
	op->scale = sum->scale;
	op->disp = sum->disp;
}

/* mem of an access through a register. Without a window addresses are of 64 bits. */
static struct fort_x64_sum take_mem(const struct fort_x64 *x, struct fort_x64_values *values,
				    struct fort_x64_op *op, uint8_t reg, int32_t off)
{
	struct fort_x64_sum sum = fort_x64_sum_of(values, reg, !x->window);

	fort_x64_sum_add_constant(&sum, off);
	if (!x->window && (!sum.exact || is_constant(&sum))) {
		sum = (struct fort_x64_sum){.base = reg,
					    .index = FORT_X64_NO_REG,
					    .exact = true,
					    .disp = off,
					    .base_version = values->of[reg].version};
	}
	put_sum(op, &sum);
	use(values, sum.base);
	use(values, sum.index);
	return sum;
}

/* --- results --- */

static void define_constant(struct fort_x64_values *values, uint8_t dst, int64_t constant)
{
	struct fort_x64_value *value = fort_x64_define(values, dst);

	value->is_constant = true;
	value->constant = constant;
	value->low_half = (uint64_t)constant <= UINT32_MAX;
}

static void become_constant(struct fort_x64_values *values, struct fort_x64_op *op,
			    int64_t constant)
{
	op->kind = FORT_X64_OP_CONST;
	op->bits = 64;
	op->imm = constant;
	define_constant(values, op->dst, constant);
}

static void move(struct fort_x64_values *values, struct fort_x64_op *op)
{
	const struct fort_x64_value *from = &values->of[op->a];
	bool low = from->low_half, whole = op->bits == 64 || low;
	struct fort_x64_sum sum = fort_x64_sum_of(values, op->a, whole);
	int64_t constant;

	if (fort_x64_constant_of(values, op->a, &constant)) {
		constant = op->bits == 32 ? (int64_t)(uint32_t)constant : constant;
		if (fits(constant) || (uint64_t)constant <= UINT32_MAX) {
			become_constant(values, op, constant);
			return;
		}
	}
	take_a(values, op, whole ? 64 : 32);
	if (whole && op->a == op->dst) {
		op->kind = FORT_X64_OP_NOTHING;
		op->dst = FORT_X64_NO_REG;
		return;
	}
	sum.exact &= whole;
	fort_x64_define_sum(values, op->dst, &sum)->low_half = low || op->bits == 32;
	if (op->bits == 64 && fort_x64_constant_of(values, op->a, &constant)) {
		values->of[op->dst].is_constant = true;
		values->of[op->dst].constant = constant;
	}
}

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
	bool wide = op->bits == 64, known;
	struct fort_x64_value *value;
	struct fort_x64_sum sum, low;

	if (!sum_of_both(values, op, wide, &sum) || (wide && !sum.exact))
		return false;
	known = sum_of_both(values, op, false, &low);
	if (is_constant(&sum)) {
		become_constant(values, op, wide ? sum.disp : (int64_t)(uint32_t)sum.disp);
		return true;
	}
	op->kind = FORT_X64_OP_SUM;
	put_sum(op, &sum);
	use(values, sum.base);
	use(values, sum.index);
	sum.exact &= wide;
	value = fort_x64_define_sum(values, op->dst, &sum);
	value->low_half = !wide;
	low.exact = false; /* the sum of others, if only that of its low half */
	if (known && !value->is_sum)
		fort_x64_set_sum(values, op->dst, &low);
	return true;
}

/* --- what can be done together --- */

/* Is this what a load gave that can be moved to here? Nothing may have come between that a fault
 * could be told from, and its address must be there still, or again without the load. */
static bool can_take(const struct fort_x64 *x, const struct fort_x64_values *values, uint8_t reg)
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

static bool takes_memory(const struct fort_x64 *x, const struct fort_x64_values *values,
			 const struct fort_x64_op *op, uint8_t reg)
{
	const struct fort_x64_op *load = &x->ops[values->of[reg].at];

	return can_take(x, values, reg) && load->op == FORT_OP_LDX && load->bits == op->bits;
}

static void mark(struct fort_x64 *x, struct fort_x64_op *op, enum fort_x64_pattern pattern,
		 uint32_t from, uint32_t from2)
{
	if (x->at - from > UINT8_MAX || x->at - from2 > UINT8_MAX)
		return;
	op->pattern = (uint8_t)pattern;
	op->from = (uint8_t)(x->at - from);
	op->from2 = (uint8_t)(x->at - from2);
}

/* (a << n) | (a >> bits - n), of the same a, which may be where either shift went. */
static bool is_rotation(const struct fort_x64 *x, const struct fort_x64_values *values,
			const struct fort_x64_op *op, uint8_t left, uint8_t right)
{
	const struct fort_x64_value *l = &values->of[left], *r = &values->of[right];
	const struct fort_x64_op *shl = &x->ops[l->at], *shr = &x->ops[r->at];
	const struct fort_x64_value *source;

	if (left == right || l->origin != FORT_X64_SHIFTED || r->origin != FORT_X64_SHIFTED ||
	    l->used || r->used)
		return false;
	if (shl->op != FORT_OP_LSH || shr->op != FORT_OP_RSH || shl->bits != op->bits ||
	    shr->bits != op->bits || shl->imm + shr->imm != op->bits)
		return false;
	source = &values->of[l->needs.base];
	return l->needs.base == r->needs.base && l->needs.base_version == r->needs.base_version &&
	       (source->version == l->needs.base_version || source == l || source == r);
}

static void mark_rotation(struct fort_x64 *x, struct fort_x64_values *values,
			  struct fort_x64_op *op, uint8_t a, uint8_t b)
{
	if (is_rotation(x, values, op, a, b))
		mark(x, op, FORT_X64_ROTATION, values->of[a].at, values->of[b].at);
	else if (is_rotation(x, values, op, b, a))
		mark(x, op, FORT_X64_ROTATION, values->of[b].at, values->of[a].at);
}

/* a - (a / b) * b. Division by constants is multiplication: there is nothing to gain. */
static void mark_remainder(struct fort_x64 *x, struct fort_x64_values *values,
			   struct fort_x64_op *op, uint8_t a, uint8_t product)
{
	const struct fort_x64_value *value = &values->of[product];

	if (value->origin == FORT_X64_MULTIPLIED && !value->used && value->needs.base == a &&
	    fort_x64_sum_holds(values, &value->needs) && x->ops[value->before].bits == op->bits)
		mark(x, op, FORT_X64_REMAINDER, value->at, value->before);
}

/* --- ALU --- */

/* What an ALU made of its operands, for those that go on with it. */
static void define_alu(struct fort_x64 *x, struct fort_x64_values *values, struct fort_x64_op *op,
		       struct fort_x64_value a, struct fort_x64_value b, bool low)
{
	bool loaded = a.origin == FORT_X64_LOADED && !a.used && op->a == op->dst &&
		      values->last_effect == a.at + 1 && x->ops[a.at].bits == op->bits &&
		      x->ops[a.at].op == FORT_OP_LDX && op->b != op->a;
	bool quotient = op->op == FORT_OP_MUL && a.origin == FORT_X64_DIVIDED && !a.used &&
			op->b != FORT_X64_NO_REG && a.needs.index == op->b &&
			a.needs.index_version == b.version && x->ops[a.at].bits == op->bits;
	struct fort_x64_value *value = fort_x64_define(values, op->dst);

	value->low_half = low;
	value->at = x->at;
	value->before = a.at;
	if (loaded && op->pattern == FORT_X64_ALONE) {
		value->origin = FORT_X64_LOADED_ALU;
		value->needs = a.needs;
		value->other = op->b;
		value->other_version = b.version;
	} else if (quotient) {
		value->origin = FORT_X64_MULTIPLIED;
		value->needs = a.needs;
	}
}

static bool low_result(const struct fort_x64_values *values, const struct fort_x64_op *op)
{
	bool low_a = values->of[op->a].low_half;
	bool low_b = op->b == FORT_X64_NO_REG ? op->imm >= 0 : values->of[op->b].low_half;

	switch (op->op) {
	case FORT_OP_AND: return op->bits == 32 || low_a || low_b;
	case FORT_OP_OR:
	case FORT_OP_XOR: return op->bits == 32 || (low_a && low_b);
	default: return op->bits == 32;
	}
}

/* Masks that an extension does, and those whose upper half is zero: a 32-bit operation does. */
static void narrow_and(struct fort_x64_values *values, struct fort_x64_op *op)
{
	int64_t mask = op->imm;

	if (op->b != FORT_X64_NO_REG &&
	    !(fort_x64_constant_of(values, op->b, &mask) && (uint64_t)mask <= UINT32_MAX))
		return;
	if (op->bits == 64 && mask < 0)
		return;
	op->b = FORT_X64_NO_REG;
	op->imm = (int32_t)mask;
	op->bits = 32;
	if (op->imm != 0xff && op->imm != 0xffff && op->imm != -1)
		return;
	op->kind = op->imm == -1 ? FORT_X64_OP_MOVE : FORT_X64_OP_EXTEND;
	op->op = FORT_OP_LE;
	op->imm = op->imm == 0xff ? 8 : 16;
}

static void extend(struct fort_x64_values *values, struct fort_x64_op *op)
{
	bool low = op->bits == 32 || op->op == FORT_OP_LE;

	take_a(values, op, 32);
	fort_x64_define(values, op->dst)->low_half = low;
}

static void shift(struct fort_x64 *x, struct fort_x64_values *values, struct fort_x64_op *op);

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
		shift(x, values, op);
		return true;
	}
	if (by != 3 && by != 5 && by != 9)
		return false;
	take_a(values, op, op->bits);
	op->kind = FORT_X64_OP_SUM;
	op->base = op->index = op->a;
	op->scale = (uint8_t)__builtin_ctzll(by - 1);
	op->disp = 0;
	fort_x64_define(values, op->dst)->low_half = op->bits == 32;
	return true;
}

static bool is_commutative(const struct fort_x64_op *op)
{
	return op->op != FORT_OP_SUB;
}

static void alu_operands(struct fort_x64 *x, struct fort_x64_values *values, struct fort_x64_op *op)
{
	struct fort_x64_value a, b = {0};
	bool low;

	op->a = fort_x64_source(values, op->a, op->bits);
	if (op->b != FORT_X64_NO_REG) {
		op->b = fort_x64_source(values, op->b, op->bits);
		if (is_commutative(op) && op->a != op->dst && op->b == op->dst) {
			op->b = op->a;
			op->a = op->dst;
		}
		if (op->a != op->b && takes_memory(x, values, op, op->b))
			mark(x, op, FORT_X64_TAKE_B, values->of[op->b].at, x->at);
		else if (op->op == FORT_OP_OR || op->op == FORT_OP_XOR || op->op == FORT_OP_ADD)
			mark_rotation(x, values, op, op->a, op->b);
		else if (op->op == FORT_OP_SUB)
			mark_remainder(x, values, op, op->a, op->b);
		b = values->of[op->b];
	}
	a = values->of[op->a];
	low = low_result(values, op);
	use(values, op->a);
	use(values, op->b);
	define_alu(x, values, op, a, b, low);
}

/* Would the operation rather work on memory, or be a part of something? */
static bool rather_alu(const struct fort_x64 *x, const struct fort_x64_values *values,
		       const struct fort_x64_op *op)
{
	uint8_t a = fort_x64_source(values, op->a, op->bits), b = op->b;

	if (a == op->dst && takes_memory(x, values, op, a))
		return true;
	if (b == FORT_X64_NO_REG)
		return false;
	b = fort_x64_source(values, b, op->bits);
	return takes_memory(x, values, op, b) || is_rotation(x, values, op, a, b) ||
	       is_rotation(x, values, op, b, a);
}

static void alu(struct fort_x64 *x, struct fort_x64_values *values, struct fort_x64_op *op)
{
	struct fort_x64_sum sum;
	int64_t value;
	bool known;

	if (op->op == FORT_OP_AND)
		narrow_and(values, op);
	if (op->kind == FORT_X64_OP_EXTEND) {
		extend(values, op);
		return;
	}
	if (op->kind == FORT_X64_OP_MOVE) {
		move(values, op);
		return;
	}
	if (op->b != FORT_X64_NO_REG && fort_x64_constant_of(values, op->b, &value) &&
	    (op->bits == 32 || fits(value))) {
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
	sum.exact = false;
	if (known)
		fort_x64_set_sum(values, op->dst, &sum);
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
	if (source != op->dst && values->of[source].version != value->needs.base_version)
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
	value->low_half = op->op == FORT_OP_RSH;
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

static void shift_by_constant(struct fort_x64 *x, struct fort_x64_values *values,
			      struct fort_x64_op *op)
{
	struct fort_x64_sum sum;
	struct fort_x64_value *value, before;
	bool wide = op->bits == 64, is_sum = false;

	if (extend_low(x, values, op))
		return;
	if (!op->imm) {
		op->kind = FORT_X64_OP_MOVE;
		move(values, op);
		return;
	}
	sum = fort_x64_sum_of(values, op->a, wide);
	if (op->op == FORT_OP_LSH && op->imm <= 3)
		is_sum = fort_x64_sum_shift(&sum, (unsigned)op->imm) && (!wide || sum.exact);
	take_a(values, op, op->bits);
	before = values->of[op->a];
	value = fort_x64_define(values, op->dst);
	value->low_half = !wide || (op->op == FORT_OP_RSH && (before.low_half || op->imm >= 32));
	value->at = x->at;
	sum.exact &= wide;
	if (is_sum)
		fort_x64_set_sum(values, op->dst, &sum);
	value->origin = FORT_X64_SHIFTED;
	value->source_low = before.low_half;
	value->needs = (struct fort_x64_sum){.base = op->a,
					     .index = FORT_X64_NO_REG,
					     .base_version = before.version};
}

static void shift(struct fort_x64 *x, struct fort_x64_values *values, struct fort_x64_op *op)
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
	take_b(values, op);
	take_a(values, op, op->bits);
	fort_x64_define(values, op->dst)->low_half = op->bits == 32;
}

static void divide(struct fort_x64 *x, struct fort_x64_values *values, struct fort_x64_op *op)
{
	struct fort_x64_sum operands;
	struct fort_x64_value *value;

	take_b(values, op);
	take_a(values, op, op->bits);
	operands = (struct fort_x64_sum){.base = op->a,
					 .index = op->b,
					 .base_version = values->of[op->a].version,
					 .index_version = op->b == FORT_X64_NO_REG
								  ? 0
								  : values->of[op->b].version};
	value = fort_x64_define(values, op->dst);
	value->low_half = op->bits == 32;
	value->at = x->at;
	if (op->op != FORT_OP_DIV)
		return;
	value->origin = FORT_X64_DIVIDED;
	value->needs = operands;
}

/* --- memory --- */

static void load(struct fort_x64 *x, struct fort_x64_values *values, struct fort_x64_op *op)
{
	struct fort_x64_sum sum = take_mem(x, values, op, op->base, op->disp);
	struct fort_x64_value *value = fort_x64_define(values, op->dst);

	value->low_half = op->bits < 64 && op->op != FORT_OP_LDXS;
	value->origin = FORT_X64_LOADED;
	value->at = x->at;
	value->needs = sum;
	values->last_effect = x->at + 1;
}

static bool same_mem(const struct fort_x64_op *a, const struct fort_x64_op *b)
{
	return a->base == b->base && a->index == b->index && a->scale == b->scale &&
	       a->disp == b->disp && a->bits == b->bits;
}

/* Does it put back what an ALU made of what was there? */
static void mark_rewrite(struct fort_x64 *x, const struct fort_x64_values *values,
			 struct fort_x64_op *op)
{
	const struct fort_x64_value *value = &values->of[op->a];
	const struct fort_x64_op *alu = &x->ops[value->at];

	if (value->origin != FORT_X64_LOADED_ALU || value->used ||
	    values->last_effect != value->before + 1 ||
	    !fort_x64_sum_holds(values, &value->needs) || !same_mem(op, &x->ops[value->before]) ||
	    (value->other != FORT_X64_NO_REG &&
	     values->of[value->other].version != value->other_version))
		return;
	if (alu->op != FORT_OP_ADD && alu->op != FORT_OP_SUB && alu->op != FORT_OP_OR &&
	    alu->op != FORT_OP_AND && alu->op != FORT_OP_XOR)
		return;
	if (op->pc - x->ops[value->before].pc <= UINT8_MAX)
		mark(x, op, FORT_X64_REWRITE, value->at, value->before);
}

static void store(struct fort_x64 *x, struct fort_x64_values *values, struct fort_x64_op *op)
{
	int64_t value;

	take_mem(x, values, op, op->base, op->disp);
	if (op->a != FORT_X64_NO_REG) {
		op->a = fort_x64_source(values, op->a, op->bits == 64 ? 64 : 32);
		if (fort_x64_constant_of(values, op->a, &value) && (op->bits < 64 || fits(value))) {
			op->a = FORT_X64_NO_REG;
			op->imm = (int32_t)value;
		} else {
			mark_rewrite(x, values, op);
			use(values, op->a);
		}
	}
	values->last_effect = x->at + 1;
}

static void atomic(struct fort_x64 *x, struct fort_x64_values *values, struct fort_x64_op *op)
{
	take_mem(x, values, op, op->base, op->disp);
	if (op->dst != op->a)
		op->a = fort_x64_source(values, op->a, op->bits);
	use(values, op->a);
	if (op->op == FORT_OP_A_CMPXCHG)
		use(values, FORT_R0);
	if (op->dst != FORT_X64_NO_REG)
		fort_x64_define(values, op->dst)->low_half = op->bits == 32;
	values->last_effect = x->at + 1;
}

/* --- conditions --- */

/* Bytes and words of memory can be compared with constants that they could be. */
static bool compares_memory(const struct fort_x64 *x, const struct fort_x64_values *values,
			    const struct fort_x64_op *op)
{
	const struct fort_x64_op *load = &x->ops[values->of[op->a].at];

	if (!can_take(x, values, op->a) || load->op != FORT_OP_LDX || op->op == FORT_OP_JSET)
		return false;
	if (load->bits == op->bits)
		return true;
	return load->bits == 8 && op->b == FORT_X64_NO_REG && (uint64_t)op->imm <= UINT8_MAX &&
	       op->op != FORT_OP_JSGT && op->op != FORT_OP_JSGE && op->op != FORT_OP_JSLT &&
	       op->op != FORT_OP_JSLE;
}

static void condition(struct fort_x64 *x, struct fort_x64_values *values, struct fort_x64_op *op)
{
	int64_t value;

	op->a = fort_x64_source(values, op->a, op->bits);
	if (op->b != FORT_X64_NO_REG && fort_x64_constant_of(values, op->b, &value) &&
	    (op->bits == 32 || fits(value))) {
		op->b = FORT_X64_NO_REG;
		op->imm = (int32_t)value;
	}
	if (op->b != FORT_X64_NO_REG)
		op->b = fort_x64_source(values, op->b, op->bits);
	if (op->kind == FORT_X64_OP_BRANCH && op->a != op->b) {
		if (compares_memory(x, values, op))
			mark(x, op, FORT_X64_TAKE_A, values->of[op->a].at, x->at);
		else if (op->b != FORT_X64_NO_REG && op->op != FORT_OP_JSET &&
			 takes_memory(x, values, op, op->b))
			mark(x, op, FORT_X64_TAKE_B, values->of[op->b].at, x->at);
	}
	use(values, op->a);
	use(values, op->b);
}

/* Where it leads somebody may need anything, with all faults that come before. */
static void branch(struct fort_x64 *x, struct fort_x64_values *values, struct fort_x64_op *op)
{
	condition(x, values, op);
	for (uint8_t reg = 0; reg < FORT_REGS; reg++)
		use(values, reg);
	values->last_effect = x->at + 1;
}

static void select_one(struct fort_x64 *x, struct fort_x64_values *values, struct fort_x64_op *op)
{
	bool low = values->of[op->dst].low_half;
	int64_t value;

	condition(x, values, op);
	if (op->index != FORT_X64_NO_REG) {
		low &= values->of[op->index].low_half;
		op->index = fort_x64_source(values, op->index, 64);
		if (fort_x64_constant_of(values, op->index, &value) && fits(value)) {
			op->index = FORT_X64_NO_REG;
			op->disp = (int32_t)value;
		}
	} else {
		low &= op->disp >= 0;
	}
	use(values, op->index);
	use(values, op->dst);
	if (op->index == op->dst) {
		op->kind = FORT_X64_OP_NOTHING;
		op->dst = FORT_X64_NO_REG;
		return;
	}
	/* Of two constants that are 0 and 1, the condition is the value. */
	op->keep = values->of[op->dst].is_constant && (uint64_t)values->of[op->dst].constant <= 1 &&
		   op->index == FORT_X64_NO_REG && op->disp == !values->of[op->dst].constant;
	if (op->keep)
		op->value = (uint8_t)values->of[op->dst].constant;
	fort_x64_define(values, op->dst)->low_half = low;
}

/* --- calls --- */

static void define_up_to(struct fort_x64_values *values, uint8_t last)
{
	for (uint8_t reg = FORT_R0; reg <= last; reg++)
		fort_x64_define(values, reg);
}

static const struct fort_map_lookup *map_in(const struct fort_x64 *x,
					    const struct fort_x64_values *values, uint32_t *index)
{
	const struct fort_compile *request = x->request;
	int64_t handle;

	if (!request->lookups || !fort_x64_constant_of(values, FORT_R1, &handle))
		return NULL;
	*index = (uint32_t)handle;
	if (*index >= request->domain->n_maps || (uint64_t)handle != fort_map_handle(*index) ||
	    !request->domain->map_start[*index])
		return NULL;
	return &request->lookups[*index];
}

static bool can_index(const struct fort_x64 *x, const struct fort_map_lookup *lookup)
{
	return lookup->n && lookup->stride <= INT32_MAX && lookup->cpu_bytes <= INT32_MAX &&
	       (!lookup->n_cpus || x->cpu_offset);
}

static void look_up(struct fort_x64 *x, struct fort_x64_values *values, struct fort_x64_op *op)
{
	const struct fort_map_lookup *lookup = map_in(x, values, &op->target);

	if (!lookup)
		return;
	if (can_index(x, lookup)) {
		op->kind = FORT_X64_OP_LOOKUP;
		take_mem(x, values, op, FORT_R2, 0);
	} else if (lookup->function) {
		op->value = 1;
	}
}

static void helper(struct fort_x64 *x, struct fort_x64_values *values, struct fort_x64_op *op)
{
	struct fort_helper_shape shape = {.n_args = 5};

	if (x->request->shape)
		shape = x->request->shape((uint32_t)op->imm);
	op->scale = shape.n_args;
	if (!x->request->helper((uint32_t)op->imm))
		shape.inlines = FORT_INLINE_NOTHING;
	if (shape.inlines == FORT_INLINE_LOOKUP) {
		look_up(x, values, op);
	} else if (shape.inlines == FORT_INLINE_CPU) {
		op->kind = FORT_X64_OP_CPU;
	} else if (shape.inlines == FORT_INLINE_CACHED) {
		op->kind = FORT_X64_OP_CACHED;
		op->disp = (int32_t)shape.offset;
	}
	for (uint8_t reg = FORT_R1; reg <= FORT_R5; reg++)
		use(values, reg);
	define_up_to(values, FORT_R5);
	values->last_effect = x->at + 1;
}

/* --- all of it --- */

static void step(struct fort_x64 *x, struct fort_x64_values *values, struct fort_x64_op *op)
{
	/* dispatch: a case for each kind */
	switch (op->kind) {
	case FORT_X64_OP_MOVE: move(values, op); break;
	case FORT_X64_OP_CONST: define_constant(values, op->dst, op->imm); break;
	case FORT_X64_OP_ALU: alu(x, values, op); break;
	case FORT_X64_OP_SHIFT: shift(x, values, op); break;
	case FORT_X64_OP_NEG:
	case FORT_X64_OP_SWAP:
		take_a(values, op, op->bits);
		fort_x64_define(values, op->dst)->low_half = op->bits < 64;
		break;
	case FORT_X64_OP_EXTEND: extend(values, op); break;
	case FORT_X64_OP_DIVIDE: divide(x, values, op); break;
	case FORT_X64_OP_LOAD: load(x, values, op); break;
	case FORT_X64_OP_STORE: store(x, values, op); break;
	case FORT_X64_OP_ATOMIC: atomic(x, values, op); break;
	case FORT_X64_OP_BRANCH: branch(x, values, op); break;
	case FORT_X64_OP_SELECT: select_one(x, values, op); break;
	case FORT_X64_OP_HELPER: helper(x, values, op); break;
	case FORT_X64_OP_CALLX:
		op->a = fort_x64_source(values, op->a, 64);
		/* fall through */
	case FORT_X64_OP_LOCAL:
		define_up_to(values, FORT_R5);
		values->last_effect = x->at + 1;
		break;
	default: break;
	}
}

void fort_x64_forward(struct fort_x64 *x)
{
	struct fort_x64_values values = {0};

	for (x->at = 0; x->at < x->n_ops; x->at++) {
		struct fort_x64_op *op = &x->ops[x->at];

		if (op->flags & FORT_X64_LABEL)
			fort_x64_values_join(&values, x->joins[op->join].known);
		step(x, &values, op);
	}
}
