/* What Linux 6.18 knows of a number (of divisions, 7.0), at FULL-bit words with halves: bits, and
 * the least and greatest value of the word and of its low half, read unsigned and signed. Its
 * rules, written anew: transfer of each ALU operation, narrowing of each piece by the others,
 * comparisons. A measure for precision.
 *
 * Beside FULL the includer provides ntnum (domain_nbit.inc), whose additions, subtractions and
 * bitwise operations are those of the kernel; multiplication is the kernel's own here.
 */
#pragma once

#define KHALF    (FULL / 2)
#define KMASK(w) ((1ull << (w)) - 1)

struct kernel_range {
	uint64_t umin, umax;
	int64_t smin, smax;
};

struct kernel_num {
	struct kernel_range full, half;
	struct ntnum bits;
};

static inline int64_t kernel_signed(uint64_t x, unsigned w)
{
	return (int64_t)(x << (64 - w)) >> (64 - w);
}

static inline uint64_t kernel_cut(int64_t x, unsigned w)
{
	return (uint64_t)x & KMASK(w);
}

static inline struct kernel_range kernel_any(unsigned w)
{
	return (struct kernel_range){0, KMASK(w), -(1ll << (w - 1)), (1ll << (w - 1)) - 1};
}

static inline void kernel_meet_u(struct kernel_range *r, uint64_t low, uint64_t high)
{
	r->umin = low > r->umin ? low : r->umin;
	r->umax = high < r->umax ? high : r->umax;
}

static inline void kernel_meet_s(struct kernel_range *r, int64_t low, int64_t high)
{
	r->smin = low > r->smin ? low : r->smin;
	r->smax = high < r->smax ? high : r->smax;
}

/* --- narrowing --- */

static inline void kernel_range_by_bits(struct kernel_range *r, struct ntnum t, unsigned w)
{
	uint64_t sign = 1ull << (w - 1), value = t.value & KMASK(w), mask = t.mask & KMASK(w);

	kernel_meet_s(r, kernel_signed(value | (mask & sign), w),
		      kernel_signed(value | (mask & ~sign), w));
	kernel_meet_u(r, value, value | mask);
}

/* Ends first and last of a range of words, of which low halves make a range too. */
static inline void kernel_half_by_ends(struct kernel_range *h, uint64_t first, uint64_t last)
{
	uint64_t low = first & KMASK(KHALF), high = last & KMASK(KHALF);
	int64_t slow = kernel_signed(first, KHALF), shigh = kernel_signed(last, KHALF);
	uint64_t block = first >> KHALF, next = last >> KHALF;

	if (block == next) {
		if (low <= high)
			kernel_meet_u(h, low, high);
		if (slow <= shigh)
			kernel_meet_s(h, slow, shigh);
	} else if (((block + 1) & KMASK(FULL - KHALF)) == next && slow < 0 && shigh >= 0) {
		kernel_meet_s(h, slow, shigh);
	}
}

/* Signed by unsigned bounds and back. */
static inline void kernel_cross(struct kernel_range *r, unsigned w)
{
	uint64_t low = kernel_cut(r->smin, w), high = kernel_cut(r->smax, w);

	if (kernel_signed(r->umin, w) <= kernel_signed(r->umax, w))
		kernel_meet_s(r, kernel_signed(r->umin, w), kernel_signed(r->umax, w));
	low = kernel_cut(r->smin, w);
	high = kernel_cut(r->smax, w);
	if (low <= high) {
		kernel_meet_u(r, low, high);
	} else if (r->umax < low) {
		r->smin = kernel_signed(r->umin, w);
		kernel_meet_u(r, 0, high);
	} else if (high < r->umin) {
		r->smax = kernel_signed(r->umax, w);
		kernel_meet_u(r, low, KMASK(w));
	}
}

static inline void kernel_full_by_low(struct kernel_range *r, uint64_t low, uint64_t high)
{
	uint64_t top = KMASK(FULL) & ~KMASK(KHALF);
	uint64_t smin = kernel_cut(r->smin, FULL), smax = kernel_cut(r->smax, FULL);

	kernel_meet_u(r, (r->umin & top) | low, (r->umax & top) | high);
	kernel_meet_s(r, kernel_signed((smin & top) | low, FULL),
		      kernel_signed((smax & top) | high, FULL));
}

