#include "engine/x64_fold.h"

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
			const struct fort_x64_op *op)
{
	fort_x64_uses_other(uses, fort_x64_reads_data(op));
	if (!fort_x64_reads_mem(x, op))
		return;
	if (op->base == op->index)
		fort_x64_uses_other(uses, FORT_X64_BOTH(op->base));
	note_address(x, uses, op->base);
	note_address(x, uses, op->index);
}

/* May the register be shifted by the address itself? */
static bool takes_scale(const struct fort_x64_op *op, uint8_t reg, unsigned by)
{
	if (op->base == reg)
		return op->index == FORT_X64_NO_REG || !op->scale;
	return op->scale + by <= 3;
}

/* A base that is scaled becomes the index, and an index that is not the base. */
static void scale(struct fort_x64_op *op, uint8_t reg, unsigned by)
{
	if (op->base == reg && by) {
		op->base = op->index;
		op->index = reg;
		op->scale = 0;
	}
	op->scale = (uint8_t)(op->scale + by);
}

static bool takes_disp(const struct fort_x64 *x, const struct fort_x64_op *op, uint8_t reg,
		       int32_t by)
{
	int64_t disp = op->disp + (int64_t)((uint64_t)by << (op->index == reg ? op->scale : 0));

	return x->window || disp == (int32_t)disp;
}

static void displace(struct fort_x64_op *op, uint8_t reg, int32_t by)
{
	op->disp = (int32_t)((uint32_t)op->disp +
			     ((uint32_t)by << (op->index == reg ? op->scale : 0)));
}

static bool is_shift(const struct fort_x64 *x, const struct fort_x64_op *op)
{
	return op->kind == FORT_X64_OP_SHIFT && op->op == FORT_OP_LSH && op->a == op->dst &&
	       op->b == FORT_X64_NO_REG && op->imm <= 3 && (x->window || op->bits == 64);
}

static bool is_addition(const struct fort_x64 *x, const struct fort_x64_op *op)
{
	return op->kind == FORT_X64_OP_SUM && op->base == op->dst && op->index == FORT_X64_NO_REG &&
	       (x->window || op->bits == 64);
}

/* All users of the register, in a way that can be changed. */
static bool all_take(const struct fort_x64 *x, const struct fort_x64_uses *uses, uint8_t reg,
		     unsigned shift, int32_t disp)
{
	for (unsigned i = 0; i < uses->of[reg].n; i++) {
		const struct fort_x64_op *user = &x->ops[uses->of[reg].ops[i]];

		if ((shift && !takes_scale(user, reg, shift)) ||
		    (disp && !takes_disp(x, user, reg, disp)))
			return false;
	}
	return uses->of[reg].n && !uses->of[reg].other;
}

static void change_all(struct fort_x64 *x, const struct fort_x64_uses *uses, uint8_t reg,
		       unsigned shift, int32_t disp)
{
	for (unsigned i = 0; i < uses->of[reg].n; i++) {
		struct fort_x64_op *user = &x->ops[uses->of[reg].ops[i]];

		displace(user, reg, disp);
		scale(user, reg, shift);
	}
}

bool fort_x64_fold(struct fort_x64 *x, const struct fort_x64_uses *uses,
		   const struct fort_x64_op *op)
{
	unsigned shift = is_shift(x, op) ? (unsigned)op->imm : 0;
	int32_t disp = is_addition(x, op) ? op->disp : 0;

	if ((!shift && !disp) || !all_take(x, uses, op->dst, shift, disp))
		return false;
	change_all(x, uses, op->dst, shift, disp);
	return true;
}

void fort_x64_fold_lookup(struct fort_x64 *x, const struct fort_x64_uses *uses,
			  struct fort_x64_op *op)
{
	const struct fort_map_lookup *lookup = &x->request->lookups[op->target];
	int32_t start = (int32_t)x->request->domain->map_start[op->target];
	unsigned shift = 0;

	if (!x->window || !(op->value & FORT_X64_TESTED) || op->value & FORT_X64_KEY_CONSTANT ||
	    !all_take(x, uses, FORT_R0, 0, start))
		return;
	if (!lookup->n_cpus && lookup->stride <= 8 && fort_is_power_of_two(lookup->stride))
		shift = (unsigned)__builtin_ctz(lookup->stride);
	if (lookup->n_cpus || lookup->stride > 8 || !fort_is_power_of_two(lookup->stride) ||
	    !all_take(x, uses, FORT_R0, shift, start)) {
		op->value |= FORT_X64_OFFSET;
		change_all(x, uses, FORT_R0, 0, start);
	} else {
		op->value |= FORT_X64_INDEX;
		change_all(x, uses, FORT_R0, shift, start);
	}
}
