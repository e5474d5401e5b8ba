/* Arrivals: what becomes of a state where paths may meet. */
#include "verify/search.h"

#include <string.h>

#include "proof/cover.h"
#include "step/rate.h"
#include "verify/cost.h"

/* --- spots --- */

static enum fort_progress add_edge(struct fort_search *s, struct fort_spot *spot)
{
	if (s->n_edges == s->edges_room) {
		uint32_t room = s->edges_room ? s->edges_room * 2 : 64;
		struct fort_spot **edges = FORT_ARENA_ARRAY(s->arena, room, struct fort_spot *);

		if (!edges)
			return fort_search_no_memory(s);
		if (s->n_edges)
			memcpy(edges, s->edges, s->n_edges * sizeof(*edges));
		s->edges = edges;
		s->edges_room = room;
	}
	s->edges[s->n_edges++] = spot;
	return FORT_ENDS;
}

/* Dead spots are taken out when they are met. */
static struct fort_spot *live_spots(struct fort_point *point)
{
	struct fort_spot **at = &point->spots;

	while (*at)
		if ((*at)->dead)
			*at = (*at)->next;
		else
			at = &(*at)->next;
	return point->spots;
}

static uint64_t shape_of(const struct fort_search *s, const struct fort_state *state)
{
	const uint32_t uninit = FORT_MAY_READ_UNINIT_STACK | FORT_MAY_LEAK_POINTERS;

	return fort_state_shape(state, (s->env->rights & uninit) == uninit);
}

/* What a settled state is like. */
struct likeness {
	uint64_t shape, constants;
};

static struct likeness likeness_of(const struct fort_search *s, const struct fort_state *state)
{
	return (struct likeness){shape_of(s, state), fort_state_constants(state, s->loads)};
}

static void describe(struct fort_spot *spot, struct likeness like)
{
	spot->shape = like.shape;
	spot->constants = like.constants;
}

/* Leaves out what is dead, so that states can be compared. */
static bool tidy(struct fort_search *s, struct fort_state *state, uint32_t pc)
{
	fort_state_forget_dead(state, s->live, pc);
	return fort_state_settle(&s->pool, state);
}

static bool settle_spot(struct fort_search *s, struct fort_spot *spot)
{
	if (spot->settled)
		return true;
	if (!tidy(s, spot->state, spot->point->pc))
		return false;
	spot->settled = true;
	describe(spot, likeness_of(s, spot->state));
	return true;
}

/* Another state that was stored there, or in a time around before, and has not been given up. */
static const struct fort_state *find_other(const struct fort_point *point,
					   const struct fort_layer *layer)
{
	const struct fort_spot *spot = layer ? layer->members : point->spots;

	if (layer && !spot)
		spot = layer->probe->members;
	while (spot && !spot->state)
		spot = spot->next;
	return spot ? spot->state : NULL;
}

/* The state becomes a spot of its own. `like`: NULL while it is not settled. */
static enum fort_progress store(struct fort_search *s, struct fort_point *point,
				struct fort_layer *layer, struct fort_layer *origin,
				const struct likeness *like)
{
	struct fort_spot *spot = fort_arena_room(s->arena, sizeof(*spot));

	if (!spot || !fort_cost_store(s, point, s->state, find_other(point, layer)))
		return fort_search_no_memory(s);
	*spot = (struct fort_spot){.point = point,
				   .layer = layer,
				   .origin = origin,
				   .state = s->state,
				   .from = s->spot,
				   .from_edge = s->n_edges,
				   .from_works = s->spot->works,
				   .trail = s->trail,
				   .root = s->spot->root,
				   .exact = s->exact,
				   .settled = like,
				   .pending = true};
	s->state = NULL;
	if (like)
		describe(spot, *like);
	if (layer) {
		spot->next = layer->members;
		layer->members = spot;
		layer->n_members++;
	} else {
		spot->next = point->spots;
		point->spots = spot;
		point->n_spots++;
	}
	if (origin) {
		spot->next_derived = origin->derived;
		origin->derived = spot;
	}
	point->n_waiting++;
	if (++s->result->total_states && point->n_spots > s->result->max_states_per_insn)
		s->result->max_states_per_insn = point->n_spots;
	if (!fort_points_wait(&s->points, point))
		return fort_search_no_memory(s);
	return add_edge(s, spot);
}