static inline void kernel_full_by_half(struct kernel_num *a)
{
	int64_t least = -(1ll << (KHALF - 1));
	uint64_t low = kernel_cut(a->half.smin, KHALF), high = kernel_cut(a->half.smax, KHALF);

	kernel_full_by_low(&a->full, a->half.umin, a->half.umax);
	if (low <= high)
		kernel_full_by_low(&a->full, low, high);
	/* A sign-extended half whose sign is known. */
	if (a->half.smin >= 0 && a->full.smin >= least && a->full.smax < -least) {
		a->full = (struct kernel_range){low, high, a->half.smin, a->half.smax};
		a->bits = ntnum_meet(a->bits, ntnum_range(low, high));
	}
}

static inline void kernel_bits_by_range(struct kernel_num *a)
{
	uint64_t low = KMASK(KHALF);
	struct ntnum half = {a->bits.value & low, a->bits.mask & low};

	a->bits = ntnum_meet(a->bits, ntnum_range(a->full.umin, a->full.umax));
	half = (struct ntnum){a->bits.value & low, a->bits.mask & low};
	half = ntnum_meet(half, ntnum_range(a->half.umin, a->half.umax));
	a->bits.value = (a->bits.value & ~low) | (half.value & low);
	a->bits.mask = (a->bits.mask & ~low) | (half.mask & low);
}

static inline void kernel_sync(struct kernel_num *a)
{
	kernel_range_by_bits(&a->half, a->bits, KHALF);
	kernel_range_by_bits(&a->full, a->bits, FULL);
	for (int round = 0; round < 3; round++) {
		kernel_half_by_ends(&a->half, a->full.umin, a->full.umax);
		kernel_half_by_ends(&a->half, kernel_cut(a->full.smin, FULL),
				    kernel_cut(a->full.smax, FULL));
		kernel_cross(&a->half, KHALF);
		kernel_cross(&a->full, FULL);
		kernel_full_by_half(a);
	}
	kernel_bits_by_range(a);
	kernel_range_by_bits(&a->half, a->bits, KHALF);
	kernel_range_by_bits(&a->full, a->bits, FULL);
}

static inline struct kernel_num kernel_const(uint64_t x)
{
	int64_t s = kernel_signed(x, FULL), low = kernel_signed(x, KHALF);
	uint64_t half = x & KMASK(KHALF);

	return (struct kernel_num){{x, x, s, s}, {half, half, low, low}, {x, 0}};
}

static inline bool kernel_is_const(const struct kernel_num *a, bool wide)
{
	return !(a->bits.mask & KMASK(wide ? FULL : KHALF));
}

/* --- transfer --- */

static inline struct ntnum kernel_mul_bits(struct ntnum a, struct ntnum b)
{
	struct ntnum sum = ntnum_const(0);

	for (; a.value || a.mask; a = ntnum_rsh(a, 1), b = ntnum_lsh(b, 1)) {
		if (a.value & 1)
			sum = ntnum_add(sum, b);
		else if (a.mask & 1)
			sum = ntnum_join(sum, ntnum_add(sum, b));
	}
	return sum;
}

static inline bool kernel_fits(int64_t x, unsigned w)
{
	return x == kernel_signed((uint64_t)x, w);
}

static inline void kernel_signed_or_any(struct kernel_range *r, int64_t low, int64_t high,
					bool fits, unsigned w)
{
	r->smin = fits ? low : kernel_any(w).smin;
	r->smax = fits ? high : kernel_any(w).smax;
}

/* Sums and differences, not yet cut to the word: fine if both ends leave it, or none. */
static inline void kernel_add_range(struct kernel_range *r, int64_t ulow, int64_t uhigh,
				    int64_t slow, int64_t shigh, unsigned w)
{
	bool same = (ulow >> w) == (uhigh >> w);

	r->umin = same ? kernel_cut(ulow, w) : 0;
	r->umax = same ? kernel_cut(uhigh, w) : KMASK(w);
	kernel_signed_or_any(r, slow, shigh, kernel_fits(slow, w) && kernel_fits(shigh, w), w);
}

