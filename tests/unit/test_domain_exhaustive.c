/* Every operator of the scalar domain on every pair of reduced values of 4-bit words (halves and
 * bytes of 2 bits), against every member; comparisons on every third pair. What is tested is the
 * text that runs at 64 bits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "domain_sets.h"

#define SETS (1u << WORDS)

static const enum fort_op alu_ops[] = {
#define FORT_ALU(op, ...) FORT_OP_##op,
#include "isa/isa.def"
};

static const enum fort_op jcc_ops[] = {
#define FORT_JCC(op, ...) FORT_OP_##op,
#include "isa/isa.def"
};

static const char *const op_names[] = {
#define FORT_ALU(op, ...) [FORT_OP_##op] = #op,
#include "isa/isa.def"
#define FORT_JCC(op, ...) [FORT_OP_##op] = #op,
#include "isa/isa.def"
};

/* The results of an operation on all words of a set and one word y. */
static uint16_t image[WORDS][SETS];

static void build_image(enum fort_op op, unsigned bits)
{
	for (uint64_t y = 0; y < WORDS; y++)
		for (uint32_t set = 1; set < SETS; set++) {
			uint64_t x = (uint64_t)__builtin_ctz(set);

			image[y][set] = (uint16_t)(image[y][set & (set - 1)] |
						   1u << word_alu(op, bits, x, y));
		}
}

static uint32_t results(uint32_t a, uint32_t b)
{
	uint32_t set = 0;

	for (; b; b &= b - 1)
		set |= image[__builtin_ctz(b)][a];
	return set;
}

static void fail_op(const char *what, enum fort_op op, unsigned bits, unsigned i, unsigned j)
{
	const struct nscalar *a = &scalars[i], *b = &scalars[j];

	fail_msg("%s %s%u: arc %lu+%lu bits %lu/%lu low %lu+%lu, arc %lu+%lu bits %lu/%lu low "
		 "%lu+%lu",
		 what, op_names[op], bits, (unsigned long)a->arc.base, (unsigned long)a->arc.size,
		 (unsigned long)a->bits.value, (unsigned long)a->bits.mask,
		 (unsigned long)a->low.base, (unsigned long)a->low.size, (unsigned long)b->arc.base,
		 (unsigned long)b->arc.size, (unsigned long)b->bits.value,
		 (unsigned long)b->bits.mask, (unsigned long)b->low.base,
		 (unsigned long)b->low.size);
}

/* --- the pieces alone --- */

static void alu_on_arcs(void **state)
{
	(void)state;
	for (size_t o = 0; o < FORT_LEN(alu_ops); o++) {
		build_image(alu_ops[o], FULL);
		for (unsigned i = 0; i < ARCS; i++)
			for (unsigned j = 0; j < ARCS; j++) {
				struct npair a = {arcs[i], ntnum_unknown()};
				struct npair b = {arcs[j], ntnum_unknown()};
				struct npair out = npair_alu(alu_ops[o], a, b);
				uint32_t want = results(arc_set(arcs[i]), arc_set(arcs[j]));

				assert_false(want & ~arc_set(out.arc));
				assert_false(want & ~tnum_set(out.bits));
				assert_false(out.arc.size == ONES && out.arc.base);
			}
	}
}

static void alu_on_tnums(void **state)
{
	(void)state;
	for (size_t o = 0; o < FORT_LEN(alu_ops); o++) {
		build_image(alu_ops[o], FULL);
		for (unsigned i = 0; i < TNUMS; i++)
			for (unsigned j = 0; j < TNUMS; j++) {
				struct npair a = {narc_full(), tnums[i]};
				struct npair b = {narc_full(), tnums[j]};
				struct npair out = npair_alu(alu_ops[o], a, b);
				uint32_t want = results(tnum_set(tnums[i]), tnum_set(tnums[j]));

				assert_false(want & ~tnum_set(out.bits));
				assert_false(want & ~arc_set(out.arc));
				assert_false(out.bits.value & out.bits.mask);
			}
	}
}

