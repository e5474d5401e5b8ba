/* Proofs about scalars of 64 bits: the rules by which views narrow each other, and what scalar.inc
 * makes of halves.
 */
#include <stdio.h>

#include "domain/compare.h"
#include "agree.h"
#include "prover.h"
#include "proofs.h"

#include "views.inc"

#define PROOF(name) void prove_##name##_64(void)

/* --- narrowing: each rule keeps the members, all of them and no others --- */

/* The same word of before and after, for a rule that gave `after` from `before`. */
static void keeps(struct views before, struct views after, WORD x, BOOL some)
{
	goal(term_implies(views_has(before, x), BOTH(some, views_has(after, x))));
	goal(term_implies(BOTH(some, views_has(after, x)), views_has(before, x)));
	goal(term_implies(some, BOTH(ARC_(is_good)(after.arc), TNUM_(is_good)(after.bits))));
	goal(term_implies(some, HARC_(is_good)(after.low)));
}

/* Differences, for words of any width. */
static BOOL sub_order(WORD a, WORD b, WORD c)
{
	return term_implies(BOTH(ULE(a, b), ULE(b, c)), ULE(SUB(b, a), SUB(c, a)));
}

static BOOL sub_swap(WORD a, WORD b, WORD c)
{
	return term_implies(BOTH(ULE(b, c), ULE(a, SUB(c, b))),
			    BOTH(ULE(b, SUB(c, a)), BOTH(ULE(a, c), ULE(SUB(c, a), c))));
}

static BOOL sub_within(WORD a, WORD b, WORD c)
{
	BOOL within = term_implies(ULE(SUB(b, a), SUB(c, a)), BOTH(ULE(a, b), ULE(b, c)));

	return term_implies(ULE(a, c), BOTH(within, ULE(SUB(c, a), c)));
}

static BOOL sum_order(WORD base, WORD a, WORD b)
{
	return term_implies(BOTH(ULE(base, ADD(base, b)), ULE(a, b)),
			    BOTH(ULE(base, ADD(base, a)), ULE(ADD(base, a), ADD(base, b))));
}

PROOF(differences)
{
	for (unsigned bits = 32; bits <= 64; bits *= 2) {
		WORD a = term_part("a", "word", bits), b = term_part("b", "word", bits);
		WORD c = term_part("c", "word", bits);

		goal(sub_order(a, b, c));
		goal(sub_swap(a, b, c));
		goal(sub_within(a, b, c));
		goal(sum_order(a, b, c));
	}
}

/* An arc of `size` whose ends move inwards, and a word `way` from where it begins. */
static void moved(WORD size, WORD way, WORD up, WORD down)
{
	premise(sub_swap(down, way, size));
	premise(sub_swap(down, up, size));
	premise(sub_order(up, way, SUB(size, down)));
	premise(sub_within(up, way, SUB(size, down)));
	split(EQ(SUB(SUB(size, down), up), term_number(term_bits(size), UINT64_MAX)));
}

/* What an arc's ends moved to the next members of a tnum are: so many words inwards, and no member
 * is passed (tnum_above, tnum_below). */
PROOF(arc_by_bits)
{
	struct views a = views_any("a"), out = a;
	WORD way = term_word("i", 64), x = ADD(a.arc.base, way), end = ARC_(end)(a.arc);
	WORD first = TNUM_(above)(a.bits, a.arc.base), last = TNUM_(below)(a.bits, end);
	WORD up = term_word("up", 64), down = term_word("down", 64);
	BOOL some;

	premise(term_implies(TNUM_(has)(a.bits, x), ULE(SUB(first, a.arc.base), way)));
	premise(term_implies(TNUM_(has)(a.bits, x), ULE(SUB(end, last), SUB(end, x))));
	premise(ULE(SUB(end, last), SUB(end, first)));
	forget_as(first, ADD(a.arc.base, up));
	forget_as(last, SUB(end, down));
	moved(a.arc.size, way, up, down);
	forget(TNUM_(has)(a.bits, x));
	forget(HARC_(has)(a.low, LOW(x)));
	out.arc = views_arc_by_bits(a.arc, a.bits, &some);
	keeps(a, out, x, some);
}

