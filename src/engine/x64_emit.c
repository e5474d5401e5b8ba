#include "engine/x64_emit.h"

#define REX        0x40
#define REX_W      0x08
#define REX_R      0x04
#define REX_X      0x02
#define REX_B      0x01
#define OPERAND_16 0x66
#define ADDRESS_32 0x67
#define SEGMENT_GS 0x65
#define SEGMENT_FS 0x64

static const struct encoding {
	uint8_t prefix, escape, opcode, digit, imm, byte;
} encodings[FORT_X64_ROWS] = {
#define FORT_X64(id, prefix, escape, opcode, digit, imm, byte) \
	[FORT_X64_##id] = {prefix, escape, opcode, digit, imm, byte},
#include "engine/x64.def"
};
#define DIGIT_IS_REGISTER 8

/* Everything before the ModRM byte. `reg` and `rm` are numbers of registers, for their fourth bits
 * and, in byte rows, for the registers that only a REX prefix names. */
static void put_opcode(struct fort_x64_bytes *to, const struct encoding *e, unsigned bits,
		       unsigned reg, unsigned index, unsigned rm, unsigned plus)
{
	uint8_t rex = (uint8_t)((bits == 64 ? REX_W : 0) | (reg & 8 ? REX_R : 0) |
				(index & 8 ? REX_X : 0) | (rm & 8 ? REX_B : 0));

	if (e->prefix)
		fort_x64_byte(to, e->prefix);
	if (bits == 16)
		fort_x64_byte(to, OPERAND_16);
	if (rex || (e->byte && (reg >= FORT_X64_RSP || rm >= FORT_X64_RSP)))
		fort_x64_byte(to, REX | rex);
	if (e->escape)
		fort_x64_byte(to, e->escape);
	fort_x64_byte(to, (uint8_t)(e->opcode + plus));
}

static unsigned field(const struct encoding *e, unsigned reg)
{
	return e->digit == DIGIT_IS_REGISTER ? reg : e->digit;
}

static void put_modrm(struct fort_x64_bytes *to, unsigned mod, unsigned reg, unsigned rm)
{
	fort_x64_byte(to, (uint8_t)(mod << 6 | (reg & 7) << 3 | (rm & 7)));
}

/* A SIB byte has the fields of a ModRM byte: scale, index, base. An index of rsp is none, a base of
 * rbp without displacement too: then 32 bits of it follow. */
static void put_absolute(struct fort_x64_bytes *to, unsigned reg, struct fort_x64_mem mem)
{
	put_modrm(to, 0, reg, FORT_X64_RSP);
	put_modrm(to, mem.scale, mem.index == FORT_X64_NONE ? FORT_X64_RSP : mem.index,
		  FORT_X64_RBP);
	fort_x64_word(to, (uint32_t)mem.disp, 4);
}

/* rsp and r12 take a SIB byte; rbp and r13 have no form without displacement. */
static void put_mem(struct fort_x64_bytes *to, unsigned reg, struct fort_x64_mem mem)
{
	bool none = !mem.disp && (mem.base & 7) != FORT_X64_RBP;
	bool byte = mem.disp == (int8_t)mem.disp, indexed = mem.index != FORT_X64_NONE;

	if (mem.base == FORT_X64_NONE) {
		put_absolute(to, reg, mem);
		return;
	}
	put_modrm(to, none ? 0 : byte ? 1 : 2, reg, indexed ? FORT_X64_RSP : mem.base);
	if (indexed)
		put_modrm(to, mem.scale, mem.index, mem.base);
	else if ((mem.base & 7) == FORT_X64_RSP)
		put_modrm(to, 0, FORT_X64_RSP, mem.base);
	if (!none)
		fort_x64_word(to, (uint32_t)mem.disp, byte ? 1 : 4);
}

void fort_x64_rri(struct fort_x64_bytes *to, enum fort_x64_row row, unsigned bits, unsigned reg,
		  enum fort_x64_reg rm, int32_t imm)
{
	const struct encoding *e = &encodings[row];

	reg = field(e, reg);
	put_opcode(to, e, bits, reg, 0, rm, 0);
	put_modrm(to, 3, reg, rm);
	fort_x64_word(to, (uint32_t)imm, e->imm);
}

void fort_x64_rmi(struct fort_x64_bytes *to, enum fort_x64_row row, unsigned bits, unsigned reg,
		  struct fort_x64_mem mem, int32_t imm)
{
	const struct encoding *e = &encodings[row];

	reg = field(e, reg);
	if (mem.segment == FORT_X64_GS) {
		fort_x64_byte(to, SEGMENT_GS);
		fort_x64_byte(to, ADDRESS_32);
	} else if (mem.segment == FORT_X64_FS) {
		fort_x64_byte(to, SEGMENT_FS);
	}
	put_opcode(to, e, bits, reg, mem.index == FORT_X64_NONE ? 0 : mem.index,
		   mem.base == FORT_X64_NONE ? 0 : mem.base, 0);
	put_mem(to, reg, mem);
	fort_x64_word(to, (uint32_t)imm, e->imm);
}

void fort_x64_reg(struct fort_x64_bytes *to, enum fort_x64_row row, unsigned bits,
		  enum fort_x64_reg reg)
{
	put_opcode(to, &encodings[row], bits, 0, 0, reg, reg & 7);
}

void fort_x64_plain(struct fort_x64_bytes *to, enum fort_x64_row row, unsigned bits)
{
	put_opcode(to, &encodings[row], bits, 0, 0, 0, 0);
}

void fort_x64_setcc(struct fort_x64_bytes *to, enum fort_x64_cc cc, enum fort_x64_reg dst)
{
	put_opcode(to, &encodings[FORT_X64_SETCC], 8, 0, 0, dst, cc);
	put_modrm(to, 3, 0, dst);
}

void fort_x64_cmov(struct fort_x64_bytes *to, enum fort_x64_cc cc, unsigned bits,
		   enum fort_x64_reg dst, enum fort_x64_reg src)
{
	put_opcode(to, &encodings[FORT_X64_CMOV], bits, dst, 0, src, cc);
	put_modrm(to, 3, dst, src);
}

/* The digit of an operation where it has an immediate. */
static unsigned digit_of(enum fort_x64_row row)
{
	return encodings[row].opcode >> 3;
}

void fort_x64_alu_imm(struct fort_x64_bytes *to, enum fort_x64_row row, unsigned bits,
		      enum fort_x64_reg dst, int32_t imm)
{
	fort_x64_rri(to, imm == (int8_t)imm ? FORT_X64_ALU_I8 : FORT_X64_ALU_I32, bits,
		     digit_of(row), dst, imm);
}

void fort_x64_alu_mem_imm(struct fort_x64_bytes *to, enum fort_x64_row row, unsigned bits,
			  struct fort_x64_mem mem, int32_t imm)
{
	enum fort_x64_row form = bits == 8            ? FORT_X64_ALU_BYTE
				 : imm == (int8_t)imm ? FORT_X64_ALU_I8
						      : FORT_X64_ALU_I32;

	fort_x64_rmi(to, form, bits, digit_of(row), mem, imm);
}

void fort_x64_mov(struct fort_x64_bytes *to, unsigned bits, enum fort_x64_reg dst,
		  enum fort_x64_reg src)
{
	if (bits == 32 || dst != src)
		fort_x64_rr(to, FORT_X64_MOV, bits, src, dst);
}

void fort_x64_const(struct fort_x64_bytes *to, enum fort_x64_reg dst, uint64_t value)
{
	if ((uint32_t)value == value) {
		fort_x64_reg(to, FORT_X64_MOV_REG_I, 32, dst);
		fort_x64_word(to, value, 4);
	} else if ((uint64_t)(int32_t)value == value) {
		fort_x64_rri(to, FORT_X64_MOV_I32, 64, 0, dst, (int32_t)value);
	} else {
		fort_x64_reg(to, FORT_X64_MOV_REG_I, 64, dst);
		fort_x64_word(to, value, 8);
	}
}

void fort_x64_jump(struct fort_x64_bytes *to, enum fort_x64_cc cc, unsigned bytes, int64_t distance)
{
	if (cc == FORT_X64_ALWAYS)
		fort_x64_plain(to, bytes == 1 ? FORT_X64_JMP_SHORT : FORT_X64_JMP, 32);
	else
		put_opcode(to, &encodings[bytes == 1 ? FORT_X64_JCC_SHORT : FORT_X64_JCC], 32, 0, 0,
			   0, cc);
	fort_x64_word(to, (uint64_t)distance, bytes);
}

void fort_x64_call(struct fort_x64_bytes *to, int64_t distance)
{
	fort_x64_plain(to, FORT_X64_CALL, 32);
	fort_x64_word(to, (uint64_t)distance, 4);
}

static void through_slot(struct fort_x64_bytes *to, enum fort_x64_row row, int64_t distance)
{
	const struct encoding *e = &encodings[row];

	put_opcode(to, e, 32, 0, 0, 0, 0);
	put_modrm(to, 0, e->digit, FORT_X64_RBP); /* rip */
	fort_x64_word(to, (uint64_t)distance, 4);
}

void fort_x64_call_slot(struct fort_x64_bytes *to, int64_t distance)
{
	through_slot(to, FORT_X64_CALL_SLOT, distance);
}

void fort_x64_jump_slot(struct fort_x64_bytes *to, int64_t distance)
{
	through_slot(to, FORT_X64_JMP_SLOT, distance);
}

/* Lengths of 3 to 8 by the forms of an operand that is not looked at; 1 and one more of each by a
 * prefix. */
static void put_nop(struct fort_x64_bytes *to, unsigned n)
{
	static const struct {
		uint8_t bits, index;
		int32_t disp;
	} forms[] = {
		[3] = {32, FORT_X64_NONE, 0},   [4] = {32, FORT_X64_NONE, 1},
		[5] = {32, FORT_X64_RAX, 1},    [6] = {16, FORT_X64_RAX, 1},
		[7] = {32, FORT_X64_NONE, 256}, [8] = {32, FORT_X64_RAX, 256},
	};

	if (n < 3) {
		fort_x64_plain(to, FORT_X64_NOP, n == 2 ? 16 : 32);
		return;
	}
	fort_x64_rm(to, FORT_X64_NOP_LONG, forms[n].bits, 0,
		    (struct fort_x64_mem){
			    .base = FORT_X64_RAX, .index = forms[n].index, .disp = forms[n].disp});
}

void fort_x64_nops(struct fort_x64_bytes *to, unsigned n)
{
	for (; n > 8; n -= 8)
		put_nop(to, 8);
	if (n)
		put_nop(to, n);
}

enum fort_x64_row fort_x64_load_row(enum fort_x64_row row)
{
	static const uint8_t rows[FORT_X64_ROWS] = {
#define FORT_X64_ALU(op, id) [FORT_X64_##id] = FORT_X64_##id##_LOAD,
#include "engine/x64.def"
		[FORT_X64_CMP] = FORT_X64_CMP_LOAD,
		[FORT_X64_IMUL] = FORT_X64_IMUL,
	};

	return rows[row];
}
