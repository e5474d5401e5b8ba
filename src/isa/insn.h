/* Instructions: the raw 8-byte slot of the ABI, and its decoded form.
 *
 * Everything about an opcode comes from isa.def. A program is an array with one decoded
 * instruction per slot, so that positions are the kernel's; the second slot of a 64-bit immediate
 * is a row of its own (LDIMM_HIGH) that is never executed.
 */
#pragma once

#include "base/compiler.h"

/* One slot as it is in memory (struct bpf_insn). */
struct fort_raw_insn {
	uint8_t opcode;
	uint8_t dst : 4, src : 4;
	int16_t off;
	int32_t imm;
};
_Static_assert(sizeof(struct fort_raw_insn) == 8, "ABI");

enum fort_reg {
	FORT_R0,
	FORT_R1,
	FORT_R2,
	FORT_R3,
	FORT_R4,
	FORT_R5,
	FORT_R6,
	FORT_R7,
	FORT_R8,
	FORT_R9,
	FORT_R10,
	FORT_REGS
};

/* Rows of isa.def. */
enum fort_row {
#define FORT_INSN(id, ...) FORT_ROW_##id,
#include "isa/isa.def"
	FORT_ROWS
};

/* Shapes of instructions: who handles a row looks at its kind. */
enum fort_kind {
	FORT_ALU_K, /* dst = dst op imm */
	FORT_ALU_X, /* dst = dst op src */
	FORT_NEG,
	FORT_MOV_K,
	FORT_MOV_X,
	FORT_MOVSX,
	FORT_END,
	FORT_LDX, /* op LDX zero-extends, LDXS sign-extends */
	FORT_ST,
	FORT_STX,
	FORT_ATOMIC,
	FORT_LDACQ,
	FORT_STREL,
	FORT_LDIMM,
	FORT_LDIMM_HIGH,
	FORT_LDABS,
	FORT_LDIND,
	FORT_JA,
	FORT_JCC_K,
	FORT_JCC_X,
	FORT_MAY_GOTO,
	FORT_CALL,
	FORT_CALLX,
	FORT_EXIT,
};

/* Operations within a kind. The families of isa.def come first, each without gaps. */
enum fort_op {
#define FORT_ALU(op, ...) FORT_OP_##op,
#include "isa/isa.def"
	FORT_ALU_OPS,
	FORT_JCC_OPS_BEFORE = FORT_ALU_OPS - 1,
#define FORT_JCC(op, ...) FORT_OP_##op,
#include "isa/isa.def"
#define FORT_ATOMIC(op, ...) FORT_OP_A_##op,
#include "isa/isa.def"
	FORT_OP_NEG,
	FORT_OP_MOV,
	FORT_OP_MOVSX8,
	FORT_OP_MOVSX16,
	FORT_OP_MOVSX32,
	FORT_OP_LE,
	FORT_OP_BE,
	FORT_OP_BSWAP,
	FORT_OP_LDX,
	FORT_OP_LDXS,
	FORT_OP_ST,
	FORT_OP_STX,
	FORT_OP_LDACQ,
	FORT_OP_STREL,
	FORT_OP_CONST, /* LDIMM: a number */
	FORT_OP_MAP_FD,
	FORT_OP_MAP_VALUE,
	FORT_OP_BTF_VAR,
	FORT_OP_FUNC,
	FORT_OP_MAP_IDX,
	FORT_OP_MAP_IDX_VALUE,
	FORT_OP_LDABS,
	FORT_OP_LDIND,
	FORT_OP_JA,
	FORT_OP_JA32,
	FORT_OP_MAY_GOTO,
	FORT_OP_HELPER, /* CALL */
	FORT_OP_LOCAL,
	FORT_OP_KFUNC,
	FORT_OP_CALLX,
	FORT_OP_EXIT,
};

enum fort_select { FORT_SELECT_NONE, FORT_SELECT_OFF, FORT_SELECT_IMM, FORT_SELECT_SRC };

/* What isa.def says of one row. */
struct fort_row_info {
	uint8_t opcode, kind, op, bits;
	uint8_t select; /* enum fort_select */
	int32_t value;  /* of the selecting field */
	char uses[4];
	uint64_t fields; /* the same: FORT_USE of each letter */
	const char *group, *name, *symbol;
};

/* A letter of isa.def's column `uses` as a bit of its own. */
#define FORT_USE(letter) (1ull << ((letter)&63))

extern const struct fort_row_info fort_rows[FORT_ROWS];

