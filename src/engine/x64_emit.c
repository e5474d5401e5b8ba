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

/* An instruction is written through a cursor of its own: a byte may be anything's, so that what is
 * behind a pointer would be read and written again with each. */
static inline void put(uint8_t **at, uint8_t byte)
{
	*(*at)++ = byte;
}

static inline void put_word(uint8_t **at, uint64_t word, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		put(at, (uint8_t)(word >> 8 * i));
}

static inline uint8_t *start(const struct fort_x64_bytes *to)
{
	return to->out + to->at;
}

static inline void end(struct fort_x64_bytes *to, const uint8_t *at)
{
	to->at = (uint32_t)(at - to->out);
}

/* Everything before the ModRM byte. `reg` and `rm` are numbers of registers, for their fourth bits
 * and, in byte rows, for the registers that only a REX prefix names. */
static inline void put_opcode(uint8_t **at, const struct encoding *e, unsigned bits, unsigned reg,
			      unsigned index, unsigned rm, unsigned plus)
{
	uint8_t rex = (uint8_t)((bits == 64 ? REX_W : 0) | (reg & 8 ? REX_R : 0) |
				(index & 8 ? REX_X : 0) | (rm & 8 ? REX_B : 0));

	if (e->prefix)
		put(at, e->prefix);
	if (bits == 16)
		put(at, OPERAND_16);
	if (rex || (e->byte && (reg >= FORT_X64_RSP || rm >= FORT_X64_RSP)))
		put(at, REX | rex);
	if (e->escape)
		put(at, e->escape);
	put(at, (uint8_t)(e->opcode + plus));
}

static unsigned field(const struct encoding *e, unsigned reg)
{
	return e->digit == DIGIT_IS_REGISTER ? reg : e->digit;
}

static inline void put_modrm(uint8_t **at, unsigned mod, unsigned reg, unsigned rm)
{
	put(at, (uint8_t)(mod << 6 | (reg & 7) << 3 | (rm & 7)));
}

/* A SIB byte has the fields of a ModRM byte: scale, index, base. An index of rsp is none, a base of
 * rbp without displacement too: then 32 bits of it follow. */
static inline void put_absolute(uint8_t **at, unsigned reg, struct fort_x64_mem mem)
{
	put_modrm(at, 0, reg, FORT_X64_RSP);
	put_modrm(at, mem.scale, mem.index == FORT_X64_NONE ? FORT_X64_RSP : mem.index,
		  FORT_X64_RBP);
	put_word(at, (uint32_t)mem.disp, 4);
}

/* rsp and r12 take a SIB byte; rbp and r13 have no form without displacement. */
static inline void put_mem(uint8_t **at, unsigned reg, struct fort_x64_mem mem)
{
	bool none = !mem.disp && (mem.base & 7) != FORT_X64_RBP;
	bool byte = mem.disp == (int8_t)mem.disp, indexed = mem.index != FORT_X64_NONE;

	if (mem.base == FORT_X64_NONE) {
		put_absolute(at, reg, mem);
		return;
	}
	put_modrm(at, none ? 0 : byte ? 1 : 2, reg, indexed ? FORT_X64_RSP : mem.base);
	if (indexed)
		put_modrm(at, mem.scale, mem.index, mem.base);
	else if ((mem.base & 7) == FORT_X64_RSP)
		put_modrm(at, 0, FORT_X64_RSP, mem.base);
	if (!none)
		put_word(at, (uint32_t)mem.disp, byte ? 1 : 4);
}

void fort_x64_rri(struct fort_x64_bytes *to, enum fort_x64_row row, unsigned bits, unsigned reg,
		  enum fort_x64_reg rm, int32_t imm)
{
	const struct encoding *e = &encodings[row];
	uint8_t *at = start(to);

	reg = field(e, reg);
	put_opcode(&at, e, bits, reg, 0, rm, 0);
	put_modrm(&at, 3, reg, rm);
	put_word(&at, (uint32_t)imm, e->imm);
	end(to, at);
}

void fort_x64_rmi(struct fort_x64_bytes *to, enum fort_x64_row row, unsigned bits, unsigned reg,
		  struct fort_x64_mem mem, int32_t imm)
{
	const struct encoding *e = &encodings[row];
	uint8_t *at = start(to);

	reg = field(e, reg);
	if (mem.segment == FORT_X64_GS) {
		put(&at, SEGMENT_GS);
		put(&at, ADDRESS_32);
	} else if (mem.segment == FORT_X64_FS) {
		put(&at, SEGMENT_FS);
	}
	put_opcode(&at, e, bits, reg, mem.index == FORT_X64_NONE ? 0 : mem.index,
		   mem.base == FORT_X64_NONE ? 0 : mem.base, 0);
	put_mem(&at, reg, mem);
	put_word(&at, (uint32_t)imm, e->imm);
	end(to, at);
}

/* Rows with neither operands nor immediates, but for what is added to the opcode. */
static void bare(struct fort_x64_bytes *to, const struct encoding *e, unsigned bits, unsigned rm,
		 unsigned plus)
{
	uint8_t *at = start(to);

	put_opcode(&at, e, bits, 0, 0, rm, plus);
	end(to, at);
}

/* Rows whose opcode has a condition, of two registers. */
static void conditional(struct fort_x64_bytes *to, enum fort_x64_row row, unsigned bits,
			enum fort_x64_cc cc, unsigned reg, unsigned rm)
{
	uint8_t *at = start(to);

	put_opcode(&at, &encodings[row], bits, reg, 0, rm, cc);
	put_modrm(&at, 3, reg, rm);
	end(to, at);
}

void fort_x64_reg(struct fort_x64_bytes *to, enum fort_x64_row row, unsigned bits,
		  enum fort_x64_reg reg)
{
	bare(to, &encodings[row], bits, reg, reg & 7);
}

void fort_x64_plain(struct fort_x64_bytes *to, enum fort_x64_row row, unsigned bits)
{
	bare(to, &encodings[row], bits, 0, 0);
}

void fort_x64_setcc(struct fort_x64_bytes *to, enum fort_x64_cc cc, enum fort_x64_reg dst)
{
	conditional(to, FORT_X64_SETCC, 8, cc, 0, dst);
}

void fort_x64_cmov(struct fort_x64_bytes *to, enum fort_x64_cc cc, unsigned bits,
		   enum fort_x64_reg dst, enum fort_x64_reg src)
{
	conditional(to, FORT_X64_CMOV, bits, cc, dst, src);
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
		bare(to, &encodings[bytes == 1 ? FORT_X64_JCC_SHORT : FORT_X64_JCC], 32, 0, cc);
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
	uint8_t *at = start(to);

	put_opcode(&at, e, 32, 0, 0, 0, 0);
	put_modrm(&at, 0, e->digit, FORT_X64_RBP); /* rip */
	put_word(&at, (uint64_t)distance, 4);
	end(to, at);
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
