/* Conditions, jumps, and choices without a jump. */
#include "engine/x64_exit.h"

static const uint8_t conditions[] = {
#define FORT_X64_JCC(op, cc) [FORT_OP_##op] = cc,
#include "engine/x64.def"
};

/* --- conditions --- */

static void compare_memory(struct fort_x64 *x, const struct fort_x64_op *op)
{
	unsigned bits = op->keep;
	struct fort_x64_mem mem = fort_x64_place(x, op, bits);
	bool with_a = op->flags & FORT_X64_MEM_B;
	enum fort_x64_reg with = fort_x64_home(with_a ? op->a : op->b);

	if (with == FORT_X64_NONE && bits > 8)
		with = fort_x64_hidden(x, op->imm, FORT_X64_FREE1);
	fort_x64_note(x, mem, bits / 8, op->pc, op->pc);
	if (with != FORT_X64_NONE)
		fort_x64_rm(&x->bytes, with_a ? FORT_X64_CMP_LOAD : FORT_X64_CMP, bits, with, mem);
	else
		fort_x64_alu_mem_imm(&x->bytes, FORT_X64_CMP, bits, mem, (int32_t)op->imm);
}

static void compare_imm(struct fort_x64 *x, const struct fort_x64_op *op)
{
	enum fort_x64_reg a = fort_x64_home(op->a);
	bool zero = op->op == FORT_OP_JEQ || op->op == FORT_OP_JNE;
	enum fort_x64_reg hidden = FORT_X64_NONE;

	if (op->imm)
		hidden = fort_x64_hidden(x, op->imm, FORT_X64_FREE1);
	if (hidden != FORT_X64_NONE)
		fort_x64_rr(&x->bytes, op->op == FORT_OP_JSET ? FORT_X64_TEST : FORT_X64_CMP,
			    op->bits, hidden, a);
	else if (op->op == FORT_OP_JSET)
		fort_x64_rri(&x->bytes, FORT_X64_TEST_I32, op->bits, 0, a, (int32_t)op->imm);
	else if (op->imm)
		fort_x64_alu_imm(&x->bytes, FORT_X64_CMP, op->bits, a, (int32_t)op->imm);
	else if (!zero || x->flags_of != op->a || x->flags_bits != op->bits)
		fort_x64_rr(&x->bytes, FORT_X64_TEST, op->bits, a, a); /* the same flags */
}

/* Sets the flags; returns the condition code. */
static enum fort_x64_cc compare(struct fort_x64 *x, const struct fort_x64_op *op)
{
	enum fort_x64_row row = op->op == FORT_OP_JSET ? FORT_X64_TEST : FORT_X64_CMP;

	if (op->flags & (FORT_X64_MEM_A | FORT_X64_MEM_B))
		compare_memory(x, op);
	else if (op->b == FORT_X64_NO_REG)
		compare_imm(x, op);
	else
		fort_x64_rr(&x->bytes, row, op->bits, fort_x64_home(op->b), fort_x64_home(op->a));
	return conditions[op->op] ^ (op->flags & FORT_X64_UNLESS ? 1u : 0u);
}

/* Back to a join if there is fuel; subtraction and jump are one operation of the processor. */
static void jump_back(struct fort_x64 *x, struct fort_x64_join *join)
{
	if (!join->out_of_fuel)
		join->out_of_fuel = fort_x64_label(x);
	fort_x64_take_fuel(x, join->cost);
	fort_x64_jump_to(x, FORT_X64_NOT_BELOW, join->label);
	fort_x64_jump_to(x, FORT_X64_ALWAYS, join->out_of_fuel);
}

void fort_x64_refund(struct fort_x64 *x, const struct fort_x64_op *op)
{
	fort_x64_put_alu(x, FORT_X64_ADD, 64, FORT_X64_FUEL, (int32_t)op->imm);
}

