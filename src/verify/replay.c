#include "verify/replay.h"

#include <errno.h>

#include "verify/example.h"
#include "verify/explain.h"

struct replay {
	struct fort_search *s;
	struct fort_narrator *narrator; /* NULL when the log has all of it */
	struct fort_origins *origins;   /* NULL when nothing is to be explained */
	struct fort_walk walk;
	struct fort_path_step *path;
	uint32_t n_path, room;
};

static bool add_step(struct replay *r, uint32_t pc, bool taken)
{
	if (r->n_path == r->room) {
		uint32_t room = r->room ? r->room * 2 : 64;
		struct fort_path_step *path =
			FORT_ARENA_ARRAY(r->s->arena, room, struct fort_path_step);

		if (!path)
			return false;
		for (uint32_t i = 0; i < r->n_path; i++)
			path[i] = r->path[i];
		r->path = path;
		r->room = room;
	}
	r->path[r->n_path++] = (struct fort_path_step){
		.pc = pc, .number = r->walk.number - 1, .branch = true, .taken = taken};
	return true;
}

static bool is_branch(const struct replay *r, uint32_t pc)
{
	const struct fort_insn *insn = &r->s->env->graph->program.insns[pc];

	return insn->kind == FORT_JCC_K || insn->kind == FORT_JCC_X || insn->kind == FORT_MAY_GOTO;
}

static enum fort_walk_move no_memory(struct replay *r)
{
	r->s->err = -ENOMEM;
	return FORT_WALK_FAILS;
}

/* What the search did with a state that came here. */
static enum fort_walk_move arrive(struct replay *r)
{
	struct fort_walk *walk = &r->walk;
	struct fort_pool *pool = &r->s->pool;
	struct fort_state *was = r->origins ? fort_state_clone(pool, walk->state) : NULL;
	enum fort_walk_move move;

	if (r->origins && !was)
		return no_memory(r);
	move = fort_walk_arrive(walk);
	if (move == FORT_WALK_JOINED) {
		fort_narrate_joined(r->narrator, walk->spots[walk->at_spot]->joins);
		if (was &&
		    !fort_origins_joined(r->origins, was, walk->state, walk->pc, walk->number))
			move = no_memory(r);
	}
	fort_state_free(pool, was);
	return move;
}

/* The instruction was applied. */
static enum fort_walk_move after(struct replay *r, const struct fort_step *step, uint32_t pc,
				 const struct fort_effect *effect)
{
	struct fort_walk *walk = &r->walk;

	if (step->outcome == FORT_STEP_FORK && step->pc == step->other_pc)
		fort_narrate_resume(r->narrator, fort_narrate_position(r->narrator), pc);
	if (is_branch(r, pc) && !add_step(r, pc, walk->pc != pc + 1))
		return no_memory(r);
	fort_narrate_effect(r->narrator, effect, walk->state, walk->pc);
	fort_narrate_now(r->narrator, walk->state);
	if (r->origins && !fort_origins_after(r->origins, walk->state))
		return no_memory(r);
	return fort_is_cut_point(r->s->env->graph, walk->pc) ? arrive(r) : FORT_WALK_ON;
}

static enum fort_walk_move one_step(struct replay *r)
{
	struct fort_search *s = r->s;
	struct fort_walk *walk = &r->walk;
	struct fort_effect_room room;
	struct fort_effect effect;
	struct fort_step step;
	uint32_t pc = walk->pc;
	enum fort_walk_move move;

	fort_narrate_insn(r->narrator, walk->state, pc);
	if (r->origins && !fort_origins_before(r->origins, walk->state, pc, walk->number))
		return no_memory(r);
	if (fort_walk_is_over(walk)) { /* what was found is not an instruction's fault */
		s->result->retraced = true;
		return FORT_WALK_ENDS;
	}
	fort_effect_before(s->env, walk->state, pc, &room, &effect);
	move = fort_walk_next(walk, &step);
	if (move == FORT_WALK_FAILS)
		return move;
	if (step.outcome == FORT_STEP_BAD) {
		s->result->retraced = pc == s->result->violation.pc &&
				      step.violation.diag == s->result->violation.diag;
		s->result->violation = step.violation;
	}
	return move == FORT_WALK_ON ? after(r, &step, pc, &effect) : move;
}

static enum fort_walk_move walk_all(struct replay *r)
{
	struct fort_search *s = r->s;
	const struct fort_root root = fort_search_root(s, s->spot->root);
	enum fort_walk_move move = FORT_WALK_ON;

	if (r->origins &&
	    !fort_origins_begin(r->origins, s->env, s->arena, &s->pool, r->walk.state, r->walk.pc))
		return no_memory(r);
	fort_narrate_start(r->narrator);
	fort_narrate_root(r->narrator, &root);
	while (move == FORT_WALK_ON || move == FORT_WALK_JOINED) {
		if (r->walk.number > s->options->budget_insns)
			break;
		move = one_step(r);
	}
	return move;
}

/* What was found by an instruction, or by coming back to it, has a history. */
static bool has_history(const struct fort_search *s)
{
	return s->options->explains && !fort_is_out_of_budget(&s->result->violation);
}

static int explain(struct replay *r)
{
	struct fort_search *s = r->s;
	struct fort_history *history = FORT_ARENA_NEW(s->arena, struct fort_history);
	const struct fort_violation *v = &s->result->violation;

	struct fort_example *example = FORT_ARENA_NEW(s->arena, struct fort_example);

	s->result->history = history;
	s->result->example = example;
	if (!example || fort_example_find(s, example))
		return -ENOMEM;
	return history ? fort_history_make(s, r->origins, v,
					   (enum fort_focus)fort_explain_info(v->diag)->focus,
					   s->result->state, history)
		       : -ENOMEM;
}

static int walk(struct replay *r)
{
	struct fort_search *s = r->s;
	int err = fort_walk_start(&r->walk, s);

	if (err)
		return err;
	if (has_history(s)) {
		r->origins = FORT_ARENA_NEW(s->arena, struct fort_origins);
		if (!r->origins)
			return -ENOMEM;
	}
	if (walk_all(r) == FORT_WALK_FAILS)
		return s->err;
	s->result->path = r->path;
	s->result->n_path = r->n_path;
	s->result->state = r->walk.state;
	return r->origins && s->result->retraced ? explain(r) : 0;
}

int fort_replay(struct fort_search *s)
{
	struct replay r = {.s = s};

	if (!s->narrator)
		r.narrator = s->options->narrator;
	s->result->state = s->state;
	if (!s->spot || !s->state)
		return 0;
	return walk(&r);
}
