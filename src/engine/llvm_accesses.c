#include "engine/llvm_accesses.h"

#include <Zydis/Zydis.h>
#include <errno.h>
#include <stdlib.h>

static uint8_t register_of(ZydisRegister reg)
{
	ZydisRegister wide = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);

	return wide >= ZYDIS_REGISTER_RAX && wide <= ZYDIS_REGISTER_R15
		       ? (uint8_t)(wide - ZYDIS_REGISTER_RAX)
		       : FORT_X64_NONE;
}

/* Where one instruction accesses memory; false if it does not, or only the host's stack and
 * constants of the image. */
static bool is_access(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operands,
		      struct fort_x64_access *out)
{
	for (unsigned i = 0; i < insn->operand_count; i++) {
		const ZydisDecodedOperand *operand = &operands[i];

		if (operand->type != ZYDIS_OPERAND_TYPE_MEMORY ||
		    operand->mem.type != ZYDIS_MEMOP_TYPE_MEM ||
		    operand->mem.base == ZYDIS_REGISTER_RSP ||
		    operand->mem.base == ZYDIS_REGISTER_RIP)
			continue;
		*out = (struct fort_x64_access){
			.bytes = (uint8_t)(operand->size / 8),
			.base = register_of(operand->mem.base),
			.index = register_of(operand->mem.index),
			.scale = (uint8_t)(operand->mem.scale ? __builtin_ctz(operand->mem.scale)
							      : 0),
			.disp = (int32_t)operand->mem.disp.value,
		};
		return true;
	}
	return false;
}

/* Rows come in the order of places; a row of no line belongs to what came before. */
static uint32_t keep_lines(const struct fort_llvm_line *lines, uint32_t n,
			   struct fort_code_place *out)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct fort_code_place place = {lines[i].at, lines[i].line};

		if (!place.pc || (kept && place.at < out[kept - 1].at))
			continue;
		if (kept && out[kept - 1].at == place.at)
			kept--;
		out[kept++] = place;
	}
	return kept;
}

static void find_accesses(struct fort_span code, struct fort_llvm_built *out)
{
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction insn;
	ZydisDecoder decoder;
	uint32_t line = 0;

	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (uint32_t at = 0; at < code.bytes; at += insn.length) {
		struct fort_x64_access *access = &out->accesses[out->n_accesses];

		if (ZYAN_FAILED(ZydisDecoderDecodeFull(&decoder, code.data + at, code.bytes - at,
						       &insn, operands))) {
			insn.length = 1; /* between functions */
			continue;
		}
		while (line + 1 < out->n_places && out->places[line + 1].at <= at)
			line++;
		if (!out->n_places || !is_access(&insn, operands, access))
			continue;
		access->at = at;
		access->pc = access->load_pc = (out->places[line].pc - 1) / 2;
		if (!(out->places[line].pc & 1))
			access->bytes = 0; /* the key of a lookup */
		out->n_accesses++;
	}
}

int fort_llvm_note(struct fort_span code, const struct fort_llvm_line *lines, uint32_t n_lines,
		   struct fort_llvm_built *out)
{
	out->places = calloc(n_lines + 1u, sizeof(*out->places));
	out->accesses = calloc(code.bytes + 1, sizeof(*out->accesses));
	if (!out->places || !out->accesses)
		return -ENOMEM;
	out->n_places = keep_lines(lines, n_lines, out->places);
	find_accesses(code, out);
	for (uint32_t i = 0; i < out->n_places; i++)
		out->places[i].pc = (out->places[i].pc - 1) / 2;
	return 0;
}
