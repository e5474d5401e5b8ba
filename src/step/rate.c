#include "step/rate.h"

#include "step/integers.h"

/* A sum over symbols while it is being looked at: that of a form, less a multiple of a rate. */
#define PARTS_MAX (2 * FORT_RATE_TERMS)

struct part {
	uint32_t sym;
	int64_t factor;
	const struct fort_value *value; /* that has it, or NULL: somewhere in the state */
};

struct sum {
	struct part parts[PARTS_MAX];
	unsigned n;
	int64_t plus;
	bool good; /* nothing overflowed */
};

/* sum->plus += factor * number */
static void add_number(struct sum *sum, int64_t factor, int64_t number)
{
	int64_t product;

	sum->good = sum->good && !__builtin_mul_overflow(factor, number, &product) &&
		    !__builtin_add_overflow(sum->plus, product, &sum->plus);
}

static void add_symbol(struct sum *sum, int64_t factor, uint32_t sym,
		       const struct fort_value *value)
{
	struct part *part = sum->parts;

	while (part < sum->parts + sum->n && part->sym != sym)
		part++;
	if (part == sum->parts + sum->n)
		sum->parts[sum->n++] = (struct part){.sym = sym};
	part->value = value ? value : part->value;
	sum->good = sum->good && !__builtin_add_overflow(part->factor, factor, &part->factor);
}

/* A value that is no sum of integers counts as the number that is worst. */
static void add_value(struct sum *sum, int64_t factor, const struct fort_value *value)
{
	struct fort_term term = fort_term_of(value);

	if (!term.good) {
		add_number(sum, factor, factor > 0 ? fort_high_of(value) : fort_low_of(value));
		return;
	}
	add_number(sum, factor, term.plus);
	if (term.sym)
		add_symbol(sum, factor, term.sym, value);
}

static struct sum sum_of(const struct fort_form *form)
{
	struct sum sum = {.good = true};

	for (unsigned k = 0; k < FORT_RATE_TERMS; k++)
		if (form->factor[k])
			add_value(&sum, form->factor[k], form->of[k]);
	return sum;
}

/* factor * S(sym) at most, in *out; false when nothing is known. */
static bool part_most(const struct fort_state *state, const struct part *part, int64_t *out)
{
	struct fort_term term = fort_term_of(part->value);
	int64_t bound;

	if (part->value)
		bound = part->factor > 0 ? fort_high_of(part->value) : fort_low_of(part->value);
	else
		bound = part->factor > 0 ? fort_sym_high(state, part->sym)
					 : fort_sym_low(state, part->sym);
	if (bound == INT64_MAX || bound == INT64_MIN ||
	    (part->value && !fort_adds(bound, fort_minus(term.plus), &bound)))
		return false;
	return !__builtin_mul_overflow(part->factor, bound, out);
}

/* The sum at most, by numbers alone. */
static int64_t numbers_most(const struct fort_state *state, const struct sum *sum)
{
	int64_t most = sum->plus, part;

	if (!sum->good)
		return INT64_MAX;
	for (unsigned i = 0; i < sum->n; i++)
		if (sum->parts[i].factor &&
		    (!part_most(state, &sum->parts[i], &part) || !fort_adds(most, part, &most)))
			return INT64_MAX;
	return most;
}

/* sum <= (sum - times * rate) + times * most */
static int64_t most_by_rate(const struct fort_state *state, struct sum sum,
			    const struct fort_rate *rate, int64_t times)
{
	for (unsigned k = 0; k < FORT_RATE_TERMS; k++)
		if (rate->sym[k])
			add_symbol(&sum, -times * rate->factor[k], rate->sym[k], NULL);
	add_number(&sum, times, rate->most);
	return numbers_most(state, &sum);
}

