/* Values of 8-bit words (halves of 4 bits, bytes of 2), drawn at random where they are too many:
 * narrowing keeps exactly the members; results have all results of members. Beside the enumeration
 * of 4-bit words, whose halves are too small for some shapes.
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

#define FULL 8
#include "domain_nbit.inc"
#include "word_sets.h"

#define PRODUCTS 400000u
#define VALUES   4096u
#define PAIRS    6000u
#define MEMBERS  8u

static struct nscalar values[VALUES];
static uint64_t members[VALUES][MEMBERS]; /* some of them, the first and the last included */
static uint64_t seed, first_seed;

static uint64_t draw(uint64_t below_this)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (seed >> 33) % below_this;
}

static struct nscalar draw_product(void)
{
	uint64_t mask = draw(WORDS) | draw(WORDS);
	struct nscalar a = {narc_make(draw(WORDS), draw(1ull << draw(FULL + 1))),
			    {draw(WORDS) & ~mask, mask},
			    harc_make(draw(HONES + 1), draw(1ull << draw(FULL / 2 + 1)))};

	if (!draw(3))
		a.arc = narc_full();
	if (!draw(3))
		a.bits = ntnum_unknown();
	if (!draw(3))
		a.low = harc_full();
	return a;
}

static bool is_empty(const struct set *s)
{
	struct set none = {{0}};

	return same_set(s, &none);
}

static void reduction(void **state)
{
	unsigned some = 0, narrowed_twice = 0;

	(void)state;
	for (unsigned i = 0; i < PRODUCTS; i++) {
		struct nscalar a = draw_product(), again;
		struct set before = ours_set(&a), after;

		if (!nscalar_reduce(&a)) {
			assert_true(is_empty(&before));
			continue;
		}
		after = ours_set(&a);
		assert_true(same_set(&before, &after));
		again = a;
		if (is_empty(&before))
			continue;
		some++;
		narrowed_twice += !nscalar_reduce(&again) || !nscalar_equal(&a, &again);
	}
	print_message("# %u values, %u of them not narrowed at once\n", some, narrowed_twice);
	assert_true(narrowed_twice * 1000 < some);
}

static int setup(void **state)
{
	const char *from = getenv("BPFORT_TEST_SEED");
	unsigned n = 0;

	(void)state;
	first_seed = seed = from ? strtoull(from, NULL, 0) : 1;
	print_message("# BPFORT_TEST_SEED=%llu\n", (unsigned long long)first_seed);
	build_sets();
	while (n < VALUES) {
		struct nscalar a = draw_product();
		uint64_t found[WORDS];
		unsigned have = 0;

		if (!nscalar_reduce(&a))
			continue;
		for (uint64_t x = 0; x < WORDS; x++)
			if (nscalar_has(&a, x))
				found[have++] = x;
		if (!have)
			continue;
		for (unsigned i = 0; i < MEMBERS; i++)
			members[n][i] = found[i < 2 ? i * (have - 1) : draw(have)];
		values[n++] = a;
	}
	return 0;
}

static void check_alu(enum fort_op op, bool wide, unsigned i, unsigned j)
{
	struct nscalar out = nscalar_alu(op, wide, &values[i], &values[j]);

	for (unsigned k = 0; k < MEMBERS * MEMBERS; k++) {
		uint64_t x = members[i][k / MEMBERS], y = members[j][k % MEMBERS];

		if (!nscalar_has(&out, word_alu(op, wide ? FULL : FULL / 2, x, y)))
			fail_msg("op %u %d: values %u and %u, words %lu and %lu", op, wide, i, j,
				 (unsigned long)x, (unsigned long)y);
	}
}

static void alu(void **state)
{
	(void)state;
	for (unsigned op = 0; op < FORT_ALU_OPS; op++)
		for (unsigned n = 0; n < PAIRS; n++)
			check_alu((enum fort_op)op, n & 1, (unsigned)draw(VALUES),
				  (unsigned)draw(VALUES));
}