static inline void kernel_add_sub(struct kernel_range *a, const struct kernel_range *b, bool add,
				  unsigned w)
{
	if (add)
		kernel_add_range(a, (int64_t)(a->umin + b->umin), (int64_t)(a->umax + b->umax),
				 a->smin + b->smin, a->smax + b->smax, w);
	else
		kernel_add_range(a, (int64_t)(a->umin - b->umax), (int64_t)(a->umax - b->umin),
				 a->smin - b->smax, a->smax - b->smin, w);
}

static inline void kernel_mul_range(struct kernel_range *a, const struct kernel_range *b,
				    unsigned w)
{
	int64_t p[4] = {a->smin * b->smin, a->smin * b->smax, a->smax * b->smin, a->smax * b->smax};
	int64_t low = p[0], high = p[0];
	bool fits = true;

	for (unsigned i = 0; i < 4; i++) {
		low = p[i] < low ? p[i] : low;
		high = p[i] > high ? p[i] : high;
		fits = fits && kernel_fits(p[i], w);
	}
	if (a->umax * b->umax > KMASK(w)) {
		a->umin = 0;
		a->umax = KMASK(w);
	} else {
		a->umin *= b->umin;
		a->umax *= b->umax;
	}
	kernel_signed_or_any(a, low, high, fits, w);
}

/* AND, OR, XOR: unsigned bounds, which are signed ones where they do not cross the sign. */
static inline void kernel_bitwise_range(struct kernel_range *a, uint64_t low, uint64_t high,
					unsigned w)
{
	bool fits = kernel_signed(low, w) <= kernel_signed(high, w);

	a->umin = low;
	a->umax = high;
	kernel_signed_or_any(a, kernel_signed(low, w), kernel_signed(high, w), fits, w);
}

static inline void kernel_bitwise(enum fort_op op, struct kernel_range *a,
				  const struct kernel_range *b, struct ntnum bits, unsigned w)
{
	uint64_t value = bits.value & KMASK(w), most = value | (bits.mask & KMASK(w));

	if (op == FORT_OP_AND)
		kernel_bitwise_range(a, value, a->umax < b->umax ? a->umax : b->umax, w);
	else if (op == FORT_OP_OR)
		kernel_bitwise_range(a, a->umin > b->umin ? a->umin : b->umin, most, w);
	else
		kernel_bitwise_range(a, value, most, w);
}

static inline void kernel_lsh_range(struct kernel_range *r, unsigned by, unsigned w)
{
	struct kernel_range any = kernel_any(w);

	if (by < w && r->umax <= 1ull << (w - 1 - by)) {
		any.umin = r->umin << by;
		any.umax = r->umax << by;
	}
	*r = any;
}

/* A shift by a known count. */
static inline void kernel_shift(enum fort_op op, bool wide, struct kernel_num *a, unsigned by)
{
	unsigned w = wide ? FULL : KHALF;
	struct kernel_range *r = wide ? &a->full : &a->half, before = *r;
	struct kernel_range half = a->half;
	struct ntnum bits = {a->bits.value & KMASK(w), a->bits.mask & KMASK(w)};

	switch (op) {
	case FORT_OP_LSH:
		kernel_lsh_range(&a->half, by, KHALF);
		kernel_lsh_range(&a->full, by, FULL);
		if (wide && by == KHALF) {
			a->full.smin = half.smin * (1ll << by);
			a->full.smax = half.smax * (1ll << by);
		}
		a->bits = (struct ntnum){bits.value << by & KMASK(w), bits.mask << by & KMASK(w)};
		break;
	case FORT_OP_RSH:
		a->full = kernel_any(FULL);
		a->half = kernel_any(KHALF);
		r->umin = before.umin >> by;
		r->umax = before.umax >> by;
		a->bits = (struct ntnum){bits.value >> by, bits.mask >> by};
		break;
	default:
		a->full = kernel_any(FULL);
		a->half = kernel_any(KHALF);
		r->smin = before.smin >> by;
		r->smax = before.smax >> by;
		a->bits.value = kernel_cut(kernel_signed(bits.value, w) >> by, w);
		a->bits.mask = kernel_cut(kernel_signed(bits.mask, w) >> by, w);
	}
	if (!wide)
		a->full = kernel_any(FULL);
	kernel_range_by_bits(&a->half, a->bits, KHALF);
	if (wide)
		kernel_range_by_bits(&a->full, a->bits, FULL);
}