PROOF(bits_by_arc)
{
	struct views a = views_any("a"), out = a;
	BOOL some;

	out.bits = views_bits_by_arc(a.bits, a.arc, &some);
	keeps(a, out, term_word("x", 64), some);
}

PROOF(low_of)
{
	ARC a = ARC_(any)("a");
	WORD x = ARC_(member)(a, "i");

	goal(HARC_(has)(views_low_of(a), LOW(x)));
	goal(HARC_(is_good)(views_low_of(a)));
}

/* By low_of, arc_meet and arc_covers. */
PROOF(low_by_arc)
{
	struct views a = views_any("a"), out = a;
	WORD x = term_word("x", 64);
	HALF h = LOW(x);
	HARC low = views_low_of(a.arc), met = HARC_(meet)(a.low, low);
	BOOL both = BOTH(HARC_(has)(a.low, h), HARC_(has)(low, h)), some;

	premise(term_implies(ARC_(has)(a.arc, x), HARC_(has)(low, h)));
	premise(term_implies(both, BOTH(HARC_(meets)(a.low, low), HARC_(has)(met, h))));
	premise(term_implies(HARC_(meets)(a.low, low), HARC_(is_good)(met)));
	premise(term_implies(BOTH(HARC_(covers)(a.low, met), HARC_(has)(met, h)),
			     HARC_(has)(a.low, h)));
	forget(HARC_(covers)(a.low, met));
	forget(HARC_(meets)(a.low, low));
	forget(low.base);
	forget(low.size);
	forget(met.base);
	forget(met.size);
	forget(ARC_(has)(a.arc, x));
	forget(TNUM_(has)(a.bits, x));
	out.low = views_low_by_arc(a.low, a.arc, &some);
	keeps(a, out, x, some);
}

/* The way to the next word with an allowed half leads to one, and past none. */
PROOF(half_up)
{
	WORD base = term_word("x", 64), way = term_word("i", 64);
	HARC h = HARC_(any)("h");
	WORD up = views_up_to_low(base, h);

	goal(HARC_(has)(h, LOW(ADD(base, up))));
	goal(term_implies(HARC_(has)(h, LOW(ADD(base, way))), ULE(up, way)));
}

PROOF(half_down)
{
	WORD base = term_word("x", 64), way = term_word("i", 64);
	HARC h = HARC_(any)("h");
	WORD down = views_down_to_low(base, h);

	goal(HARC_(has)(h, LOW(SUB(base, down))));
	goal(term_implies(HARC_(has)(h, LOW(SUB(base, way))), ULE(down, way)));
}

PROOF(arc_by_low)
{
	struct views a = views_any("a"), out = a;
	WORD way = term_word("i", 64), x = ADD(a.arc.base, way), end = ARC_(end)(a.arc);
	WORD up = views_up_to_low(a.arc.base, a.low), down = views_down_to_low(end, a.low);
	BOOL allowed = HARC_(has)(a.low, LOW(x)), some;

	/* half_up and half_down; the latter also of the first word. */
	premise(term_implies(allowed, BOTH(ULE(up, way), ULE(down, SUB(a.arc.size, way)))));
	premise(ULE(down, SUB(a.arc.size, up)));
	moved(a.arc.size, way, up, down);
	split(EQ(up, K(0)));
	split(EQ(down, K(0)));
	forget(up);
	forget(down);
	forget(allowed);
	forget(TNUM_(has)(a.bits, x));
	out.arc = views_arc_by_low(a.arc, a.low, &some);
	keeps(a, out, x, some);
}

