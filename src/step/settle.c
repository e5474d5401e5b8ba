/* Ids without gaps (state.h). */
#include "step/state.h"

#include <string.h>

/* Values that a state can have: of frames, of the packet, the metadata and the lock, of ghosts. */
#define VALUES_MAX (FORT_FRAMES_MAX * (FORT_REGS + FORT_STACK_SLOTS + 2) + 3 + FORT_GHOSTS_MAX)

struct ids {
	uint16_t *holders; /* of each old id; saturates */
	uint32_t *now;     /* its new number */
	uint32_t n, n_named;
	struct fort_value *named[VALUES_MAX]; /* values with ids, in order */
};

/* Counts the value's ids; most have none, and are done. */
static inline bool count_value(struct fort_value *value, void *context)
{
	struct ids *ids = context;

	if (value->type == FORT_NONE)
		return true;
	if (!(value->id | value->ref | value->sym | value->base)) {
		value->delta = 0;
		return true;
	}
	ids->named[ids->n_named++] = value;
	if (value->sym && ids->holders[value->sym] < UINT16_MAX)
		ids->holders[value->sym]++;
	if (value->base && ids->holders[value->base] < UINT16_MAX)
		ids->holders[value->base]++;
	return true;
}

static void drop_facts(struct ids *ids, struct fort_state *state)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < state->n_facts; i++) {
		struct fort_fact fact = state->facts[i];

		if (ids->holders[fact.a] && (!fact.b || ids->holders[fact.b]) &&
		    (!fact.c || ids->holders[fact.c]))
			state->facts[n++] = fact;
	}
	state->n_facts = n;
	/* A symbol that a fact is about is needed, whoever has it. */
	for (uint32_t i = 0; i < n; i++) {
		ids->holders[state->facts[i].a] = UINT16_MAX;
		ids->holders[state->facts[i].b] = UINT16_MAX;
		ids->holders[state->facts[i].c] = UINT16_MAX;
	}
}

static uint32_t renumber(struct ids *ids, uint32_t id)
{
	if (id && !ids->now[id])
		ids->now[id] = ++ids->n;
	return id ? ids->now[id] : 0;
}

static void renumber_value(struct ids *ids, struct fort_value *value)
{
	value->id = renumber(ids, value->id);
	value->ref = renumber(ids, value->ref);
	value->base = ids->holders[value->base] > 1 || (value->flags & FORT_LOCKABLE)
			      ? renumber(ids, value->base)
			      : 0;
	/* A pointer at an unknown offset keeps its symbol: comparisons go by it. */
	if (value->sym && ids->holders[value->sym] == 1 &&
	    (value->type == FORT_NUM || fort_scalar_is_const(&value->num)))
		value->sym = 0;
	value->sym = renumber(ids, value->sym);
	if (!value->sym)
		value->delta = 0;
}

bool fort_state_settle(struct fort_pool *pool, struct fort_state *state)
{
	size_t n = state->next_id;
	struct ids ids;

	ids.n = ids.n_named = 0;
	ids.now = fort_pool_scratch(pool, n * (sizeof(uint32_t) + sizeof(uint16_t)));
	if (!ids.now)
		return false;
	memset(ids.now, 0, n * (sizeof(uint32_t) + sizeof(uint16_t)));
	ids.holders = (uint16_t *)(ids.now + n);
	(void)fort_state_each(state, count_value, &ids);
	drop_facts(&ids, state);
	ids.holders[0] = 0;
	for (uint32_t i = 0; i < ids.n_named; i++)
		renumber_value(&ids, ids.named[i]);
	for (uint32_t i = 0; i < state->n_refs; i++)
		state->refs[i].id = renumber(&ids, state->refs[i].id);
	for (uint32_t i = 0; i < state->n_facts; i++) {
		state->facts[i].a = renumber(&ids, state->facts[i].a);
		state->facts[i].b = renumber(&ids, state->facts[i].b);
		state->facts[i].c = renumber(&ids, state->facts[i].c);
	}
	state->next_id = ids.n + 1;
	return true;
}
