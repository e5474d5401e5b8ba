#include "isa/explain.h"

#include <string.h>

void fort_decode_error_text(const struct fort_decode_error *error, struct fort_text *out)
{
	const struct fort_raw_insn *insn = &error->insn;

	switch (error->fault) {
	case FORT_DECODE_UNKNOWN_OPCODE:
		fort_text_add(out, "unknown opcode %02x", insn->opcode);
		break;
	case FORT_DECODE_RESERVED_FIELD:
		fort_text_add(out, "%s uses reserved fields", error->group);
		break;
	case FORT_DECODE_BAD_REGISTER:
		fort_text_add(out, "R%d is invalid",
			      strcmp(error->field, "dst") ? insn->src : insn->dst);
		break;
	case FORT_DECODE_FRAME_POINTER_WRITE:
		fort_text_add(out, "frame pointer is read only");
		break;
	case FORT_DECODE_BAD_ATOMIC:
		fort_text_add(out, "%s uses invalid atomic opcode %02x", error->group,
			      (uint32_t)insn->imm);
		break;
	case FORT_DECODE_HALF_LDIMM: fort_text_add(out, "invalid bpf_ld_imm64 insn"); break;
	case FORT_DECODE_BAD_LDIMM_SRC: fort_text_add(out, "unrecognized bpf_ld_imm64 insn"); break;
	}
}

void fort_graph_error_text(const struct fort_graph_error *error, struct fort_text *out)
{
	switch (error->fault) {
	case FORT_GRAPH_JUMP_OUT:
		fort_text_add(out, "jump out of range from insn %u to %lld", error->pc,
			      (long long)error->target);
		break;
	case FORT_GRAPH_JUMP_LDIMM:
		fort_text_add(out, "jump into the middle of ldimm64 insn %lld",
			      (long long)error->target - 1);
		break;
	case FORT_GRAPH_FALL_OFF: fort_text_add(out, "last insn is not an exit or jmp"); break;
	case FORT_GRAPH_UNREACHABLE: fort_text_add(out, "unreachable insn %u", error->pc); break;
	case FORT_GRAPH_CALL_OUT: fort_text_add(out, "call to invalid destination"); break;
	case FORT_GRAPH_SUBPROGS: fort_text_add(out, "too many subprograms"); break;
	}
}
