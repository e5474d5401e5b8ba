#include "domain/scalar.h"

#include "domain/compare.h"

/* --- 32 bits --- */
#define WORD  uint32_t
#define SWORD int32_t
#define BITS  32
#include "domain/native.inc"
#define TNUM      struct tnum32
#define TNUM_(op) tnum32_##op
#define ARC       struct fort_arc32
#define ARC_(op)  arc32_##op
#define PAIR      struct pair32
#define PAIR_(op) pair32_##op
struct tnum32 {
	uint32_t value, mask;
};
struct pair32 {
	struct fort_arc32 arc;
	struct tnum32 bits;
};
#include "domain/tnum.inc"
#include "domain/tnum_mul.inc"
#include "domain/arc.inc"
#include "domain/pair.inc"
#include "domain/pair_alu.inc"
#include "domain/compare.inc"
#undef PAIR
#undef PAIR_
#undef ARC
#undef ARC_
#undef TNUM
#undef TNUM_
#include "domain/native_end.inc"
#undef BITS
#undef SWORD
#undef WORD

/* --- 64 bits, and the two together --- */
#define WORD  uint64_t
#define SWORD int64_t
#define BITS  64
#include "domain/native.inc"
#define TNUM      struct fort_tnum
#define TNUM_(op) tnum64_##op
#define ARC       struct fort_arc64
#define ARC_(op)  arc64_##op
#define PAIR      struct pair64
#define PAIR_(op) pair64_##op
struct pair64 {
	struct fort_arc64 arc;
	struct fort_tnum bits;
};
#include "domain/tnum.inc"
#include "domain/tnum_mul.inc"
#include "domain/arc.inc"
#include "domain/pair.inc"
#include "domain/pair_alu.inc"
#include "domain/compare.inc"

#define HALF                      uint32_t
#define HONES                     UINT32_MAX
#define HSIGN                     (1u << 31)
#define LOW(x)                    ((uint32_t)(x))
#define WIDE(h)                   ((uint64_t)(h))
#define SEXT(h)                   ((uint64_t)(int64_t)(int32_t)(h))
#define HTNUM                     struct tnum32
#define HTNUM_(op)                tnum32_##op
#define HARC                      struct fort_arc32
#define HARC_(op)                 arc32_##op
#define HPAIR                     struct pair32
#define HPAIR_(op)                pair32_##op
#define NAME(op)                  scalar_##op
#define SCALAR                    struct fort_scalar
#define SCALAR_(op)               scalar_##op
#define CONST_ALU(op, wide, a, b) fort_word_alu(op, (wide) ? 64 : 32, a, b)
#define BYTE                      8
#define SWAP(bits, x)             fort_word_swap(FORT_OP_BSWAP, bits, x)
#include "domain/reduce.inc"
#include "domain/scalar.inc"
#include "domain/widen.inc"

struct fort_scalar fort_scalar_range(uint64_t low, uint64_t high)
{
	return scalar_range(low, high);
}

struct fort_scalar fort_scalar_signed_range(int64_t low, int64_t high)
{
	struct fort_scalar a = scalar_unknown();

	a.arc = arc64_range((uint64_t)low, (uint64_t)high);
	(void)scalar_reduce(&a); /* one view was full: nothing to contradict */
	return a;
}

bool fort_scalar_has(const struct fort_scalar *a, uint64_t x)
{
	return scalar_has(a, x);
}

bool fort_scalar_covers(const struct fort_scalar *a, const struct fort_scalar *b)
{
	return scalar_covers(a, b);
}

bool fort_scalar_validate(const struct fort_scalar *a)
{
	struct fort_scalar copy = *a;

	if ((a->bits.value & a->bits.mask) || (arc64_is_full(a->arc) && a->arc.base) ||
	    (arc32_is_full(a->low) && a->low.base))
		return false;
	return scalar_reduce(&copy);
}

uint32_t fort_scalar_umin32(const struct fort_scalar *a)
{
	return pair32_umin(scalar_half_pair(a));
}

uint32_t fort_scalar_umax32(const struct fort_scalar *a)
{
	return pair32_umax(scalar_half_pair(a));
}

int32_t fort_scalar_smin32(const struct fort_scalar *a)
{
	return (int32_t)pair32_smin(scalar_half_pair(a));
}

int32_t fort_scalar_smax32(const struct fort_scalar *a)
{
	return (int32_t)pair32_smax(scalar_half_pair(a));
}

bool fort_scalar_reduce(struct fort_scalar *a)
{
	return scalar_reduce(a);
}

bool fort_scalar_meet(struct fort_scalar *a, const struct fort_scalar *b)
{
	return scalar_meet(a, b);
}

struct fort_scalar fort_scalar_join(const struct fort_scalar *a, const struct fort_scalar *b)
{
	return scalar_join(a, b);
}

struct fort_scalar fort_scalar_widen(const struct fort_scalar *before,
				     const struct fort_scalar *after, const int64_t *thresholds,
				     size_t n)
{
	return scalar_widen(before, after, thresholds, n);
}

struct fort_scalar fort_scalar_alu(enum fort_op op, unsigned bits, const struct fort_scalar *a,
				   const struct fort_scalar *b, bool same)
{
	struct fort_scalar out;

	if (FORT_UNLIKELY(same) && scalar_alu_same(op, bits == 64, a, &out))
		return out;
	return scalar_alu(op, bits == 64, a, b);
}

struct fort_scalar fort_scalar_neg(unsigned bits, const struct fort_scalar *a)
{
	return scalar_neg(bits == 64, a);
}

struct fort_scalar fort_scalar_plus_some(const struct fort_scalar *a, int64_t delta)
{
	struct fort_scalar by = scalar_const((uint64_t)delta);

	return scalar_alu(FORT_OP_ADD, true, a, &by);
}

struct fort_scalar fort_scalar_truncate(const struct fort_scalar *a, unsigned bits)
{
	return scalar_truncate(a, bits);
}

struct fort_scalar fort_scalar_sign_extend(const struct fort_scalar *a, unsigned from, unsigned to)
{
	return scalar_sign_extend(a, from, to == 64);
}

struct fort_scalar fort_scalar_swap(enum fort_op op, unsigned bits, const struct fort_scalar *a)
{
	return op == FORT_OP_LE ? scalar_truncate(a, bits) : scalar_swap(bits, a);
}

int fort_scalar_decide(enum fort_op op, unsigned bits, const struct fort_scalar *a,
		       const struct fort_scalar *b)
{
	return scalar_decide(op, bits == 64, a, b);
}

bool fort_scalar_assume(enum fort_op op, unsigned bits, bool holds, struct fort_scalar *a,
			struct fort_scalar *b)
{
	return scalar_assume(op, bits == 64, holds, a, b);
}
