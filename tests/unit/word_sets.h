/* Sets of FULL-bit words, and the set of members of an abstract value. The includer provides FULL
 * and domain_nbit.inc, and calls build_sets first.
 */
#pragma once

#define WORDS (1u << FULL)

struct set {
	uint64_t w[WORDS > 64 ? WORDS / 64 : 1];
};

static struct set below[WORDS + 1];            /* words less than the index */
static struct set by_low[WORDS >> (FULL / 2)]; /* words with that low half */
static struct set by_bit[FULL];                /* words with that bit */

static inline void add(struct set *s, uint64_t x)
{
	s->w[x / 64] |= 1ull << (x % 64);
}

static inline void build_sets(void)
{
	for (uint64_t x = 0; x < WORDS; x++) {
		below[x + 1] = below[x];
		add(&below[x + 1], x);
		add(&by_low[LOW(x)], x);
		for (unsigned bit = 0; bit < FULL; bit++)
			if (x >> bit & 1)
				add(&by_bit[bit], x);
	}
}

static inline struct set all_of(void)
{
	return below[WORDS];
}

static inline void keep(struct set *s, const struct set *t, bool inside)
{
	for (size_t i = 0; i < FORT_LEN(s->w); i++)
		s->w[i] &= inside ? t->w[i] : ~t->w[i];
}

static inline void keep_arc(struct set *s, uint64_t first, uint64_t last)
{
	if (first <= last) {
		keep(s, &below[last + 1], true);
		keep(s, &below[first], false);
	} else {
		struct set gap = below[first];

		keep(&gap, &below[last + 1], false);
		keep(s, &gap, false);
	}
}

static inline void keep_low_arc(struct set *s, uint64_t first, uint64_t last)
{
	for (uint64_t low = 0; low <= HONES; low++)
		if (LOW(low - first) > LOW(last - first))
			keep(s, &by_low[low], false);
}

static inline void keep_bits(struct set *s, struct ntnum t)
{
	for (unsigned bit = 0; bit < FULL; bit++)
		if (!(t.mask >> bit & 1))
			keep(s, &by_bit[bit], t.value >> bit & 1);
}

static inline bool within(const struct set *s, const struct set *t)
{
	for (size_t i = 0; i < FORT_LEN(s->w); i++)
		if (s->w[i] & ~t->w[i])
			return false;
	return true;
}

static inline bool same_set(const struct set *s, const struct set *t)
{
	return !memcmp(s, t, sizeof(*s));
}

static inline struct set ours_set(const struct nscalar *a)
{
	struct set s = all_of();

	keep_arc(&s, a->arc.base, narc_end(a->arc));
	keep_bits(&s, a->bits);
	keep_low_arc(&s, a->low.base, harc_end(a->low));
	return s;
}