/* Bounds are members, and bound; removing a word removes no other. */
static void bounds(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARCS; i++) {
		struct narc a = arcs[i];
		uint32_t set = arc_set(a);

		assert_true(set >> narc_umin(a) & 1 && set >> narc_umax(a) & 1);
		assert_true(set >> narc_smin(a) & 1 && set >> narc_smax(a) & 1);
		for (uint64_t x = 0; x < WORDS; x++) {
			if (!(set >> x & 1))
				continue;
			assert_true(narc_umin(a) <= x && x <= narc_umax(a));
			assert_true(SX(narc_smin(a)) <= SX(x) && SX(x) <= SX(narc_smax(a)));
			if (a.size)
				assert_false((set & ~(1u << x)) & ~arc_set(narc_without(a, x)));
		}
	}
	for (unsigned i = 0; i < n_scalars; i++) {
		struct npair a = nscalar_pair(&scalars[i]);

		for (uint64_t x = 0; x < WORDS; x++)
			if (scalar_sets[i] >> x & 1) {
				assert_true(npair_umin(a) <= x && x <= npair_umax(a));
				assert_true(SX(npair_smin(a)) <= SX(x) &&
					    SX(x) <= SX(npair_smax(a)));
			}
	}
}

/* --- the product --- */

/* Narrowing keeps exactly the members, says "empty" only then, and has then nothing left to do. */
static void reduction(void **state)
{
	(void)state;
	EACH_PRODUCT(a)
	{
		uint32_t before = scalar_set(&a);
		struct nscalar again;
		bool some = nscalar_reduce(&a);

		if (!some) {
			assert_false(before);
			continue;
		}
		assert_int_equal(scalar_set(&a), before);
		again = a;
		assert_true(nscalar_reduce(&again));
		assert_true(nscalar_equal(&a, &again));
	}
}

static void product_alu_wide(void **state)
{
	(void)state;
	print_message("# all pairs of %u values\n", n_scalars);
	for (size_t o = 0; o < FORT_LEN(alu_ops); o++) {
		build_image(alu_ops[o], FULL);
		for (unsigned i = 0; i < n_scalars; i++)
			for (unsigned j = 0; j < n_scalars; j++) {
				struct nscalar out =
					nscalar_alu(alu_ops[o], true, &scalars[i], &scalars[j]);

				if (results(scalar_sets[i], scalar_sets[j]) & ~scalar_set(&out))
					fail_op("lost by", alu_ops[o], FULL, i, j);
			}
	}
}

/* Of each low half one value: nothing else is looked at. */
static unsigned choose_halves(unsigned *chosen)
{
	static bool seen[1u << 8];
	unsigned n = 0;

	for (unsigned i = 0; i < n_scalars; i++) {
		struct hpair half = nscalar_half_pair(&scalars[i]);
		unsigned key = (unsigned)(half.arc.base | half.arc.size << 2 |
					  half.bits.value << 4 | half.bits.mask << 6);

		if (!seen[key])
			chosen[n++] = i;
		seen[key] = true;
	}
	return n;
}

static void product_alu_half(void **state)
{
	static unsigned chosen[1u << 8];
	unsigned n = choose_halves(chosen);

	(void)state;
	for (size_t o = 0; o < FORT_LEN(alu_ops); o++) {
		build_image(alu_ops[o], FULL / 2);
		for (unsigned i = 0; i < n; i++)
			for (unsigned j = 0; j < n; j++) {
				const struct nscalar *a = &scalars[chosen[i]];
				const struct nscalar *b = &scalars[chosen[j]];
				struct nscalar out = nscalar_alu(alu_ops[o], false, a, b);

				if (results(scalar_sets[chosen[i]], scalar_sets[chosen[j]]) &
				    ~scalar_set(&out))
					fail_op("lost by", alu_ops[o], FULL / 2, chosen[i],
						chosen[j]);
			}
	}
}

static void product_alu_same(void **state)
{
	(void)state;
	for (size_t o = 0; o < FORT_LEN(alu_ops); o++)
		for (unsigned i = 0; i < 2 * n_scalars; i++) {
			bool wide = i & 1;
			struct nscalar *a = &scalars[i / 2], out;

			if (!nscalar_alu_same(alu_ops[o], wide, a, &out))
				continue;
			for (uint64_t x = 0; x < WORDS; x++)
				if (nscalar_has(a, x))
					assert_true(nscalar_has(
						&out, word_alu(alu_ops[o], wide ? FULL : FULL / 2,
							       x, x)));
		}
}

