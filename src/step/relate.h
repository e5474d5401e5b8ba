/* What connects the values of a state: equal symbols, inequalities between symbols (facts), results
 * of one call.
 *
 * Symbols stand for words, and arithmetic on words wraps; facts are about integers: S(x) is x read
 * as a signed number. A value x = sym + delta gives S(x) = S(sym) + delta only where no member of x
 * overflows that sum, so both learning and asking look at the numbers of the values first.
 */
#pragma once

#include "step/state.h"

/* S(a) + S(b) - S(c) at most, over everything that the state allows; b and c may be NULL, for
 * nothing. INT64_MAX: nothing is known. */
int64_t fort_relate_most(const struct fort_state *state, const struct fort_value *a,
			 const struct fort_value *b, const struct fort_value *c);

/* Learns S(a) + S(b) <= S(c) + most; b and c may be NULL. Values without a symbol, or whose symbol
 * says nothing of integers, teach only their numbers. The values must be copies: those in the
 * state may change. False when nothing can be so: no run gets here. */
FORT_CHECKED bool fort_relate_learn(struct fort_state *state, const struct fort_value *a,
				    const struct fort_value *b, const struct fort_value *c,
				    int64_t most);

/* Keeps the same as a fact, and changes no number. What is not worth it is left out. */
void fort_relate_note(struct fort_state *state, const struct fort_value *a,
		      const struct fort_value *b, const struct fort_value *c, int64_t most);

/* Narrows every value with this symbol to what `num` at `delta` says, and what facts say of others
 * then; false when one of them has no members left. */
FORT_CHECKED bool fort_relate_narrow(struct fort_state *state, uint32_t sym, int64_t delta,
				     const struct fort_scalar *num);

/* The length up to which a pointer into the packet or its metadata is valid, with a symbol. */
struct fort_value *fort_packet_length(struct fort_state *state, const struct fort_value *pointer);

/* Forgets facts about symbols that no value has. */
void fort_relate_collect(struct fort_state *state);

/* All copies of call result `id` are NULL, or are not. */
void fort_relate_null(struct fort_state *state, uint32_t id, bool null);

/* Is the offset so far from any wrap that sums of it and lengths are sums of integers? */
bool fort_value_is_near(const struct fort_value *value);

/* Proven bytes behind a pointer into the packet or its metadata: pointer + result <= end. 0 when
 * nothing is known, negative when the pointer may be behind the end. */
int64_t fort_packet_proven(const struct fort_state *state, const struct fort_value *pointer);