/* Where the way to the next allowed word is longer than the arc, none is on it. */
PROOF(none_by_low)
{
	ARC a = ARC_(any)("a");
	HARC h = HARC_(any)("h");
	WORD way = term_word("i", 64), x = ADD(a.base, way);
	BOOL allowed = HARC_(has)(h, LOW(x));

	/* half_up */
	premise(term_implies(allowed, ULE(views_up_to_low(a.base, h), way)));
	premise(ULE(way, a.size));
	premise(views_none_by_low(a, h));
	forget(views_up_to_low(a.base, h));
	forget(allowed);
	goal(NEITHER(allowed));
}

/* As arc_by_bits, with the low half x's. */
PROOF(low_by_bits)
{
	struct views a = views_any("a"), out = a;
	WORD x = term_word("x", 64);
	HTNUM bits = views_low_bits(a.bits);
	HALF end = HARC_(end)(a.low), way = term_word("j", 32), h = LOW(x);
	HALF first = HTNUM_(above)(bits, a.low.base), last = HTNUM_(below)(bits, end);
	HALF up = term_word("up", 32), down = term_word("down", 32);
	BOOL member = TNUM_(has)(a.bits, x), some;

	premise(term_implies(member, ULE(SUB(first, a.low.base), SUB(h, a.low.base))));
	premise(term_implies(member, ULE(SUB(end, last), SUB(end, h))));
	premise(ULE(SUB(end, last), SUB(end, first)));
	forget(member);
	forget(ARC_(has)(a.arc, x));
	forget_as(h, ADD(a.low.base, way));
	forget_as(first, ADD(a.low.base, up));
	forget_as(last, SUB(end, down));
	moved(a.low.size, way, up, down);
	out.low = views_low_by_bits(a.low, bits, &some);
	keeps(a, out, x, some);
}

PROOF(low_bits_by_arc)
{
	struct views a = views_any("a"), out = a;
	BOOL some;
	HTNUM low = views_low_bits_by_arc(views_low_bits(a.bits), a.low, &some);

	out.bits = views_with_low_bits(a.bits, low);
	keeps(a, out, term_word("x", 64), some);
}

PROOF(low_bits)
{
	TNUM a = TNUM_(any)("a");
	WORD x = term_word("x", 64);

	premise(TNUM_(has)(a, x));
	goal(HTNUM_(has)(views_low_bits(a), LOW(x)));
	goal(HTNUM_(is_good)(views_low_bits(a)));
}

/* --- the short cuts --- */

PROOF(settle_keeps)
{
	struct views a = views_any("a"), out = a;
	WORD x = term_word("x", 64);

	(void)views_settle(a.arc, &out.bits, a.low);
	premise(views_has(a, x));
	goal(views_has(out, x));
}

/* Where it says that it is done there are members, and nothing is added. */
PROOF(settle_is_exact)
{
	struct views a = views_any("a"), out = a;
	WORD x = term_word("x", 64);

	premise(views_settle(a.arc, &out.bits, a.low));
	goal(TNUM_(is_good)(out.bits));
	goal(views_has(a, a.arc.base));
	goal(term_implies(views_has(out, x), views_has(a, x)));
}

/* And no rule would change anything. */
static struct views settled(void)
{
	struct views a = views_any("a"), out = a;

	premise(views_settle(a.arc, &out.bits, a.low));
	return out;
}

PROOF(settled_arc)
{
	struct views a = settled();
	BOOL some;

	goal(ARC_(equal)(views_arc_by_bits(a.arc, a.bits, &some), a.arc));
	goal(some);
	goal(ARC_(equal)(views_arc_by_low(a.arc, a.low, &some), a.arc));
	goal(some);
}

PROOF(settled_bits)
{
	struct views a = settled();
	BOOL some;
	HTNUM low = views_low_bits(a.bits);

	goal(TNUM_(equal)(views_bits_by_arc(a.bits, a.arc, &some), a.bits));
	goal(some);
	goal(HTNUM_(equal)(views_low_bits_by_arc(low, a.low, &some), low));
	goal(some);
}

