/* Arithmetic, moves and byte order. Operations of 32 bits clear the upper half, as x86's do. */
#include "engine/x64_layout.h"

#define NO_ROW FORT_X64_ROWS

static const uint8_t two_operands[FORT_ALU_OPS] = {
	[0 ... FORT_ALU_OPS - 1] = NO_ROW,
#define FORT_X64_ALU(op, id) [FORT_OP_##op] = FORT_X64_##id,
#include "engine/x64.def"
	[FORT_OP_MUL] = FORT_X64_IMUL,
};

static const uint8_t shift_digits[FORT_ALU_OPS] = {
#define FORT_X64_SHIFT(op, shift) [FORT_OP_##op] = FORT_X64_##shift,
#include "engine/x64.def"
};

const uint8_t fort_x64_homes[UINT8_MAX + 1] = {
	[0 ... UINT8_MAX] = FORT_X64_NONE,
#define FORT_X64_REG(bpf, machine) [FORT_##bpf] = FORT_X64_##machine,
#include "engine/x64.def"
};

enum fort_x64_row fort_x64_alu_row(uint8_t op)
{
	return two_operands[op];
}

/* The flags tell whether dst is zero. */
static void flags_tell(struct fort_x64 *x, const struct fort_x64_op *op)
{
	x->flags_of = op->dst;
	x->flags_bits = op->bits;
}

void fort_x64_move(struct fort_x64 *x, const struct fort_x64_op *op)
{
	fort_x64_mov(&x->bytes, op->bits, fort_x64_home(op->dst), fort_x64_home(op->a));
}

void fort_x64_constant(struct fort_x64 *x, const struct fort_x64_op *op)
{
	enum fort_x64_reg dst = fort_x64_home(op->dst);

	const struct fort_x64_op *next =
		op + 1; /* there is one: programs do not end in constants */

	if (op->imm || next->kind == FORT_X64_OP_BRANCH || next->kind == FORT_X64_OP_SELECT) {
		fort_x64_put(x, dst, (uint64_t)op->imm);
		return;
	}
	fort_x64_rr(&x->bytes, FORT_X64_XOR, 32, dst, dst);
	x->flags_of = FORT_X64_NO_REG;
}

/* --- sums --- */

static void lea(struct fort_x64 *x, const struct fort_x64_op *op)
{
	struct fort_x64_mem mem = {.base = (uint8_t)fort_x64_home(op->base),
				   .index = (uint8_t)fort_x64_home(op->index),
				   .scale = op->scale,
				   .disp = op->disp};

	/* Twice a register needs no displacement when it is its own base. */
	if (mem.base == FORT_X64_NONE && mem.scale == 1) {
		mem.base = mem.index;
		mem.scale = 0;
	}
	if (mem.disp && fort_x64_hides(x, mem.disp)) {
		fort_x64_put(x, FORT_X64_FREE1, (uint64_t)(int64_t)mem.disp);
		mem.disp = 0;
		fort_x64_rm(&x->bytes, FORT_X64_LEA, op->bits, fort_x64_home(op->dst), mem);
		fort_x64_rr(&x->bytes, FORT_X64_ADD, op->bits, FORT_X64_FREE1,
			    fort_x64_home(op->dst));
		return;
	}
	fort_x64_rm(&x->bytes, FORT_X64_LEA, op->bits, fort_x64_home(op->dst), mem);
}

/* dst += something; false where it is not that. */
static bool add_in_place(struct fort_x64 *x, const struct fort_x64_op *op)
{
	enum fort_x64_reg dst = fort_x64_home(op->dst);

	if (op->base != FORT_X64_NO_REG && op->index == FORT_X64_NO_REG) {
		if (op->base != op->dst)
			return false;
		fort_x64_put_alu(x, FORT_X64_ADD, op->bits, dst, op->disp);
		return true;
	}
	if (op->disp || op->scale || op->base == FORT_X64_NO_REG)
		return false;
	if (op->base == op->dst)
		fort_x64_rr(&x->bytes, FORT_X64_ADD, op->bits, fort_x64_home(op->index), dst);
	else if (op->index == op->dst)
		fort_x64_rr(&x->bytes, FORT_X64_ADD, op->bits, fort_x64_home(op->base), dst);
	else
		return false;
	return true;
}

