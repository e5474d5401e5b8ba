#include "attach/machine.h"

#include <Zydis/Zydis.h>

#define RSP 4

static enum fort_machine_kind branch_kind(const ZydisDecodedInstruction *insn)
{
	bool relative = insn->attributes & ZYDIS_ATTRIB_IS_RELATIVE && insn->raw.imm[0].is_relative;

	if (insn->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR || insn->operand_width == 16)
		return FORT_MACHINE_BARRED;
	if (insn->meta.category == ZYDIS_CATEGORY_CALL)
		return relative ? FORT_MACHINE_CALL : FORT_MACHINE_CALL_INDIRECT;
	if (insn->meta.category == ZYDIS_CATEGORY_UNCOND_BR)
		return relative ? FORT_MACHINE_JUMP : FORT_MACHINE_JUMP_INDIRECT;
	if (!relative || insn->mnemonic == ZYDIS_MNEMONIC_XBEGIN)
		return FORT_MACHINE_BARRED;
	if ((insn->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && insn->opcode >> 4 == 7) ||
	    (insn->opcode_map == ZYDIS_OPCODE_MAP_0F && insn->opcode >> 4 == 8))
		return FORT_MACHINE_BRANCH;
	return insn->opcode >= 0xe0 && insn->opcode <= 0xe3 ? FORT_MACHINE_LOOP
							    : FORT_MACHINE_BARRED;
}

static enum fort_machine_kind kind_of(const ZydisDecodedInstruction *insn)
{
	switch (insn->mnemonic) {
	case ZYDIS_MNEMONIC_ENDBR64: return FORT_MACHINE_ENDBR;
	case ZYDIS_MNEMONIC_INT3: return FORT_MACHINE_BREAKPOINT;
	case ZYDIS_MNEMONIC_UD0:
	case ZYDIS_MNEMONIC_UD1:
	case ZYDIS_MNEMONIC_UD2:
	case ZYDIS_MNEMONIC_HLT: return FORT_MACHINE_TRAP;
	case ZYDIS_MNEMONIC_SYSCALL: return FORT_MACHINE_SYSCALL;
	case ZYDIS_MNEMONIC_XBEGIN:
	case ZYDIS_MNEMONIC_XABORT: return FORT_MACHINE_BARRED;
	default: break;
	}
	switch (insn->meta.category) {
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_UNCOND_BR:
	case ZYDIS_CATEGORY_COND_BR: return branch_kind(insn);
	case ZYDIS_CATEGORY_RET:
		return insn->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR ? FORT_MACHINE_BARRED
								       : FORT_MACHINE_RETURN;
	case ZYDIS_CATEGORY_NOP:
	case ZYDIS_CATEGORY_WIDENOP: return FORT_MACHINE_NOP;
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_SYSRET: return FORT_MACHINE_BARRED;
	default: return FORT_MACHINE_PLAIN;
	}
}

/* What the ModRM byte says about memory. */
static void read_operand(const ZydisDecodedInstruction *insn, uint64_t address,
			 struct fort_machine_insn *out)
{
	bool rex_b = insn->attributes & ZYDIS_ATTRIB_HAS_REX && insn->raw.rex.B;
	bool has_sib = insn->attributes & ZYDIS_ATTRIB_HAS_SIB;

	if (!(insn->attributes & ZYDIS_ATTRIB_HAS_MODRM))
		return;
	out->modrm_at = insn->raw.modrm.offset;
	if (insn->raw.modrm.mod == 3) {
		out->uses_rsp = insn->raw.modrm.rm == RSP && !rex_b;
		return;
	}
	out->uses_rsp = has_sib && insn->raw.sib.base == RSP && !rex_b;
	if (insn->raw.modrm.mod || insn->raw.disp.size != 32)
		return;
	if (insn->raw.modrm.rm == 5) {
		out->disp_at = insn->raw.disp.offset;
		out->memory = address + insn->length + (uint64_t)insn->raw.disp.value;
		if (insn->address_width != 64)
			out->kind = FORT_MACHINE_BARRED;
	} else if (has_sib && insn->raw.sib.base == 5) {
		out->table = (uint64_t)insn->raw.disp.value;
	}
}

bool fort_machine_decode(const uint8_t *code, size_t bytes, uint64_t address,
			 struct fort_machine_insn *out)
{
	struct fort_machine_insn result = {0};
	ZydisDecodedInstruction insn;
	ZydisDecoder decoder;

	if (ZYAN_FAILED(
		    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)) ||
	    ZYAN_FAILED(ZydisDecoderDecodeInstruction(&decoder, NULL, code, bytes, &insn)))
		return false;
	result.bytes = insn.length;
	result.kind = kind_of(&insn);
	result.condition = insn.opcode & 0x0f;
	if (insn.raw.imm[0].is_relative)
		result.target = address + insn.length + (uint64_t)insn.raw.imm[0].value.s;
	read_operand(&insn, address, &result);
	*out = result;
	return true;
}

bool fort_machine_ends(const struct fort_machine_insn *insn)
{
	switch (insn->kind) {
	case FORT_MACHINE_JUMP:
	case FORT_MACHINE_JUMP_INDIRECT:
	case FORT_MACHINE_RETURN:
	case FORT_MACHINE_TRAP: return true;
	default: return false;
	}
}