/* The spot takes the state over. */
static enum fort_progress take_over(struct fort_search *s, struct fort_spot *spot,
				    const struct fort_widening *widening)
{
	s->work += 4;
	s->err = fort_state_join(&s->pool, spot->state, s->state, widening);
	if (s->err)
		return FORT_FAILED;
	spot->exact = false;
	spot->settled = true;
	spot->joins++;
	describe(spot, likeness_of(s, spot->state));
	if (!spot->pending) {
		spot->pending = true;
		spot->point->n_waiting++;
	}
	if (!fort_points_wait(&s->points, spot->point))
		return fort_search_no_memory(s);
	return add_edge(s, spot);
}

/* As if no caller's variable were ever read again. */
static bool covered_but_for_variables(struct fort_search *s, const struct fort_spot *spot)
{
	struct fort_state *less = fort_state_clone(&s->pool, spot->state);
	bool good;

	if (!less)
		return false;
	for (unsigned r = FORT_R6; r <= FORT_R9; r++)
		*fort_state_reg(less, r) = (struct fort_value){0};
	good = fort_state_covers(&s->pool, less, s->state);
	fort_state_free(&s->pool, less);
	return good;
}

static bool covered(struct fort_search *s, const struct fort_spot *spot)
{
	s->work++;
	switch (s->options->sabotage) {
	case FORT_SABOTAGE_PRUNE: return true;
	case FORT_SABOTAGE_LIVENESS: return covered_but_for_variables(s, spot);
	case FORT_SABOTAGE_PRECISION: return spot->shape == shape_of(s, s->state);
	default: return fort_state_covers(&s->pool, spot->state, s->state);
	}
}

/* --- places where no loop begins --- */

/* States of different shapes are kept apart so many times longer than others: what is not of one
 * kind in both is lost by a join. */
#define SHAPES 4u

/* The spot of the list that takes the state over, or NULL. `n`: how many there are that might. */
static struct fort_spot *merge_partner(const struct fort_search *s, const struct likeness *like,
				       struct fort_spot *list, const struct fort_layer *origin,
				       bool in_layer)
{
	struct fort_spot *other = NULL, *any = NULL;
	uint32_t n = 0;

	for (struct fort_spot *spot = list; spot; spot = spot->next) {
		if (!spot->pending || (!in_layer && spot->origin != origin))
			continue;
		n++;
		if (spot->shape == like->shape && s->policy->constants &&
		    spot->constants == like->constants)
			return spot;
		if (!other && spot->shape == like->shape)
			other = spot;
		if (!any && spot->state->n_refs == s->state->n_refs &&
		    spot->state->lock.type == s->state->lock.type)
			any = spot;
	}
	if (n < s->policy->keep)
		return NULL;
	return other || n < SHAPES * s->policy->keep ? other : any;
}

static bool settle(struct fort_search *s)
{
	return fort_state_settle(&s->pool, s->state);
}

static enum fort_progress arrive_plain(struct fort_search *s, struct fort_point *point,
				       struct fort_layer *origin)
{
	struct fort_spot *spots = live_spots(point), *partner;
	struct likeness like;

	if (!point->n_spots && !origin)
		return settle(s) ? store(s, point, NULL, origin, NULL) : fort_search_no_memory(s);
	if (!tidy(s, s->state, s->pc))
		return fort_search_no_memory(s);
	for (struct fort_spot *spot = spots; spot; spot = spot->next) {
		if (spot->origin != origin)
			continue;
		if (!settle_spot(s, spot))
			return fort_search_no_memory(s);
		if (covered(s, spot)) {
			fort_narrate_pruned(s->narrator, s->before, s->pc);
			return add_edge(s, spot);
		}
	}
	like = likeness_of(s, s->state);
	partner = merge_partner(s, &like, spots, origin, false);
	return partner ? take_over(s, partner, NULL) : store(s, point, NULL, origin, &like);
}

/* --- heads of loops --- */

static bool comes_from(const struct fort_spot *spot, const struct fort_spot *ancestor)
{
	while (spot && spot != ancestor)
		spot = spot->from;
	return spot;
}