PROOF(settled_low)
{
	struct views a = settled();
	BOOL some;

	goal(HARC_(equal)(views_low_by_bits(a.low, views_low_bits(a.bits), &some), a.low));
	goal(some);
	goal(HARC_(equal)(views_low_by_arc(a.low, a.arc, &some), a.low));
	goal(some);
}

/* The cheaper form agrees with the other where it may be used. */
PROOF(settle_plain)
{
	struct views a = views_any("a"), full = a, plain = a;
	BOOL done, done_plain;

	premise(views_is_plain(a.arc, a.low));
	done = views_settle(a.arc, &full.bits, a.low);
	done_plain = views_settle_plain(a.arc, &plain.bits);
	goal(EQ(done, done_plain));
	goal(term_implies(done, TNUM_(equal)(full.bits, plain.bits)));
}

/* A plain value narrowed by its bits alone (reduce_more): its ends are members then. */
PROOF(plain_is_flat)
{
	struct views a = views_any("a");

	premise(views_is_plain(a.arc, a.low));
	goal(ULE(a.arc.base, ARC_(end)(a.arc)));
}

PROOF(plain_by_bits)
{
	struct views a = views_any("a"), out = a;
	WORD way = term_word("i", 64), x = ADD(a.arc.base, way), end = ARC_(end)(a.arc);
	WORD first = TNUM_(above)(a.bits, a.arc.base), last = TNUM_(below)(a.bits, end);
	WORD up = term_word("up", 64), down = term_word("down", 64);
	TNUM range;
	BOOL some, done;

	premise(views_is_plain(a.arc, a.low));
	premise(views_has(a, x));
	premise(ULE(a.arc.base, end));
	premise(sum_order(a.arc.base, SUB(a.arc.size, down), a.arc.size));
	premise(sum_order(a.arc.base, way, SUB(a.arc.size, down)));
	premise(sum_order(a.arc.base, up, way));
	/* plain_is_flat, tnum_above, tnum_below, tnum_range, low_of */
	premise(ULE(SUB(first, a.arc.base), way));
	premise(ULE(SUB(end, last), SUB(end, x)));
	premise(BOTH(TNUM_(has)(a.bits, first), TNUM_(has)(a.bits, last)));
	forget_as(first, ADD(a.arc.base, up));
	forget_as(last, SUB(end, down));
	moved(a.arc.size, way, up, down);
	out.arc = views_arc_by_bits(a.arc, a.bits, &some);
	out.low = views_low_of(out.arc);
	range = TNUM_(range)(out.arc.base, ARC_(end)(out.arc));
	premise(term_implies(BOTH(ULE(out.arc.base, x), ULE(x, ARC_(end)(out.arc))),
			     TNUM_(has)(range, x)));
	premise(term_implies(ARC_(has)(out.arc, x), HARC_(has)(out.low, LOW(x))));
	done = views_settle_plain(out.arc, &out.bits);
	forget(range.value);
	forget(range.mask);
	forget(out.low.base);
	forget(out.low.size);
	goal(BOTH(some, done));
	goal(views_has(out, x));
}

/* --- halves --- */

PROOF(from_half)
{
	HPAIR a = HPAIR_(any)("a");
	HALF h = HPAIR_(member)(a, "h");
	HARC flat = HPAIR_(unsigned)(a);
	WORD x = WIDE(h);

	goal(ARC_(has)((ARC){WIDE(flat.base), WIDE(flat.size)}, x));
	goal(TNUM_(has)((TNUM){WIDE(a.bits.value), WIDE(a.bits.mask)}, x));
	goal(HARC_(has)(a.arc, LOW(x)));
}