/* The low half, zero-extended. */
static inline void kernel_extend(struct kernel_num *a)
{
	bool positive = a->half.smin >= 0;

	a->bits.value &= KMASK(KHALF);
	a->bits.mask &= KMASK(KHALF);
	a->full.umin = a->half.umin;
	a->full.umax = a->half.umax;
	a->full.smin = positive ? a->half.smin : 0;
	a->full.smax = positive ? a->half.smax : (int64_t)KMASK(KHALF);
}

static inline struct kernel_num kernel_unknown(bool wide)
{
	struct kernel_num a = {kernel_any(FULL), kernel_any(KHALF), ntnum_unknown()};

	if (!wide)
		kernel_extend(&a);
	kernel_sync(&a);
	return a;
}

/* Division and remainder by a known number, not zero: what 7.0 says of them. Linux 6.18 says
 * nothing. */
static inline void kernel_divide(struct kernel_range *r, uint64_t by, unsigned w)
{
	struct kernel_range any = kernel_any(w);

	any.umin = r->umin / by;
	any.umax = r->umax / by;
	*r = any;
}

static inline void kernel_signed_divide(struct kernel_range *r, int64_t by, unsigned w)
{
	struct kernel_range any = kernel_any(w);
	int64_t first = r->smin / by, last = r->smax / by;

	if (by != -1 || r->smin != any.smin) /* the least number by -1 is itself */
		kernel_meet_s(&any, first < last ? first : last, first < last ? last : first);
	else if (r->smax == any.smin)
		any.smax = any.smin;
	*r = any;
}

/* The remainder that is the number itself keeps all that is known. */
static inline bool kernel_remainder(struct kernel_range *r, uint64_t by, unsigned w)
{
	struct kernel_range any = kernel_any(w);

	if (r->umax < by)
		return true;
	kernel_meet_u(&any, 0, r->umax < by - 1 ? r->umax : by - 1);
	*r = any;
	return false;
}

static inline bool kernel_signed_remainder(struct kernel_range *r, int64_t by, unsigned w)
{
	struct kernel_range any = kernel_any(w);
	int64_t most = (by < 0 ? -by : by) - 1;

	if (r->smin >= -most && r->smax <= most)
		return true;
	kernel_meet_s(&any,
		      r->smin >= 0      ? 0
		      : r->smin > -most ? r->smin
					: -most,
		      r->smax <= 0     ? 0
		      : r->smax < most ? r->smax
				       : most);
	*r = any;
	return false;
}

static inline struct kernel_num kernel_division(enum fort_op op, bool wide, struct kernel_num a,
						const struct kernel_num *b)
{
	unsigned w = wide ? FULL : KHALF;
	struct kernel_range *r = wide ? &a.full : &a.half, *other = wide ? &a.half : &a.full;
	uint64_t by = b->bits.value & KMASK(w);
	bool kept = false;

	if (!kernel_is_const(b, wide))
		return kernel_unknown(wide);
	if (!by && (op == FORT_OP_DIV || op == FORT_OP_SDIV))
		return kernel_const(0);
	if (!by)
		kept = true;
	else if (op == FORT_OP_DIV)
		kernel_divide(r, by, w);
	else if (op == FORT_OP_SDIV)
		kernel_signed_divide(r, kernel_signed(by, w), w);
	else if (op == FORT_OP_MOD)
		kept = kernel_remainder(r, by, w);
	else
		kept = kernel_signed_remainder(r, kernel_signed(by, w), w);
	if (!kept) {
		a.bits = ntnum_unknown();
		*other = kernel_any(wide ? KHALF : FULL);
	}
	if (!wide)
		kernel_extend(&a);
	kernel_sync(&a);
	return a;
}

