/* Our operators beside the kernel's on every pair of operands at 7 bits, tnums and intervals in any
 * combination, with all views of a word and of its half (the low 3 bits): ALU operations of both
 * widths, what comparisons decide, and what they teach. Ours must have every concrete result, and
 * no member that the kernel's has not; for multiplication it must have fewer sometimes.
 *
 * One thing the kernel can say that we cannot: a signed and an unsigned range may have two pieces
 * in common. Of such results ours may have more, but not more than one interval, bits and the
 * half's interval around them. How often that is gets printed.
 *
 * What makes 330 million pairs an operation few enough: sets of 7-bit words are 128-bit masks; the
 * concrete results of one left operand and all right ones cost one OR each, as every set but a
 * single word is two smaller ones of the list; the kernel is asked only where ours is not exact;
 * and of operands that are the same to an operation (halves, bounds) one is taken.
 *
 * Shifts are not here: the rule for counts, modulo the width, needs a power of two. They are
 * enumerated at 8 bits (test_domain_shifts.c). Operands of which both an interval and bits are
 * known are enumerated at 4 bits and sampled at 8 (test_domain_precision.c).
 *
 * usage: test_domain_pairs [NTH [PART PARTS]]
 *   divisions, and operations on halves, on all pairs; others on all pairs of tnums, and on all
 *   with each NTH operand on the left (1: every one, in minutes); of the operations each PARTSth,
 *   from PART
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "domain/compare.h"
#include "domain/scalar.h"

#define FULL 7
#include "domain_nbit.inc"
#include "kernel_model.h"

#define WORDS    (1u << FULL)
#define TNUMS    2187u /* 3^FULL */
#define OPERANDS 18189u
#define NTH      199u /* prime to what else goes round */

typedef unsigned __int128 words; /* a set of them */

#define ONLY(x) ((words)1 << (x))
#define ALL     ((words)-1)

static struct nscalar ours[OPERANDS];
static struct kernel_num theirs[OPERANDS];
static words members[OPERANDS];
static uint32_t halves[OPERANDS][2]; /* smaller ones that make it up; of single words unused */
static uint32_t n_operands;

/* --- sets --- */

static words arc_words(uint64_t base, uint64_t size)
{
	words from_zero = ALL >> (WORDS - 1 - size);

	return base ? from_zero << base | from_zero >> (WORDS - base) : from_zero;
}

static words range_words(uint64_t first, uint64_t last)
{
	return arc_words(first, (last - first) & KMASK(FULL));
}

static words tnum_sets[WORDS][WORDS];          /* by value and mask */
static words low_sets[1 << KHALF][1 << KHALF]; /* by first and last */

static void build_sets(void)
{
	for (uint64_t mask = 0; mask < WORDS; mask++)
		for (uint64_t x = 0; x < WORDS; x++)
			tnum_sets[x & ~mask][mask] |= ONLY(x);
	for (uint64_t first = 0; first <= HONES; first++)
		for (uint64_t last = 0; last <= HONES; last++)
			for (uint64_t x = 0; x < WORDS; x++)
				if (LOW(x - first) <= LOW(last - first))
					low_sets[first][last] |= ONLY(x);
}

static words our_words(const struct nscalar *a)
{
	return arc_words(a->arc.base, a->arc.size) & tnum_sets[a->bits.value][a->bits.mask] &
	       low_sets[a->low.base][harc_end(a->low)];
}

static words their_words(const struct kernel_num *a)
{
	const struct kernel_range *r = &a->full, *h = &a->half;

	if (r->umin > r->umax || r->smin > r->smax || h->umin > h->umax || h->smin > h->smax)
		return 0;
	return range_words(r->umin, r->umax) &
	       range_words(kernel_cut(r->smin, FULL), kernel_cut(r->smax, FULL)) &
	       tnum_sets[a->bits.value][a->bits.mask] & low_sets[h->umin][h->umax] &
	       low_sets[kernel_cut(h->smin, KHALF)][kernel_cut(h->smax, KHALF)];
}