static void check_compare(enum fort_op op, bool wide, bool holds, unsigned i, unsigned j)
{
	struct nscalar a = values[i], b = values[j];
	int known = nscalar_decide(op, wide, &a, &b);
	bool some = nscalar_assume(op, wide, holds, &a, &b);

	for (unsigned k = 0; k < MEMBERS * MEMBERS; k++) {
		uint64_t x = members[i][k / MEMBERS], y = members[j][k % MEMBERS];
		bool truth = wide ? word_compare(op, FULL, x, y)
				  : word_compare(op, FULL / 2, LOW(x), LOW(y));

		if (truth == holds &&
		    (known == !holds || !some || !nscalar_has(&a, x) || !nscalar_has(&b, y)))
			fail_msg("op %u %d is %d: values %u and %u, words %lu and %lu", op, wide,
				 holds, i, j, (unsigned long)x, (unsigned long)y);
	}
}

static void comparisons(void **state)
{
	static const enum fort_op ops[] = {
#define FORT_JCC(op, ...) FORT_OP_##op,
#include "isa/isa.def"
	};

	(void)state;
	for (size_t o = 0; o < FORT_LEN(ops); o++)
		for (unsigned n = 0; n < PAIRS; n++)
			check_compare(ops[o], n & 1, n & 2, (unsigned)draw(VALUES),
				      (unsigned)draw(VALUES));
}

static void extensions(void **state)
{
	(void)state;
	for (unsigned i = 0; i < VALUES; i++)
		for (unsigned bits = 1; bits <= FULL; bits++) {
			struct nscalar cut = nscalar_truncate(&values[i], bits), full, half;
			struct nscalar swapped = nscalar_swap(bits / BYTE * BYTE, &values[i]);

			if (bits <= FULL / 2) {
				full = nscalar_sign_extend(&values[i], bits, true);
				half = nscalar_sign_extend(&values[i], bits, false);
			}
			for (unsigned k = 0; k < MEMBERS; k++) {
				uint64_t x = members[i][k], low = x & ((1ull << bits) - 1);
				uint64_t sx =
					(uint64_t)((int64_t)(x << (64 - bits)) >> (64 - bits));

				assert_true(nscalar_has(&cut, low));
				if (bits % BYTE == 0)
					assert_true(nscalar_has(&swapped, word_swap(bits, low)));
				if (bits > FULL / 2)
					continue;
				assert_true(nscalar_has(&full, sx & ONES));
				assert_true(nscalar_has(&half, LOW(sx)));
			}
		}
}

static uint64_t draw_word(void)
{
	uint64_t word = draw(1ull << 31) << 33 ^ draw(1ull << 31) << 20 ^ draw(1ull << 31);

	return draw(2) ? word : word >> draw(64);
}

/* What the machine's words say of themselves (scalar.h): no member lies outside of its bounds, and
 * where the arc does not cross the end of an order, its ends are the bounds. */
static void bounds(void **state)
{
	for (unsigned i = 0; i < PRODUCTS; i++) {
		uint64_t x = draw_word(), down = draw_word(), size = draw_word(),
			 mask = draw_word();
		struct fort_scalar a = {{x - down, size < down ? down : size},
					{x & ~mask, mask},
					{0, UINT32_MAX}};
		uint64_t end;

		if (a.arc.size == UINT64_MAX)
			a.arc.base = 0;
		end = a.arc.base + a.arc.size;
		assert_true(fort_scalar_has(&a, x));
		assert_true(fort_scalar_umin(&a) <= x && x <= fort_scalar_umax(&a));
		assert_true(fort_scalar_smin(&a) <= (int64_t)x &&
			    (int64_t)x <= fort_scalar_smax(&a));
		if (a.arc.base <= end)
			assert_true(fort_scalar_umin(&a) == a.arc.base &&
				    fort_scalar_umax(&a) == end);
		if ((int64_t)a.arc.base <= (int64_t)end)
			assert_true(fort_scalar_smin(&a) == (int64_t)a.arc.base &&
				    fort_scalar_smax(&a) == (int64_t)end);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reduction),   cmocka_unit_test(alu),
		cmocka_unit_test(comparisons), cmocka_unit_test(extensions),
		cmocka_unit_test(bounds),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