/* The words y for which a comparison with x is `holds`. */
static uint32_t partners(enum fort_op op, bool wide, bool holds, uint64_t x, bool x_left)
{
	uint32_t set = 0;

	for (uint64_t y = 0; y < WORDS; y++) {
		uint64_t l = x_left ? x : y, r = x_left ? y : x;
		bool truth = wide ? word_compare(op, FULL, l, r)
				  : word_compare(op, FULL / 2, LOW(l), LOW(r));

		set |= (uint32_t)(truth == holds) << y;
	}
	return set;
}

/* The members of a that have a partner in b. */
static uint32_t with_partner(const uint32_t *by_word, uint32_t a, uint32_t b)
{
	uint32_t set = 0;

	for (uint32_t left = a; left; left &= left - 1) {
		unsigned x = (unsigned)__builtin_ctz(left);

		set |= (uint32_t)((by_word[x] & b) != 0) << x;
	}
	return set;
}

static void product_compare(enum fort_op op, bool wide, bool holds)
{
	uint32_t of_left[WORDS], of_right[WORDS];

	for (uint64_t x = 0; x < WORDS; x++) {
		of_left[x] = partners(op, wide, holds, x, true);
		of_right[x] = partners(op, wide, holds, x, false);
	}
	for (unsigned i = 0; i < n_scalars; i++)
		for (unsigned j = i % 3; j < n_scalars; j += 3) {
			struct nscalar a = scalars[i], b = scalars[j];
			uint32_t left = with_partner(of_left, scalar_sets[i], scalar_sets[j]);
			uint32_t right = with_partner(of_right, scalar_sets[j], scalar_sets[i]);
			int known = nscalar_decide(op, wide, &a, &b);

			if (left && known == !holds)
				fail_op("decided wrongly", op, wide ? FULL : FULL / 2, i, j);
			if (!nscalar_assume(op, wide, holds, &a, &b)) {
				assert_false(left);
				continue;
			}
			if (left & ~scalar_set(&a) || right & ~scalar_set(&b))
				fail_op("lost by", op, wide ? FULL : FULL / 2, i, j);
		}
}

static void product_comparisons(void **state)
{
	(void)state;
	for (size_t o = 0; o < FORT_LEN(jcc_ops); o++)
		for (unsigned form = 0; form < 4; form++)
			product_compare(jcc_ops[o], form & 1, form & 2);
}

static void product_extensions(void **state)
{
	(void)state;
	for (unsigned i = 0; i < n_scalars; i++)
		for (unsigned bits = 1; bits <= FULL; bits++)
			for (uint64_t x = 0; x < WORDS; x++) {
				struct nscalar *a = &scalars[i], out;
				uint64_t sx =
					(uint64_t)((int64_t)(x << (64 - bits)) >> (64 - bits));

				if (!nscalar_has(a, x))
					continue;
				out = nscalar_truncate(a, bits);
				assert_true(nscalar_has(&out, x & ((1u << bits) - 1)));
				if (bits % BYTE == 0) {
					out = nscalar_swap(bits, a);
					assert_true(nscalar_has(
						&out, word_swap(bits, x & ((1u << bits) - 1))));
				}
				if (bits > FULL / 2)
					continue;
				out = nscalar_sign_extend(a, bits, true);
				assert_true(nscalar_has(&out, sx & ONES));
				out = nscalar_sign_extend(a, bits, false);
				assert_true(nscalar_has(&out, LOW(sx)));
			}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(alu_on_arcs),
		cmocka_unit_test(alu_on_tnums),
		cmocka_unit_test(bounds),
		cmocka_unit_test(reduction),
		cmocka_unit_test(product_alu_wide),
		cmocka_unit_test(product_alu_half),
		cmocka_unit_test(product_alu_same),
		cmocka_unit_test(product_comparisons),
		cmocka_unit_test(product_extensions),
	};

	build_values();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
