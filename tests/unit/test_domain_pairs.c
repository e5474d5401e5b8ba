/* Our operators beside the kernel's on every pair of operands at 7 bits: pairs of tnums, and pairs
 * of intervals. Ours must have no member that the kernel's result has not, and fewer sometimes for
 * multiplication. What an operand knows of itself besides (bits of an interval, bounds of a tnum) is
 * derived by both in their own ways first.
 *
 * Combinations of all parts (tnums with intervals, halves of words) are too many at this width: they
 * are enumerated at 4 bits and sampled at 8 (test_domain_precision.c). Neither are shifts here: the
 * rule for counts, modulo the width, needs a power of two.
 *
 * usage: test_domain_pairs [NTH]    of pairs of intervals each NTH (1: all of them; takes minutes)
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

#define WORDS (1u << FULL)
#define ARCS  (WORDS * (WORDS - 1) + 1)
#define TNUMS 2187u /* 3^FULL */
#define NTH   61u   /* prime to the number of arcs */

/* What the kernel knows of a word, without halves. */
struct kword {
	struct kernel_range range;
	struct ntnum bits;
};

static struct npair arcs[ARCS], tnums[TNUMS]; /* ours */
static struct kword karcs[ARCS], ktnums[TNUMS];

static void sync(struct kword *a)
{
	kernel_range_by_bits(&a->range, a->bits, FULL);
	for (int round = 0; round < 3; round++)
		kernel_cross(&a->range, FULL);
	a->bits = ntnum_meet(a->bits, ntnum_range(a->range.umin, a->range.umax));
	kernel_range_by_bits(&a->range, a->bits, FULL);
}

static struct kword kernel_op(enum fort_op op, struct kword a, const struct kword *b)
{
	switch (op) {
	case FORT_OP_ADD:
	case FORT_OP_SUB:
		kernel_add_sub(&a.range, &b->range, op == FORT_OP_ADD, FULL);
		a.bits =
			op == FORT_OP_ADD ? ntnum_add(a.bits, b->bits) : ntnum_sub(a.bits, b->bits);
		break;
	case FORT_OP_MUL:
		kernel_mul_range(&a.range, &b->range, FULL);
		a.bits = kernel_mul_bits(a.bits, b->bits);
		break;
	default:
		a.bits = op == FORT_OP_AND  ? ntnum_and(a.bits, b->bits)
			 : op == FORT_OP_OR ? ntnum_or(a.bits, b->bits)
					    : ntnum_xor(a.bits, b->bits);
		kernel_bitwise(op, &a.range, &b->range, a.bits, FULL);
	}
	sync(&a);
	return a;
}

static struct npair our_op(enum fort_op op, struct npair a, struct npair b)
{
	switch (op) {
	case FORT_OP_ADD: return npair_ADD(a, b);
	case FORT_OP_SUB: return npair_SUB(a, b);
	case FORT_OP_MUL: return npair_MUL(a, b);
	case FORT_OP_AND: return npair_AND(a, b);
	case FORT_OP_OR: return npair_OR(a, b);
	default: return npair_XOR(a, b);
	}
}

/* --- members --- */

static bool is_ours(const struct npair *a, uint64_t x)
{
	return narc_has(a->arc, x) && ntnum_has(a->bits, x);
}

static bool is_theirs(const struct kword *a, uint64_t x)
{
	return x >= a->range.umin && x <= a->range.umax &&
	       kernel_signed(x, FULL) >= a->range.smin && kernel_signed(x, FULL) <= a->range.smax &&
	       ntnum_has(a->bits, x);
}

/* Each piece within the kernel's: then all members are. */
static bool is_within(const struct npair *mine, const struct kword *other)
{
	return narc_umin(mine->arc) >= other->range.umin &&
	       narc_umax(mine->arc) <= other->range.umax &&
	       kernel_signed(narc_smin(mine->arc), FULL) >= other->range.smin &&
	       kernel_signed(narc_smax(mine->arc), FULL) <= other->range.smax &&
	       ntnum_covers(other->bits, mine->bits);
}

struct score {
	unsigned long pairs, better, worse, apart, crossed;
	uint32_t i, j; /* the first pair on which ours is worse */
};

/* The kernel has a signed and an unsigned range, which can be two intervals together. */
static bool is_one_arc(const struct kernel_range *r)
{
	uint64_t s = kernel_cut(r->smin, FULL), t = kernel_cut(r->smax, FULL);

	if (s <= t || s == t + 1)
		return true;
	return (r->umin <= t) != (s <= r->umax) || (!r->umin && r->umax == KMASK(FULL));
}