/* Is the path back in a state in which it was before, exactly? Then the loop does not end. It is
 * compared with the time around whose number is a power of two (Brent): a cycle meets that within
 * three times its length. */
static bool repeats(struct fort_search *s, const struct fort_layer *layer)
{
	for (const struct fort_spot *spot = layer->probe->members; spot; spot = spot->next)
		if (spot->exact && spot->state &&
		    fort_state_covers(&s->pool, spot->state, s->state) &&
		    fort_state_covers(&s->pool, s->state, spot->state) && comes_from(s->spot, spot))
			return true;
	return false;
}

/* So often a bound stops at a number that the program compares with; then it has none. */
#define PATIENCE 2u

/* So often bounds come from the counters' bounds: a chain of joins is bounded without. */
#define REDUCTIONS 4u

static const struct fort_counters *counters_of(struct fort_search *s, struct fort_point *point)
{
	struct fort_counters *counters;

	if (point->counters)
		return point->counters;
	counters = FORT_ARENA_NEW(s->arena, struct fort_counters);
	if (counters)
		fort_counters_find(&s->env->graph->program, s->loops, point->pc,
				   (uint8_t)(s->state->n_frames - 1), counters);
	point->counters = counters;
	return counters;
}

static bool choose_again(struct fort_search *s, struct fort_layer *layer,
			 const struct fort_spot *member)
{
	const struct fort_counters *counters = counters_of(s, layer->point);

	if (counters)
		fort_layer_choose_again(s, layer, counters, member->state, s->state);
	return counters;
}

/* A member of the layer takes the state over, and gets larger than it must. */
static enum fort_progress widen(struct fort_search *s, struct fort_layer *layer,
				struct fort_spot *member)
{
	struct fort_widening widening = {.counters = counters_of(s, layer->point),
					 .reduces = layer->visits <= REDUCTIONS};

	if (!widening.counters)
		return fort_search_no_memory(s);
	if (layer->visits <= PATIENCE) {
		widening.thresholds = s->widening.thresholds;
		widening.n = s->widening.n;
	}
	return take_over(s, member, &widening);
}

/* The member that can take the state over without losing a type: best the one that it comes from.
 */
static struct fort_spot *member_like(const struct fort_search *s, const struct fort_layer *layer)
{
	uint64_t shape = shape_of(s, s->state);
	struct fort_spot *found = NULL;

	for (struct fort_spot *spot = layer->members; spot; spot = spot->next) {
		if (spot->shape != shape)
			continue;
		found = spot;
		if (comes_from(s->spot, spot))
			break;
	}
	return found;
}

/* The invariant did not cover what came around: it becomes larger, and all is done again. */
static enum fort_progress grow(struct fort_search *s, struct fort_layer *layer)
{
	struct fort_spot *same = member_like(s, layer);
	struct likeness like;

	fort_layer_clear(s, layer);
	if (same && !layer->visits && !choose_again(s, layer, same))
		return fort_search_no_memory(s);
	for (uint32_t i = 0; i < layer->n_ranks; i++)
		layer->ranks[i].rises = layer->ranks[i].falls = true;
	layer->visits++;
	for (struct fort_spot *spot = layer->members; spot; spot = spot->next) {
		if (!spot->pending)
			layer->point->n_waiting++;
		spot->pending = true;
	}
	s->again = true; /* so is the region that this path belongs to */
	if (same)
		return widen(s, layer, same);
	like = likeness_of(s, s->state);
	return store(s, layer->point, layer, layer->outer, &like);
}

static enum fort_progress arrive_in_layer(struct fort_search *s, struct fort_layer *layer)
{
	struct fort_spot *partner;
	struct likeness like;

	for (struct fort_spot *spot = layer->members; spot; spot = spot->next)
		if (spot->state && covered(s, spot)) {
			fort_narrate_pruned(s->narrator, s->before, s->pc);
			return add_edge(s, spot);
		}
	if (layer->begun && layer->wide) {
		if (s->options->sabotage == FORT_SABOTAGE_WIDENING)
			return add_edge(s, layer->members);
		return grow(s, layer);
	}
	like = likeness_of(s, s->state);
	partner = merge_partner(s, &like, layer->members, NULL, true);
	if (partner)
		return take_over(s, partner, NULL);
	return store(s, layer->point, layer, layer->outer, &like);
}

