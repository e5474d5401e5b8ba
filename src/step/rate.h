/* Rates: inequalities with factors between the symbols of a state, as integers (state.h). What
 * moves by at most k each time a counter moves by one is at most where it began, plus k times the
 * counter: an invariant of a loop, where S(a) + S(b) <= S(c) + most can only say by how much two
 * numbers differ. The rules keep them true: a symbol whose bounds become known bounds the others,
 * what is added to a number is added to what is known of it.
 */
#pragma once

#include "step/state.h"

/* factor[0] * S(of[0]) + ...; NULL, and factor 0, for nothing. */
struct fort_form {
	const struct fort_value *of[FORT_RATE_TERMS];
	int32_t factor[FORT_RATE_TERMS];
};

/* The form at most, over everything that the state allows. INT64_MAX: nothing is known. */
int64_t fort_rate_most(const struct fort_state *state, const struct fort_form *form);

/* Keeps form <= most, and changes no number. What is not worth it is left out: forms of one symbol,
 * or of numbers whose symbols say nothing of integers. */
void fort_rate_note(struct fort_state *state, const struct fort_form *form, int64_t most);

/* sum = x + by: what is known of x holds of sum, moved by what `by` may be. */
void fort_rate_moved(struct fort_state *state, const struct fort_value *x,
		     const struct fort_value *by, const struct fort_value *sum);

/* More is known of the numbers with this symbol: so there is of others. 0 for all symbols. False
 * when one of them has no members left. */
FORT_CHECKED bool fort_rate_spread(struct fort_state *state, uint32_t sym);
