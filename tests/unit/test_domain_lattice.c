/* Inclusion, meet, join and widening of scalars: all pairs of 4-bit words, and what callers see at
 * 64 bits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "domain_sets.h"

#define CHAINS     20000u
#define JOINS_LAST 211u /* of so many third words one */
#define CHAIN_64   64u  /* what a chain at 64 bits, with 8 thresholds, stays below */
#define CHAIN_4    16u

/* Inclusion is never claimed wrongly, and agrees with join. */
static void covers_and_join(void **state)
{
	unsigned long included = 0, said = 0;

	(void)state;
	for (unsigned i = 0; i < n_scalars; i++)
		for (unsigned j = 0; j < n_scalars; j++) {
			const struct nscalar *a = &scalars[i], *b = &scalars[j];
			struct nscalar join = nscalar_join(a, b);
			uint32_t both = scalar_sets[i] | scalar_sets[j];
			bool covers = nscalar_covers(a, b);

			assert_int_equal(both & ~scalar_set(&join), 0);
			assert_true(nscalar_covers(&join, a) && nscalar_covers(&join, b));
			if (covers) {
				assert_int_equal(scalar_sets[j] & ~scalar_sets[i], 0);
				assert_int_equal(scalar_set(&join), scalar_sets[i]);
			} else {
				assert_false(nscalar_equal(&join, a));
			}
			included += !(scalar_sets[j] & ~scalar_sets[i]);
			said += covers;
		}
	print_message("# %u scalars; of %lu inclusions %lu are seen\n", n_scalars, included, said);
	assert_true(said * 10 > included * 9);
}

/* What a join gives is as it is when it was written down and is read, that is, narrowed; and what
 * it covers, a later join covers too. Searches rest on both: what a place covered once stays
 * covered. */
static void joins_last(void **state)
{
	(void)state;
	for (unsigned i = 0; i < n_scalars; i++)
		for (unsigned j = 0; j < n_scalars; j++) {
			struct nscalar join = nscalar_join(&scalars[i], &scalars[j]);
			struct nscalar read = join, later;

			assert_true(nscalar_reduce(&read));
			assert_true(nscalar_equal(&read, &join));
			for (unsigned k = (i + j) % JOINS_LAST; k < n_scalars; k += JOINS_LAST) {
				later = nscalar_join(&join, &scalars[k]);
				assert_true(nscalar_covers(&later, &scalars[i]));
				assert_true(nscalar_covers(&later, &scalars[j]));
			}
		}
}

static void meet(void **state)
{
	(void)state;
	for (unsigned i = 0; i < n_scalars; i++)
		for (unsigned j = 0; j < n_scalars; j++) {
			struct nscalar both = scalars[i];
			uint32_t set = scalar_sets[i] & scalar_sets[j];
			bool some = nscalar_meet(&both, &scalars[j]);

			assert_true(some || !set);
			if (some)
				assert_int_equal(set & ~scalar_set(&both), 0);
		}
}

/* --- widening --- */

static const int64_t thresholds[] = {5, -3, 0x7ffffff9, 1000, -77, 1ll << 33, 64, 4096};

static void widening_covers(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 3; n++)
		for (unsigned i = 0; i < n_scalars; i++)
			for (unsigned j = n; j < n_scalars; j += 3) {
				struct nscalar wide =
					nscalar_widen(&scalars[i], &scalars[j], thresholds, n);

				if (nscalar_covers(&scalars[i], &scalars[j]))
					assert_true(nscalar_equal(&wide, &scalars[i]));
				assert_int_equal(
					(scalar_sets[i] | scalar_sets[j]) & ~scalar_set(&wide), 0);
				assert_true(nscalar_covers(&wide, &scalars[i]));
				assert_true(nscalar_covers(&wide, &scalars[j]));
			}
}

/* The longest chain from a that an adversary who chooses each next word can make, plus one; 0: not
 * known yet. */
static uint8_t longest[SCALAR_KEYS];

static unsigned chain_from(const struct nscalar *a, unsigned depth)
{
	uint8_t *known = &longest[scalar_key(a)];
	uint32_t set = scalar_set(a);
	unsigned most = 0;

	assert_true(depth < CHAIN_4);
	for (uint64_t x = 0; x < WORDS && !*known; x++) {
		struct nscalar word = nscalar_const(x), wide;
		unsigned length;

		if (set >> x & 1)
			continue;
		wide = nscalar_widen(a, &word, thresholds, 2);
		length = 1 + chain_from(&wide, depth + 1);
		if (length > most)
			most = length;
	}
	if (!*known)
		*known = (uint8_t)(most + 1);
	return *known - 1u;
}

