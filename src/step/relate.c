#include "step/relate.h"

#include "step/integers.h"
#include "step/rate.h"

/* *most = min(*most, sum of n), where the sum is a number and none of them is unknown. */
static void lower(int64_t *most, const int64_t *parts, unsigned n)
{
	int64_t sum = 0;

	for (unsigned i = 0; i < n; i++)
		if (parts[i] == INT64_MAX || parts[i] == INT64_MIN ||
		    !fort_adds(sum, parts[i], &sum))
			return;
	if (sum < *most)
		*most = sum;
}

#define LOWER(most, ...) \
	lower(most, (const int64_t[]){__VA_ARGS__}, FORT_LEN(((const int64_t[]){__VA_ARGS__})))

/* --- asking --- */

static bool is_about(const struct fort_fact *fact, uint32_t a, uint32_t b, uint32_t c)
{
	return fact->c == c && ((fact->a == a && fact->b == b) || (fact->a == b && fact->b == a));
}

/* What the facts say of S(a) + S(b) - S(c), with at most one symbol in between. */
static int64_t facts_most(const struct fort_state *state, uint32_t a, uint32_t b, uint32_t c)
{
	int64_t most = INT64_MAX;

	for (uint32_t i = 0; i < state->n_facts; i++) {
		const struct fort_fact *first = &state->facts[i];

		if (!is_about(first, a, b, first->c))
			continue;
		if (first->c == c)
			LOWER(&most, first->most);
		for (uint32_t j = 0; c && first->c && j < state->n_facts; j++)
			if (is_about(&state->facts[j], first->c, 0, c))
				LOWER(&most, first->most, state->facts[j].most);
	}
	return most;
}

/* x - c where both have one symbol. */
static int64_t distance(const struct fort_term *x, const struct fort_term *c)
{
	int64_t out;

	if (x->good && c->good && x->sym && x->sym == c->sym &&
	    fort_adds(x->plus, fort_minus(c->plus), &out))
		return out;
	return INT64_MAX;
}

int64_t fort_relate_most(const struct fort_state *state, const struct fort_value *a,
			 const struct fort_value *b, const struct fort_value *c)
{
	struct fort_term ta = fort_term_of(a), tb = fort_term_of(b), tc = fort_term_of(c);
	int64_t high_a = fort_high_of(a), high_b = fort_high_of(b),
		less_c = fort_minus(fort_low_of(c));
	int64_t minus_c = fort_minus(tc.plus), most = INT64_MAX;

	LOWER(&most, high_a, high_b, less_c);
	LOWER(&most, distance(&ta, &tc), high_b);
	if (b)
		LOWER(&most, distance(&tb, &tc), high_a);
	if (!state->n_facts)
		return most;
	/* Facts about some of the three, the numbers of the others. */
	if (ta.good && tc.good && ta.sym && tc.sym)
		LOWER(&most, facts_most(state, ta.sym, 0, tc.sym), ta.plus, minus_c, high_b);
	if (tb.good && tc.good && tb.sym && tc.sym)
		LOWER(&most, facts_most(state, tb.sym, 0, tc.sym), tb.plus, minus_c, high_a);
	if (ta.good && tb.good && ta.sym && tb.sym) {
		LOWER(&most, facts_most(state, ta.sym, tb.sym, 0), ta.plus, tb.plus, less_c);
		if (tc.good && tc.sym)
			LOWER(&most, facts_most(state, ta.sym, tb.sym, tc.sym), ta.plus, tb.plus,
			      minus_c);
	}
	return most;
}

/* --- from numbers to facts, and back --- */

static int64_t sum_of(int64_t a, int64_t b, int64_t c)
{
	int64_t most = INT64_MAX;

	LOWER(&most, a, b, c);
	return most;
}

