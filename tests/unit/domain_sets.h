/* All abstract values of 4-bit words, and their members as bit sets, so that "is a superset" is one
 * operation. Includers include cmocka first.
 */
#pragma once

#include "domain/compare.h"
#include "domain/scalar.h"

#define FULL 4
#include "domain_nbit.inc"

#define WORDS   (1u << FULL)
#define ARCS    (WORDS * (WORDS - 1) + 1)
#define TNUMS   81   /* 3^FULL */
#define SCALARS 4096 /* room: there are fewer */

static struct narc arcs[ARCS];
static struct ntnum tnums[TNUMS];
/* Each reduced scalar once. Different ones may have the same members: an arc around two words can
 * go either way. */
static struct nscalar scalars[SCALARS];
static uint32_t scalar_sets[SCALARS];
static unsigned n_scalars;

static inline uint32_t arc_set(struct narc a)
{
	uint32_t set = 0;

	for (uint64_t x = 0; x < WORDS; x++)
		set |= (uint32_t)narc_has(a, x) << x;
	return set;
}

static inline uint32_t tnum_set(struct ntnum a)
{
	uint32_t set = 0;

	for (uint64_t x = 0; x < WORDS; x++)
		set |= (uint32_t)ntnum_has(a, x) << x;
	return set;
}

static inline uint32_t scalar_set(const struct nscalar *a)
{
	uint32_t set = 0;

	for (uint64_t x = 0; x < WORDS; x++)
		set |= (uint32_t)nscalar_has(a, x) << x;
	return set;
}

/* The arcs, tnums and low arcs of 4 bits in every combination. */
#define EACH_PRODUCT(a)                                                                     \
	for (unsigned i_ = 0; i_ < ARCS; i_++)                                              \
		for (unsigned j_ = 0; j_ < TNUMS; j_++)                                     \
			for (uint64_t k_ = 0; k_ < 13; k_++)                                \
				for (struct nscalar a = {arcs[i_], tnums[j_], low_arc(k_)}, \
						    *once_ = &a;                            \
				     once_; once_ = NULL)

/* The 13 arcs of 2 bits. */
static inline struct harc low_arc(uint64_t i)
{
	return i == 12 ? harc_full() : (struct harc){i % 4, i / 4};
}

#define SCALAR_KEYS (1u << 20)

static inline uint32_t scalar_key(const struct nscalar *a)
{
	return (uint32_t)(a->arc.base | a->arc.size << 4 | a->bits.value << 8 | a->bits.mask << 12 |
			  a->low.base << 16 | a->low.size << 18);
}

static inline void build_scalars(void)
{
	static bool seen[SCALAR_KEYS];

	EACH_PRODUCT(a)
	{
		uint32_t set = scalar_set(&a), key;

		if (!set || !nscalar_reduce(&a))
			continue;
		key = scalar_key(&a);
		if (seen[key])
			continue;
		seen[key] = true;
		assert_true(n_scalars < SCALARS);
		scalar_sets[n_scalars] = set;
		scalars[n_scalars++] = a;
	}
}

static inline void build_values(void)
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
	build_scalars();
}
