/* The forward pass: memory. */
#include "engine/x64_forward.h"

/* --- memory --- */

/* A load from the frame of what a register still has; such loads do not fault. */
static bool load_spilled(struct fort_x64 *x, struct fort_x64_values *values, struct fort_x64_op *op)
{
	const struct fort_x64_spill *spill = fort_x64_spilled_at(values, op);
	bool sign = op->op == FORT_OP_LDXS;

	if (!spill)
		return false;
	if (spill->reg == FORT_X64_NO_REG && (sign || op->bits < 32))
		return false;
	op->base = FORT_X64_NO_REG;
	if (spill->reg == FORT_X64_NO_REG) {
		fort_x64_become_constant(values, op,
					 op->bits == 32 ? (int64_t)(uint32_t)spill->constant
							: spill->constant);
		return true;
	}
	op->a = spill->reg;
	if (op->bits == 64 || (op->bits == 32 && !sign)) {
		op->kind = FORT_X64_OP_MOVE;
		fort_x64_forward_move(x, values, op);
		return true;
	}
	op->kind = FORT_X64_OP_EXTEND;
	op->imm = op->bits;
	op->op = !sign            ? FORT_OP_LE
		 : op->bits == 8  ? FORT_OP_MOVSX8
		 : op->bits == 16 ? FORT_OP_MOVSX16
				  : FORT_OP_MOVSX32;
	op->bits = sign ? 64 : 32;
	fort_x64_forward_extend(x, values, op);
	return true;
}

void fort_x64_forward_load(struct fort_x64 *x, struct fort_x64_values *values,
			   struct fort_x64_op *op)
{
	struct fort_x64_sum sum = fort_x64_take_mem(x, values, op, op->base, op->disp);
	struct fort_x64_value *value;

	if (load_spilled(x, values, op))
		return;
	value = fort_x64_define(values, op->dst);
	value->width = op->op == FORT_OP_LDXS ? 64 : op->bits;
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
		fort_x64_mark(x, op, FORT_X64_REWRITE, value->at, value->before);
}

void fort_x64_forward_store(struct fort_x64 *x, struct fort_x64_values *values,
			    struct fort_x64_op *op)
{
	int64_t value;

	fort_x64_take_mem(x, values, op, op->base, op->disp);
	if (op->a != FORT_X64_NO_REG) {
		op->a = fort_x64_source(values, op->a, op->bits == 64 ? 64 : 32);
		if (fort_x64_constant_of(values, op->a, &value) &&
		    (op->bits < 64 || fort_x64_fits(value))) {
			op->a = FORT_X64_NO_REG;
			op->imm = (int32_t)value;
		} else {
			mark_rewrite(x, values, op);
			fort_x64_use(values, op->a);
		}
	}
	if (fort_x64_in_frame(op, op->bits))
		fort_x64_spill(values, op);
	else
		fort_x64_spills_forget(values);
	values->last_effect = x->at + 1;
}

void fort_x64_forward_atomic(struct fort_x64 *x, struct fort_x64_values *values,
			     struct fort_x64_op *op)
{
	fort_x64_take_mem(x, values, op, op->base, op->disp);
	if (op->dst != op->a)
		op->a = fort_x64_source(values, op->a, op->bits);
	fort_x64_use(values, op->a);
	if (op->op == FORT_OP_A_CMPXCHG)
		fort_x64_use(values, FORT_R0);
	if (op->dst != FORT_X64_NO_REG)
		fort_x64_define(values, op->dst)->width = op->bits;
	fort_x64_spills_forget(values);
	values->last_effect = x->at + 1;
}