PROOF(from_signed_half)
{
	HPAIR a = HPAIR_(any)("a");
	HALF h = HPAIR_(member)(a, "h");
	WORD first = SEXT(HPAIR_(smin)(a)), last = SEXT(HPAIR_(smax)(a)), x = SEXT(h);

	goal(ARC_(has)(ARC_(range)(first, last), x));
	goal(TNUM_(has)((TNUM){SEXT(a.bits.value), SEXT(a.bits.mask)}, x));
	goal(HARC_(has)(a.arc, LOW(x)));
}

/* Operations of which the low half depends on low halves only. */
PROOF(low_half_of_results)
{
	WORD x = term_word("x", 64), y = term_word("y", 64);
	HALF l = LOW(x), m = LOW(y);

	goal(EQ(LOW(ADD(x, y)), ADD(l, m)));
	goal(EQ(LOW(SUB(x, y)), SUB(l, m)));
	goal(EQ(LOW(AND(x, y)), AND(l, m)));
	goal(EQ(LOW(OR(x, y)), OR(l, m)));
	goal(EQ(LOW(XOR(x, y)), XOR(l, m)));
}

/* x = l + 2^32 h: the products with h leave the low half alone. */
PROOF(low_half_of_product)
{
	HALF l = term_word("l", 32), h = term_word("h", 32), m = term_word("m", 32);
	HALF k = term_word("k", 32);
	WORD low = MUL(WIDE(l), WIDE(m)), up = term_number(64, 1ull << 32);
	WORD rest = ADD(ADD(MUL(WIDE(h), WIDE(m)), MUL(WIDE(l), WIDE(k))),
			MUL(MUL(WIDE(h), WIDE(k)), up));

	prover.polynomials = true;
	goal(EQ(MUL(ADD(WIDE(l), MUL(WIDE(h), up)), ADD(WIDE(m), MUL(WIDE(k), up))),
		ADD(low, MUL(rest, up))));
	goal(EQ(LOW(MUL(WIDE(l), up)), term_number(32, 0)));
	goal(EQ(ADD(WIDE(l), MUL(WIDE(h), up)), Z3_mk_concat(prover.z3, h, l)));
}

PROOF(low_half_of_lsh)
{
	WORD x = term_word("x", 64), n = term_word("n", 64);

	premise(ULT(n, K(32)));
	goal(EQ(LOW(SHL(x, n)), SHL(LOW(x), LOW(n))));
}

/* Shifted by half a word or more, the high half is gone. */
PROOF(shifted_arc)
{
	WORD x = term_word("x", 64), n = term_word("n", 64), count = AND(n, K(63));

	premise(NEITHER(EQ(AND(n, K(32)), K(0))));
	goal(EQ(SHL(x, count), SHL(WIDE(LOW(x)), count)));
}

PROOF(low_from)
{
	TNUM t = TNUM_(any)("t");
	WORD x = term_word("x", 64);

	premise(TNUM_(has)(t, x));
	goal(HARC_(has)(HARC_(range)(LOW(t.value), LOW(OR(t.value, t.mask))), LOW(x)));
}

/* --- results that are their left operand --- */

PROOF(idle)
{
	TNUM a = TNUM_(any)("a"), b = TNUM_(any)("b");
	WORD x = term_word("x", 64), y = term_word("y", 64), may_be = OR(b.value, b.mask);

	premise(TNUM_(has)(a, x));
	premise(TNUM_(has)(b, y));
	goal(term_implies(EQ(AND(OR(a.value, a.mask), NOT(b.value)), K(0)), EQ(AND(x, y), x)));
	goal(term_implies(EQ(AND(may_be, NOT(a.value)), K(0)), EQ(OR(x, y), x)));
	goal(term_implies(EQ(may_be, K(0)), BOTH(EQ(ADD(x, y), x), EQ(SUB(x, y), x))));
	goal(term_implies(EQ(may_be, K(0)), EQ(XOR(x, y), x)));
}

/* --- truncation, extension, byte order --- */

