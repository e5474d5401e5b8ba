/* Machine instructions as bytes: rows of x64.def with their operands. Knows nothing of BPF. */
#pragma once

#include "base/compiler.h"

enum fort_x64_reg {
	FORT_X64_RAX,
	FORT_X64_RCX,
	FORT_X64_RDX,
	FORT_X64_RBX,
	FORT_X64_RSP,
	FORT_X64_RBP,
	FORT_X64_RSI,
	FORT_X64_RDI,
	FORT_X64_R8,
	FORT_X64_R9,
	FORT_X64_R10,
	FORT_X64_R11,
	FORT_X64_R12,
	FORT_X64_R13,
	FORT_X64_R14,
	FORT_X64_R15,
	FORT_X64_REGS,
	FORT_X64_NONE = FORT_X64_REGS /* no base, no index */
};

/* Rows of x64.def. */
enum fort_x64_row {
#define FORT_X64(id, ...) FORT_X64_##id,
#include "engine/x64.def"
	FORT_X64_ROWS
};

/* Condition codes, as jumps have them; the lowest bit negates. */
enum fort_x64_cc {
	FORT_X64_BELOW = 0x2,
	FORT_X64_NOT_BELOW = 0x3,
	FORT_X64_EQUAL = 0x4,
	FORT_X64_NOT_EQUAL = 0x5,
	FORT_X64_NOT_ABOVE = 0x6,
	FORT_X64_ABOVE = 0x7,
	FORT_X64_ALWAYS = 0x10, /* not a code: the unconditional jump */
};

/* Digits of the rows that shift and rotate. */
enum fort_x64_shift {
	FORT_X64_ROL = 0,
	FORT_X64_ROR = 1,
	FORT_X64_SHL = 4,
	FORT_X64_SHR = 5,
	FORT_X64_SAR = 7
};

/* Where bytes go. There must be room. */
struct fort_x64_bytes {
	uint8_t *out;
	uint32_t at;
};

enum fort_x64_segment {
	FORT_X64_FLAT,
	FORT_X64_GS, /* gs:[r32 + disp]: 32-bit address arithmetic from the segment's base */
	FORT_X64_FS  /* fs:[disp]: 64-bit */
};

/* [base + index << scale + disp], each part may be missing. */
struct fort_x64_mem {
	uint8_t base, index; /* enum fort_x64_reg; never rsp as index */
	uint8_t scale;       /* 0 to 3 */
	uint8_t segment;     /* enum fort_x64_segment */
	int32_t disp;
};

static inline struct fort_x64_mem fort_x64_at(enum fort_x64_reg base, int32_t disp)
{
	return (struct fort_x64_mem){.base = base, .index = FORT_X64_NONE, .disp = disp};
}

static inline void fort_x64_byte(struct fort_x64_bytes *to, uint8_t byte)
{
	to->out[to->at++] = byte;
}

/* The low `n` bytes of a word, little end first. */
static inline void fort_x64_word(struct fort_x64_bytes *to, uint64_t word, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		fort_x64_byte(to, (uint8_t)(word >> 8 * i));
}

/* `reg` is a register, or the digit of rows without one (then ignored unless the row says R);
 * `bits` is the operand's width: 16, 32 or 64, and 8 for byte rows. Immediates have the row's size.
 */
void fort_x64_rri(struct fort_x64_bytes *to, enum fort_x64_row row, unsigned bits, unsigned reg,
		  enum fort_x64_reg rm, int32_t imm);
void fort_x64_rmi(struct fort_x64_bytes *to, enum fort_x64_row row, unsigned bits, unsigned reg,
		  struct fort_x64_mem mem, int32_t imm);
static inline void fort_x64_rr(struct fort_x64_bytes *to, enum fort_x64_row row, unsigned bits,
			       unsigned reg, enum fort_x64_reg rm)
{
	fort_x64_rri(to, row, bits, reg, rm, 0);
}
static inline void fort_x64_rm(struct fort_x64_bytes *to, enum fort_x64_row row, unsigned bits,
			       unsigned reg, struct fort_x64_mem mem)
{
	fort_x64_rmi(to, row, bits, reg, mem, 0);
}
/* Rows with the register in the opcode; no immediate. */
void fort_x64_reg(struct fort_x64_bytes *to, enum fort_x64_row row, unsigned bits,
		  enum fort_x64_reg reg);
/* Rows without operands. */
void fort_x64_plain(struct fort_x64_bytes *to, enum fort_x64_row row, unsigned bits);
/* Rows of conditions. */
void fort_x64_setcc(struct fort_x64_bytes *to, enum fort_x64_cc cc, enum fort_x64_reg dst);
void fort_x64_cmov(struct fort_x64_bytes *to, enum fort_x64_cc cc, unsigned bits,
		   enum fort_x64_reg dst, enum fort_x64_reg src);

/* dst op= imm, for rows of two operands; the shorter of the two forms. */
void fort_x64_alu_imm(struct fort_x64_bytes *to, enum fort_x64_row row, unsigned bits,
		      enum fort_x64_reg dst, int32_t imm);
/* The same on memory; also of bytes, where the row takes them. */
void fort_x64_alu_mem_imm(struct fort_x64_bytes *to, enum fort_x64_row row, unsigned bits,
			  struct fort_x64_mem mem, int32_t imm);
/* dst = src; nothing when that changes nothing (32-bit moves always clear the upper half). */
void fort_x64_mov(struct fort_x64_bytes *to, unsigned bits, enum fort_x64_reg dst,
		  enum fort_x64_reg src);
/* dst = constant, by the shortest form. Leaves the flags alone. */
void fort_x64_const(struct fort_x64_bytes *to, enum fort_x64_reg dst, uint64_t value);
/* The opcode of a jump, with the displacement of `bytes` (1 or 4) that leads from its end over
 * `distance` bytes; call: of 4 bytes. */
void fort_x64_jump(struct fort_x64_bytes *to, enum fort_x64_cc cc, unsigned bytes,
		   int64_t distance);
void fort_x64_call(struct fort_x64_bytes *to, int64_t distance);
/* Operations that do nothing, `n` bytes in all. */
void fort_x64_nops(struct fort_x64_bytes *to, unsigned n);
/* call [rip + disp]: the word at `distance` from the instruction's end. */
void fort_x64_call_slot(struct fort_x64_bytes *to, int64_t distance);
/* The same as a jump. */
void fort_x64_jump_slot(struct fort_x64_bytes *to, int64_t distance);

/* The row of x64.def that takes memory for its second operand, of one that takes a register. */
enum fort_x64_row fort_x64_load_row(enum fort_x64_row row);
