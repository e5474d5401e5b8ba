/* The members of what the kernel knows of a word (kernel_model.h), as a set of word_sets.h. The
 * includer includes both first.
 */
#pragma once

static inline struct set kernel_set(const struct kernel_num *a)
{
	struct set s = all_of(), none = {{0}};

	if (a->full.umin > a->full.umax || a->full.smin > a->full.smax ||
	    a->half.umin > a->half.umax || a->half.smin > a->half.smax)
		return none;
	keep_arc(&s, a->full.umin, a->full.umax);
	keep_arc(&s, kernel_cut(a->full.smin, FULL), kernel_cut(a->full.smax, FULL));
	keep_bits(&s, a->bits);
	keep_low_arc(&s, a->half.umin, a->half.umax);
	keep_low_arc(&s, kernel_cut(a->half.smin, KHALF), kernel_cut(a->half.smax, KHALF));
	return s;
}

/* Is what the two ranges have in common one interval? */
static inline bool one_arc(const struct kernel_range *r, unsigned w)
{
	uint64_t s = kernel_cut(r->smin, w), t = kernel_cut(r->smax, w);

	if (s <= t || s == t + 1) /* one part of the other; or any */
		return true;
	return (r->umin <= t) != (s <= r->umax) || (!r->umin && r->umax == KMASK(w));
}

static inline unsigned size_of(const struct set *s)
{
	unsigned n = 0;

	for (size_t i = 0; i < FORT_LEN(s->w); i++)
		n += (unsigned)__builtin_popcountll(s->w[i]);
	return n;
}