static unsigned count_words(words s)
{
	return (unsigned)(__builtin_popcountll((uint64_t)s) +
			  __builtin_popcountll((uint64_t)(s >> 64)));
}

/* --- operands: tnums, then the intervals that are none --- */

static uint32_t tnum_at[WORDS][WORDS], arc_at[WORDS][WORDS];

static void add_operand(struct nscalar mine, struct kernel_num other, words set, uint32_t first,
			uint32_t second)
{
	uint32_t at = n_operands++;

	(void)nscalar_reduce(&mine);
	kernel_sync(&other);
	ours[at] = mine;
	theirs[at] = other;
	members[at] = set;
	halves[at][0] = first;
	halves[at][1] = second;
	if (our_words(&mine) != set)
		abort();
}

static void add_tnum(uint64_t value, uint64_t mask)
{
	struct ntnum t = {value, mask};
	struct kernel_num other = {kernel_any(FULL), kernel_any(KHALF), t};
	uint64_t bit = mask & -mask;

	tnum_at[value][mask] = n_operands;
	if (!(mask & (mask + 1))) /* an interval */
		arc_at[value][mask] = n_operands;
	add_operand((struct nscalar){narc_full(), t, harc_full()}, other, tnum_sets[value][mask],
		    tnum_at[value][mask ^ bit], tnum_at[value | bit][mask ^ bit]);
}

static void add_arc(uint64_t base, uint64_t size)
{
	struct narc arc = {base, size};
	struct kernel_num other = {kernel_any(FULL), kernel_any(KHALF), ntnum_unknown()};

	other.full = (struct kernel_range){narc_umin(arc), narc_umax(arc),
					   kernel_signed(narc_smin(arc), FULL),
					   kernel_signed(narc_smax(arc), FULL)};
	arc_at[base][size] = n_operands;
	add_operand((struct nscalar){arc, ntnum_unknown(), harc_full()}, other,
		    arc_words(base, size), arc_at[base][size - 1], tnum_at[narc_end(arc)][0]);
}

static void build_operands(void)
{
	for (uint64_t mask = 0; mask < WORDS; mask++)
		for (uint64_t value = 0; value < WORDS; value++)
			if (!(value & mask))
				add_tnum(value, mask);
	for (uint64_t size = 1; size < WORDS - 1; size++)
		for (uint64_t base = 0; base < WORDS; base++)
			if (!arc_at[base][size])
				add_arc(base, size);
}

/* --- what is compared --- */

enum how { ALU, FALSE_SIDE, TRUE_SIDE };

struct kind {
	enum how how;
	enum fort_op op;
	bool wide;
	bool tnums; /* every pair of tnums always */
	const char *name;
};

/* A comparison's mirror image (a < b, b > a) and opposite (a < b, a >= b) are the same to both
 * domains. */
