/* The abstract value of a 64-bit word: what every register, spilled slot and pointer offset is
 * known to be. A wrapped interval, known bits, and a wrapped interval of the low 32 bits, each as
 * narrow as the other two allow.
 *
 * All functions are total and sound: every concrete result of concrete members is a member of the
 * abstract result. Functions that return bool say whether the set has any members left; after
 * `false` the path cannot be taken and the operands mean nothing.
 *
 * The rules are in the .inc files, once, and instantiated here for the machine's words; the tests
 * instantiate the same text on N-bit words and enumerate.
 */
#pragma once

#include "isa/insn.h"

struct fort_arc64 {
	uint64_t base, size; /* {base + i : 0 <= i <= size} modulo 2^64 */
};

struct fort_arc32 {
	uint32_t base, size;
};

struct fort_tnum {
	uint64_t value, mask; /* known ones, unknown bits; disjoint */
};

struct fort_scalar {
	struct fort_arc64 arc;
	struct fort_tnum bits;
	struct fort_arc32 low;
};

static inline struct fort_scalar fort_scalar_unknown(void)
{
	return (struct fort_scalar){{0, UINT64_MAX}, {0, UINT64_MAX}, {0, UINT32_MAX}};
}

static inline struct fort_scalar fort_scalar_const(uint64_t value)
{
	return (struct fort_scalar){{value, 0}, {value, 0}, {(uint32_t)value, 0}};
}
/* The members of low..high, read unsigned; of low..high, read signed (low <= high). */
struct fort_scalar fort_scalar_range(uint64_t low, uint64_t high);
struct fort_scalar fort_scalar_signed_range(int64_t low, int64_t high);
/* All words of `bits` bits, zero-extended: all three views say the same. */
static inline struct fort_scalar fort_scalar_of_width(unsigned bits)
{
	uint64_t most = bits == 64 ? UINT64_MAX : (1ull << bits) - 1;

	return (struct fort_scalar){{0, most}, {0, most}, {0, (uint32_t)most}};
}

/* Values are narrowed: of a single word the arc knows. */
static inline bool fort_scalar_is_const(const struct fort_scalar *a)
{
	return !a->arc.size;
}
bool fort_scalar_has(const struct fort_scalar *a, uint64_t x);
/* Every member of b is a member of a. Never wrongly yes; wrongly no only where the views of b
 * cannot say what its members are. The join of two covers both, and is the one that covers the
 * other if one does. */
bool fort_scalar_covers(const struct fort_scalar *a, const struct fort_scalar *b);
/* Is this a value that the rules can produce? For debug builds, tests and untrusted input: views
 * are well-formed and no view contradicts the others on the spot. */
bool fort_scalar_validate(const struct fort_scalar *a);

/* Bounds of the members: the arc's, or, where that crosses the order's end, those of the bits. The
 * same as pair.inc's, for callers that ask all the time. */
static inline uint64_t fort_scalar_umin(const struct fort_scalar *a)
{
	return a->arc.base + a->arc.size < a->arc.base ? a->bits.value : a->arc.base;
}

static inline uint64_t fort_scalar_umax(const struct fort_scalar *a)
{
	uint64_t end = a->arc.base + a->arc.size;

	return end < a->arc.base ? a->bits.value | a->bits.mask : end;
}

static inline int64_t fort_scalar_smin(const struct fort_scalar *a)
{
	int64_t first = (int64_t)a->arc.base, last = (int64_t)(a->arc.base + a->arc.size);

	return last < first ? (int64_t)(a->bits.value | (a->bits.mask & 1ull << 63)) : first;
}

static inline int64_t fort_scalar_smax(const struct fort_scalar *a)
{
	int64_t first = (int64_t)a->arc.base, last = (int64_t)(a->arc.base + a->arc.size);

	return last < first ? (int64_t)(a->bits.value | (a->bits.mask & ~(1ull << 63))) : last;
}

uint32_t fort_scalar_umin32(const struct fort_scalar *a);
uint32_t fort_scalar_umax32(const struct fort_scalar *a);
int32_t fort_scalar_smin32(const struct fort_scalar *a);
int32_t fort_scalar_smax32(const struct fort_scalar *a);

/* Narrows each view by the others. */
FORT_CHECKED bool fort_scalar_reduce(struct fort_scalar *a);
/* a = a and b. */
FORT_CHECKED bool fort_scalar_meet(struct fort_scalar *a, const struct fort_scalar *b);
/* The smallest value around both. */
struct fort_scalar fort_scalar_join(const struct fort_scalar *a, const struct fort_scalar *b);
/* `before` if it covers `after`; else a value around both, in which each bound that had to move has
 * moved on: ends of intervals to the next of the thresholds (in any order) or to the limits of 32
 * or 64 bits, then to the full circle; bits to unknown from the first that changed upwards. Chains
 * of widenings, each of the last result and whatever else, end: counters take one or two, and no
 * chain more than a few per threshold (widen.inc). */
struct fort_scalar fort_scalar_widen(const struct fort_scalar *before,
				     const struct fort_scalar *after, const int64_t *thresholds,
				     size_t n);

/* The result of `a op b` for an ALU operation of isa.def, at 64 bits or at 32 bits and then
 * zero-extended. `same`: both operands are known to be one value. */
struct fort_scalar fort_scalar_alu(enum fort_op op, unsigned bits, const struct fort_scalar *a,
				   const struct fort_scalar *b, bool same);
struct fort_scalar fort_scalar_neg(unsigned bits, const struct fort_scalar *a);
struct fort_scalar fort_scalar_plus_some(const struct fort_scalar *a, int64_t delta);
/* a + delta, at 64 bits. */
static inline struct fort_scalar fort_scalar_plus(const struct fort_scalar *a, int64_t delta)
{
	if (fort_scalar_is_const(a))
		return fort_scalar_const(a->arc.base + (uint64_t)delta);
	return delta ? fort_scalar_plus_some(a, delta) : *a;
}

/* The low `bits` bits, zero-extended. */
struct fort_scalar fort_scalar_truncate(const struct fort_scalar *a, unsigned bits);
/* The low `from` bits sign-extended to `to` bits (32 or 64), then zero-extended. */
struct fort_scalar fort_scalar_sign_extend(const struct fort_scalar *a, unsigned from, unsigned to);
/* Byte order operations of isa.def: FORT_OP_LE, BE, BSWAP. */
struct fort_scalar fort_scalar_swap(enum fort_op op, unsigned bits, const struct fort_scalar *a);

/* 1 if `a op b` (a comparison of isa.def, at 64 or 32 bits) holds for all members, 0 if for none,
 * -1 if it depends. */
int fort_scalar_decide(enum fort_op op, unsigned bits, const struct fort_scalar *a,
		       const struct fort_scalar *b);
/* Narrows both to members for which `a op b` is `holds`. */
FORT_CHECKED bool fort_scalar_assume(enum fort_op op, unsigned bits, bool holds,
				     struct fort_scalar *a, struct fort_scalar *b);

/* The operation on known words, from isa.def's `expr`. */
uint64_t fort_word_alu(enum fort_op op, unsigned bits, uint64_t a, uint64_t b);
uint64_t fort_word_swap(enum fort_op op, unsigned bits, uint64_t a);
bool fort_word_compare(enum fort_op op, unsigned bits, uint64_t a, uint64_t b);
