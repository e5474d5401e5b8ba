#include "verify/walk.h"

#include <errno.h>

/* --- what was decided --- */

static uint32_t length_of(const struct fort_trail *trail)
{
	uint32_t n = 0;

	for (; trail; trail = trail->before)
		n++;
	return n;
}

static void count(struct fort_walk *walk)
{
	const struct fort_trail *trail = walk->s->trail;

	walk->n_spots = walk->n_trail = 0;
	for (const struct fort_spot *spot = walk->s->spot; spot;
	     trail = spot->trail, spot = spot->from) {
		walk->n_trail += length_of(trail);
		walk->n_spots++;
	}
}

static bool collect(struct fort_walk *walk)
{
	const struct fort_trail *trail = walk->s->trail;
	struct fort_arena *arena = walk->s->arena;
	uint32_t n, i;

	count(walk);
	n = walk->n_trail;
	i = walk->n_spots;
	walk->trail = FORT_ARENA_ARRAY(arena, n, const struct fort_trail *);
	walk->spots = FORT_ARENA_ARRAY(arena, i, const struct fort_spot *);
	walk->ends = FORT_ARENA_ARRAY(arena, i, uint32_t);
	if (!walk->trail || !walk->spots || !walk->ends)
		return false;
	for (const struct fort_spot *spot = walk->s->spot; spot;
	     trail = spot->trail, spot = spot->from) {
		walk->spots[--i] = spot;
		walk->ends[i] = n;
		for (; trail; trail = trail->before)
			walk->trail[--n] = trail;
	}
	return true;
}

int fort_walk_start(struct fort_walk *walk, struct fort_search *s)
{
	struct fort_root root = fort_search_root(s, s->spot->root);

	*walk = (struct fort_walk){.s = s,
				   .pc = s->env->graph->program.subprogs[root.subprog].start};
	if (!collect(walk))
		return -ENOMEM;
	return fort_step_enter(s->env, &s->pool, &root, &walk->state);
}

void fort_walk_end(struct fort_walk *walk)
{
	fort_state_free(&walk->s->pool, walk->state);
	walk->state = NULL;
}

/* --- from region to region --- */

static bool in_last_region(const struct fort_walk *walk)
{
	return walk->at_spot + 1 == walk->n_spots;
}

/* All decisions of the region have been taken. */
static bool region_ends(const struct fort_walk *walk)
{
	return walk->at == walk->ends[walk->at_spot];
}

bool fort_walk_is_over(const struct fort_walk *walk)
{
	return walk->s->own && in_last_region(walk) && region_ends(walk) && walk->pc == walk->s->pc;
}

static bool is_at(const struct fort_walk *walk, const struct fort_spot *spot)
{
	return spot->point->pc == walk->pc &&
	       spot->point->context ==
		       fort_points_context(&walk->s->points, walk->state, spot->root);
}

/* The state becomes the one that the spot was worked on with: its claim says all that mattered. */
static bool take_joined(struct fort_walk *walk, const struct fort_spot *spot)
{
	struct fort_search *s = walk->s;
	struct fort_buf *claim = &s->body;
	struct fort_state *joined;

	claim->bytes = 0;
	fort_buf_put(claim, spot->claim.data, spot->claim.bytes);
	fort_buf_varint(claim, 0); /* no ghosts */
	s->err = claim->err ? claim->err
			    : fort_claim_read((struct fort_span){claim->data, claim->bytes},
					      &s->pool, s->env, 0, &joined);
	if (s->err)
		return false;
	/* Claims do not say where references come from. */
	for (uint32_t i = 0; i < joined->n_refs && i < walk->state->n_refs; i++)
		joined->refs[i].pc = walk->state->refs[i].pc;
	fort_state_free(&s->pool, walk->state);
	walk->state = joined;
	return true;
}

/* The search stored what arrived here: what is dead was left out of it, and it was joined with
 * others perhaps. */
static enum fort_walk_move enter_region(struct fort_walk *walk)
{
	const struct fort_spot *spot = walk->spots[++walk->at_spot];
	struct fort_search *s = walk->s;

	if (spot->joins && !take_joined(walk, spot))
		return FORT_WALK_FAILS;
	if (!spot->joins && spot->settled)
		fort_state_forget_dead(walk->state, s->live, walk->pc);
	if (!fort_state_settle(&s->pool, walk->state)) {
		s->err = -ENOMEM;
		return FORT_WALK_FAILS;
	}
	if (spot->layer)
		fort_layer_enter(s, spot->layer, walk->state);
	return spot->joins ? FORT_WALK_JOINED : FORT_WALK_ON;
}

enum fort_walk_move fort_walk_arrive(struct fort_walk *walk)
{
	struct fort_search *s = walk->s;

	if (!fort_is_cut_point(s->env->graph, walk->pc))
		return FORT_WALK_ON;
	if (!in_last_region(walk) && region_ends(walk) &&
	    is_at(walk, walk->spots[walk->at_spot + 1]))
		return enter_region(walk);
	if (fort_state_settle(&s->pool, walk->state))
		return FORT_WALK_ON;
	s->err = -ENOMEM;
	return FORT_WALK_FAILS;
}

/* --- one instruction --- */

/* The side of a fork that the search took; false when that is not known. */
static bool choose(struct fort_walk *walk, struct fort_step *step)
{
	struct fort_pool *pool = &walk->s->pool;
	const struct fort_trail *decision = region_ends(walk) ? NULL : walk->trail[walk->at];

	if (!decision || decision->pc != walk->pc) {
		fort_state_free(pool, step->other);
		return false;
	}
	walk->at++;
	if (!decision->taken) {
		fort_state_free(pool, step->other);
		return true;
	}
	fort_state_free(pool, walk->state);
	walk->state = step->other;
	step->pc = step->other_pc;
	return true;
}

enum fort_walk_move fort_walk_next(struct fort_walk *walk, struct fort_step *step)
{
	struct fort_search *s = walk->s;

	s->err = fort_step(s->env, &s->pool, walk->state, walk->pc, step);
	if (s->err)
		return FORT_WALK_FAILS;
	if (step->outcome == FORT_STEP_BAD || step->outcome == FORT_STEP_END ||
	    step->outcome == FORT_STEP_DEAD ||
	    (step->outcome == FORT_STEP_FORK && !choose(walk, step)))
		return FORT_WALK_ENDS;
	walk->pc = step->pc;
	walk->number++;
	return FORT_WALK_ON;
}
