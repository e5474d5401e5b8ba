#include "isa/explain.h"

#include <string.h>

#define CLASS_BITS 0x07
#define MODE_BITS  0xe0

/* Of a load the kernel looks at the mode before it looks up the opcode. */
static void put_unknown(uint8_t opcode, struct fort_text *out)
{
	const struct fort_row_info *load = &fort_rows[FORT_ROW_LDX8];
	uint8_t mode = opcode & MODE_BITS;
	bool known_mode = mode == (load->opcode & MODE_BITS) ||
			  mode == (fort_rows[FORT_ROW_LDXS8].opcode & MODE_BITS);

	if ((opcode & CLASS_BITS) == (load->opcode & CLASS_BITS) && !known_mode)
		fort_text_add(out, "%s uses reserved fields", load->group);
	else
		fort_text_add(out, "unknown opcode %02x", opcode);
}

void fort_decode_error_text(const struct fort_decode_error *error, struct fort_text *out)
{
	const struct fort_raw_insn *insn = &error->insn;

	switch (error->fault) {
	case FORT_DECODE_UNKNOWN_OPCODE: put_unknown(insn->opcode, out); break;
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
	case FORT_DECODE_SPACE_CAST:
		fort_text_add(out, "casts between address spaces are not supported yet");
		break;
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