/* a + b <= c + most: what the numbers of two say of the third. */
static bool apply_fact(struct fort_state *state, const struct fort_fact *fact)
{
	int64_t high_c = fort_sym_high(state, fact->c), low_a = fort_sym_low(state, fact->a);
	int64_t low_b = fort_sym_low(state, fact->b), high;

	high = sum_of(high_c, fact->most, fort_minus(low_b));
	if (!fort_sym_bound(state, fact->a, INT64_MIN, high))
		return false;
	high = sum_of(high_c, fact->most, fort_minus(low_a));
	if (fact->b && !fort_sym_bound(state, fact->b, INT64_MIN, high))
		return false;
	if (!fact->c || low_a == INT64_MIN || low_b == INT64_MIN)
		return true;
	high = sum_of(fact->most, fort_minus(low_a), fort_minus(low_b)); /* c >= a + b - most */
	return high == INT64_MAX || fort_sym_bound(state, fact->c, fort_minus(high), INT64_MAX);
}

static void drop_fact(struct fort_state *state, uint32_t i)
{
	state->n_facts--;
	for (; i < state->n_facts; i++)
		state->facts[i] = state->facts[i + 1];
}

void fort_relate_collect(struct fort_state *state)
{
	for (uint32_t i = 0; i < state->n_facts;) {
		const struct fort_fact *fact = &state->facts[i];

		if (fort_sym_is_held(state, fact->a) &&
		    (!fact->b || fort_sym_is_held(state, fact->b)) &&
		    (!fact->c || fort_sym_is_held(state, fact->c)))
			i++;
		else
			drop_fact(state, i);
	}
}

static void add_fact(struct fort_state *state, struct fort_fact fact)
{
	for (uint32_t i = 0; i < state->n_facts; i++) {
		struct fort_fact *known = &state->facts[i];

		if (!is_about(known, fact.a, fact.b, fact.c))
			continue;
		if (fact.most < known->most)
			known->most = fact.most;
		return;
	}
	if (state->n_facts == FORT_FACTS_MAX)
		fort_relate_collect(state);
	if (state->n_facts == FORT_FACTS_MAX)
		drop_fact(state, 0); /* the oldest */
	state->facts[state->n_facts++] = fact;
}

/* A sum whose own symbol was bounded bounds its parts, also when it is gone. */
static void pass_on(struct fort_state *state, uint32_t sym, uint32_t to, int64_t most)
{
	for (uint32_t i = 0; i < state->n_facts; i++) {
		struct fort_fact sum = state->facts[i];

		if (!sum.b || sum.c != sym || !fort_adds(sum.most, most, &sum.most))
			continue;
		sum.c = to;
		add_fact(state, sum);
	}
}

/* What is known of the symbol by now says of the other symbols in its facts. */
static bool spread(struct fort_state *state, uint32_t sym)
{
	int64_t high = fort_sym_high(state, sym);

	if (high != INT64_MAX)
		pass_on(state, sym, 0, high);
	for (uint32_t i = 0; i < state->n_facts; i++) {
		struct fort_fact fact = state->facts[i];

		if ((fact.a == sym || fact.b == sym || fact.c == sym) && !apply_fact(state, &fact))
			return false;
	}
	return !state->n_rates || fort_rate_spread(state, sym);
}

bool fort_relate_narrow(struct fort_state *state, uint32_t sym, int64_t delta,
			const struct fort_scalar *num)
{
	bool known;

	if (!fort_sym_narrow(state, sym, delta, num, &known) ||
	    ((state->n_facts || state->n_rates) && !spread(state, sym)))
		return false;
	if (known)
		fort_sym_part(state, sym);
	return true;
}

