#include "step/integers.h"

struct fort_term fort_term_of(const struct fort_value *value)
{
	int64_t low, high, unused;
	struct fort_term term = {0, 0, true};

	if (!value)
		return term;
	low = fort_scalar_smin(&value->num);
	high = fort_scalar_smax(&value->num);
	if (low == high)
		return (struct fort_term){0, low, true};
	term = (struct fort_term){value->sym, value->delta,
				  value->sym && value->delta != INT64_MIN};
	term.good = term.good && fort_adds(low, -term.plus, &unused) &&
		    fort_adds(high, -term.plus, &unused);
	return term;
}

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

bool fort_sym_narrow(struct fort_state *state, uint32_t sym, int64_t delta,
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

void fort_sym_part(struct fort_state *state, uint32_t sym)
{
	(void)fort_state_each(state, part_one, &sym);
}

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
	struct fort_term term = fort_term_of(value);
	int64_t out;

	if (is_known(value, &out))
		return out;
	return value && term.good && term.sym &&
			       fort_adds(fort_high_of(value), fort_minus(term.plus), &out)
		       ? out
		       : INT64_MAX;
}

static int64_t low_by(const struct fort_value *value)
{
	struct fort_term term = fort_term_of(value);
	int64_t out;

	if (is_known(value, &out))
		return out;
	return value && term.good && term.sym &&
			       fort_adds(fort_low_of(value), fort_minus(term.plus), &out)
		       ? out
		       : INT64_MIN;
}

int64_t fort_sym_high(const struct fort_state *state, uint32_t sym)
{
	return sym ? high_by(carrier_of(state, sym)) : 0;
}

int64_t fort_sym_low(const struct fort_state *state, uint32_t sym)
{
	return sym ? low_by(carrier_of(state, sym)) : 0;
}

bool fort_sym_bound(struct fort_state *state, uint32_t sym, int64_t low, int64_t high)
{
	const struct fort_value *value = carrier_of(state, sym);
	struct fort_scalar range;
	bool known;

	if (!value || (low <= low_by(value) && high_by(value) <= high))
		return true;
	if (low > high)
		return false;
	range = fort_scalar_signed_range(low, high);
	if (!fort_sym_narrow(state, sym, 0, &range, &known))
		return false;
	if (known)
		fort_sym_part(state, sym);
	return true;
}

bool fort_sym_is_held(const struct fort_state *state, uint32_t sym)
{
	return carrier_of(state, sym);
}

bool fort_sym_is_known(const struct fort_state *state, uint32_t sym, int64_t *out)
{
	return is_known(carrier_of(state, sym), out);
}
