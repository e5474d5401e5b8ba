/* Shifts of every tnum and every interval of 8 bits by every count, at full and at half width,
 * beside the kernel's: ours must have every concrete result and no member that the kernel's has
 * not. (Test of pairs at 7 bits: test_domain_pairs.c.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "domain/compare.h"
#include "domain/scalar.h"

#define FULL 8
#include "domain_nbit.inc"
#include "kernel_model.h"
#include "word_sets.h"

#include "kernel_sets.h"

struct score {
	unsigned long shifts, exact, better, apart, crossed, worse, missing;
};

static struct set shifted(enum fort_op op, bool wide, const struct set *of, uint64_t by)
{
	struct set out = {{0}};

	for (uint64_t x = 0; x < WORDS; x++)
		if (of->w[x / 64] >> (x % 64) & 1)
			add(&out, word_alu(op, wide ? FULL : KHALF, x, by));
	return out;
}

static void judge(struct score *score, const struct set *mine, const struct kernel_num *theirs,
		  const struct set *exact)
{
	struct set limit = kernel_set(theirs);

	score->shifts++;
	score->missing += !within(exact, mine);
	score->exact += same_set(exact, mine);
	if (within(mine, &limit))
		score->better += !same_set(mine, &limit);
	else if (size_of(mine) <= size_of(&limit))
		score->crossed++;
	else if (!one_arc(&theirs->full, FULL) || !one_arc(&theirs->half, KHALF))
		score->apart++;
	else
		score->worse++;
}

static void shift(struct score *score, enum fort_op op, bool wide, struct nscalar a,
		  struct kernel_num b)
{
	struct set members;

	assert_true(nscalar_reduce(&a));
	kernel_sync(&b);
	members = ours_set(&a);
	for (uint64_t by = 0; by < (wide ? FULL : KHALF); by++) {
		struct nscalar count = nscalar_const(by), mine = nscalar_alu(op, wide, &a, &count);
		struct kernel_num other = kernel_const(by),
				  theirs = kernel_alu(op, wide, b, &other);
		struct set have = ours_set(&mine), exact = shifted(op, wide, &members, by);

		judge(score, &have, &theirs, &exact);
	}
}

static void each_tnum(struct score *score, enum fort_op op, bool wide)
{
	for (uint64_t mask = 0; mask < WORDS; mask++)
		for (uint64_t value = 0; value < WORDS; value++) {
			struct ntnum t = {value, mask};

			if (!(value & mask))
				shift(score, op, wide,
				      (struct nscalar){narc_full(), t, harc_full()},
				      (struct kernel_num){kernel_any(FULL), kernel_any(KHALF), t});
		}
}

static void each_arc(struct score *score, enum fort_op op, bool wide)
{
	for (uint64_t size = 0; size < WORDS - 1; size++)
		for (uint64_t base = 0; base < WORDS; base++) {
			struct narc a = {base, size};
			struct kernel_range range = {narc_umin(a), narc_umax(a),
						     kernel_signed(narc_smin(a), FULL),
						     kernel_signed(narc_smax(a), FULL)};

			shift(score, op, wide, (struct nscalar){a, ntnum_unknown(), harc_full()},
			      (struct kernel_num){range, kernel_any(KHALF), ntnum_unknown()});
		}
}

static void shifts(void **state)
{
	static const enum fort_op ops[] = {FORT_OP_LSH, FORT_OP_RSH, FORT_OP_ARSH};
	static const char *const names[] = {"lsh", "rsh", "arsh"};
	unsigned long bad = 0;

	(void)state;
	build_sets();
	for (unsigned at = 0; at < 2 * FORT_LEN(ops); at++) {
		struct score score = {0};

		each_tnum(&score, ops[at / 2], at % 2);
		each_arc(&score, ops[at / 2], at % 2);
		print_message("# %s%s: %lu; exact %lu, narrower than the kernel's %lu, with others "
			      "and not more %lu, wider %lu; in two pieces the kernel's %lu\n",
			      names[at / 2], at % 2 ? "" : ", half", score.shifts, score.exact,
			      score.better, score.crossed, score.worse, score.apart);
		bad += score.worse + score.missing;
	}
	assert_int_equal(bad, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(shifts)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