/* How often the rate is taken from the sum, for this symbol to go: 0 for not at all. */
static int64_t times_of(const struct part *part, const struct fort_rate *rate)
{
	for (unsigned k = 0; k < FORT_RATE_TERMS; k++) {
		int64_t factor = rate->factor[k];

		if (rate->sym[k] != part->sym || part->factor % factor)
			continue;
		return part->factor / factor > 0 && part->factor / factor <= INT32_MAX
			       ? part->factor / factor
			       : 0;
	}
	return 0;
}

static int64_t sum_most(const struct fort_state *state, const struct sum *sum)
{
	int64_t most = numbers_most(state, sum);

	for (uint32_t i = 0; i < state->n_rates; i++)
		for (unsigned p = 0; p < sum->n; p++) {
			int64_t times = times_of(&sum->parts[p], &state->rates[i]), other;

			if (!times)
				continue;
			other = most_by_rate(state, *sum, &state->rates[i], times);
			most = other < most ? other : most;
		}
	return most;
}

int64_t fort_rate_most(const struct fort_state *state, const struct fort_form *form)
{
	struct sum sum = sum_of(form);

	return sum.good ? sum_most(state, &sum) : INT64_MAX;
}

/* --- the list --- */

static void drop(struct fort_state *state, uint32_t i)
{
	state->n_rates--;
	for (; i < state->n_rates; i++)
		state->rates[i] = state->rates[i + 1];
}

static void drop_unheld(struct fort_state *state)
{
	for (uint32_t i = 0; i < state->n_rates;) {
		const struct fort_rate *rate = &state->rates[i];
		bool held = true;

		for (unsigned k = 0; k < FORT_RATE_TERMS; k++)
			held = held && (!rate->sym[k] || fort_sym_is_held(state, rate->sym[k]));
		if (held)
			i++;
		else
			drop(state, i);
	}
}

static bool same_form(const struct fort_rate *a, const struct fort_rate *b)
{
	for (unsigned k = 0; k < FORT_RATE_TERMS; k++) {
		unsigned j = 0;

		while (j < FORT_RATE_TERMS && a->sym[k] != b->sym[j])
			j++;
		if (j == FORT_RATE_TERMS || a->factor[k] != b->factor[j])
			return false;
	}
	return true;
}

/* What was known first stays, when there is no room. */
static void add(struct fort_state *state, const struct fort_rate *rate)
{
	for (uint32_t i = 0; i < state->n_rates; i++) {
		struct fort_rate *known = &state->rates[i];

		if (!same_form(known, rate))
			continue;
		known->most = rate->most < known->most ? rate->most : known->most;
		return;
	}
	if (state->n_rates == FORT_RATES_MAX)
		drop_unheld(state);
	if (state->n_rates < FORT_RATES_MAX)
		state->rates[state->n_rates++] = *rate;
}

/* sum <= most as a rate; false when it is none. */
static bool rate_of(const struct sum *sum, int64_t most, struct fort_rate *out)
{
	unsigned n = 0;

	*out = (struct fort_rate){.most = 0};
	if (!sum->good || __builtin_sub_overflow(most, sum->plus, &out->most))
		return false;
	for (unsigned i = 0; i < sum->n; i++) {
		const struct part *part = &sum->parts[i];

		if (!part->factor)
			continue;
		if (n == FORT_RATE_TERMS || part->factor > INT32_MAX || part->factor < -INT32_MAX)
			return false;
		out->sym[n] = part->sym;
		out->factor[n++] = (int32_t)part->factor;
	}
	return n > 1;
}

void fort_rate_note(struct fort_state *state, const struct fort_form *form, int64_t most)
{
	struct sum sum = sum_of(form);
	struct fort_rate rate;

	/* What counts as its worst number here is no part of what is claimed. */
	for (unsigned k = 0; k < FORT_RATE_TERMS; k++)
		if (form->factor[k] && !fort_term_of(form->of[k]).good)
			return;
	if (most != INT64_MAX && rate_of(&sum, most, &rate))
		add(state, &rate);
}

/* --- what the rules do to them --- */