/* The layer for a state that enters the loop from outside. */
static struct fort_layer *entry_layer(struct fort_search *s, struct fort_point *point,
				      struct fort_layer *outer)
{
	struct fort_layer *layer = outer ? outer->inside : point->layers;

	for (; layer; layer = outer ? layer->beside : layer->next)
		if (layer->point == point && layer->outer == outer && !layer->turn &&
		    (layer->wide || !layer->begun))
			return layer;
	return fort_layer_new(s, point, outer, NULL);
}

/* So many rounds of one loop have states of their own; a counter may be set back. */
#define ROUNDS_APART 4u

static bool ends_soon(struct fort_search *s, const struct fort_layer *layer)
{
	const struct fort_counters *counters = counters_of(s, layer->point);
	const struct fort_spot *member = layer->members;

	while (member && !comes_from(s->spot, member))
		member = member->next;
	return layer->turn < ROUNDS_APART && counters && member && member->state &&
	       fort_counters_end_soon(counters, member->state, s->state);
}

/* The layer for one that came around. */
static struct fort_layer *next_layer(struct fort_search *s, struct fort_layer *layer)
{
	if (layer->wide && !layer->closed && !layer->ends_soon)
		layer->ends_soon = ends_soon(s, layer);
	if (layer->ends_soon) {
		fort_layer_leave(s->state, layer->outer);
	} else if (layer->wide) {
		fort_layer_around_again(layer, s->state);
		return layer;
	}
	if (!layer->after)
		layer->after = fort_layer_new(s, layer->point, layer->outer, layer);
	return layer->after;
}

static enum fort_progress arrive_at_head(struct fort_search *s, struct fort_point *point,
					 struct fort_layer *origin)
{
	bool around = origin && origin->point == point;
	struct fort_layer *layer;

	if (!tidy(s, s->state, s->pc))
		return fort_search_no_memory(s);
	if (around && !origin->wide && s->exact && repeats(s, origin))
		return fort_search_reject(s, FORT_DIAG_INFINITE_LOOP, 0);
	layer = around ? next_layer(s, origin) : entry_layer(s, point, origin);
	if (!layer)
		return fort_search_no_memory(s);
	if (layer->wide)
		fort_layer_forget_counts(s, layer, s->state);
	return arrive_in_layer(s, layer);
}

/* Nothing else can arrive here: no path of the region waits, and nothing earlier is to be done. */
static bool is_alone(const struct fort_search *s, const struct fort_point *point,
		     const struct fort_layer *origin)
{
	return !s->todo && !origin && !point->n_spots && !s->points.n_heap &&
	       (!s->spot->point || !s->spot->point->n_waiting);
}

enum fort_progress fort_search_arrive(struct fort_search *s, bool jumped)
{
	struct fort_layer *own = s->spot->layer ? s->spot->layer : s->spot->origin, *origin;
	const struct fort_context *context;
	struct fort_point *point;

	context = fort_points_context(&s->points, s->state, s->spot->root);
	point = context ? fort_points_at(&s->points, context, s->pc) : NULL;
	if (!point)
		return fort_search_no_memory(s);
	origin = fort_layer_around(s, own, context, s->pc);
	fort_layer_leave(s->state, origin);
	if (fort_loop_headed(s->loops, s->pc) != FORT_NO_LOOP)
		return arrive_at_head(s, point, origin);
	if (jumped || !is_alone(s, point, origin))
		return arrive_plain(s, point, origin);
	if (!settle(s) || add_edge(s, NULL) == FORT_FAILED)
		return fort_search_no_memory(s);
	return FORT_GOES_ON;
}

/* --- work --- */

static bool keep_bytes(struct fort_search *s, const struct fort_buf *bytes, struct fort_span *out)
{
	*out = (struct fort_span){fort_arena_copy(s->arena, bytes->data, bytes->bytes),
				  bytes->bytes};
	return out->data;
}

/* Is it inside of a loop that has an invariant? There the search has more ghosts than the
 * certificate, and what is known may depend on them. */
