/* Division by constants is multiplication by the reciprocal (Granlund and Montgomery, "Division by
 * invariant integers using multiplication", 1994), by powers of two a shift.
 */
#include "engine/x64_divide.h"

/* --- without sign --- */

/* Unsigned division by a power of two is a shift, its remainder a mask. */
static void by_power(struct fort_x64 *x, const struct fort_x64_division *d, uint64_t divisor)
{
	struct fort_x64_bytes *to = &x->bytes;
	uint64_t mask = divisor - 1;

	if (!d->remainder) {
		fort_x64_mov(to, d->bits, d->dst, d->a);
		if (divisor != 1)
			fort_x64_rri(to, FORT_X64_SHIFT_I8, d->bits, FORT_X64_SHR, d->dst,
				     __builtin_ctzll(divisor));
	} else if (mask <= INT32_MAX) {
		fort_x64_mov(to, 64, d->dst, d->a);
		fort_x64_put_alu(x, FORT_X64_AND, 32, d->dst, (int32_t)mask);
	} else {
		fort_x64_put(x, FORT_X64_FREE1, mask);
		fort_x64_mov(to, 64, d->dst, d->a);
		fort_x64_rr(to, FORT_X64_AND, 64, FORT_X64_FREE1, d->dst);
	}
}

/* work = n - work * divisor, with n in a register that is not `work`; or work, for quotients. */
static void finish(struct fort_x64 *x, const struct fort_x64_division *d, enum fort_x64_reg n,
		   enum fort_x64_reg work, enum fort_x64_reg spare, uint64_t divisor)
{
	struct fort_x64_bytes *to = &x->bytes;

	if (!d->remainder) {
		fort_x64_mov(to, d->bits, d->dst, work);
		return;
	}
	if ((int64_t)divisor == (int32_t)divisor && !fort_x64_hides(x, (int64_t)divisor)) {
		fort_x64_rri(to, FORT_X64_IMUL_I32, d->bits, work, work, (int32_t)divisor);
	} else {
		fort_x64_put(x, spare, divisor);
		fort_x64_rr(to, FORT_X64_IMUL, d->bits, work, spare);
	}
	if (n != d->dst) { /* -(work - n) would be longer */
		fort_x64_mov(to, 64, spare, n);
		fort_x64_rr(to, FORT_X64_SUB, d->bits, work, spare);
		fort_x64_mov(to, d->bits, d->dst, spare);
	} else {
		fort_x64_rr(to, FORT_X64_SUB, d->bits, work, d->dst);
	}
}

/* Quotients of 32 bits: n * m >> (32 + shift), where m has 32 bits at most. */
static bool by_short_reciprocal(struct fort_x64 *x, const struct fort_x64_division *d,
				uint32_t divisor)
{
	struct fort_x64_bytes *to = &x->bytes;
	unsigned shift = 31 - (unsigned)__builtin_clz(divisor);
	uint64_t power = 1ull << (32 + shift), m = power / divisor + 1;

	/* What rounding up adds must not reach the next quotient. */
	if (m > UINT32_MAX || m * divisor - power > 1ull << shift)
		return false;
	fort_x64_rr(to, FORT_X64_MOV, 32, d->a, FORT_X64_FREE1);
	fort_x64_put(x, FORT_X64_FREE2, m);
	fort_x64_rr(to, FORT_X64_IMUL, 64, FORT_X64_FREE1, FORT_X64_FREE2);
	fort_x64_rri(to, FORT_X64_SHIFT_I8, 64, FORT_X64_SHR, FORT_X64_FREE1,
		     (int32_t)(32 + shift));
	finish(x, d, d->a, FORT_X64_FREE1, FORT_X64_FREE2, divisor);
	return true;
}

/* Two numbers that make division by a constant: the upper word of n * multiplier, then shifted;
 * `add`: the multiplier has one bit more, of which this are the others. */
struct reciprocal {
	uint64_t multiplier;
	unsigned shift;
	bool add;
};