static const struct kind kinds[] = {
	{ALU, FORT_OP_ADD, true, true, "add"},
	{ALU, FORT_OP_SUB, true, true, "sub"},
	{ALU, FORT_OP_MUL, true, true, "mul"},
	{ALU, FORT_OP_AND, true, true, "and"},
	{ALU, FORT_OP_OR, true, true, "or"},
	{ALU, FORT_OP_XOR, true, true, "xor"},
	{ALU, FORT_OP_DIV, true, false, "div"},
	{ALU, FORT_OP_SDIV, true, false, "sdiv"},
	{ALU, FORT_OP_MOD, true, false, "mod"},
	{ALU, FORT_OP_SMOD, true, false, "smod"},
	{ALU, FORT_OP_ADD, false, false, "add, half"},
	{ALU, FORT_OP_SUB, false, false, "sub, half"},
	{ALU, FORT_OP_MUL, false, false, "mul, half"},
	{ALU, FORT_OP_AND, false, false, "and, half"},
	{ALU, FORT_OP_OR, false, false, "or, half"},
	{ALU, FORT_OP_XOR, false, false, "xor, half"},
	{ALU, FORT_OP_DIV, false, false, "div, half"},
	{ALU, FORT_OP_SDIV, false, false, "sdiv, half"},
	{ALU, FORT_OP_MOD, false, false, "mod, half"},
	{ALU, FORT_OP_SMOD, false, false, "smod, half"},
	{TRUE_SIDE, FORT_OP_JEQ, true, false, "=="},
	{FALSE_SIDE, FORT_OP_JEQ, true, false, "!="},
	{TRUE_SIDE, FORT_OP_JLT, true, false, "<"},
	{FALSE_SIDE, FORT_OP_JGT, true, false, "<="},
	{TRUE_SIDE, FORT_OP_JSLT, true, false, "s<"},
	{FALSE_SIDE, FORT_OP_JSGT, true, false, "s<="},
	{TRUE_SIDE, FORT_OP_JSET, true, false, "&"},
	{FALSE_SIDE, FORT_OP_JSET, true, false, "!&"},
	{TRUE_SIDE, FORT_OP_JEQ, false, false, "==, half"},
	{FALSE_SIDE, FORT_OP_JEQ, false, false, "!=, half"},
	{TRUE_SIDE, FORT_OP_JLT, false, false, "<, half"},
	{FALSE_SIDE, FORT_OP_JGT, false, false, "<=, half"},
	{TRUE_SIDE, FORT_OP_JSLT, false, false, "s<, half"},
	{FALSE_SIDE, FORT_OP_JSGT, false, false, "s<=, half"},
	{TRUE_SIDE, FORT_OP_JSET, false, false, "&, half"},
	{FALSE_SIDE, FORT_OP_JSET, false, false, "!&, half"},
};

/* Of a division by what is not known the kernel says nothing. Single words are the first operands.
 */
static bool is_division(enum fort_op op)
{
	return op == FORT_OP_DIV || op == FORT_OP_SDIV || op == FORT_OP_MOD || op == FORT_OP_SMOD;
}

/* --- concrete results --- */

static words results[WORDS]; /* of the left operand and one word; or, of one word, its partners */
static words partners[WORDS];

static void concrete_alu(const struct kind *k, uint32_t i)
{
	unsigned bits = k->wide ? FULL : KHALF;

	for (uint64_t y = 0; y < WORDS; y++) {
		results[y] = 0;
		for (uint64_t x = 0; x < WORDS; x++)
			if (members[i] >> x & 1)
				results[y] |= ONLY(word_alu(k->op, bits, x, y));
	}
}

/* All x for which a comparison with y comes out as it should: that of all left operands. */
static void concrete_comparison(const struct kind *k)
{
	unsigned bits = k->wide ? FULL : KHALF;

	for (uint64_t y = 0; y < WORDS; y++) {
		partners[y] = 0;
		for (uint64_t x = 0; x < WORDS; x++)
			if (word_compare(k->op, bits, x, y) == (k->how == TRUE_SIDE))
				partners[y] |= ONLY(x);
	}
}

static words image[OPERANDS]; /* concrete results of the left operand and each right one */

/* --- operands that are the same to an operation --- */

/* Results depend on the operands' halves only, or on the right one's bounds: of those that agree in
 * them the first is taken, and counts for all. */
struct face {
	struct narc bounds, signed_bounds;
	struct kernel_range theirs;
	struct hpair half;
	uint64_t low_bits[2];
	bool is_const;
};

static struct face faces[OPERANDS];
static uint32_t firsts[OPERANDS], counts[OPERANDS], n_firsts;

static struct face face_of(const struct kind *k, uint32_t at)
{
	const struct nscalar *mine = &ours[at];
	const struct kernel_num *other = &theirs[at];
	struct npair pair = nscalar_pair(mine);
	struct face f;

	memset(&f, 0, sizeof(f)); /* compared by bytes */
	f.is_const = nscalar_is_const(mine);
	f.theirs = k->wide ? other->full : other->half;
	if (k->wide) {
		f.bounds = (struct narc){npair_umin(pair), npair_umax(pair)};
		f.signed_bounds = (struct narc){npair_smin(pair), npair_smax(pair)};
	} else {
		f.half = nscalar_half_pair(mine);
		f.low_bits[0] = LOW(other->bits.value);
		f.low_bits[1] = LOW(other->bits.mask);
	}
	return f;
}

