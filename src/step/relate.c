#include "step/relate.h"

/* --- from values to integers --- */

/* A value read as a signed integer: S(sym) + plus, or just plus. */
struct term {
	uint32_t sym;
	int64_t plus;
	bool good; /* the sum is one of integers */
};

static bool adds(int64_t a, int64_t b, int64_t *out)
{
	return !__builtin_add_overflow(a, b, out);
}

/* Words wrap: value = sym + delta is a sum of integers only where no member overflows. */
static struct term term_of(const struct fort_value *value)
{
	int64_t low, high, unused;
	struct term term = {0, 0, true};

	if (!value)
		return term;
	low = fort_scalar_smin(&value->num);
	high = fort_scalar_smax(&value->num);
	if (low == high)
		return (struct term){0, low, true};
	term = (struct term){value->sym, value->delta, value->sym && value->delta != INT64_MIN};
	term.good = term.good && adds(low, -term.plus, &unused) && adds(high, -term.plus, &unused);
	return term;
}

/* S(value) at most and at least; 0 of nothing. */
static int64_t high_of(const struct fort_value *value)
{
	return value ? fort_scalar_smax(&value->num) : 0;
}

static int64_t low_of(const struct fort_value *value)
{
	return value ? fort_scalar_smin(&value->num) : 0;
}

/* *most = min(*most, sum of n), where the sum is a number and none of them is unknown. */
static void lower(int64_t *most, const int64_t *parts, unsigned n)
{
	int64_t sum = 0;

	for (unsigned i = 0; i < n; i++)
		if (parts[i] == INT64_MAX || parts[i] == INT64_MIN || !adds(sum, parts[i], &sum))
			return;
	if (sum < *most)
		*most = sum;
}

#define LOWER(most, ...) \
	lower(most, (const int64_t[]){__VA_ARGS__}, FORT_LEN(((const int64_t[]){__VA_ARGS__})))

static int64_t minus(int64_t x)
{
	return x == INT64_MIN ? INT64_MAX : -x;
}

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
static int64_t distance(const struct term *x, const struct term *c)
{
	int64_t out;

	if (x->good && c->good && x->sym && x->sym == c->sym && adds(x->plus, minus(c->plus), &out))
		return out;
	return INT64_MAX;
}

int64_t fort_relate_most(const struct fort_state *state, const struct fort_value *a,
			 const struct fort_value *b, const struct fort_value *c)
{
	struct term ta = term_of(a), tb = term_of(b), tc = term_of(c);
	int64_t high_a = high_of(a), high_b = high_of(b), less_c = minus(low_of(c));
	int64_t minus_c = minus(tc.plus), most = INT64_MAX;

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

/* --- numbers --- */

struct narrow {
	uint32_t sym;
	int64_t delta;
	const struct fort_scalar *num;
	bool some, known; /* is anything left; did a number become known */
};

static inline bool narrow_one(struct fort_value *value, void *context)
{
	struct narrow *narrow = context;
	struct fort_scalar moved;

	if (value->type == FORT_NONE || value->sym != narrow->sym)
		return true;
	moved = fort_scalar_plus(narrow->num, fort_wrap_sub(value->delta, narrow->delta));
	narrow->some = fort_scalar_meet(&value->num, &moved);
	narrow->known |= value->type == FORT_NUM && fort_scalar_is_const(&value->num);
	return narrow->some;
}

/* *known: numbers with this symbol are known now, and to be parted from it. */
static bool narrow_all(struct fort_state *state, uint32_t sym, int64_t delta,
		       const struct fort_scalar *num, bool *known)
{
	struct narrow narrow = {.sym = sym, .delta = delta, .num = num, .some = true};
	bool good = fort_state_each(state, narrow_one, &narrow) && narrow.some;

	*known = narrow.known;
	return good;
}

static inline bool part_one(struct fort_value *value, void *context)
{
	const uint32_t *sym = context;

	if (value->type == FORT_NUM && value->sym == *sym && fort_scalar_is_const(&value->num))
		value->sym = 0;
	return true;
}

/* A known number needs no relatives, once they have learned from it. */
static void part_known(struct fort_state *state, uint32_t sym)
{
	(void)fort_state_each(state, part_one, &sym);
}

/* --- from numbers to facts, and back --- */

struct carrier {
	uint32_t sym;
	const struct fort_value *found;
};

static inline bool find_one(struct fort_value *value, void *context)
{
	struct carrier *carrier = context;

	if (value->type == FORT_NONE || value->sym != carrier->sym)
		return true;
	carrier->found = value;
	return false;
}

/* A value with this symbol, or NULL. */
static const struct fort_value *carrier_of(const struct fort_state *state, uint32_t sym)
{
	struct carrier carrier = {.sym = sym};

	/* cast: this visitor changes nothing */
	if (sym)
		(void)fort_state_each((struct fort_state *)(uintptr_t)state, find_one, &carrier);
	return carrier.found;
}

/* Is the symbol's word known? That of a known number is, whatever wraps. */
static bool is_known(const struct fort_value *value, int64_t *out)
{
	if (!value || !fort_scalar_is_const(&value->num))
		return false;
	*out = fort_wrap_sub((int64_t)value->num.arc.base, value->delta);
	return true;
}

/* S(sym) at most, at least, by a value that has it; unknown when none does. */
static int64_t high_by(const struct fort_value *value)
{
	struct term term = term_of(value);
	int64_t out;

	if (is_known(value, &out))
		return out;
	return value && term.good && term.sym && adds(high_of(value), minus(term.plus), &out)
		       ? out
		       : INT64_MAX;
}

static int64_t low_by(const struct fort_value *value)
{
	struct term term = term_of(value);
	int64_t out;

	if (is_known(value, &out))
		return out;
	return value && term.good && term.sym && adds(low_of(value), minus(term.plus), &out)
		       ? out
		       : INT64_MIN;
}

static int64_t sym_high(const struct fort_state *state, uint32_t sym)
{
	return sym ? high_by(carrier_of(state, sym)) : 0;
}

static int64_t sym_low(const struct fort_state *state, uint32_t sym)
{
	return sym ? low_by(carrier_of(state, sym)) : 0;
}

static bool bound_sym(struct fort_state *state, uint32_t sym, int64_t low, int64_t high)
{
	const struct fort_value *value = carrier_of(state, sym);
	struct fort_scalar range;
	bool known;

	if (!value || (low <= low_by(value) && high_by(value) <= high))
		return true;
	if (low > high)
		return false;
	range = fort_scalar_signed_range(low, high);
	if (!narrow_all(state, sym, 0, &range, &known))
		return false;
	if (known)
		part_known(state, sym);
	return true;
}

static int64_t sum_of(int64_t a, int64_t b, int64_t c)
{
	int64_t most = INT64_MAX;

	LOWER(&most, a, b, c);
	return most;
}

/* a + b <= c + most: what the numbers of two say of the third. */
static bool apply_fact(struct fort_state *state, const struct fort_fact *fact)
{
	int64_t high_c = sym_high(state, fact->c), low_a = sym_low(state, fact->a);
	int64_t low_b = sym_low(state, fact->b), high;

	high = sum_of(high_c, fact->most, minus(low_b));
	if (!bound_sym(state, fact->a, INT64_MIN, high))
		return false;
	high = sum_of(high_c, fact->most, minus(low_a));
	if (fact->b && !bound_sym(state, fact->b, INT64_MIN, high))
		return false;
	if (!fact->c || low_a == INT64_MIN || low_b == INT64_MIN)
		return true;
	high = sum_of(fact->most, minus(low_a), minus(low_b)); /* c >= a + b - most */
	return high == INT64_MAX || bound_sym(state, fact->c, minus(high), INT64_MAX);
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

		if (carrier_of(state, fact->a) && (!fact->b || carrier_of(state, fact->b)) &&
		    (!fact->c || carrier_of(state, fact->c)))
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

		if (!sum.b || sum.c != sym || !adds(sum.most, most, &sum.most))
			continue;
		sum.c = to;
		add_fact(state, sum);
	}
}

