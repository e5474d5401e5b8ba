/* Pairs and triples of BPF instructions that the machine does in one: what compilers write because
 * BPF has no three-operand addition, no zero-extension of its own and no scaled index.
 *
 * Only instructions that nothing jumps to may be taken together with the one before. All that are
 * write the register that the first one writes, which is not r10.
 */
#include "engine/x64_code.h"

/* The instruction `ahead` slots on, if it may be taken together with those before. */
static const struct fort_insn *follower(const struct fort_x64 *x, uint32_t ahead)
{
	const struct fort_program *program = x->request->program;
	uint32_t pc = x->pc + ahead;

	return pc < program->n_insns && !x->targets[pc] ? &program->insns[pc] : NULL;
}

static bool is_alu(const struct fort_insn *insn, enum fort_kind kind, enum fort_op op, uint8_t dst)
{
	return insn && insn->kind == kind && insn->op == op && insn->bits == 64 && insn->dst == dst;
}

/* dst <<= 32, dst >>= n: the low half, extended by zeros or the sign, then shifted back. */
static uint32_t extension(struct fort_x64 *x, uint32_t ahead, uint8_t from, uint8_t dst)
{
	const struct fort_insn *left =
		ahead ? follower(x, ahead) : &x->request->program->insns[x->pc];
	const struct fort_insn *right = follower(x, ahead + 1);
	bool sign = is_alu(right, FORT_ALU_K, FORT_OP_ARSH, dst);

	if (!is_alu(left, FORT_ALU_K, FORT_OP_LSH, dst) || left->imm != 32)
		return 0;
	if (!sign && !is_alu(right, FORT_ALU_K, FORT_OP_RSH, dst))
		return 0;
	if (right->imm <= 0 || right->imm > 32)
		return 0;
	if (sign)
		fort_x64_rr(&x->bytes, FORT_X64_MOVSX32, 64, fort_x64_home(dst),
			    fort_x64_home(from));
	else
		fort_x64_mov(&x->bytes, 32, fort_x64_home(dst), fort_x64_home(from));
	if (right->imm < 32)
		fort_x64_rri(&x->bytes, FORT_X64_SHIFT_I8, 64, FORT_X64_SHL, fort_x64_home(dst),
			     32 - (int32_t)right->imm);
	return ahead + 2;
}

/* dst = src, dst += imm or another register: a sum of two into a third. */
static uint32_t sum(struct fort_x64 *x, const struct fort_insn *mov)
{
	const struct fort_insn *add = follower(x, 1);
	struct fort_x64_mem mem = {.base = fort_x64_home(mov->src)};

	if (is_alu(add, FORT_ALU_K, FORT_OP_ADD, mov->dst)) {
		mem.disp = (int32_t)add->imm;
	} else if (is_alu(add, FORT_ALU_X, FORT_OP_ADD, mov->dst) && add->src != mov->dst) {
		mem.indexed = true;
		mem.index = fort_x64_home(add->src);
	} else {
		return 0;
	}
	fort_x64_rm(&x->bytes, FORT_X64_LEA, 64, fort_x64_home(mov->dst), mem);
	return 2;
}

uint32_t fort_x64_fuse(struct fort_x64 *x)
{
	const struct fort_insn *insn = &x->request->program->insns[x->pc];
	uint32_t taken;

	if (insn->kind == FORT_ALU_K)
		return extension(x, 0, insn->dst, insn->dst);
	if (insn->kind != FORT_MOV_X || insn->bits != 64 || insn->dst == insn->src)
		return 0;
	taken = extension(x, 1, insn->src, insn->dst);
	return taken ? taken : sum(x, insn);
}
