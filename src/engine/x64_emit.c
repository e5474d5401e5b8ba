#include "engine/x64_emit.h"

#define REX        0x40
#define REX_W      0x08
#define REX_R      0x04
#define REX_X      0x02
#define REX_B      0x01
#define LOCK       0xf0
#define OPERAND_16 0x66
#define ADDRESS_32 0x67
#define SEGMENT_GS 0x65

static const struct encoding {
	uint8_t lock, escape, opcode, digit, imm, byte;
} encodings[FORT_X64_ROWS] = {
#define FORT_X64(id, lock, escape, opcode, digit, imm, byte) \
	[FORT_X64_##id] = {lock, escape, opcode, digit, imm, byte},
#include "engine/x64.def"
};
#define DIGIT_IS_REGISTER 8

void fort_x64_byte(struct fort_x64_bytes *to, uint8_t byte)
{
	if (to->at < to->room)
		to->out[to->at] = byte;
	to->at++;
}

void fort_x64_word(struct fort_x64_bytes *to, uint64_t word, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		fort_x64_byte(to, (uint8_t)(word >> 8 * i));
}

/* Everything before the ModRM byte. `reg` and `rm` are numbers of registers, for their fourth bits
 * and, in byte rows, for the registers that only a REX prefix names. */
static void put_opcode(struct fort_x64_bytes *to, const struct encoding *e, unsigned bits,
		       unsigned reg, unsigned index, unsigned rm, unsigned plus)
{
	uint8_t rex = (uint8_t)((bits == 64 ? REX_W : 0) | (reg & 8 ? REX_R : 0) |
				(index & 8 ? REX_X : 0) | (rm & 8 ? REX_B : 0));

	if (e->lock)
		fort_x64_byte(to, LOCK);
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

/* [base + index + disp]. rsp and r12 take a SIB byte; rbp and r13 have no form without
 * displacement. */
static void put_mem(struct fort_x64_bytes *to, unsigned reg, struct fort_x64_mem mem)
{
	bool none = !mem.disp && (mem.base & 7) != FORT_X64_RBP;
	bool byte = mem.disp == (int8_t)mem.disp;

	put_modrm(to, none ? 0 : byte ? 1 : 2, reg, mem.indexed ? FORT_X64_RSP : mem.base);
	if (mem.indexed) /* a SIB byte has the fields of a ModRM byte; scale 1 */
		put_modrm(to, 0, mem.index, mem.base);
	else if ((mem.base & 7) == FORT_X64_RSP)
		put_modrm(to, 0, FORT_X64_RSP, mem.base);
	if (!none)
		fort_x64_word(to, (uint32_t)mem.disp, byte ? 1 : 4);
}

int32_t fort_x64_part(const struct fort_x64_bytes *to)
{
	return (int32_t)((to->careful * 0x1d872b41u) & (INT32_MAX >> 1));
}

void fort_x64_shift(struct fort_x64_bytes *to)
{
	for (unsigned i = 0; i < to->careful; i++)
		fort_x64_plain(to, FORT_X64_NOP, 32);
}

/* Rows with an immediate that a program chose, as rows of two registers. */
static enum fort_x64_row without_imm(enum fort_x64_row row, unsigned reg)
{
	static const uint8_t by_digit[] = {FORT_X64_ADD, FORT_X64_OR,  0,           0, FORT_X64_AND,
					   FORT_X64_SUB, FORT_X64_XOR, FORT_X64_CMP};

	switch (row) {
	case FORT_X64_ALU_I8:
	case FORT_X64_ALU_I32: return by_digit[reg & 7];
	case FORT_X64_TEST_I32: return FORT_X64_TEST;
	case FORT_X64_IMUL_I8:
	case FORT_X64_IMUL_I32: return FORT_X64_IMUL;
	default: return FORT_X64_ROWS;
	}
}

/* The same with the immediate in r11, if it is a program's and its register too. */
static bool put_imm_apart(struct fort_x64_bytes *to, enum fort_x64_row row, unsigned bits,
			  unsigned reg, enum fort_x64_reg rm, int32_t imm)
{
	enum fort_x64_row apart = without_imm(row, reg);
	bool compares = apart == FORT_X64_CMP || apart == FORT_X64_TEST;

	if (apart == FORT_X64_ROWS || (rm >= FORT_X64_R9 && rm <= FORT_X64_R12) ||
	    (rm == FORT_X64_RBP && !compares))
		return false;
	fort_x64_const(to, FORT_X64_R11, (uint64_t)imm);
	if (apart == FORT_X64_IMUL)
		fort_x64_rr(to, apart, bits, rm, FORT_X64_R11);
	else
		fort_x64_rr(to, apart, bits, FORT_X64_R11, rm);
	return true;
}

void fort_x64_rri(struct fort_x64_bytes *to, enum fort_x64_row row, unsigned bits, unsigned reg,
		  enum fort_x64_reg rm, int32_t imm)
{
	const struct encoding *e = &encodings[row];

	if (FORT_UNLIKELY(to->careful) && put_imm_apart(to, row, bits, reg, rm, imm))
		return;
	reg = field(e, reg);
	put_opcode(to, e, bits, reg, 0, rm, 0);
	put_modrm(to, 3, reg, rm);
	fort_x64_word(to, (uint32_t)imm, e->imm);
}

void fort_x64_rr(struct fort_x64_bytes *to, enum fort_x64_row row, unsigned bits, unsigned reg,
		 enum fort_x64_reg rm)
{
	fort_x64_rri(to, row, bits, reg, rm, 0);
}

void fort_x64_rmi(struct fort_x64_bytes *to, enum fort_x64_row row, unsigned bits, unsigned reg,
		  struct fort_x64_mem mem, int32_t imm)
{
	const struct encoding *e = &encodings[row];

	reg = field(e, reg);
	if (mem.window) {
		fort_x64_byte(to, SEGMENT_GS);
		fort_x64_byte(to, ADDRESS_32);
	}
	put_opcode(to, e, bits, reg, mem.indexed ? mem.index : 0, mem.base, 0);
	put_mem(to, reg, mem);
	fort_x64_word(to, (uint32_t)imm, e->imm);
}

void fort_x64_rm(struct fort_x64_bytes *to, enum fort_x64_row row, unsigned bits, unsigned reg,
		 struct fort_x64_mem mem)
{
	fort_x64_rmi(to, row, bits, reg, mem, 0);
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

void fort_x64_alu_imm(struct fort_x64_bytes *to, enum fort_x64_row row, unsigned bits,
		      enum fort_x64_reg dst, int32_t imm)
{
	unsigned digit = encodings[row].opcode >> 3;

	fort_x64_rri(to, imm == (int8_t)imm ? FORT_X64_ALU_I8 : FORT_X64_ALU_I32, bits, digit, dst,
		     imm);
}

void fort_x64_mov(struct fort_x64_bytes *to, unsigned bits, enum fort_x64_reg dst,
		  enum fort_x64_reg src)
{
	if (bits == 32 || dst != src)
		fort_x64_rr(to, FORT_X64_MOV, bits, src, dst);
}

/* Turned, so that its bytes are others, and turned back. */
static void put_const_turned(struct fort_x64_bytes *to, enum fort_x64_reg dst, uint64_t value)
{
	unsigned bits = (uint32_t)value == value ? 32 : 64, by = to->careful * 11u % 31u + 1;
	uint64_t turned = value << by | value >> (bits - by);

	fort_x64_reg(to, FORT_X64_MOV_REG_I, bits, dst);
	fort_x64_word(to, turned, bits / 8);
	fort_x64_rri(to, FORT_X64_SHIFT_I8, bits, FORT_X64_ROR, dst, (int32_t)by);
}

void fort_x64_const(struct fort_x64_bytes *to, enum fort_x64_reg dst, uint64_t value)
{
	if (FORT_UNLIKELY(to->careful)) {
		put_const_turned(to, dst, value);
		return;
	}
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

void fort_x64_patch(struct fort_x64_bytes *to, uint32_t at, unsigned bytes, uint32_t target)
{
	struct fort_x64_bytes hole = {.out = to->out, .at = at, .room = to->room};

	fort_x64_word(&hole, target - (at + bytes), bytes);
}

uint32_t fort_x64_jump(struct fort_x64_bytes *to, enum fort_x64_cc cc, unsigned bytes,
		       uint32_t target)
{
	uint32_t at;

	if (cc == FORT_X64_ALWAYS)
		fort_x64_plain(to, bytes == 1 ? FORT_X64_JMP_SHORT : FORT_X64_JMP, 32);
	else
		put_opcode(to, &encodings[bytes == 1 ? FORT_X64_JCC_SHORT : FORT_X64_JCC], 32, 0, 0,
			   0, cc);
	at = to->at;
	to->at += bytes;
	fort_x64_patch(to, at, bytes, target);
	return at;
}

uint32_t fort_x64_call(struct fort_x64_bytes *to, uint32_t target)
{
	uint32_t at;

	fort_x64_plain(to, FORT_X64_CALL, 32);
	at = to->at;
	to->at += 4;
	fort_x64_patch(to, at, 4, target);
	return at;
}

void fort_x64_call_slot(struct fort_x64_bytes *to, int64_t target)
{
	const struct encoding *e = &encodings[FORT_X64_CALL_SLOT];

	put_opcode(to, e, 32, 0, 0, 0, 0);
	put_modrm(to, 0, e->digit, FORT_X64_RBP); /* rip */
	fort_x64_word(to, (uint64_t)(target - ((int64_t)to->at + 4)), 4);
}
