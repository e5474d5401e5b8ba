#include "engine/x64_hide.h"

#include "engine/x64_layout.h"

#define PAD_MAX 8u

/* Do bytes of the constant spell something forbidden, whatever is around them? Any pair that starts
 * like one counts. */
static bool spells(uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i + 1 < bytes; i++) {
		uint8_t first = (uint8_t)(value >> 8 * i), second = (uint8_t)(value >> (8 * i + 8));

		if (first == 0xcd && second == 0x80)
			return true;
		if (first == 0x0f && (second == 0x01 || second == 0x05 || second == 0x34 ||
				      second == 0xae || second == 0xc7))
			return true;
	}
	return false;
}

static bool is_forced(const struct fort_x64 *x)
{
	return x->at < x->n_ops && x->ops[x->at].avoid & FORT_X64_CONSTANTS;
}

bool fort_x64_hides(const struct fort_x64 *x, int64_t value)
{
	if (x->hiding == FORT_X64_HIDE_NOTHING)
		return false;
	return x->hiding == FORT_X64_HIDE_ALL || is_forced(x) || spells((uint64_t)value, 8);
}

/* splitmix64 */
static uint64_t next_key(struct fort_x64 *x)
{
	uint64_t z = x->keys += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

void fort_x64_pad(struct fort_x64 *x)
{
	fort_x64_nops(&x->bytes, 1 + next_key(x) % PAD_MAX);
}

/* A key that hides it and is not worse itself. One in a few thousand is. */
static uint32_t key_for(struct fort_x64 *x, uint32_t value)
{
	uint32_t key;

	do
		key = (uint32_t)next_key(x);
	while (spells(key, 4) || spells(value ^ key, 4));
	return key;
}

static void put_low(struct fort_x64 *x, enum fort_x64_reg reg, uint32_t value)
{
	uint32_t key = key_for(x, value);

	fort_x64_const(&x->bytes, reg, value ^ key);
	fort_x64_alu_imm(&x->bytes, FORT_X64_XOR, 32, reg, (int32_t)key);
}

/* Both xors of the lower half extend their sign: what that leaves above is the half's own. */
static void put_hidden(struct fort_x64 *x, enum fort_x64_reg reg, uint64_t value)
{
	uint32_t low = (uint32_t)value, high = (uint32_t)(value >> 32), key;

	x->flags_of = FORT_X64_NO_REG;
	if (!high) {
		put_low(x, reg, low);
		return;
	}
	key = key_for(x, low);
	put_low(x, reg, (int32_t)low < 0 ? ~high : high);
	fort_x64_rri(&x->bytes, FORT_X64_SHIFT_I8, 64, FORT_X64_SHL, reg, 32);
	fort_x64_alu_imm(&x->bytes, FORT_X64_XOR, 64, reg, (int32_t)(low ^ key));
	fort_x64_alu_imm(&x->bytes, FORT_X64_XOR, 64, reg, (int32_t)key);
}

void fort_x64_put(struct fort_x64 *x, enum fort_x64_reg reg, uint64_t value)
{
	if (fort_x64_hides(x, (int64_t)value))
		put_hidden(x, reg, value);
	else
		fort_x64_const(&x->bytes, reg, value);
}

enum fort_x64_reg fort_x64_hidden(struct fort_x64 *x, int64_t value, enum fort_x64_reg temp)
{
	if (!fort_x64_hides(x, value))
		return FORT_X64_NONE;
	put_hidden(x, temp, (uint64_t)value);
	return temp;
}

void fort_x64_put_alu(struct fort_x64 *x, enum fort_x64_row row, unsigned bits,
		      enum fort_x64_reg dst, int32_t imm)
{
	enum fort_x64_reg hidden = fort_x64_hidden(x, imm, FORT_X64_FREE1);

	if (hidden == FORT_X64_NONE)
		fort_x64_alu_imm(&x->bytes, row, bits, dst, imm);
	else
		fort_x64_rr(&x->bytes, row, bits, hidden, dst);
}

void fort_x64_put_mul(struct fort_x64 *x, unsigned bits, enum fort_x64_reg dst, enum fort_x64_reg a,
		      int32_t imm)
{
	enum fort_x64_reg hidden = fort_x64_hidden(x, imm, FORT_X64_FREE1);

	if (hidden == FORT_X64_NONE) {
		fort_x64_rri(&x->bytes, imm == (int8_t)imm ? FORT_X64_IMUL_I8 : FORT_X64_IMUL_I32,
			     bits, dst, a, imm);
		return;
	}
	fort_x64_mov(&x->bytes, 64, dst, a);
	fort_x64_rr(&x->bytes, FORT_X64_IMUL, bits, dst, hidden);
}

/* Places of the frame are named by rbp and an offset that spells nothing; through another register
 * they would be as any memory to whoever reads the image back. */
static bool is_frame(struct fort_x64_mem mem)
{
	return mem.base == fort_x64_home(FORT_R10) && mem.index == FORT_X64_NONE &&
	       mem.segment == FORT_X64_FLAT && mem.disp < 0 &&
	       mem.disp >= -(int32_t)FORT_STACK_BYTES;
}

struct fort_x64_mem fort_x64_put_mem(struct fort_x64 *x, struct fort_x64_mem mem,
				     enum fort_x64_reg temp)
{
	struct fort_x64_bytes *to = &x->bytes;
	struct fort_x64_mem sum = {.base = (uint8_t)temp, .index = mem.index, .scale = mem.scale};

	if (x->hiding == FORT_X64_HIDE_NOTHING || is_frame(mem) ||
	    (!is_forced(x) && !spells((uint32_t)mem.disp, 4)))
		return mem;
	put_hidden(x, temp, (uint64_t)(int64_t)mem.disp);
	if (mem.base != FORT_X64_NONE)
		fort_x64_rr(to, FORT_X64_ADD, 64, mem.base, temp);
	if (mem.index != FORT_X64_NONE)
		fort_x64_rm(to, FORT_X64_LEA, 64, temp, sum);
	return (struct fort_x64_mem){.base = (uint8_t)temp,
				     .index = FORT_X64_NONE,
				     .segment = mem.segment};
}
