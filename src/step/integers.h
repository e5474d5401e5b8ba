/* Values read as integers, and bounds of symbols.
 *
 * S(x) is the word x read as a signed number; what is unknown of it is INT64_MAX or INT64_MIN.
 */
#pragma once

#include "step/state.h"

/* A value read as a signed integer: S(sym) + plus, or just plus. */
struct fort_term {
	uint32_t sym;
	int64_t plus;
	bool good; /* the sum is one of integers */
};

/* Words wrap: value = sym + delta is a sum of integers only where no member overflows. NULL: 0. */
struct fort_term fort_term_of(const struct fort_value *value);

/* S(value) at most and at least; 0 of nothing. */
static inline int64_t fort_high_of(const struct fort_value *value)
{
	return value ? fort_scalar_smax(&value->num) : 0;
}

static inline int64_t fort_low_of(const struct fort_value *value)
{
	return value ? fort_scalar_smin(&value->num) : 0;
}

static inline bool fort_adds(int64_t a, int64_t b, int64_t *out)
{
	return !__builtin_add_overflow(a, b, out);
}

static inline int64_t fort_minus(int64_t x)
{
	return x == INT64_MIN ? INT64_MAX : -x;
}

/* S(sym) at most, at least; unknown when nothing has it. */
int64_t fort_sym_high(const struct fort_state *state, uint32_t sym);
int64_t fort_sym_low(const struct fort_state *state, uint32_t sym);
/* Does a value have it? */
bool fort_sym_is_held(const struct fort_state *state, uint32_t sym);
/* Is its word known? */
bool fort_sym_is_known(const struct fort_state *state, uint32_t sym, int64_t *out);

/* Narrows all values with the symbol; false when one has no members left. *known: numbers among
 * them are known now, and to be parted from it. */
FORT_CHECKED bool fort_sym_narrow(struct fort_state *state, uint32_t sym, int64_t delta,
				  const struct fort_scalar *num, bool *known);
/* A known number needs no relatives, once they have learned from it. */
void fort_sym_part(struct fort_state *state, uint32_t sym);
/* low <= S(sym) <= high. */
FORT_CHECKED bool fort_sym_bound(struct fort_state *state, uint32_t sym, int64_t low, int64_t high);
