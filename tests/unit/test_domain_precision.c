/* Our results beside the kernel's (kernel_model.h) on the same operands: ours must have no member
 * that the kernel's has not. Operands are values that both can represent exactly. FULL is given by
 * the build: at 4 bits all pairs of them (half of them for comparisons), at 8 bits pairs of a
 * sample.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "domain/compare.h"
#include "domain/scalar.h"

#include "domain_nbit.inc"
#include "kernel_model.h"
#include "word_sets.h"

#include "kernel_sets.h"

#define OPERANDS 2048u
#define COMPARED 2u /* comparisons take each n-th pair */
#ifndef SAMPLE
#define SAMPLE 420u /* operands at 8 bits */
#endif

/* --- operands --- */

static struct nscalar ours[OPERANDS];
static struct kernel_num theirs[OPERANDS];
static unsigned n_operands, n_tried;

static bool ours_from(const struct kernel_num *a, struct nscalar *out)
{
	struct nscalar u = {narc_range(a->full.umin, a->full.umax), a->bits,
			    harc_range(a->half.umin, a->half.umax)};
	struct nscalar s = {
		narc_range(kernel_cut(a->full.smin, FULL), kernel_cut(a->full.smax, FULL)),
		ntnum_unknown(),
		harc_range(kernel_cut(a->half.smin, KHALF), kernel_cut(a->half.smax, KHALF))};

	*out = u;
	return nscalar_reduce(out) && nscalar_meet(out, &s);
}

/* Takes what both can say and nobody has said yet. */
static void take(struct kernel_num a)
{
	struct nscalar mine;
	struct set want, have;

	n_tried++;
	kernel_sync(&a);
	want = kernel_set(&a);
	if (n_operands == OPERANDS || same_set(&want, &(struct set){{0}}) || !ours_from(&a, &mine))
		return;
	have = ours_set(&mine);
	if (!same_set(&want, &have) || !one_arc(&a.full, FULL) || !one_arc(&a.half, KHALF))
		return;
	for (unsigned i = 0; i < n_operands; i++)
		if (!memcmp(&theirs[i], &a, sizeof(a)))
			return;
	ours[n_operands] = mine;
	theirs[n_operands++] = a;
}

static uint64_t first_seed, seed;

static uint64_t draw(uint64_t below_this)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (seed >> 33) % below_this;
}

static void draw_range(struct kernel_range *r, unsigned w, unsigned what)
{
	uint64_t x = draw(1ull << w), y = x + draw(1ull << draw(w + 1));
	int64_t s = kernel_signed(x, w), t = s + (int64_t)(y - x);

	if (what & 1)
		kernel_meet_u(r, x, y);
	if (what & 2)
		kernel_meet_s(r, s, t);
}

static void sample_operands(void)
{
	while (n_operands < SAMPLE) {
		struct kernel_num a = {kernel_any(FULL), kernel_any(KHALF), ntnum_unknown()};
		unsigned what = (unsigned)draw(32);

		draw_range(&a.full, FULL, what & 3);
		draw_range(&a.half, KHALF, what >> 2 & 3);
		if (what & 16) {
			a.bits.mask = draw(WORDS) | draw(WORDS);
			a.bits.value = draw(WORDS) & ~a.bits.mask;
		}
		take(a);
	}
}

/* At 4 bits: every combination of an unsigned range of the word or a signed one, one of the half,
 * and bits. */
static void all_operands(void)
{
	for (uint64_t first = 0; first < WORDS; first++)
		for (uint64_t last = 0; last < WORDS; last++)
			for (uint64_t mask = 0; mask < WORDS; mask++)
				for (uint64_t value = 0; value < WORDS; value++)
					for (uint64_t low = 0; low < 16; low++) {
						struct kernel_num a = {kernel_any(FULL),
								       kernel_any(KHALF),
								       {value, mask}};
						uint64_t l = low / 4, h = low % 4;

						if (value & mask)
							continue;
						if (first <= last)
							kernel_meet_u(&a.full, first, last);
						else
							kernel_meet_s(&a.full,
								      kernel_signed(first, FULL),
								      kernel_signed(last, FULL));
						if (l <= h)
							kernel_meet_u(&a.half, l, h);
						else
							kernel_meet_s(&a.half,
								      kernel_signed(l, KHALF),
								      kernel_signed(h, KHALF));
						take(a);
					}
}

static int setup(void **state)
{
	const char *from = getenv("BPFORT_TEST_SEED");

	(void)state;
	first_seed = seed = from ? strtoull(from, NULL, 0) : 1;
	build_sets();
	if (FULL == 4)
		all_operands();
	else
		sample_operands();
	print_message("# %u operands of %u bits, of %u tried (BPFORT_TEST_SEED=%llu)\n", n_operands,
		      FULL, n_tried, (unsigned long long)first_seed);
	return 0;
}

