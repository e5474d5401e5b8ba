#include "verify/cost.h"

#include <errno.h>

#include "verify/search.h"

/* What keeps the states of a point apart is asked of one in so many. */
#define SAMPLE 8u

bool fort_cost_store(struct fort_search *s, struct fort_point *point,
		     const struct fort_state *state, const struct fort_state *with)
{
	struct fort_tally *tally = &point->tally;

	if (tally->most < point->n_waiting + 1)
		tally->most = point->n_waiting + 1;
	tally->branch = s->trail ? s->trail->pc : FORT_NO_BRANCH;
	if (++tally->states % SAMPLE || !with)
		return true;
	if (!tally->aparts)
		tally->aparts = FORT_ARENA_NEW(s->arena, struct fort_aparts);
	if (!tally->aparts)
		return false;
	fort_aparts_compare(tally->aparts, state, with);
	return true;
}

/* --- sums --- */

struct sums {
	const struct fort_search *s;
	uint64_t *loops;    /* by number */
	uint64_t *branches; /* by instruction */
	struct fort_cost *cost;
};

/* The loop and those around it. */
static void add_to_loops(struct sums *sums, uint32_t pc, uint64_t insns)
{
	const struct fort_loops *loops = sums->s->loops;

	for (uint32_t loop = loops->loop_of[pc]; loop != FORT_NO_LOOP;
	     loop = loops->loops[loop].parent)
		sums->loops[loop] += insns;
}

static bool is_head(const struct sums *sums, uint32_t pc)
{
	return fort_loop_headed(sums->s->loops, pc) != FORT_NO_LOOP;
}

static void add_point(struct sums *sums, const struct fort_point *point)
{
	const struct fort_tally *tally = &point->tally;
	const struct fort_context *context = point->context;

	add_to_loops(sums, point->pc, tally->insns);
	for (; context->caller; context = context->caller)
		add_to_loops(sums, context->call_pc, tally->insns);
	if (!is_head(sums, point->pc) && tally->states && tally->branch != FORT_NO_BRANCH)
		sums->branches[tally->branch] += tally->insns;
}

typedef void point_visitor(struct sums *sums, const struct fort_point *point);

static void each_point(struct sums *sums, point_visitor *visit)
{
	const struct fort_points *points = &sums->s->points;

	for (uint32_t i = 0; i < points->room; i++)
		for (const struct fort_point *p = points->table[i]; p; p = p->next)
			visit(sums, p);
}

/* --- the places with most --- */

static void rank(struct fort_cost *cost, enum fort_cost_kind kind, uint32_t pc, uint64_t insns)
{
	uint32_t at = cost->n_places;

	while (at && cost->places[at - 1].insns < insns)
		at--;
	if (at == FORT_COST_PLACES_MAX)
		return;
	if (cost->n_places < FORT_COST_PLACES_MAX)
		cost->n_places++;
	for (uint32_t i = cost->n_places - 1; i > at; i--)
		cost->places[i] = cost->places[i - 1];
	cost->places[at] = (struct fort_cost_place){.kind = kind, .pc = pc, .insns = insns};
}

static uint32_t percent_of(uint64_t part, uint64_t all)
{
	return (uint32_t)((part * 100 + all / 2) / all);
}

/* What has less than a hundredth is not worth a line. */
static void rank_all(struct sums *sums)
{
	const struct fort_search *s = sums->s;
	uint64_t all = s->result->insns_processed, least = all / 100 + 1;

	for (uint32_t i = 0; i < s->loops->n_loops; i++)
		if (sums->loops[i] >= least)
			rank(sums->cost, FORT_COST_LOOP, s->loops->loops[i].head, sums->loops[i]);
	for (uint32_t pc = 0; pc < s->env->graph->program.n_insns; pc++)
		if (sums->branches[pc] >= least)
			rank(sums->cost, FORT_COST_BRANCH, pc, sums->branches[pc]);
	for (uint32_t i = 0; i < sums->cost->n_places; i++)
		sums->cost->places[i].percent = percent_of(sums->cost->places[i].insns, all);
}

static uint32_t max(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static uint32_t turns_of(const struct fort_point *point)
{
	uint32_t turns = 0;

	for (const struct fort_layer *layer = point->layers; layer; layer = layer->next)
		turns = max(turns, layer->turn);
	return turns;
}

static void describe(struct sums *sums, const struct fort_point *point)
{
	const struct fort_tally *tally = &point->tally;
	bool head = is_head(sums, point->pc);
	uint32_t pc = head ? point->pc : tally->branch, turns = head ? turns_of(point) : 0;

	for (uint32_t i = 0; i < sums->cost->n_places; i++) {
		struct fort_cost_place *place = &sums->cost->places[i];

		if (place->pc != pc || (place->kind == FORT_COST_LOOP) != head || !tally->states)
			continue;
		place->states += tally->states;
		place->most = max(place->most, tally->most);
		place->turns = max(place->turns, turns);
		if (tally->aparts)
			fort_aparts_add(&place->aparts, tally->aparts);
	}
}

/* Most often first. */
static void sort_aparts(struct fort_aparts *aparts)
{
	for (uint32_t i = 1; i < aparts->n; i++)
		for (uint32_t k = i; k && aparts->items[k - 1].n < aparts->items[k].n; k--) {
			struct fort_apart swap = aparts->items[k];

			aparts->items[k] = aparts->items[k - 1];
			aparts->items[k - 1] = swap;
		}
}

/* All that is in a loop is done once a round; all that is behind a branch, once for each state. */
static uint32_t factor(const struct fort_cost_place *place)
{
	return max(place->turns, place->most);
}

/* Loops around one another share their instructions, so it is not the first. */
static void choose_worst(struct fort_cost *cost)
{
	cost->worst = cost->n_places;
	for (uint32_t i = 0; i < cost->n_places; i++) {
		const struct fort_cost_place *place = &cost->places[i];

		if (place->insns >= cost->places[0].insns / 2 && place->aparts.n &&
		    (cost->worst == cost->n_places ||
		     factor(place) > factor(&cost->places[cost->worst])))
			cost->worst = i;
	}
}

int fort_cost_sum(struct fort_search *s, const struct fort_cost **out)
{
	struct sums sums = {.s = s,
			    .loops = FORT_ARENA_ARRAY(s->arena, s->loops->n_loops + 1, uint64_t),
			    .branches = FORT_ARENA_ARRAY(s->arena, s->env->graph->program.n_insns,
							 uint64_t),
			    .cost = FORT_ARENA_NEW(s->arena, struct fort_cost)};

	if (!sums.loops || !sums.branches || !sums.cost)
		return -ENOMEM;
	each_point(&sums, add_point);
	rank_all(&sums);
	each_point(&sums, describe);
	for (uint32_t i = 0; i < sums.cost->n_places; i++)
		sort_aparts(&sums.cost->places[i].aparts);
	choose_worst(sums.cost);
	sums.cost->doubt = s->doubt;
	*out = sums.cost;
	return 0;
}