/* By members: a reduction of either may say the same in another way. */
static void judge(struct score *score, const struct npair *mine, const struct kword *other,
		  uint32_t i, uint32_t j)
{
	unsigned more = 0, fewer = 0;

	score->pairs++;
	for (uint64_t x = 0; x < WORDS; x++) {
		more += is_ours(mine, x) && !is_theirs(other, x);
		fewer += !is_ours(mine, x) && is_theirs(other, x);
	}
	if (!more) {
		score->better += fewer > 0;
	} else if (!is_one_arc(&other->range)) {
		score->apart++;
	} else if (fewer > more) {
		score->crossed++;
	} else if (!score->worse++) {
		score->i = i;
		score->j = j;
	}
}

static void compare(struct score *score, enum fort_op op, const struct npair *ours,
		    const struct kword *theirs, uint32_t i, uint32_t j)
{
	struct npair mine = our_op(op, ours[i], ours[j]);
	struct kword other = kernel_op(op, theirs[i], &theirs[j]);

	if (!is_within(&mine, &other))
		judge(score, &mine, &other, i, j);
	else if (op == FORT_OP_MUL) /* where it matters how often it is better */
		judge(score, &mine, &other, i, j);
	else
		score->pairs++;
}

/* --- operands --- */

static void build_arc(uint32_t at, struct narc arc)
{
	struct kword *k = &karcs[at];

	arcs[at] = (struct npair){arc, ntnum_range(narc_umin(arc), narc_umax(arc))};
	k->range = (struct kernel_range){narc_umin(arc), narc_umax(arc),
					 kernel_signed(narc_smin(arc), FULL),
					 kernel_signed(narc_smax(arc), FULL)};
	k->bits = ntnum_unknown();
	sync(k);
}

static void build(void)
{
	uint32_t n = 0;

	for (uint64_t size = 0; size < WORDS - 1; size++)
		for (uint64_t base = 0; base < WORDS; base++)
			build_arc(n++, (struct narc){base, size});
	build_arc(n, narc_full());
	n = 0;
	for (uint64_t mask = 0; mask < WORDS; mask++)
		for (uint64_t value = 0; value < WORDS; value++) {
			if (value & mask)
				continue;
			tnums[n] = (struct npair){narc_range(value, value | mask), {value, mask}};
			ktnums[n] = (struct kword){kernel_any(FULL), {value, mask}};
			sync(&ktnums[n++]);
		}
}

/* --- the pairs --- */

static const enum fort_op ops[] = {FORT_OP_ADD, FORT_OP_SUB, FORT_OP_MUL,
				   FORT_OP_AND, FORT_OP_OR,  FORT_OP_XOR};
static const char *const names[] = {"add", "sub", "mul", "and", "or", "xor"};
static unsigned count;

static void report(const char *what, size_t o, const struct score *score)
{
	bool good = !score->worse && score->crossed * 1000 <= score->pairs &&
		    (ops[o] != FORT_OP_MUL || score->better);

	printf("# %s %s: %lu pairs, wider %lu; in two pieces the kernel's %lu, ours %lu\n", what,
	       names[o], score->pairs, score->worse, score->apart, score->crossed);
	if (ops[o] == FORT_OP_MUL)
		printf("# narrower %lu\n", score->better);
	if (score->worse)
		printf("# the first: operands %u and %u\n", score->i, score->j);
	printf("%s %u - %s: %s\n", good ? "ok" : "not ok", ++count, what, names[o]);
}

static void all_tnums(size_t o)
{
	struct score score = {0};

	for (uint32_t i = 0; i < TNUMS; i++)
		for (uint32_t j = 0; j < TNUMS; j++)
			compare(&score, ops[o], tnums, ktnums, i, j);
	report("tnums", o, &score);
}

static void all_arcs(size_t o, uint32_t nth)
{
	struct score score = {0};
	uint64_t pairs = (uint64_t)ARCS * ARCS;

	for (uint64_t at = 0; at < pairs; at += nth)
		compare(&score, ops[o], arcs, karcs, (uint32_t)(at / ARCS), (uint32_t)(at % ARCS));
	report("intervals", o, &score);
}

int main(int argc, char **argv)
{
	uint32_t nth = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : NTH;

	build();
	for (size_t o = 0; o < FORT_LEN(ops); o++) {
		all_tnums(o);
		all_arcs(o, nth ? nth : 1);
	}
	printf("1..%u\n", count);
	return 0;
}
