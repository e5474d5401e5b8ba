/* Facts that connect values: symbols of numbers, results of one call, proven packet bytes. */
#include "step/rules.h"

struct narrow {
	uint32_t sym;
	int64_t delta;
	const struct fort_scalar *num;
	bool some;
};

static bool narrow_one(struct fort_value *value, void *context)
{
	struct narrow *narrow = context;
	struct fort_scalar moved;

	if (value->type == FORT_NONE || value->sym != narrow->sym)
		return true;
	moved = fort_scalar_plus(narrow->num, fort_wrap_sub(value->delta, narrow->delta));
	narrow->some = fort_scalar_meet(&value->num, &moved);
	if (narrow->some && fort_scalar_is_const(&value->num) && value->type == FORT_NUM)
		value->sym = 0; /* a known number needs no relatives */
	return narrow->some;
}

bool fort_relate_narrow(struct fort_state *state, uint32_t sym, int64_t delta,
			const struct fort_scalar *num)
{
	struct narrow narrow = {.sym = sym, .delta = delta, .num = num, .some = true};

	return fort_state_visit(state, narrow_one, &narrow) && narrow.some;
}

struct null_test {
	struct fort_state *state;
	uint32_t id;
	bool null;
};

static bool null_one(struct fort_value *value, void *context)
{
	struct null_test *test = context;

	if (!fort_value_is_pointer(value) || !value->maybe_null || value->id != test->id)
		return true;
	if (test->null) {
		*value = fort_value_const(0);
	} else {
		value->maybe_null = 0;
		value->id = 0;
	}
	return true;
}

void fort_relate_null(struct fort_state *state, uint32_t id, bool null)
{
	struct null_test test = {.state = state, .id = id, .null = null};

	(void)fort_state_visit(state, null_one, &test);
}

bool fort_value_is_near(const struct fort_value *value)
{
	const int64_t far = 1ll << 61;

	return fort_scalar_smin(&value->num) >= -far && fort_scalar_smax(&value->num) <= far;
}

struct range_fact {
	enum fort_type type;
	uint32_t sym;
	int64_t delta, range;
};

static bool range_one(struct fort_value *value, void *context)
{
	struct range_fact *fact = context;
	int64_t distance, range;

	if (value->type != fact->type || value->sym != fact->sym || !fort_value_is_near(value) ||
	    (!value->sym && !fort_scalar_is_const(&value->num)))
		return true;
	/* value = fact's pointer + distance, so it has that much less before it. */
	distance = fort_wrap_sub(value->sym ? value->delta : fort_scalar_smin(&value->num),
				 fact->delta);
	if (distance > INT32_MAX || distance < -INT32_MAX)
		return true;
	range = fact->range - distance;
	if (range > value->range && range <= INT32_MAX && range > FORT_RANGE_NONE)
		value->range = (int32_t)range;
	return true;
}

void fort_relate_range(struct fort_state *state, enum fort_type type, uint32_t sym, int64_t delta,
		       int64_t range)
{
	struct range_fact fact = {.type = type, .sym = sym, .delta = delta, .range = range};

	(void)fort_state_visit(state, range_one, &fact);
}

bool fort_ref_acquire(struct fort_rule *rule, uint32_t *id)
{
	struct fort_state *state = rule->state;

	if (state->n_refs == FORT_REFS_MAX)
		return fort_rule_bad(rule, FORT_DIAG_REF_LIMIT, FORT_REGS, FORT_REFS_MAX,
				     FORT_REFS_MAX + 1, 0, 0);
	*id = fort_rule_fresh(rule);
	state->refs[state->n_refs++] = (struct fort_ref){.id = *id, .pc = rule->pc};
	return true;
}

static bool forget_ref(struct fort_value *value, void *context)
{
	const uint32_t *id = context;

	/* What is left in the register is a number of no use: the window's address. */
	if (value->type != FORT_NONE && value->ref == *id)
		*value = fort_value_unknown();
	return true;
}

void fort_ref_release(struct fort_state *state, uint32_t id)
{
	for (uint32_t i = 0; i < state->n_refs; i++) {
		if (state->refs[i].id != id)
			continue;
		state->n_refs--;
		for (; i < state->n_refs; i++)
			state->refs[i] = state->refs[i + 1];
	}
	(void)fort_state_visit(state, forget_ref, &id);
}