/* What is known of the symbol by now says of the other symbols in its facts. */
static bool spread(struct fort_state *state, uint32_t sym)
{
	int64_t high = sym_high(state, sym);

	if (high != INT64_MAX)
		pass_on(state, sym, 0, high);
	for (uint32_t i = 0; i < state->n_facts; i++) {
		struct fort_fact fact = state->facts[i];

		if ((fact.a == sym || fact.b == sym || fact.c == sym) && !apply_fact(state, &fact))
			return false;
	}
	return true;
}

bool fort_relate_narrow(struct fort_state *state, uint32_t sym, int64_t delta,
			const struct fort_scalar *num)
{
	bool known;

	if (!narrow_all(state, sym, delta, num, &known) || (state->n_facts && !spread(state, sym)))
		return false;
	if (known)
		part_known(state, sym);
	return true;
}

/* What the numbers alone say of S(a) + S(b) <= S(c) + most. */
static bool learn_numbers(struct fort_state *state, const struct fort_value *a,
			  const struct fort_value *b, const struct fort_value *c, int64_t most)
{
	int64_t high = sum_of(high_of(c), most, minus(low_of(b)));
	int64_t low = sum_of(minus(low_of(a)), minus(low_of(b)), most);
	struct fort_scalar range;

	if (high != INT64_MAX && high < low_of(a))
		return false;
	if (a->sym && high != INT64_MAX && high < high_of(a)) {
		range = fort_scalar_signed_range(INT64_MIN, high);
		if (!fort_relate_narrow(state, a->sym, a->delta, &range))
			return false;
	}
	if (c && c->sym && low != INT64_MAX && minus(low) > low_of(c)) {
		range = fort_scalar_signed_range(minus(low), INT64_MAX);
		return fort_relate_narrow(state, c->sym, c->delta, &range);
	}
	return true;
}

/* The fact that a sentence about values comes to; false when it is none. */
static bool fact_of(const struct fort_value *a, const struct fort_value *b,
		    const struct fort_value *c, int64_t most, struct fort_fact *out)
{
	struct term ta = term_of(a), tb = term_of(b), tc = term_of(c);
	struct fort_fact fact = {.a = ta.sym, .b = tb.sym, .c = tc.sym};

	fact.most = sum_of(most, minus(ta.plus), minus(tb.plus));
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

	return most == INT64_MAX ? 0 : minus(most);
}
