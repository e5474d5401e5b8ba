/* Every operator of the scalar domain on every abstract value of 4-bit words (halves of 2 bits),
 * against every member; on products of values, which are too many to pair, on a sample of SAMPLE.
 * What is tested is the text that runs at 64 bits. It needs widths that are powers of two.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "domain/compare.h"
#include "domain/scalar.h"

#define FULL 4
#include "domain_nbit.inc"

#define WORDS (1u << FULL)
#define ARCS  (WORDS * (WORDS - 1) + 1)
#define TNUMS 81

static struct narc arcs[ARCS];
static struct ntnum tnums[TNUMS];

static void build_values(void)
{
	unsigned n = 0;

	for (uint64_t size = 0; size < WORDS - 1; size++)
		for (uint64_t base = 0; base < WORDS; base++)
			arcs[n++] = (struct narc){base, size};
	arcs[n++] = narc_full();
	assert_int_equal(n, ARCS);
	n = 0;
	for (uint64_t mask = 0; mask < WORDS; mask++)
		for (uint64_t value = 0; value < WORDS; value++)
			if (!(value & mask))
				tnums[n++] = (struct ntnum){value, mask};
	assert_int_equal(n, TNUMS);
}

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

/* Members of each arc and tnum as a bit set, so that a superset test is one operation. */
static uint32_t arc_set(struct narc a)
{
	uint32_t set = 0;

	for (uint64_t x = 0; x < WORDS; x++)
		set |= (uint32_t)narc_has(a, x) << x;
	return set;
}

static uint32_t tnum_set(struct ntnum a)
{
	uint32_t set = 0;

	for (uint64_t x = 0; x < WORDS; x++)
		set |= (uint32_t)ntnum_has(a, x) << x;
	return set;
}

static uint32_t result_set(enum fort_op op, uint32_t a, uint32_t b)
{
	uint32_t set = 0;

	for (uint64_t x = 0; x < WORDS; x++)
		for (uint64_t y = 0; y < WORDS; y++)
			if (a >> x & 1 && b >> y & 1)
				set |= 1u << word_alu(op, FULL, x, y);
	return set;
}

static void fail_op(const char *what, enum fort_op op, uint64_t a1, uint64_t a2, uint64_t b1,
		    uint64_t b2)
{
	fail_msg("%s %s: {%lu,%lu} {%lu,%lu}", what, op_names[op], (unsigned long)a1,
		 (unsigned long)a2, (unsigned long)b1, (unsigned long)b2);
}

static void alu_on_arcs(void **state)
{
	(void)state;
	for (size_t o = 0; o < FORT_LEN(alu_ops); o++)
		for (unsigned i = 0; i < ARCS; i++)
			for (unsigned j = 0; j < ARCS; j++) {
				struct npair a = {arcs[i], ntnum_unknown()};
				struct npair b = {arcs[j], ntnum_unknown()};
				struct npair out = npair_alu(alu_ops[o], a, b);
				uint32_t want =
					result_set(alu_ops[o], arc_set(a.arc), arc_set(b.arc));

				if ((want & ~arc_set(out.arc)) || (want & ~tnum_set(out.bits)) ||
				    (out.arc.size == ONES && out.arc.base))
					fail_op("arcs", alu_ops[o], a.arc.base, a.arc.size,
						b.arc.base, b.arc.size);
			}
}

static void alu_on_tnums(void **state)
{
	(void)state;
	for (size_t o = 0; o < FORT_LEN(alu_ops); o++)
		for (unsigned i = 0; i < TNUMS; i++)
			for (unsigned j = 0; j < TNUMS; j++) {
				struct npair a = {narc_full(), tnums[i]},
					     b = {narc_full(), tnums[j]};
				struct npair out = npair_alu(alu_ops[o], a, b);
				uint32_t want =
					result_set(alu_ops[o], tnum_set(a.bits), tnum_set(b.bits));

				if ((want & ~tnum_set(out.bits)) || (want & ~arc_set(out.arc)) ||
				    (out.bits.value & out.bits.mask))
					fail_op("tnums", alu_ops[o], a.bits.value, a.bits.mask,
						b.bits.value, b.bits.mask);
			}
}

