#include "isa/disasm.h"

/* The kernel writes 32-bit arithmetic on w registers, and everything else on r registers. */
static char reg_letter(const struct fort_insn *insn)
{
	return insn->bits == 32 ? 'w' : 'r';
}

static void put_alu(const struct fort_insn *insn, struct fort_text *out)
{
	const char *symbol = fort_insn_row(insn)->symbol;
	char letter = reg_letter(insn);

	switch (insn->kind) {
	case FORT_ALU_K:
	case FORT_MOV_K:
		fort_text_add(out, "%c%u %s %d", letter, insn->dst, symbol, (int32_t)insn->imm);
		break;
	case FORT_ALU_X:
	case FORT_MOV_X:
		fort_text_add(out, "%c%u %s %c%u", letter, insn->dst, symbol, letter, insn->src);
		break;
	case FORT_MOVSX:
		fort_text_add(out, "%c%u = %s%c%u", letter, insn->dst, symbol, letter, insn->src);
		break;
	case FORT_NEG:
		fort_text_add(out, "%c%u = %s%c%u", letter, insn->dst, symbol, letter, insn->dst);
		break;
	default: /* byte order: always whole registers */
		fort_text_add(out, "r%u = %s r%u", insn->dst, symbol, insn->dst);
	}
}

static void put_memory(const struct fort_insn *insn, struct fort_text *out)
{
	const char *type = fort_insn_row(insn)->symbol;

	switch (insn->kind) {
	case FORT_LDX:
		fort_text_add(out, "r%u = *(%s *)(r%u %+d)", insn->dst, type, insn->src, insn->off);
		break;
	case FORT_ST:
		fort_text_add(out, "*(%s *)(r%u %+d) = %d", type, insn->dst, insn->off,
			      (int32_t)insn->imm);
		break;
	case FORT_STX:
		fort_text_add(out, "*(%s *)(r%u %+d) = r%u", type, insn->dst, insn->off, insn->src);
		break;
	case FORT_LDACQ:
		fort_text_add(out, "r%u = load_acquire((%s *)(r%u %+d))", insn->dst, type,
			      insn->src, insn->off);
		break;
	case FORT_STREL:
		fort_text_add(out, "store_release((%s *)(r%u %+d), r%u)", type, insn->dst,
			      insn->off, insn->src);
		break;
	case FORT_LDABS: fort_text_add(out, "r0 = *(%s *)skb[%d]", type, (int32_t)insn->imm); break;
	default:
		fort_text_add(out, "r0 = *(%s *)skb[r%u + %d]", type, insn->src,
			      (int32_t)insn->imm);
	}
}

static void put_atomic(const struct fort_insn *insn, struct fort_text *out)
{
	const char *symbol = fort_insn_row(insn)->symbol;
	const char *width = insn->bits == 64 ? "64" : "";

	if (fort_insn_uses(insn, '0'))
		fort_text_add(out, "r0 = atomic%s_%s((u%u *)(r%u %+d), r0, r%u)", width, symbol,
			      insn->bits, insn->dst, insn->off, insn->src);
	else if (fort_insn_uses(insn, 's'))
		fort_text_add(out, "r%u = atomic%s_%s((u%u *)(r%u %+d), r%u)", insn->src, width,
			      symbol, insn->bits, insn->dst, insn->off, insn->src);
	else
		fort_text_add(out, "lock *(u%u *)(r%u %+d) %s r%u", insn->bits, insn->dst,
			      insn->off, symbol, insn->src);
}

static void put_ldimm(const struct fort_insn *insn, const struct fort_disasm_names *names,
		      struct fort_text *out)
{
	const char *name = names && names->imm ? names->imm(names->context, insn) : NULL;

	fort_text_add(out, "r%u = ", insn->dst);
	if (name)
		fort_text_add(out, "%s", name);
	else
		fort_text_add(out, "0x%llx", (unsigned long long)insn->imm);
}

static void put_call(const struct fort_insn *insn, const struct fort_disasm_names *names,
		     struct fort_text *out)
{
	const char *name = NULL;

	if (insn->op == FORT_OP_LOCAL) {
		fort_text_add(out, "call pc%+d", (int32_t)insn->imm);
		return;
	}
	if (names && names->call)
		name = names->call(names->context, insn);
	if (!name)
		name = insn->op == FORT_OP_KFUNC ? "kernel-function" : "unknown";
	fort_text_add(out, "call %s#%d", name, (int32_t)insn->imm);
}

static void put_jump(const struct fort_insn *insn, struct fort_text *out)
{
	const char *symbol = fort_insn_row(insn)->symbol;
	char letter = reg_letter(insn);

	switch (insn->kind) {
	case FORT_JCC_K:
		fort_text_add(out, "if %c%u %s 0x%x goto pc%+d", letter, insn->dst, symbol,
			      (uint32_t)insn->imm, insn->off);
		break;
	case FORT_JCC_X:
		fort_text_add(out, "if %c%u %s %c%u goto pc%+d", letter, insn->dst, symbol, letter,
			      insn->src, insn->off);
		break;
	default: fort_text_add(out, "%s pc%+d", symbol, (int)(fort_insn_target(insn, 0) - 1));
	}
}

void fort_insn_text(const struct fort_insn *insn, const struct fort_disasm_names *names,
		    struct fort_text *out)
{
	const struct fort_row_info *info = fort_insn_row(insn);

	if (insn->kind == FORT_LDIMM_HIGH)
		return;
	fort_text_add(out, "(%02x) ", info->opcode);
	switch (insn->kind) {
	case FORT_ALU_K:
	case FORT_ALU_X:
	case FORT_NEG:
	case FORT_MOV_K:
	case FORT_MOV_X:
	case FORT_MOVSX:
	case FORT_END: put_alu(insn, out); break;
	case FORT_ATOMIC: put_atomic(insn, out); break;
	case FORT_LDIMM: put_ldimm(insn, names, out); break;
	case FORT_JA:
	case FORT_JCC_K:
	case FORT_JCC_X:
	case FORT_MAY_GOTO: put_jump(insn, out); break;
	case FORT_CALL: put_call(insn, names, out); break;
	case FORT_CALLX: fort_text_add(out, "%s r%u", info->symbol, insn->dst); break;
	case FORT_EXIT: fort_text_add(out, "%s", info->symbol); break;
	default: put_memory(insn, out);
	}
}