static void not_ahead(struct fort_x64 *x, const struct fort_x64_op *op)
{
	fort_x64_refund(x, op);
	fort_x64_jump_to(x, FORT_X64_ALWAYS, x->joins[op->target].label);
}

void fort_x64_ahead(struct fort_x64 *x, const struct fort_x64_op *op)
{
	fort_x64_take_fuel(x, (uint32_t)op->imm);
	fort_x64_bind(x, fort_x64_seldom(x, FORT_X64_BELOW, op, not_ahead));
}

/* Out of a loop for whose rounds was paid. */
static void leave_loop(struct fort_x64 *x, const struct fort_x64_op *op)
{
	fort_x64_put_alu(x, FORT_X64_ADD, 64, FORT_X64_FUEL, (int32_t)op->join);
	fort_x64_ja(x, op);
}

void fort_x64_charge(struct fort_x64 *x, const struct fort_x64_op *op)
{
	struct fort_x64_join *join = &x->joins[op->target];

	if (!join->out_of_fuel)
		join->out_of_fuel = fort_x64_label(x);
	fort_x64_take_fuel(x, join->cost);
	fort_x64_jump_to(x, FORT_X64_BELOW, join->out_of_fuel);
}

void fort_x64_ja(struct fort_x64 *x, const struct fort_x64_op *op)
{
	struct fort_x64_join *join = &x->joins[op->target];

	if (op->flags & FORT_X64_BACK)
		jump_back(x, join);
	else
		fort_x64_jump_to(x, FORT_X64_ALWAYS, join->label);
}

void fort_x64_branch(struct fort_x64 *x, const struct fort_x64_op *op)
{
	struct fort_x64_join *join = &x->joins[op->target];
	enum fort_x64_cc cc;
	uint32_t skip;

	if (op->value) { /* the lookup before it went where nothing is found */
		if ((op->op == FORT_OP_JEQ) == !!(op->flags & FORT_X64_UNLESS))
			fort_x64_ja(x, op);
		fort_x64_bind(x, x->missing);
		return;
	}
	cc = compare(x, op);
	if (op->flags & FORT_X64_PAID && op->join) {
		fort_x64_bind(x, fort_x64_seldom(x, cc, op, leave_loop));
		return;
	}
	if (!(op->flags & FORT_X64_BACK)) {
		fort_x64_jump_to(x, cc, join->label);
		return;
	}
	skip = fort_x64_label(x);
	fort_x64_jump_to(x, cc ^ 1, skip);
	jump_back(x, join);
	fort_x64_bind(x, skip);
}

/* dst is 0 or 1 by the condition. */
static void select_condition(struct fort_x64 *x, const struct fort_x64_op *op)
{
	struct fort_x64_bytes *to = &x->bytes;
	enum fort_x64_reg dst = fort_x64_home(op->dst);
	bool apart = op->dst != op->a && op->dst != op->b;
	enum fort_x64_cc cc;

	if (apart && !(x->flags_of == op->a && !op->imm && op->b == FORT_X64_NO_REG))
		fort_x64_rr(to, FORT_X64_XOR, 32, dst, dst);
	else
		apart = false;
	cc = compare(x, op) ^ (op->value ? 0u : 1u);
	fort_x64_setcc(to, cc, apart ? dst : FORT_X64_FREE1);
	if (!apart)
		fort_x64_rr(to, FORT_X64_MOVZX8, 32, dst, FORT_X64_FREE1);
}

void fort_x64_select(struct fort_x64 *x, const struct fort_x64_op *op)
{
	enum fort_x64_reg other = fort_x64_home(op->index);
	enum fort_x64_cc cc;

	if (op->keep) {
		select_condition(x, op);
		return;
	}
	if (op->index == FORT_X64_NO_REG) {
		other = FORT_X64_FREE2;
		fort_x64_put(x, other, (uint64_t)(int64_t)op->disp);
	}
	cc = compare(x, op);
	fort_x64_cmov(&x->bytes, cc ^ 1, 64, fort_x64_home(op->dst), other);
}