void fort_x64_sum(struct fort_x64 *x, const struct fort_x64_op *op)
{
	if (op->index == FORT_X64_NO_REG && !op->disp) {
		fort_x64_mov(&x->bytes, op->bits, fort_x64_home(op->dst), fort_x64_home(op->base));
		return;
	}
	if (add_in_place(x, op))
		flags_tell(x, op);
	else
		lea(x, op);
}

/* --- operations of two operands --- */

/* Either order of operands does, but for a subtraction. */
static void alu_memory(struct fort_x64 *x, const struct fort_x64_op *op)
{
	struct fort_x64_bytes *to = &x->bytes;
	struct fort_x64_mem mem = fort_x64_place(x, op, op->bits);
	enum fort_x64_row row = fort_x64_alu_row(op->op);
	enum fort_x64_reg dst = fort_x64_home(op->dst), a = fort_x64_home(op->a);
	enum fort_x64_reg work = dst;

	if (dst != a && op->op != FORT_OP_SUB) {
		fort_x64_note(x, mem, op->bits / 8, op->pc, op->pc);
		fort_x64_rm(to, FORT_X64_LOAD, op->bits, dst, mem);
		if (row == FORT_X64_IMUL)
			fort_x64_rr(to, row, op->bits, dst, a);
		else
			fort_x64_rr(to, row, op->bits, a, dst);
		return;
	}
	if (dst != a && (mem.base == dst || mem.index == dst))
		work = FORT_X64_FREE1;
	fort_x64_mov(to, 64, work, a);
	fort_x64_note(x, mem, op->bits / 8, op->pc, op->pc);
	fort_x64_rm(to, fort_x64_load_row(row), op->bits, work, mem);
	fort_x64_mov(to, 64, dst, work);
}

static void alu_imm(struct fort_x64 *x, const struct fort_x64_op *op)
{
	enum fort_x64_reg dst = fort_x64_home(op->dst), a = fort_x64_home(op->a);
	int32_t imm = (int32_t)op->imm;

	if (op->op == FORT_OP_MUL) {
		fort_x64_put_mul(x, op->bits, dst, a, imm);
		return;
	}
	fort_x64_mov(&x->bytes, 64, dst, a);
	fort_x64_put_alu(x, fort_x64_alu_row(op->op), op->bits, dst, imm);
}

/* A sum that is neither operand. */
static bool add_apart(struct fort_x64 *x, const struct fort_x64_op *op)
{
	struct fort_x64_op sum = *op;

	if (op->op != FORT_OP_ADD || op->flags & FORT_X64_MEM_B || op->b == FORT_X64_NO_REG ||
	    op->dst == op->a || op->dst == op->b)
		return false;
	sum.base = op->a;
	sum.index = op->b;
	sum.scale = 0;
	sum.disp = 0;
	lea(x, &sum);
	return true;
}

static void alu_registers(struct fort_x64 *x, const struct fort_x64_op *op)
{
	struct fort_x64_bytes *to = &x->bytes;
	enum fort_x64_row row = fort_x64_alu_row(op->op);
	enum fort_x64_reg dst = fort_x64_home(op->dst), a = fort_x64_home(op->a);
	enum fort_x64_reg b = fort_x64_home(op->b);

	if (dst == b && dst != a) {
		if (op->op == FORT_OP_SUB) { /* a - b is -b + a */
			fort_x64_rr(to, FORT_X64_NEG, op->bits, 0, dst);
			row = FORT_X64_ADD;
		}
		b = a;
	} else {
		fort_x64_mov(to, 64, dst, a);
	}
	if (row == FORT_X64_IMUL)
		fort_x64_rr(to, row, op->bits, dst, b);
	else
		fort_x64_rr(to, row, op->bits, b, dst);
}

void fort_x64_alu(struct fort_x64 *x, const struct fort_x64_op *op)
{
	if (add_apart(x, op))
		return;
	if (op->flags & FORT_X64_MEM_B)
		alu_memory(x, op);
	else if (op->b == FORT_X64_NO_REG)
		alu_imm(x, op);
	else
		alu_registers(x, op);
	if (op->op != FORT_OP_MUL)
		flags_tell(x, op);
}