/* Bounds, membership, inclusion, meet, join, removal: exact where the result is an arc. */
static void arc_lattice(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARCS; i++) {
		struct narc a = arcs[i];
		uint32_t sa = arc_set(a);

		assert_true(sa >> narc_umin(a) & 1 && sa >> narc_umax(a) & 1);
		assert_true(sa >> narc_smin(a) & 1 && sa >> narc_smax(a) & 1);
		for (uint64_t x = 0; x < WORDS; x++) {
			if (!(sa >> x & 1))
				continue;
			assert_true(narc_umin(a) <= x && x <= narc_umax(a));
			assert_true(SX(narc_smin(a)) <= SX(x) && SX(x) <= SX(narc_smax(a)));
			if (a.size) {
				uint32_t without = arc_set(narc_without(a, x));

				assert_int_equal((sa & ~(1u << x)) & ~without, 0);
			}
		}
		for (unsigned j = 0; j < ARCS; j++) {
			struct narc b = arcs[j], meet = narc_meet(a, b);
			uint32_t sb = arc_set(b), join = arc_set(narc_join(a, b));

			assert_int_equal(narc_covers(a, b), !(sb & ~sa));
			assert_int_equal(narc_meets(a, b), !!(sa & sb));
			assert_int_equal((sa | sb) & ~join, 0);
			if (!(sa & sb))
				continue;
			assert_int_equal((sa & sb) & ~arc_set(meet), 0);
			assert_int_equal(arc_set(meet) & ~(sa | sb), 0);
		}
	}
}

static void tnum_lattice(void **state)
{
	(void)state;
	for (unsigned i = 0; i < TNUMS; i++) {
		struct ntnum a = tnums[i];
		uint32_t sa = tnum_set(a);

		for (uint64_t x = 0; x < WORDS; x++) {
			uint64_t up = x, down = x;

			while (!(sa >> up & 1))
				up = (up + 1) % WORDS;
			while (!(sa >> down & 1))
				down = (down - 1) % WORDS;
			assert_int_equal(ntnum_above(a, x), up);
			assert_int_equal(ntnum_below(a, x), down);
		}
		for (unsigned j = 0; j < TNUMS; j++) {
			struct ntnum b = tnums[j];
			uint32_t sb = tnum_set(b);

			assert_int_equal(ntnum_covers(a, b), !(sb & ~sa));
			assert_int_equal(ntnum_meets(a, b), !!(sa & sb));
			assert_int_equal((sa | sb) & ~tnum_set(ntnum_join(a, b)), 0);
			if (sa & sb)
				assert_int_equal(tnum_set(ntnum_meet(a, b)), sa & sb);
		}
	}
}

static uint32_t scalar_set(const struct nscalar *a)
{
	uint32_t set = 0;

	for (uint64_t x = 0; x < WORDS; x++)
		set |= (uint32_t)nscalar_has(a, x) << x;
	return set;
}

/* All scalars of the product: narrowing keeps exactly the members, and says "empty" only then. */
static void reduction(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARCS; i++)
		for (unsigned j = 0; j < TNUMS; j++)
			for (uint64_t base = 0; base < 4; base++)
				for (uint64_t size = 0; size < 4; size++) {
					struct nscalar a = {arcs[i], tnums[j],
							    harc_make(base, size)};
					uint32_t before = scalar_set(&a);
					bool some = nscalar_reduce(&a);

					if (!some)
						assert_int_equal(before, 0);
					else
						assert_int_equal(scalar_set(&a), before);
				}
}

#ifndef SAMPLE
#define SAMPLE 1200 /* `make prove` takes more */
#endif
#define PRODUCTS (ARCS * TNUMS * 16)
#define STRIDE   (PRODUCTS / (2 * SAMPLE - SAMPLE / 75) | 1) /* about half contradict themselves */

/* A sample of reduced scalars, spread over the product. */
static unsigned build_scalars(struct nscalar *out, unsigned room)
{
	unsigned n = 0, step = 0;

	for (unsigned i = 0; i < ARCS; i++)
		for (unsigned j = 0; j < TNUMS; j++)
			for (uint64_t base = 0; base < 4; base++)
				for (uint64_t size = 0; size < 4; size++) {
					struct nscalar a = {arcs[i], tnums[j],
							    harc_make(base, size)};

					if (step++ % STRIDE || n == room || !nscalar_reduce(&a) ||
					    !scalar_set(&a))
						continue;
					out[n++] = a;
				}
	return n;
}

static struct nscalar sample[SAMPLE];

static void check_alu(enum fort_op op, bool wide, const struct nscalar *a, const struct nscalar *b)
{
	struct nscalar out = nscalar_alu(op, wide, a, b);

	for (uint64_t x = 0; x < WORDS; x++)
		for (uint64_t y = 0; y < WORDS; y++)
			if (nscalar_has(a, x) && nscalar_has(b, y) &&
			    !nscalar_has(&out, word_alu(op, wide ? FULL : FULL / 2, x, y)))
				fail_msg("%s%u of %lu, %lu", op_names[op], wide ? FULL : FULL / 2,
					 (unsigned long)x, (unsigned long)y);
}

