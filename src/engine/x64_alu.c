/* Arithmetic, moves and byte order. Operations of 32 bits clear the upper half, as x86's do. */
#include "engine/x64_code.h"

#define NO_ROW FORT_X64_ROWS

static const uint8_t two_operands[FORT_ALU_OPS] = {
	[0 ... FORT_ALU_OPS - 1] = NO_ROW,
#define FORT_X64_ALU(op, id) [FORT_OP_##op] = FORT_X64_##id,
#include "engine/x64.def"
};

static const uint8_t shift_digits[FORT_ALU_OPS] = {
#define FORT_X64_SHIFT(op, shift) [FORT_OP_##op] = FORT_X64_##shift,
#include "engine/x64.def"
};

static const uint8_t homes[FORT_REGS] = {
#define FORT_X64_REG(bpf, machine) [FORT_##bpf] = FORT_X64_##machine,
#include "engine/x64.def"
};

enum fort_x64_reg fort_x64_home(uint8_t reg)
{
	return homes[reg];
}

static bool is_division(enum fort_op op)
{
	return op == FORT_OP_DIV || op == FORT_OP_SDIV || op == FORT_OP_MOD || op == FORT_OP_SMOD;
}

/* The count is in cl only: r4's place lends itself. The processor masks it as BPF does. */
static void shift_x(struct fort_x64 *x, unsigned digit, unsigned bits, enum fort_x64_reg dst,
		    enum fort_x64_reg src)
{
	struct fort_x64_bytes *to = &x->bytes;
	enum fort_x64_reg shifted = dst == FORT_X64_RCX ? FORT_X64_FREE1 : dst;

	if (src == FORT_X64_RCX) {
		fort_x64_rr(to, FORT_X64_SHIFT_CL, bits, digit, dst);
		return;
	}
	fort_x64_mov(to, 64, FORT_X64_FREE1, FORT_X64_RCX);
	fort_x64_mov(to, 32, FORT_X64_RCX, src);
	fort_x64_rr(to, FORT_X64_SHIFT_CL, bits, digit, shifted);
	fort_x64_mov(to, 64, FORT_X64_RCX, FORT_X64_FREE1);
}

static void shift_k(struct fort_x64 *x, unsigned digit, unsigned bits, enum fort_x64_reg dst,
		    int64_t imm)
{
	int32_t count = (int32_t)(imm & (bits - 1));

	if (count)
		fort_x64_rri(&x->bytes, FORT_X64_SHIFT_I8, bits, digit, dst, count);
	else
		fort_x64_mov(&x->bytes, bits, dst, dst);
}

void fort_x64_alu_x(struct fort_x64 *x, const struct fort_insn *insn)
{
	enum fort_x64_reg dst = fort_x64_home(insn->dst), src = fort_x64_home(insn->src);

	if (two_operands[insn->op] != NO_ROW)
		fort_x64_rr(&x->bytes, two_operands[insn->op], insn->bits, src, dst);
	else if (insn->op == FORT_OP_MUL)
		fort_x64_rr(&x->bytes, FORT_X64_IMUL, insn->bits, dst, src);
	else if (is_division(insn->op))
		fort_x64_divide_x(x, insn);
	else
		shift_x(x, shift_digits[insn->op], insn->bits, dst, src);
}

void fort_x64_alu_k(struct fort_x64 *x, const struct fort_insn *insn)
{
	enum fort_x64_reg dst = fort_x64_home(insn->dst);
	int32_t imm = (int32_t)insn->imm;

	if (two_operands[insn->op] != NO_ROW)
		fort_x64_alu_imm(&x->bytes, two_operands[insn->op], insn->bits, dst, imm);
	else if (insn->op == FORT_OP_MUL)
		fort_x64_rri(&x->bytes, imm == (int8_t)imm ? FORT_X64_IMUL_I8 : FORT_X64_IMUL_I32,
			     insn->bits, dst, dst, imm);
	else if (is_division(insn->op))
		fort_x64_divide_k(x, insn);
	else
		shift_k(x, shift_digits[insn->op], insn->bits, dst, imm);
}

void fort_x64_neg(struct fort_x64 *x, const struct fort_insn *insn)
{
	fort_x64_rr(&x->bytes, FORT_X64_NEG, insn->bits, 0, fort_x64_home(insn->dst));
}

void fort_x64_mov_k(struct fort_x64 *x, const struct fort_insn *insn)
{
	uint64_t value = insn->bits == 32 ? (uint32_t)insn->imm : (uint64_t)insn->imm;

	fort_x64_const(&x->bytes, fort_x64_home(insn->dst), value);
}

void fort_x64_mov_x(struct fort_x64 *x, const struct fort_insn *insn)
{
	fort_x64_mov(&x->bytes, insn->bits, fort_x64_home(insn->dst), fort_x64_home(insn->src));
}

void fort_x64_movsx(struct fort_x64 *x, const struct fort_insn *insn)
{
	enum fort_x64_row row = insn->op == FORT_OP_MOVSX8    ? FORT_X64_MOVSX8
				: insn->op == FORT_OP_MOVSX16 ? FORT_X64_MOVSX16
							      : FORT_X64_MOVSX32;

	fort_x64_rr(&x->bytes, row, insn->bits, fort_x64_home(insn->dst), fort_x64_home(insn->src));
}

/* The host's order is little: LE only cuts, BE and BSWAP swap. */
void fort_x64_end(struct fort_x64 *x, const struct fort_insn *insn)
{
	struct fort_x64_bytes *to = &x->bytes;
	enum fort_x64_reg dst = fort_x64_home(insn->dst);
	bool swap = insn->op != FORT_OP_LE;

	if (insn->bits == 16) {
		if (swap)
			fort_x64_rri(to, FORT_X64_SHIFT_I8, 16, FORT_X64_ROR, dst, 8);
		fort_x64_rr(to, FORT_X64_MOVZX16, 32, dst, dst);
	} else if (swap) {
		fort_x64_reg(to, FORT_X64_BSWAP, insn->bits, dst);
	} else {
		fort_x64_mov(to, insn->bits, dst, dst);
	}
}