static void widening_ends(void **state)
{
	unsigned most = 0;

	(void)state;
	for (unsigned i = 0; i < n_scalars; i++) {
		unsigned length = chain_from(&scalars[i], 0);

		if (length > most)
			most = length;
	}
	print_message("# longest chain of widenings at 4 bits: %u\n", most);
}

static uint64_t random_word(void)
{
	uint64_t word = (uint64_t)rand() << 42 ^ (uint64_t)rand() << 21 ^ (uint64_t)rand();

	return word >> (rand() % 64) << (rand() % 8 ? 0 : rand() % 32);
}

/* A word that is likely to be just outside of a. */
static uint64_t near(const struct fort_scalar *a)
{
	uint64_t step = 1 + (uint64_t)(rand() % 3), high = a->arc.base & ~0xffffffffull;

	switch (rand() % 7) {
	case 0: return a->arc.base - step;
	case 1: return a->arc.base + a->arc.size + step;
	case 2: return a->bits.value ^ 1ull << (rand() % 64);
	case 3: return high | (uint32_t)(a->low.base - step);
	case 4: return high | (uint32_t)(a->low.base + a->low.size + step);
	case 5: return 0 - random_word();
	default: return random_word();
	}
}

static void widening_ends_at_64(void **state)
{
	unsigned most = 0;

	(void)state;
	srand(1);
	for (unsigned i = 0; i < CHAINS; i++) {
		struct fort_scalar a = fort_scalar_const(random_word());
		unsigned length = 0;

		for (unsigned step = 0; step < 2 * CHAIN_64; step++) {
			struct fort_scalar next = fort_scalar_const(near(&a));
			struct fort_scalar wide =
				fort_scalar_widen(&a, &next, thresholds,
						  (size_t)i % (FORT_LEN(thresholds) + 1));

			assert_true(fort_scalar_covers(&wide, &a));
			assert_true(fort_scalar_covers(&wide, &next));
			length += memcmp(&wide, &a, sizeof(a)) != 0;
			a = wide;
		}
		if (length > most)
			most = length;
	}
	print_message("# longest of %u chains of widenings at 64 bits: %u\n", CHAINS, most);
	assert_true(most < CHAIN_64);
}

/* What loops look like: first value, what one round makes of it, what it is widened to. */
static void widening_of_counters(void **state)
{
	static const struct {
		const char *what;
		uint64_t first, second;
		const int64_t limits[2];
		size_t n;
		uint64_t low, high; /* unsigned bounds */
		uint64_t unknown;   /* bits */
	} rows[] = {
		{"up, bound known", 0, 1, {100}, 1, 0, 100, 0x7f},
		{"up, bound unknown", 3, 4, {0}, 0, 3, INT32_MAX, INT32_MAX},
		{"up by 8", 8, 16, {4096}, 1, 8, 4096, 0x1ff8},
		{"up, past the bound", 101, 102, {100}, 1, 101, INT32_MAX, INT32_MAX},
		{"down, bound known", 64, 63, {10, 64}, 2, 10, 64, 0x7f},
		{"down, bound unknown", 64, 63, {0}, 0, 0, 64, 0x7f},
		{"down below zero", 0, ~0ull, {0}, 0, 0, ~0ull, ~0ull},
	};

	(void)state;
	for (size_t i = 0; i < FORT_LEN(rows); i++) {
		struct fort_scalar first = fort_scalar_const(rows[i].first);
		struct fort_scalar second = fort_scalar_const(rows[i].second);
		struct fort_scalar wide =
			fort_scalar_widen(&first, &second, rows[i].limits, rows[i].n);

		if (fort_scalar_umin(&wide) != rows[i].low ||
		    fort_scalar_umax(&wide) != rows[i].high || wide.bits.mask != rows[i].unknown)
			fail_msg("%s: %llx..%llx, bits %llx", rows[i].what,
				 (unsigned long long)fort_scalar_umin(&wide),
				 (unsigned long long)fort_scalar_umax(&wide),
				 (unsigned long long)wide.bits.mask);
	}
}

/* What is written down, not computed, is what the rules come to. */
static void of_width(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits <= 64; bits++) {
		uint64_t most = bits ? UINT64_MAX >> (64 - bits) : 0;
		struct fort_scalar range = fort_scalar_range(0, most);
		struct fort_scalar width = fort_scalar_of_width(bits);

		assert_memory_equal(&width, &range, sizeof(range));
		range = fort_scalar_range(most, most);
		width = fort_scalar_const(most);
		assert_memory_equal(&width, &range, sizeof(range));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(covers_and_join),
		cmocka_unit_test(joins_last),
		cmocka_unit_test(meet),
		cmocka_unit_test(widening_covers),
		cmocka_unit_test(widening_ends),
		cmocka_unit_test(widening_ends_at_64),
		cmocka_unit_test(widening_of_counters),
		cmocka_unit_test(of_width),
	};

	build_values();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