/* --- comparison --- */

static const char *const op_names[] = {
#define FORT_ALU(op, ...) [FORT_OP_##op] = #op,
#include "isa/isa.def"
#define FORT_JCC(op, ...) [FORT_OP_##op] = #op,
#include "isa/isa.def"
};

struct score {
	unsigned long pairs, better, worse;
	unsigned long apart;   /* the kernel's result is two intervals */
	unsigned long crossed; /* ours would be, and has fewer members than the kernel's */
	unsigned i, j;         /* the first pair on which ours is worse */
};

static void judge(struct score *score, const struct nscalar *mine, const struct kernel_num *other,
		  unsigned i, unsigned j)
{
	struct set have = ours_set(mine), limit = kernel_set(other);

	score->pairs++;
	if (!one_arc(&other->full, FULL) || !one_arc(&other->half, KHALF)) {
		score->apart++;
	} else if (!within(&have, &limit) && size_of(&have) < size_of(&limit)) {
		score->crossed++;
	} else if (!within(&have, &limit)) {
		if (!score->worse++) {
			score->i = i;
			score->j = j;
		}
	} else {
		score->better += !same_set(&have, &limit);
	}
}

static void show(const char *name, const struct nscalar *a)
{
	print_message("#   %s: arc %#lx +%#lx, bits %#lx/%#lx, low %#lx +%#lx\n", name,
		      (unsigned long)a->arc.base, (unsigned long)a->arc.size,
		      (unsigned long)a->bits.value, (unsigned long)a->bits.mask,
		      (unsigned long)a->low.base, (unsigned long)a->low.size);
}

static bool report(const char *name, unsigned bits, const struct score *score)
{
	double percent = 100.0 / (double)score->pairs;

	print_message(
		"# %s%u: of %lu narrower %.1f %%, wider %lu; in two pieces the kernel's %.1f %%, "
		"ours %lu\n",
		name, bits, score->pairs, percent * (double)score->better, score->worse,
		percent * (double)score->apart, score->crossed);
	assert_true(score->crossed * 1000 <= score->pairs);
	if (!score->worse)
		return true;
	show("left", &ours[score->i]);
	show("right", &ours[score->j]);
	return false;
}

static void alu(void **state)
{
	static const enum fort_op ops[] = {
#define FORT_ALU(op, ...) FORT_OP_##op,
#include "isa/isa.def"
	};
	bool good = true;

	(void)state;
	for (size_t o = 0; o < FORT_LEN(ops); o++)
		for (int wide = 0; wide < 2; wide++) {
			struct score score = {0};

			for (unsigned i = 0; i < n_operands; i++)
				for (unsigned j = 0; j < n_operands; j++) {
					struct nscalar mine =
						nscalar_alu(ops[o], wide, &ours[i], &ours[j]);
					struct kernel_num other =
						kernel_alu(ops[o], wide, theirs[i], &theirs[j]);

					judge(&score, &mine, &other, i, j);
				}
			good &= report(op_names[ops[o]], wide ? FULL : KHALF, &score);
			if (ops[o] == FORT_OP_MUL)
				assert_true(score.better > 0);
		}
	assert_true(good);
}

static bool compare_one(enum fort_op op, bool wide)
{
	struct score score = {0}, decided = {0};

	for (unsigned i = 0; i < n_operands; i++)
		for (unsigned j = i % COMPARED; j < n_operands; j += COMPARED) {
			int known = kernel_decide(op, wide, &theirs[i], &theirs[j]);
			int mine = nscalar_decide(op, wide, &ours[i], &ours[j]);

			decided.pairs++;
			decided.better += mine != known && known == -1;
			if (mine != known && known != -1 && !decided.worse++) {
				decided.i = i;
				decided.j = j;
			}
			for (int holds = 0; holds < 2 && known == -1; holds++) {
				struct nscalar a = ours[i], b = ours[j];
				struct kernel_num c = theirs[i], d = theirs[j];

				if (!nscalar_assume(op, wide, holds, &a, &b))
					continue;
				kernel_assume(op, wide, holds, &c, &d);
				judge(&score, &a, &c, i, j);
				judge(&score, &b, &d, i, j);
			}
		}
	bool better = report(op_names[op], wide ? FULL : KHALF, &decided);

	return report(op_names[op], wide ? FULL : KHALF, &score) && better;
}

static void comparisons(void **state)
{
	static const enum fort_op ops[] = {
#define FORT_JCC(op, ...) FORT_OP_##op,
#include "isa/isa.def"
	};
	bool good = true;

	(void)state;
	for (size_t o = 0; o < FORT_LEN(ops); o++)
		for (int wide = 0; wide < 2; wide++)
			good &= compare_one(ops[o], wide);
	assert_true(good);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(alu),
		cmocka_unit_test(comparisons),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
