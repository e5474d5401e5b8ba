#include "engine/x64_fold.h"

#include <string.h>

void fort_x64_uses_start(struct fort_x64_uses *uses)
{
	*uses = (struct fort_x64_uses){0};
	memset(uses->written, 0xff, sizeof(uses->written));
}

void fort_x64_uses_other(struct fort_x64_uses *uses, uint32_t live)
{
	for (live = (live | live >> 16) & 0x7ff; live; live &= live - 1)
		uses->of[__builtin_ctz(live)].other = true;
}

static void note_address(const struct fort_x64 *x, struct fort_x64_uses *uses, uint8_t reg)
{
	if (reg == FORT_X64_NO_REG)
		return;
	if (uses->of[reg].n == FORT_X64_USES_MAX)
		uses->of[reg].other = true;
	else
		uses->of[reg].ops[uses->of[reg].n++] = x->at;
}

void fort_x64_uses_note(const struct fort_x64 *x, struct fort_x64_uses *uses,
			const struct fort_x64_op *op, uint32_t data, uint32_t mem)
{
	bool sum = op->kind == FORT_X64_OP_SUM;

	if (!sum)
		fort_x64_uses_other(uses, data);
	if (!sum && !mem)
		return;
	if (op->base == op->index && op->base != FORT_X64_NO_REG)
		fort_x64_uses_other(uses, FORT_X64_BOTH(op->base));
	note_address(x, uses, op->base);
	note_address(x, uses, op->index);
}

/* What is added to a register, or done to it before: reg = (reg << shift) + (index << scale) +
 * disp. Where `low`, only in the lower half. */
struct change {
	uint8_t reg, index, scale;
	unsigned shift;
	int32_t disp;
	bool low;
};

/* An address takes what it has room for; one that is a result of 64 bits, if it stays exact. */
static bool takes(const struct fort_x64 *x, const struct fort_x64_uses *uses,
		  const struct fort_x64_op *op, uint32_t at, const struct change *c)
{
	unsigned scale = op->index == c->reg ? op->scale : 0;
	int64_t disp = op->disp + (int64_t)((uint64_t)(int64_t)c->disp << scale);
	bool exact = op->kind == FORT_X64_OP_SUM ? op->bits == 64 : !x->window;

	if (exact && (c->low || disp != (int32_t)disp))
		return false;
	if (c->index != FORT_X64_NO_REG &&
	    (op->base != c->reg || op->index != FORT_X64_NO_REG || uses->written[c->index] < at))
		return false;
	if (!c->shift)
		return true;
	return op->base == c->reg ? op->index == FORT_X64_NO_REG || !op->scale
				  : scale + c->shift <= 3;
}

/* A base that is shifted becomes the index, and an index that is not shifted the base. */
static void change_one(struct fort_x64_op *op, const struct change *c)
{
	unsigned scale = op->index == c->reg ? op->scale : 0;

	op->disp = (int32_t)((uint32_t)op->disp + ((uint32_t)c->disp << scale));
	if (c->index != FORT_X64_NO_REG) {
		op->index = c->index;
		op->scale = c->scale;
	}
	if (!c->shift)
		return;
	if (op->base == c->reg) {
		op->base = op->index;
		op->index = c->reg;
		op->scale = 0;
	}
	op->scale = (uint8_t)(op->scale + c->shift);
}

static bool change_all(struct fort_x64 *x, const struct fort_x64_uses *uses, const struct change *c)
{
	const uint32_t *ops = uses->of[c->reg].ops;
	unsigned n = uses->of[c->reg].n;

	if (!n || uses->of[c->reg].other)
		return false;
	for (unsigned i = 0; i < n; i++)
		if (!takes(x, uses, &x->ops[ops[i]], ops[i], c))
			return false;
	for (unsigned i = 0; i < n; i++)
		change_one(&x->ops[ops[i]], c);
	return true;
}

/* What an operation does to its own register; false if that is nothing for an address. */
static bool change_of(const struct fort_x64_op *op, struct change *out)
{
	*out = (struct change){.reg = op->dst, .index = FORT_X64_NO_REG, .low = op->bits < 64};
	if (op->kind == FORT_X64_OP_SHIFT && op->op == FORT_OP_LSH && op->a == op->dst &&
	    op->b == FORT_X64_NO_REG && op->imm <= 3) {
		out->shift = (unsigned)op->imm;
		return true;
	}
	if (op->kind != FORT_X64_OP_SUM || op->base == op->index)
		return false;
	out->disp = op->disp;
	if (op->base == op->dst) {
		out->index = op->index;
		out->scale = op->scale;
		return true;
	}
	out->index = op->base;
	return op->index == op->dst && !op->scale;
}

bool fort_x64_fold(struct fort_x64 *x, struct fort_x64_uses *uses, const struct fort_x64_op *op,
		   uint32_t *live)
{
	struct change c;

	if (!change_of(op, &c) || !change_all(x, uses, &c))
		return false;
	if (c.index != FORT_X64_NO_REG) {
		*live |= FORT_X64_BOTH(c.index);
		fort_x64_uses_other(uses, FORT_X64_BOTH(c.index));
	}
	return true;
}

void fort_x64_fold_lookup(struct fort_x64 *x, const struct fort_x64_uses *uses,
			  struct fort_x64_op *op)
{
	const struct fort_map_lookup *lookup = &x->request->lookups[op->target];
	struct change c = {.reg = FORT_R0,
			   .index = FORT_X64_NO_REG,
			   .disp = (int32_t)x->request->domain->map_start[op->target],
			   .low = true};

	if (!x->window || !(op->value & FORT_X64_TESTED) || op->value & FORT_X64_KEY_CONSTANT)
		return;
	if (!lookup->n_cpus && lookup->stride <= 8 && fort_is_power_of_two(lookup->stride))
		c.shift = (unsigned)__builtin_ctz(lookup->stride);
	if ((lookup->stride == 1 || c.shift) && change_all(x, uses, &c)) {
		op->value |= FORT_X64_INDEX;
		return;
	}
	c.shift = 0;
	if (change_all(x, uses, &c))
		op->value |= FORT_X64_OFFSET;
}