static struct reciprocal reciprocal_of(uint64_t divisor)
{
	unsigned shift = 63 - (unsigned)__builtin_clzll(divisor);
	unsigned __int128 power = (unsigned __int128)1 << (64 + shift);
	uint64_t quotient = (uint64_t)(power / divisor), rest = (uint64_t)(power % divisor);
	struct reciprocal r = {.multiplier = quotient + 1, .shift = shift};

	if (divisor - rest <= 1ull << shift)
		return r;
	r.add = true;
	r.multiplier = 2 * quotient + (rest >= divisor - rest) + 1;
	return r;
}

/* The upper word of a product is in rdx; its lower word, rax, is free then. */
static void by_reciprocal(struct fort_x64 *x, const struct fort_x64_division *d, uint64_t divisor)
{
	struct fort_x64_bytes *to = &x->bytes;
	struct reciprocal r = reciprocal_of(divisor);
	enum fort_x64_reg n = fort_x64_away(d->a);

	fort_x64_put_away(x, d, d->a);
	if (d->bits == 32) { /* exact for words: rounding up adds less than one in 2^32 */
		r = (struct reciprocal){.multiplier = UINT64_MAX / divisor + 1};
		fort_x64_rr(to, FORT_X64_MOV, 32, n, FORT_X64_RDX);
	}
	fort_x64_put(x, FORT_X64_RAX, r.multiplier);
	fort_x64_rr(to, FORT_X64_MUL, 64, 0, d->bits == 32 ? FORT_X64_RDX : n);
	if (r.add) {
		fort_x64_mov(to, 64, FORT_X64_RAX, n);
		fort_x64_rr(to, FORT_X64_SUB, 64, FORT_X64_RDX, FORT_X64_RAX);
		fort_x64_rri(to, FORT_X64_SHIFT_I8, 64, FORT_X64_SHR, FORT_X64_RAX, 1);
		fort_x64_rr(to, FORT_X64_ADD, 64, FORT_X64_RAX, FORT_X64_RDX);
	}
	if (r.shift)
		fort_x64_rri(to, FORT_X64_SHIFT_I8, 64, FORT_X64_SHR, FORT_X64_RDX,
			     (int32_t)r.shift);
	finish(x, d, n, FORT_X64_RDX, FORT_X64_RAX, divisor);
	fort_x64_take_back(x, d);
}

/* --- with sign: quotients are rounded toward zero --- */

static void by_signed_power(struct fort_x64 *x, const struct fort_x64_division *d, uint64_t divisor,
			    bool negative)
{
	struct fort_x64_bytes *to = &x->bytes;
	int32_t power = __builtin_ctzll(divisor);
	enum fort_x64_reg work = FORT_X64_FREE1;

	/* Of negative numbers, divisor - 1 more. */
	fort_x64_mov(to, 64, work, d->a);
	fort_x64_rri(to, FORT_X64_SHIFT_I8, d->bits, FORT_X64_SAR, work, (int32_t)d->bits - 1);
	fort_x64_rri(to, FORT_X64_SHIFT_I8, d->bits, FORT_X64_SHR, work, (int32_t)d->bits - power);
	fort_x64_rr(to, FORT_X64_ADD, d->bits, d->a, work);
	fort_x64_rri(to, FORT_X64_SHIFT_I8, d->bits, FORT_X64_SAR, work, power);
	if (!d->remainder) {
		if (negative)
			fort_x64_rr(to, FORT_X64_NEG, d->bits, 0, work);
		fort_x64_mov(to, d->bits, d->dst, work);
		return;
	}
	fort_x64_rri(to, FORT_X64_SHIFT_I8, d->bits, FORT_X64_SHL, work, power);
	fort_x64_mov(to, 64, FORT_X64_FREE2, d->a);
	fort_x64_rr(to, FORT_X64_SUB, d->bits, work, FORT_X64_FREE2);
	fort_x64_mov(to, d->bits, d->dst, FORT_X64_FREE2);
}

/* n * m >> (bits - 1 + shift), one more for negative n. */
static uint64_t signed_multiplier(unsigned bits, uint64_t divisor, unsigned *shift)
{
	*shift = 64 - (unsigned)__builtin_clzll(divisor);
	return (uint64_t)(((unsigned __int128)1 << (bits - 1 + *shift)) / divisor + 1);
}