static inline struct kernel_num kernel_alu(enum fort_op op, bool wide, struct kernel_num a,
					   const struct kernel_num *b)
{
	bool known = kernel_is_const(b, wide);
	unsigned w = wide ? FULL : KHALF;

	switch (op) {
	case FORT_OP_ADD:
	case FORT_OP_SUB:
		kernel_add_sub(&a.half, &b->half, op == FORT_OP_ADD, KHALF);
		kernel_add_sub(&a.full, &b->full, op == FORT_OP_ADD, FULL);
		a.bits =
			op == FORT_OP_ADD ? ntnum_add(a.bits, b->bits) : ntnum_sub(a.bits, b->bits);
		break;
	case FORT_OP_MUL:
		kernel_mul_range(&a.half, &b->half, KHALF);
		kernel_mul_range(&a.full, &b->full, FULL);
		a.bits = kernel_mul_bits(a.bits, b->bits);
		break;
	case FORT_OP_AND:
	case FORT_OP_OR:
	case FORT_OP_XOR:
		a.bits = op == FORT_OP_AND  ? ntnum_and(a.bits, b->bits)
			 : op == FORT_OP_OR ? ntnum_or(a.bits, b->bits)
					    : ntnum_xor(a.bits, b->bits);
		kernel_bitwise(op, &a.half, &b->half, a.bits, KHALF);
		kernel_bitwise(op, &a.full, &b->full, a.bits, FULL);
		break;
	case FORT_OP_LSH:
	case FORT_OP_RSH:
	case FORT_OP_ARSH:
		if (!known || (b->bits.value & KMASK(w)) >= w)
			return kernel_unknown(wide);
		kernel_shift(op, wide, &a, (unsigned)(b->bits.value & KMASK(w)));
		break;
	default: return kernel_division(op, wide, a, b);
	}
	if (!wide)
		kernel_extend(&a);
	kernel_sync(&a);
	return a;
}

/* --- comparisons --- */

static inline int kernel_decide(enum fort_op op, bool wide, const struct kernel_num *a,
				const struct kernel_num *b)
{
	const struct kernel_range *x = wide ? &a->full : &a->half, *y = wide ? &b->full : &b->half;
	struct ntnum s = {a->bits.value & KMASK(wide ? FULL : KHALF),
			  a->bits.mask & KMASK(wide ? FULL : KHALF)};
	struct ntnum t = {b->bits.value & KMASK(wide ? FULL : KHALF),
			  b->bits.mask & KMASK(wide ? FULL : KHALF)};
	bool apart;

	switch (op) {
	case FORT_OP_JEQ:
	case FORT_OP_JNE:
		if (!s.mask && !t.mask)
			return (s.value == t.value) == (op == FORT_OP_JEQ);
		apart = !ntnum_meets(s, t) || x->umin > y->umax || x->umax < y->umin ||
			x->smin > y->smax || x->smax < y->smin;
		x = &a->half;
		y = &b->half;
		apart = apart || x->umin > y->umax || x->umax < y->umin || x->smin > y->smax ||
			x->smax < y->smin;
		return apart ? op == FORT_OP_JNE : -1;
	case FORT_OP_JSET:
		if (s.mask && t.mask)
			return -1;
		return s.value & t.value ? 1 : !((s.value | s.mask) & (t.value | t.mask)) ? 0 : -1;
	case FORT_OP_JGT: return x->umin > y->umax ? 1 : x->umax <= y->umin ? 0 : -1;
	case FORT_OP_JGE: return x->umin >= y->umax ? 1 : x->umax < y->umin ? 0 : -1;
	case FORT_OP_JLT: return x->umax < y->umin ? 1 : x->umin >= y->umax ? 0 : -1;
	case FORT_OP_JLE: return x->umax <= y->umin ? 1 : x->umin > y->umax ? 0 : -1;
	case FORT_OP_JSGT: return x->smin > y->smax ? 1 : x->smax <= y->smin ? 0 : -1;
	case FORT_OP_JSGE: return x->smin >= y->smax ? 1 : x->smax < y->smin ? 0 : -1;
	case FORT_OP_JSLT: return x->smax < y->smin ? 1 : x->smin >= y->smax ? 0 : -1;
	default: return x->smax <= y->smin ? 1 : x->smin > y->smax ? 0 : -1;
	}
}