static bool has_ghosts(const struct fort_spot *spot)
{
	const struct fort_layer *layer = spot->layer ? spot->layer : spot->origin;

	while (layer && !layer->wide)
		layer = layer->outer;
	return layer;
}

/* Is the state what arrived first, less what is dead? Not at the head of a loop, which forgets
 * more; nor where ghosts were about, or rates are, which change as what is dead is left out. */
static bool is_what_arrived(const struct fort_spot *spot)
{
	return !spot->joins && !spot->layer && !has_ghosts(spot) && !has_ghosts(spot->from) &&
	       !spot->state->n_rates;
}

static bool keep_claim(struct fort_search *s, struct fort_spot *spot)
{
	s->body.bytes = 0;
	s->ghosts.bytes = 0;
	fort_claim_write(&s->body, &s->ghosts, spot->state);
	s->err = s->body.err ? s->body.err : s->ghosts.err;
	if (s->err || !keep_bytes(s, &s->body, &spot->claim) ||
	    !keep_bytes(s, &s->ghosts, &spot->ghosts))
		return false;
	if (!is_what_arrived(spot))
		return true;
	s->body.bytes = 0;
	fort_claim_write_kept(&s->body, spot->state);
	s->err = s->body.err;
	return !s->err && keep_bytes(s, &s->body, &spot->kept);
}

/* What it came to says less than it may say now: how numbers move with the counters of loops around
 * it was found since. */
static bool is_outdated(const struct fort_state *memory, const struct fort_state *now)
{
	for (uint32_t i = 0; i < memory->n_rates; i++)
		if (memory->rates[i].sym[FORT_RATE_TERMS - 1])
			return false;
	return memory->n_rates && now->n_rates;
}

/* Begins with what the loop came to before: mostly that is its invariant already. */
static bool recall(struct fort_search *s, struct fort_spot *spot)
{
	const struct fort_layer *outer = spot->layer->outer;
	struct fort_point *point = spot->point;
	bool good = true;

	if (!point->memory || point->memory_of != outer ||
	    (outer && point->memory_number != outer->number))
		return true;
	if (shape_of(s, point->memory) == spot->shape && !is_outdated(point->memory, spot->state)) {
		s->err = fort_state_join(&s->pool, spot->state, point->memory, NULL);
		good = !s->err;
		spot->exact = false;
		spot->joins++;
		spot->layer->visits++;
	}
	fort_state_free(&s->pool, point->memory);
	point->memory = NULL;
	return good;
}

/* The spot no longer waits: nothing that arrives later is compared with it. */
static void take_out(struct fort_spot *spot)
{
	struct fort_spot **at = &spot->point->spots;

	while (*at != spot)
		at = &(*at)->next;
	*at = spot->next;
}

/* As if what moves with a counter had begun one access earlier. */
static void understate_rates(struct fort_state *state)
{
	for (uint32_t i = 0; i < state->n_rates; i++)
		state->rates[i].most -= 8;
	(void)!fort_rate_spread(state, 0);
}

enum fort_progress fort_search_begin(struct fort_search *s, struct fort_spot *spot,
				     struct fort_state **out)
{
	if (!spot->layer)
		take_out(spot);
	spot->pending = false;
	spot->point->n_waiting--;
	if (spot->layer && spot->layer->wide && !spot->layer->begun && !recall(s, spot))
		return FORT_FAILED;
	if (s->options->sabotage == FORT_SABOTAGE_RATES && spot->state)
		understate_rates(spot->state);
	/* What is dead was left out, so the checker must begin here too. */
	if (spot->settled && !keep_claim(s, spot))
		return s->err ? FORT_FAILED : fort_search_no_memory(s);
	/* Only heads of loops are compared with what comes later. */
	if (!spot->layer || (!spot->layer->wide && !fort_layer_is_probe(spot->layer))) {
		*out = spot->state;
		spot->state = NULL;
		if (spot->layer)
			spot->layer->begun = true;
		return FORT_GOES_ON;
	}
	*out = fort_state_clone(&s->pool, spot->state);
	if (!*out)
		return fort_search_no_memory(s);
	fort_layer_enter(s, spot->layer, *out);
	spot->layer->begun = true;
	return FORT_GOES_ON;
}