static bool is_order(const struct kind *k)
{
	return k->how != ALU && k->op != FORT_OP_JEQ && k->op != FORT_OP_JSET;
}

static uint32_t first_like(const struct face *f)
{
	for (uint32_t i = 0; i < n_firsts; i++)
		if (!memcmp(&faces[i], f, sizeof(*f)))
			return i;
	return n_firsts;
}

static void build_firsts(const struct kind *k)
{
	n_firsts = 0;
	for (uint32_t at = 0; at < OPERANDS; at++) {
		struct face f = face_of(k, at);
		uint32_t i = k->wide && !is_order(k) ? n_firsts : first_like(&f);

		if (i == n_firsts) {
			faces[i] = f;
			firsts[i] = at;
			counts[n_firsts++] = 0;
		}
		counts[i]++;
	}
}

static void build_image(const struct kind *k, uint32_t i, uint32_t n)
{
	if (k->how == ALU)
		concrete_alu(k, i);
	for (uint32_t y = 0; y < WORDS; y++)
		image[y] = k->how == ALU ? results[y] : members[i] & partners[y];
	for (uint32_t j = WORDS; j < n; j++)
		image[j] = image[halves[j][0]] | image[halves[j][1]];
}

/* --- the comparison --- */

/* The most that one interval, bits and an interval of the half can say of a set. */
static struct nscalar around(words set)
{
	struct ntnum bits = {KMASK(FULL), 0};
	struct nscalar out = {narc_full(), {0, 0}, harc_full()};
	uint64_t gap = 0, last = 0, ones = 0;

	for (uint64_t x = 0; x < 2 * WORDS; x++) {
		uint64_t word = x & KMASK(FULL);

		if (!(set >> word & 1))
			continue;
		bits.value &= word;
		ones |= word;
		if (x >= WORDS && x - last > gap) {
			gap = x - last;
			out.arc = narc_range(word, last & KMASK(FULL));
		}
		last = x;
	}
	bits.mask = ones & ~bits.value;
	out.bits = bits;
	(void)nscalar_reduce(&out);
	return out;
}

struct score {
	uint64_t pairs, best, better;
	uint64_t worse;   /* some member that the kernel's has not */
	uint64_t apart;   /* the same, but the kernel's has a gap more than one interval has */
	uint64_t missing; /* not sound */
	uint64_t crossed; /* other words than the kernel's has, and not more */
	uint32_t worse_at[2], missing_at[2];
	uint64_t weight; /* pairs like the one that is looked at */
};

static void note(uint64_t *n, uint32_t at[2], uint32_t i, uint32_t j)
{
	if (!(*n)++) {
		at[0] = i;
		at[1] = j;
	}
}

static void judge(struct score *score, words mine, words other, uint32_t i, uint32_t j)
{
	words exact = image[j];

	if (exact & ~mine)
		note(&score->missing, score->missing_at, i, j);
	if (mine & ~other) {
		struct nscalar best = around(other);
		words limit = our_words(&best);

		if (count_words(mine) <= count_words(other))
			score->crossed += score->weight;
		else if (limit != other && count_words(mine) <= count_words(limit))
			score->apart += score->weight;
		else
			note(&score->worse, score->worse_at, i, j);
	} else {
		score->better += mine == other ? 0 : score->weight;
	}
}

/* Ours being exact, the kernel's cannot be narrower. */
static bool is_exact(struct score *score, words mine, uint32_t j)
{
	score->pairs += score->weight;
	if (mine != image[j])
		return false;
	score->best += score->weight;
	return true;
}

static void pair_alu(struct score *score, const struct kind *k, uint32_t i, uint32_t j)
{
	struct nscalar mine = nscalar_alu(k->op, k->wide, &ours[i], &ours[j]);
	words set = our_words(&mine);
	struct kernel_num other;

	if (is_exact(score, set, j))
		return;
	other = kernel_alu(k->op, k->wide, theirs[i], &theirs[j]);
	judge(score, set, their_words(&other), i, j);
}