PROOF(truncate)
{
	WORD x = term_word("x", 64);

	for (unsigned bits = 1; bits < 64; bits++) {
		WORD mask = SUB(SHL(K(1), K(bits)), K(1));

		goal(term_implies(ULE(x, mask), EQ(AND(x, mask), x)));
		if (bits <= 32)
			goal(EQ(WIDE(AND(LOW(x), LOW(mask))), AND(x, mask)));
		if (bits == 32)
			goal(EQ(WIDE(LOW(x)), AND(x, mask)));
	}
}

PROOF(sign_extend)
{
	WORD x = term_word("x", 64);

	for (unsigned bits = 1; bits < 32; bits++) {
		HALF by = term_number(32, 32 - bits), half = SAR(SHL(LOW(x), by), by);
		Z3_ast low = Z3_mk_extract(prover.z3, bits - 1, 0, x);

		goal(EQ(half, Z3_mk_sign_ext(prover.z3, 32 - bits, low)));
		goal(EQ(SEXT(half), Z3_mk_sign_ext(prover.z3, 64 - bits, low)));
	}
}

static WORD swap(unsigned bits, WORD x)
{
	Z3_ast out = NULL;

	for (unsigned at = 0; at < bits; at += 8) {
		Z3_ast byte = Z3_mk_extract(prover.z3, at + 7, at, x);

		out = out ? Z3_mk_concat(prover.z3, out, byte) : byte;
	}
	return bits < 64 ? Z3_mk_zero_ext(prover.z3, 64 - bits, out) : out;
}

PROOF(swap_bits)
{
	for (unsigned bits = 16; bits <= 64; bits *= 2) {
		TNUM a = TNUM_(any)("a");
		WORD x = term_word("x", 64);
		TNUM out = {swap(bits, a.value), swap(bits, a.mask)};

		premise(TNUM_(has)(a, x));
		goal(TNUM_(has)(out, swap(bits, x)));
		goal(TNUM_(is_good)(out));
	}
}

/* Members of a tnum that leaves one byte open, in order, are in order with their bytes swapped. */
PROOF(swap_order)
{
	TNUM a = TNUM_(any)("a");
	WORD x = term_word("x", 64), y = term_word("y", 64);

	premise(BOTH(TNUM_(has)(a, x), TNUM_(has)(a, y)));
	premise(ULE(x, y));
	for (unsigned bits = 16; bits <= 64; bits *= 2)
		for (unsigned at = 0; at < bits; at += 8) {
			WORD others = K(~(0xffull << at));
			BOOL one_byte = EQ(AND(a.mask, others), K(0));

			goal(term_implies(one_byte, ULE(swap(bits, x), swap(bits, y))));
		}
}

/* Conditions under which C defines what is computed, for any operands. */
PROOF(views_defined)
{
	struct views a = views_any("a");
	BOOL some;

	(void)views_arc_by_bits(a.arc, a.bits, &some);
	(void)views_low_by_bits(a.low, views_low_bits(a.bits), &some);
	(void)views_settle(a.arc, &a.bits, a.low);
	goal_defined();
}

/* What the rules compute as terms is what they compute as C. */
#include "agree_views.inc"

PROOF(agree_views)
{
	for (unsigned round = 0; round < AGREE_ROUNDS; round++) {
		uint64_t in[AGREE_IN], want[AGREE_OUT];
		WORD words[AGREE_IN], out[AGREE_OUT];
		BOOL same;
		unsigned n;

		agree_draw(round, 64, in);
		for (unsigned i = 0; i < AGREE_IN; i++)
			words[i] = K(in[i]);
		n = views_native_agree(in, want);
		same = views_agree(words, out) == n ? Z3_mk_true(prover.z3)
						    : Z3_mk_false(prover.z3);
		for (unsigned i = 0; i < n; i++)
			same = BOTH(same, EQ(out[i], K(want[i])));
		goal(same);
	}
}