/* What the numbers alone say of S(a) + S(b) <= S(c) + most. */
static bool learn_numbers(struct fort_state *state, const struct fort_value *a,
			  const struct fort_value *b, const struct fort_value *c, int64_t most)
{
	int64_t high = sum_of(fort_high_of(c), most, fort_minus(fort_low_of(b)));
	int64_t low = sum_of(fort_minus(fort_low_of(a)), fort_minus(fort_low_of(b)), most);
	struct fort_scalar range;

	if (high != INT64_MAX && high < fort_low_of(a))
		return false;
	if (a->sym && high != INT64_MAX && high < fort_high_of(a)) {
		range = fort_scalar_signed_range(INT64_MIN, high);
		if (!fort_relate_narrow(state, a->sym, a->delta, &range))
			return false;
	}
	if (c && c->sym && low != INT64_MAX && fort_minus(low) > fort_low_of(c)) {
		range = fort_scalar_signed_range(fort_minus(low), INT64_MAX);
		return fort_relate_narrow(state, c->sym, c->delta, &range);
	}
	return true;
}

/* The fact that a sentence about values comes to; false when it is none. */
static bool fact_of(const struct fort_value *a, const struct fort_value *b,
		    const struct fort_value *c, int64_t most, struct fort_fact *out)
{
	struct fort_term ta = fort_term_of(a), tb = fort_term_of(b), tc = fort_term_of(c);
	struct fort_fact fact = {.a = ta.sym, .b = tb.sym, .c = tc.sym};

	fact.most = sum_of(most, fort_minus(ta.plus), fort_minus(tb.plus));
	fact.most = sum_of(fact.most, tc.plus, 0);
	if (!ta.good || !tb.good || !tc.good || fact.most == INT64_MAX)
		return false;
	if (!fact.a) { /* the one that has a symbol comes first */
		fact.a = fact.b;
		fact.b = 0;
	}
	*out = fact;
	/* Not of numbers only, nor of one symbol. */
	return fact.a && (fact.b || fact.c) && fact.a != fact.c && (!fact.b || fact.b != fact.c);
}

void fort_relate_note(struct fort_state *state, const struct fort_value *a,
		      const struct fort_value *b, const struct fort_value *c, int64_t most)
{
	struct fort_fact fact;

	if (fact_of(a, b, c, most, &fact))
		add_fact(state, fact);
}

bool fort_relate_learn(struct fort_state *state, const struct fort_value *a,
		       const struct fort_value *b, const struct fort_value *c, int64_t most)
{
	struct fort_fact fact;

	if (!learn_numbers(state, a, b, c, most))
		return false;
	if (!fact_of(a, b, c, most, &fact))
		return true;
	add_fact(state, fact);
	if (!fact.b && fact.c)
		pass_on(state, fact.a, fact.c, fact.most);
	return true;
}

/* --- results of calls --- */

struct null_test {
	uint32_t id;
	bool null;
};

static bool null_one(struct fort_value *value, void *context)
{
	struct null_test *test = context;

	if (!(value->flags & FORT_MAYBE_NULL) || value->id != test->id)
		return true;
	if (test->null) {
		*value = fort_value_const(0);
	} else {
		value->flags &= (uint16_t) ~(FORT_MAYBE_NULL | FORT_LENT);
		value->id = 0;
	}
	return true;
}

void fort_relate_null(struct fort_state *state, uint32_t id, bool null)
{
	struct null_test test = {.id = id, .null = null};

	(void)fort_state_each(state, null_one, &test);
}

/* --- packets --- */

bool fort_value_is_near(const struct fort_value *value)
{
	const int64_t far = 1ll << 61;

	return fort_scalar_smin(&value->num) >= -far && fort_scalar_smax(&value->num) <= far;
}

struct fort_value *fort_packet_length(struct fort_state *state, const struct fort_value *pointer)
{
	struct fort_value *length =
		pointer->type == FORT_PACKET_META ? &state->meta : &state->packet;

	if (!length->sym) {
		length->sym = state->next_id++;
		length->delta = 0;
	}
	return length;
}

int64_t fort_packet_proven(const struct fort_state *state, const struct fort_value *pointer)
{
	const struct fort_value *length =
		pointer->type == FORT_PACKET_META ? &state->meta : &state->packet;
	int64_t most = fort_relate_most(state, pointer, NULL, length);

	return most == INT64_MAX ? 0 : fort_minus(most);
}