static inline void kernel_with_low_bits(struct kernel_num *a, bool wide, struct ntnum t)
{
	uint64_t kept = wide ? 0 : ~KMASK(KHALF);

	a->bits.value = (a->bits.value & kept) | t.value;
	a->bits.mask = (a->bits.mask & kept) | t.mask;
}

static inline struct ntnum kernel_bits(const struct kernel_num *a, bool wide)
{
	uint64_t kept = KMASK(wide ? FULL : KHALF);

	return (struct ntnum){a->bits.value & kept, a->bits.mask & kept};
}

static inline void kernel_assume_equal(bool wide, struct kernel_num *a, struct kernel_num *b)
{
	struct kernel_range *x = wide ? &a->full : &a->half, *y = wide ? &b->full : &b->half;
	struct ntnum both = ntnum_meet(kernel_bits(a, wide), kernel_bits(b, wide));

	kernel_meet_u(x, y->umin, y->umax);
	kernel_meet_s(x, y->smin, y->smax);
	*y = *x;
	kernel_with_low_bits(a, wide, both);
	kernel_with_low_bits(b, wide, both);
}

static inline void kernel_assume_unequal(bool wide, struct kernel_num *a, uint64_t value)
{
	struct kernel_range *x = wide ? &a->full : &a->half;
	int64_t s = kernel_signed(value, wide ? FULL : KHALF);

	x->umin += x->umin == value;
	x->umax -= x->umax == value;
	x->smin += x->smin == s;
	x->smax -= x->smax == s;
}

static inline void kernel_assume_set(bool wide, bool set, struct kernel_num *a, uint64_t value)
{
	struct ntnum t = kernel_bits(a, wide);

	if (value & (value - 1) || !value)
		if (set)
			return;
	if (set)
		t = ntnum_or(t, ntnum_const(value));
	else
		t = (struct ntnum){t.value & ~value, t.mask & ~value};
	kernel_with_low_bits(a, wide, t);
}

/* x < y, or x <= y. */
static inline void kernel_assume_less(bool is_signed, int64_t by, struct kernel_range *x,
				      struct kernel_range *y)
{
	struct kernel_range before = *x;

	if (is_signed) {
		x->smax = x->smax < y->smax - by ? x->smax : y->smax - by;
		y->smin = y->smin > before.smin + by ? y->smin : before.smin + by;
	} else {
		kernel_meet_u(x, 0, y->umax - (uint64_t)by);
		kernel_meet_u(y, before.umin + (uint64_t)by, UINT64_MAX);
	}
}

/* Both, for a comparison that is not decided. */
static inline void kernel_assume(enum fort_op op, bool wide, bool holds, struct kernel_num *a,
				 struct kernel_num *b)
{
	struct fort_comparison c = fort_comparison_when(op, holds);
	struct kernel_num *left = c.swap ? b : a, *right = c.swap ? a : b;
	uint64_t kept = KMASK(wide ? FULL : KHALF);

	if (c.primitive == FORT_CMP_EQ && !c.negate) {
		kernel_assume_equal(wide, a, b);
	} else if (c.primitive == FORT_CMP_EQ || c.primitive == FORT_CMP_SET) {
		struct kernel_num *fixed = kernel_is_const(b, wide) ? b : a;
		struct kernel_num *other = fixed == b ? a : b;

		if (kernel_is_const(fixed, wide)) {
			if (c.primitive == FORT_CMP_EQ)
				kernel_assume_unequal(wide, other, fixed->bits.value & kept);
			else
				kernel_assume_set(wide, !c.negate, other, fixed->bits.value & kept);
		}
	} else {
		kernel_assume_less(c.primitive == FORT_CMP_SLT || c.primitive == FORT_CMP_SLE,
				   c.primitive == FORT_CMP_ULT || c.primitive == FORT_CMP_SLT,
				   wide ? &left->full : &left->half,
				   wide ? &right->full : &right->half);
	}
	kernel_sync(a);
	kernel_sync(b);
}