static void by_signed_32(struct fort_x64 *x, const struct fort_x64_division *d, uint64_t divisor,
			 bool negative)
{
	struct fort_x64_bytes *to = &x->bytes;
	unsigned shift;
	uint64_t m = signed_multiplier(32, divisor, &shift);

	fort_x64_rr(to, FORT_X64_MOVSX32, 64, FORT_X64_FREE1, d->a);
	fort_x64_put(x, FORT_X64_FREE2, m);
	fort_x64_rr(to, FORT_X64_IMUL, 64, FORT_X64_FREE1, FORT_X64_FREE2);
	fort_x64_mov(to, 64, FORT_X64_FREE2, FORT_X64_FREE1);
	fort_x64_rri(to, FORT_X64_SHIFT_I8, 64, FORT_X64_SHR, FORT_X64_FREE2, 63);
	fort_x64_rri(to, FORT_X64_SHIFT_I8, 64, FORT_X64_SAR, FORT_X64_FREE1,
		     (int32_t)(31 + shift));
	fort_x64_rr(to, FORT_X64_ADD, 32, FORT_X64_FREE2, FORT_X64_FREE1);
	if (negative && !d->remainder)
		fort_x64_rr(to, FORT_X64_NEG, 32, 0, FORT_X64_FREE1);
	finish(x, d, d->a, FORT_X64_FREE1, FORT_X64_FREE2, divisor);
}

/* The multiplier has its highest bit set: as a signed number it is 2^64 less. */
static void by_signed_64(struct fort_x64 *x, const struct fort_x64_division *d, uint64_t divisor,
			 bool negative)
{
	struct fort_x64_bytes *to = &x->bytes;
	enum fort_x64_reg n = fort_x64_away(d->a);
	unsigned shift;
	uint64_t m = signed_multiplier(64, divisor, &shift);

	fort_x64_put_away(x, d, d->a);
	fort_x64_put(x, FORT_X64_RAX, m);
	fort_x64_rr(to, FORT_X64_IMUL_WIDE, 64, 0, n);
	fort_x64_rr(to, FORT_X64_ADD, 64, n, FORT_X64_RDX);
	fort_x64_rri(to, FORT_X64_SHIFT_I8, 64, FORT_X64_SAR, FORT_X64_RDX, (int32_t)shift - 1);
	fort_x64_mov(to, 64, FORT_X64_RAX, FORT_X64_RDX);
	fort_x64_rri(to, FORT_X64_SHIFT_I8, 64, FORT_X64_SHR, FORT_X64_RAX, 63);
	fort_x64_rr(to, FORT_X64_ADD, 64, FORT_X64_RAX, FORT_X64_RDX);
	if (negative && !d->remainder)
		fort_x64_rr(to, FORT_X64_NEG, 64, 0, FORT_X64_RDX);
	finish(x, d, n, FORT_X64_RDX, FORT_X64_RAX, divisor);
	fort_x64_take_back(x, d);
}

static void by_one(struct fort_x64 *x, const struct fort_x64_division *d)
{
	if (d->remainder)
		fort_x64_const(&x->bytes, d->dst, 0);
	else
		fort_x64_mov(&x->bytes, d->bits, d->dst, d->a);
}

static void by_signed(struct fort_x64 *x, const struct fort_x64_division *d, int64_t divisor)
{
	bool negative = divisor < 0;
	uint64_t size = negative ? 0 - (uint64_t)divisor : (uint64_t)divisor;

	if (size == 1)
		by_one(x, d);
	else if (fort_is_power_of_two(size))
		by_signed_power(x, d, size, negative);
	else if (d->bits == 32)
		by_signed_32(x, d, size, negative);
	else
		by_signed_64(x, d, size, negative);
}

void fort_x64_divide_by(struct fort_x64 *x, const struct fort_x64_division *d, int64_t divisor)
{
	uint64_t size = (uint64_t)divisor;

	if (d->is_signed)
		by_signed(x, d, divisor);
	else if (fort_is_power_of_two(size))
		by_power(x, d, size);
	else if (d->bits == 64 || !by_short_reciprocal(x, d, (uint32_t)size))
		by_reciprocal(x, d, size);
}