/* A decoded slot: 16 bytes. `imm` is sign-extended; for LDIMM it is all 64 bits. */
struct fort_insn {
	uint8_t row; /* enum fort_row */
	uint8_t dst, src;
	uint8_t kind; /* fort_rows[row].kind, repeated for speed */
	int16_t off;
	uint8_t op, bits;
	int64_t imm;
};
_Static_assert(FORT_ROWS <= 256, "row is a byte");

static inline const struct fort_row_info *fort_insn_row(const struct fort_insn *insn)
{
	return &fort_rows[insn->row];
}

/* True when the instruction's fields include `use` (a letter of isa.def's column). */
static inline bool fort_insn_uses(const struct fort_insn *insn, char use)
{
	return fort_insn_row(insn)->fields & FORT_USE(use);
}

/* Slots this instruction takes: 1, or 2 for 64-bit immediates. */
static inline uint32_t fort_insn_slots(const struct fort_insn *insn)
{
	return insn->kind == FORT_LDIMM ? 2 : 1;
}

/* Where a taken jump, or a local call, at slot `pc` goes; may be outside the program. */
static inline int64_t fort_insn_target(const struct fort_insn *insn, uint32_t pc)
{
	bool wide = insn->op == FORT_OP_JA32 || insn->kind == FORT_CALL || insn->kind == FORT_LDIMM;

	return (int64_t)pc + 1 + (wide ? (int32_t)insn->imm : insn->off);
}

/* Does this instruction name another subprogram, at its target? Local calls, and the addresses of
 * functions that are called back. */
static inline bool fort_insn_names_subprog(const struct fort_insn *insn)
{
	return (insn->kind == FORT_CALL && insn->op == FORT_OP_LOCAL) ||
	       (insn->kind == FORT_LDIMM && insn->op == FORT_OP_FUNC);
}

/* True for instructions after which control may go somewhere else than the next one. */
static inline bool fort_insn_jumps(const struct fort_insn *insn)
{
	return insn->kind == FORT_JA || insn->kind == FORT_JCC_K || insn->kind == FORT_JCC_X ||
	       insn->kind == FORT_MAY_GOTO;
}

/* Why a program could not be decoded. */
enum fort_decode_fault {
	FORT_DECODE_UNKNOWN_OPCODE = 1,
	FORT_DECODE_RESERVED_FIELD,
	FORT_DECODE_BAD_REGISTER,
	FORT_DECODE_FRAME_POINTER_WRITE,
	FORT_DECODE_BAD_ATOMIC,
	FORT_DECODE_HALF_LDIMM,    /* the second slot is missing or not one */
	FORT_DECODE_BAD_LDIMM_SRC, /* pseudo source unknown, or it takes no second imm */
	FORT_DECODE_SPACE_CAST,    /* a cast between address spaces: of programs with arenas */
};

struct fort_decode_error {
	uint32_t pc;
	enum fort_decode_fault fault;
	struct fort_raw_insn insn;
	const char *field; /* dst, src, off, imm or next_imm; NULL where it is not one field's */
	const char *group; /* isa.def's group, or NULL for unknown opcodes */
};

/* Decodes `count` raw slots into `out` (same count). Checks what is wrong with any instruction
 * alone: opcodes, reserved fields, register numbers, halves of 64-bit immediates. Jump targets are
 * the control-flow graph's business.
 * Returns 0, or -EINVAL with *error filled.
 */
FORT_CHECKED int fort_insn_decode(const struct fort_raw_insn *raw, uint32_t count,
				  struct fort_insn *out, struct fort_decode_error *error);

/* Would it change r10? Well-formed, and refused where it is executed: the verifier does so on the
 * paths that it finds (K: dead code may), engines end the run. */
static inline bool fort_insn_writes_frame_pointer(const struct fort_insn *insn)
{
	return (insn->dst == FORT_R10 &&
		(fort_insn_uses(insn, 'D') || fort_insn_uses(insn, 'b'))) ||
	       (insn->src == FORT_R10 && fort_insn_uses(insn, 's'));
}
/* For programs that nobody verifies: none of the instructions does. Returns 0, or -EINVAL with
 * *error filled. */
FORT_CHECKED int fort_insn_check_frame_pointer(const struct fort_insn *insns, uint32_t count,
					       struct fort_decode_error *error);

/* The inverse, for tests and rewriting passes: one slot, or two for LDIMM. Returns the slots. */
uint32_t fort_insn_encode(const struct fort_insn *insn, struct fort_raw_insn out[2]);

/* An instruction built from its row. Operands it does not have must be zero; the field that selects
 * the row is filled in. */
struct fort_insn fort_insn_make(enum fort_row row, uint8_t dst, uint8_t src, int16_t off,
				int64_t imm);