void fort_x64_neg(struct fort_x64 *x, const struct fort_x64_op *op)
{
	enum fort_x64_reg dst = fort_x64_home(op->dst);

	fort_x64_mov(&x->bytes, 64, dst, fort_x64_home(op->a));
	fort_x64_rr(&x->bytes, FORT_X64_NEG, op->bits, 0, dst);
}

void fort_x64_extend(struct fort_x64 *x, const struct fort_x64_op *op)
{
	bool sign = op->op != FORT_OP_LE;
	enum fort_x64_row row = op->imm == 8    ? sign ? FORT_X64_MOVSX8 : FORT_X64_MOVZX8
				: op->imm == 16 ? sign ? FORT_X64_MOVSX16 : FORT_X64_MOVZX16
						: FORT_X64_MOVSX32;

	fort_x64_rr(&x->bytes, row, op->bits, fort_x64_home(op->dst), fort_x64_home(op->a));
}

void fort_x64_swap(struct fort_x64 *x, const struct fort_x64_op *op)
{
	struct fort_x64_bytes *to = &x->bytes;
	enum fort_x64_reg dst = fort_x64_home(op->dst);

	fort_x64_mov(to, 64, dst, fort_x64_home(op->a));
	if (op->bits == 16) {
		fort_x64_rri(to, FORT_X64_SHIFT_I8, 16, FORT_X64_ROL, dst, 8);
		if (!op->value)
			fort_x64_rr(to, FORT_X64_MOVZX16, 32, dst, dst);
	} else {
		fort_x64_reg(to, FORT_X64_BSWAP, op->bits, dst);
	}
}

/* --- shifts --- */

void fort_x64_rotate(struct fort_x64 *x, const struct fort_x64_op *op)
{
	enum fort_x64_reg dst = fort_x64_home(op->dst);

	fort_x64_mov(&x->bytes, 64, dst, fort_x64_home(op->a));
	fort_x64_rri(&x->bytes, FORT_X64_SHIFT_I8, op->bits, FORT_X64_ROL, dst, (int32_t)op->imm);
}

static void shift_imm(struct fort_x64 *x, const struct fort_x64_op *op)
{
	enum fort_x64_reg dst = fort_x64_home(op->dst), a = fort_x64_home(op->a);
	struct fort_x64_op sum = *op;

	if (op->op == FORT_OP_LSH && op->imm <= 3 && dst != a) {
		sum.base = FORT_X64_NO_REG;
		sum.index = op->a;
		sum.scale = (uint8_t)op->imm;
		sum.disp = 0;
		lea(x, &sum);
		return;
	}
	fort_x64_mov(&x->bytes, 64, dst, a);
	fort_x64_rri(&x->bytes, FORT_X64_SHIFT_I8, op->bits, shift_digits[op->op], dst,
		     (int32_t)op->imm);
}

/* The count is in cl only: r4's place lends itself. The processor masks it as BPF does. */
void fort_x64_shift(struct fort_x64 *x, const struct fort_x64_op *op)
{
	struct fort_x64_bytes *to = &x->bytes;
	unsigned digit = shift_digits[op->op];
	enum fort_x64_reg dst = fort_x64_home(op->dst), a = fort_x64_home(op->a);
	enum fort_x64_reg count = fort_x64_home(op->b);

	if (op->b == FORT_X64_NO_REG) {
		shift_imm(x, op);
	} else if (count == FORT_X64_RCX && dst != FORT_X64_RCX) {
		fort_x64_mov(to, 64, dst, a);
		fort_x64_rr(to, FORT_X64_SHIFT_CL, op->bits, digit, dst);
	} else {
		fort_x64_mov(to, 64, FORT_X64_FREE1, a);
		if (count != FORT_X64_RCX) {
			fort_x64_mov(to, 64, FORT_X64_FREE2, FORT_X64_RCX);
			fort_x64_mov(to, 32, FORT_X64_RCX, count);
		}
		fort_x64_rr(to, FORT_X64_SHIFT_CL, op->bits, digit, FORT_X64_FREE1);
		if (count != FORT_X64_RCX && dst != FORT_X64_RCX)
			fort_x64_mov(to, 64, FORT_X64_RCX, FORT_X64_FREE2);
		fort_x64_mov(to, 64, dst, FORT_X64_FREE1);
	}
}