void fort_rate_moved(struct fort_state *state, const struct fort_value *x,
		     const struct fort_value *by, const struct fort_value *sum)
{
	struct fort_term of = fort_term_of(x), to = fort_term_of(sum);
	uint32_t n = state->n_rates;

	if (!of.good || !to.good || !of.sym || !to.sym || of.sym == to.sym)
		return;
	for (uint32_t i = 0; i < n && i < state->n_rates; i++) {
		const struct fort_rate rate = state->rates[i];
		struct sum moved = {.good = true};
		struct fort_rate out;
		int64_t factor = 0;

		for (unsigned k = 0; k < FORT_RATE_TERMS; k++)
			if (rate.sym[k] == of.sym)
				factor = rate.factor[k];
			else if (rate.sym[k])
				add_symbol(&moved, rate.factor[k], rate.sym[k], NULL);
		if (!factor)
			continue;
		/* factor * S(x) = factor * S(sum) - factor * S(by) */
		add_symbol(&moved, factor, to.sym, NULL);
		add_number(&moved, factor, to.plus);
		add_number(&moved, -factor, of.plus);
		add_number(&moved, -factor, factor > 0 ? fort_high_of(by) : fort_low_of(by));
		if (rate_of(&moved, rate.most, &out))
			add(state, &out);
	}
}

static int64_t floor_div(int64_t a, int64_t b)
{
	int64_t quotient = a / b;

	return a % b && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

/* What the others' numbers say of one symbol of the rate. */
static bool apply_to(struct fort_state *state, const struct fort_rate *rate, unsigned of)
{
	int64_t factor = rate->factor[of], left;
	struct sum others = {.good = true};
	int64_t least;

	/* factor * S(of) <= most - (the others at least) = most + (minus the others, at most) */
	for (unsigned k = 0; k < FORT_RATE_TERMS; k++)
		if (k != of && rate->sym[k])
			add_symbol(&others, -(int64_t)rate->factor[k], rate->sym[k], NULL);
	least = numbers_most(state, &others);
	if (least == INT64_MAX || !fort_adds(rate->most, least, &left) || left == INT64_MIN)
		return true;
	if (factor > 0)
		return fort_sym_bound(state, rate->sym[of], INT64_MIN, floor_div(left, factor));
	return fort_sym_bound(state, rate->sym[of], -floor_div(left, -factor), INT64_MAX);
}

static bool apply(struct fort_state *state, const struct fort_rate *rate)
{
	for (unsigned k = 0; k < FORT_RATE_TERMS; k++)
		if (rate->sym[k] && !apply_to(state, rate, k))
			return false;
	return true;
}

static bool is_about(const struct fort_rate *rate, uint32_t sym)
{
	return rate->sym[0] == sym || rate->sym[1] == sym || rate->sym[2] == sym;
}

/* The rate without a symbol whose number is known; false when that leaves none. */
static bool without_known(const struct fort_state *state, struct fort_rate *rate)
{
	struct sum rest = {.good = true};
	struct fort_rate out;
	int64_t known;

	for (unsigned k = 0; k < FORT_RATE_TERMS; k++)
		if (rate->sym[k] && fort_sym_is_known(state, rate->sym[k], &known))
			add_number(&rest, rate->factor[k], known);
		else if (rate->sym[k])
			add_symbol(&rest, rate->factor[k], rate->sym[k], NULL);
	if (!rate_of(&rest, rate->most, &out))
		return false;
	*rate = out;
	return true;
}

bool fort_rate_spread(struct fort_state *state, uint32_t sym)
{
	int64_t known;

	for (uint32_t i = 0; i < state->n_rates;) {
		struct fort_rate *rate = &state->rates[i];

		if (sym && !is_about(rate, sym)) {
			i++;
			continue;
		}
		if (!apply(state, rate))
			return false;
		if (sym && fort_sym_is_known(state, sym, &known) && !without_known(state, rate))
			drop(state, i);
		else
			i++;
	}
	return true;
}