static void product_alu(void **state)
{
	unsigned n = build_scalars(sample, SAMPLE);

	(void)state;
	assert_true(n > SAMPLE / 3);
	print_message("# %u of %u products, in pairs\n", n, PRODUCTS);
	for (size_t o = 0; o < FORT_LEN(alu_ops); o++)
		for (unsigned i = 0; i < n; i += 2)
			for (unsigned j = i % 7; j < n; j += 7) {
				check_alu(alu_ops[o], true, &sample[i], &sample[j]);
				check_alu(alu_ops[o], false, &sample[i], &sample[j]);
			}
}

static void check_compare(enum fort_op op, bool wide, const struct nscalar *a,
			  const struct nscalar *b)
{
	int decided = nscalar_decide(op, wide, a, b);

	for (int holds = 0; holds < 2; holds++) {
		struct nscalar left = *a, right = *b;
		bool some = nscalar_assume(op, wide, holds, &left, &right);

		for (uint64_t x = 0; x < WORDS; x++)
			for (uint64_t y = 0; y < WORDS; y++) {
				bool truth = wide ? word_compare(op, FULL, x, y)
						  : word_compare(op, FULL / 2, LOW(x), LOW(y));

				if (!nscalar_has(a, x) || !nscalar_has(b, y) || truth != holds)
					continue;
				if (decided == !holds || !some || !nscalar_has(&left, x) ||
				    !nscalar_has(&right, y))
					fail_msg("%s%u is %d: %lu, %lu", op_names[op],
						 wide ? FULL : FULL / 2, holds, (unsigned long)x,
						 (unsigned long)y);
			}
	}
}

static void product_compare(void **state)
{
	unsigned n = build_scalars(sample, SAMPLE);

	(void)state;
	for (size_t o = 0; o < FORT_LEN(jcc_ops); o++)
		for (unsigned i = 0; i < n; i += 3)
			for (unsigned j = i % 5; j < n; j += 5) {
				check_compare(jcc_ops[o], true, &sample[i], &sample[j]);
				check_compare(jcc_ops[o], false, &sample[i], &sample[j]);
			}
}

static void product_extensions(void **state)
{
	unsigned n = build_scalars(sample, SAMPLE);

	(void)state;
	for (unsigned i = 0; i < n; i++)
		for (unsigned bits = 1; bits <= FULL; bits++)
			for (uint64_t x = 0; x < WORDS; x++) {
				struct nscalar *a = &sample[i], cut = nscalar_truncate(a, bits);
				struct nscalar half, full;
				uint64_t sx =
					(uint64_t)((int64_t)(x << (64 - bits)) >> (64 - bits));

				if (!nscalar_has(a, x))
					continue;
				assert_true(nscalar_has(&cut, x & ((1u << bits) - 1)));
				if (bits > FULL / 2)
					continue;
				full = nscalar_sign_extend(a, bits, true);
				half = nscalar_sign_extend(a, bits, false);
				assert_true(nscalar_has(&full, sx & ONES));
				assert_true(nscalar_has(&half, LOW(sx)));
			}
}

static void product_lattice(void **state)
{
	unsigned n = build_scalars(sample, SAMPLE);

	(void)state;
	for (unsigned i = 0; i < n; i++)
		for (unsigned j = 0; j < n; j += 3) {
			struct nscalar join = nscalar_join(&sample[i], &sample[j]);
			struct nscalar meet = sample[i];
			uint32_t a = scalar_set(&sample[i]), b = scalar_set(&sample[j]);
			bool some = nscalar_meet(&meet, &sample[j]);

			assert_true(nscalar_covers(&join, &sample[i]));
			assert_true(nscalar_covers(&join, &sample[j]));
			if (nscalar_covers(&sample[i], &sample[j]))
				assert_int_equal(b & ~a, 0);
			if (a & b) {
				assert_true(some);
				assert_int_equal((a & b) & ~scalar_set(&meet), 0);
			}
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(alu_on_arcs),     cmocka_unit_test(alu_on_tnums),
		cmocka_unit_test(arc_lattice),     cmocka_unit_test(tnum_lattice),
		cmocka_unit_test(reduction),       cmocka_unit_test(product_alu),
		cmocka_unit_test(product_compare), cmocka_unit_test(product_extensions),
		cmocka_unit_test(product_lattice),
	};

	build_values();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
