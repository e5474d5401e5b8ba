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
	FORT_X64_REGS
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
	FORT_X64_ABOVE = 0x7,
	FORT_X64_ALWAYS = 0x10, /* not a code: the unconditional jump */
};

/* Digits of the rows that shift and rotate. */
enum fort_x64_shift { FORT_X64_ROR = 1, FORT_X64_SHL = 4, FORT_X64_SHR = 5, FORT_X64_SAR = 7 };

/* Where bytes go. Without memory nothing is written and `at` only measures.
 *
 * Constants of a program can spell instructions that no image may have at any byte
 * (engine/inspect.def). `careful` is how often what is being emitted did: constants are then made
 * in two steps, each time differently, and go through r11 where an instruction had them as
 * immediates.
 */
struct fort_x64_bytes {
	uint8_t *out;
	uint32_t at, room;
	uint8_t careful;
};

struct fort_x64_mem {
	enum fort_x64_reg base, index; /* index: where `indexed`, added; never rsp */
	int32_t disp;
	bool indexed;
	bool window; /* gs:[r32 + disp]: 32-bit address arithmetic from the segment's base */
};

/* A part of an offset, to be added apart: 0 if that needs not be. */
int32_t fort_x64_part(const struct fort_x64_bytes *to);
/* Instructions that do nothing, to move what comes next; none if nothing needs to be moved. */
void fort_x64_shift(struct fort_x64_bytes *to);

void fort_x64_byte(struct fort_x64_bytes *to, uint8_t byte);
/* The low `n` bytes of a word, little end first. */
void fort_x64_word(struct fort_x64_bytes *to, uint64_t word, unsigned n);

/* `reg` is a register, or the digit of rows without one (then ignored unless the row says R);
 * `bits` is the operand's width: 16, 32 or 64, and 8 for byte rows. Immediates have the row's size.
 */
void fort_x64_rr(struct fort_x64_bytes *to, enum fort_x64_row row, unsigned bits, unsigned reg,
		 enum fort_x64_reg rm);
void fort_x64_rri(struct fort_x64_bytes *to, enum fort_x64_row row, unsigned bits, unsigned reg,
		  enum fort_x64_reg rm, int32_t imm);
void fort_x64_rm(struct fort_x64_bytes *to, enum fort_x64_row row, unsigned bits, unsigned reg,
		 struct fort_x64_mem mem);
void fort_x64_rmi(struct fort_x64_bytes *to, enum fort_x64_row row, unsigned bits, unsigned reg,
		  struct fort_x64_mem mem, int32_t imm);
/* Rows with the register in the opcode; no immediate. */
void fort_x64_reg(struct fort_x64_bytes *to, enum fort_x64_row row, unsigned bits,
		  enum fort_x64_reg reg);
/* Rows without operands. */
void fort_x64_plain(struct fort_x64_bytes *to, enum fort_x64_row row, unsigned bits);

/* dst op= imm, for rows of two operands; the shorter of the two forms. */
void fort_x64_alu_imm(struct fort_x64_bytes *to, enum fort_x64_row row, unsigned bits,
		      enum fort_x64_reg dst, int32_t imm);
/* dst = src; nothing when that changes nothing (32-bit moves always clear the upper half). */
void fort_x64_mov(struct fort_x64_bytes *to, unsigned bits, enum fort_x64_reg dst,
		  enum fort_x64_reg src);
/* dst = constant, by the shortest form. Leaves the flags alone, unless it must be careful. */
void fort_x64_const(struct fort_x64_bytes *to, enum fort_x64_reg dst, uint64_t value);

/* A jump or call of a row with a displacement of `bytes` (1 or 4), to `target` in the same image;
 * a target not known yet is any, and patched later. Returns where the displacement is. */
uint32_t fort_x64_jump(struct fort_x64_bytes *to, enum fort_x64_cc cc, unsigned bytes,
		       uint32_t target);
uint32_t fort_x64_call(struct fort_x64_bytes *to, uint32_t target);
/* Makes the displacement of `bytes` at `at` lead to `target`. */
void fort_x64_patch(struct fort_x64_bytes *to, uint32_t at, unsigned bytes, uint32_t target);
/* call [rip + disp]: the slot at `target`, which may be before the image's start. */
void fort_x64_call_slot(struct fort_x64_bytes *to, int64_t target);