/* The left side; the right one is that of the mirror image with the operands exchanged, which comes
 * or is the same comparison. */
static void pair_compare(struct score *score, const struct kind *k, uint32_t i, uint32_t j)
{
	bool holds = k->how == TRUE_SIDE;
	struct nscalar a = ours[i], b = ours[j];
	struct kernel_num c = theirs[i], d = theirs[j];
	words left = 0;
	int known;

	if (nscalar_assume(k->op, k->wide, holds, &a, &b))
		left = our_words(&a);
	if (is_exact(score, left, j))
		return;
	known = kernel_decide(k->op, k->wide, &theirs[i], &theirs[j]);
	if (known == -1)
		kernel_assume(k->op, k->wide, holds, &c, &d);
	judge(score, left, known == !holds ? 0 : their_words(&c), i, j);
}

static void compare(struct score *score, const struct kind *k, uint32_t i, uint32_t n)
{
	uint64_t like_i = score->weight;

	build_image(k, i, n);
	for (uint32_t at = 0; at < n_firsts && firsts[at] < n; at++) {
		score->weight = like_i * counts[at];
		if (k->how == ALU)
			pair_alu(score, k, i, firsts[at]);
		else
			pair_compare(score, k, i, firsts[at]);
	}
}

/* --- reports --- */

static void show(const char *what, uint32_t at)
{
	const struct nscalar *a = &ours[at];

	printf("#   %s: from %" PRIu64 " %" PRIu64 " more, bits %#" PRIx64 "/%#" PRIx64 "\n", what,
	       a->arc.base, a->arc.size, a->bits.value, a->bits.mask);
}

static void show_pair(const char *what, const uint32_t at[2])
{
	printf("# %s, the first:\n", what);
	show("left", at[0]);
	show("right", at[1]);
}

static bool report(const struct kind *k, const struct score *score)
{
	bool good = !score->worse && !score->missing && (k->op != FORT_OP_MUL || score->better);

	printf("# %s: %" PRIu64 " pairs; exact %" PRIu64
	       ", else narrower than the kernel's %" PRIu64 ", other words and not more %" PRIu64
	       ", wider %" PRIu64 "; in two pieces the kernel's %" PRIu64 "\n",
	       k->name, score->pairs, score->best, score->better, score->crossed, score->worse,
	       score->apart);
	if (score->worse)
		show_pair("wider", score->worse_at);
	if (score->missing)
		show_pair("results missing", score->missing_at);
	return good;
}

static bool run(const struct kind *k, uint32_t nth)
{
	struct score score = {0};
	bool halves_only = k->how == ALU && !k->wide;

	build_firsts(k);
	concrete_comparison(k);
	for (uint32_t at = 0; halves_only && at < n_firsts; at++) {
		score.weight = counts[at];
		compare(&score, k, firsts[at], OPERANDS);
	}
	for (uint32_t i = 0; !halves_only && i < OPERANDS; i++) {
		score.weight = 1;
		if (i % nth == 0 || is_division(k->op))
			compare(&score, k, i, is_division(k->op) ? WORDS : OPERANDS);
		else if (k->tnums && i < TNUMS)
			compare(&score, k, i, TNUMS);
	}
	return report(k, &score);
}

int main(int argc, char **argv)
{
	uint32_t nth = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : NTH;
	size_t part = argc > 3 ? strtoul(argv[2], NULL, 0) : 0;
	size_t parts = argc > 3 ? strtoul(argv[3], NULL, 0) : 1;
	unsigned count = 0;

	build_sets();
	build_operands();
	if (!nth || !parts || n_operands != OPERANDS)
		return 2;
	for (size_t at = part; at < FORT_LEN(kinds); at += parts) {
		bool good = run(&kinds[at], nth);

		printf("%s %u - %s\n", good ? "ok" : "not ok", ++count, kinds[at].name);
		fflush(stdout);
	}
	printf("1..%u\n", count);
	return 0;
}
