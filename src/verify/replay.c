#include "verify/replay.h"

#include <errno.h>

struct replay {
	struct fort_search *s;
	struct fort_narrator *narrator; /* NULL when the log has all of it */
	struct fort_pool pool;
	const struct fort_trail **trail; /* oldest first */
	uint32_t n_trail, at;
	struct fort_state *state;
	uint32_t pc;
	struct fort_path_step *path;
	uint32_t n_path, room;
};

/* --- what was decided --- */

static uint32_t count(const struct fort_search *s)
{
	const struct fort_trail *trail = s->trail;
	uint32_t n = 0;

	for (const struct fort_spot *spot = s->spot; spot; trail = spot->trail, spot = spot->from)
		for (; trail; trail = trail->before)
			n++;
	return n;
}

static bool collect(struct replay *r)
{
	const struct fort_search *s = r->s;
	const struct fort_trail *trail = s->trail;
	uint32_t n = r->n_trail = count(s);

	r->trail = FORT_ARENA_ARRAY(s->arena, n, const struct fort_trail *);
	if (!r->trail)
		return false;
	for (const struct fort_spot *spot = s->spot; spot; trail = spot->trail, spot = spot->from)
		for (; trail; trail = trail->before)
			r->trail[--n] = trail;
	return true;
}

/* --- walking --- */

static bool add_step(struct replay *r, bool taken)
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
	r->path[r->n_path++] = (struct fort_path_step){.pc = r->pc, .branch = true, .taken = taken};
	return true;
}

static bool is_branch(const struct replay *r)
{
	const struct fort_insn *insn = &r->s->env->graph->program.insns[r->pc];

	return insn->kind == FORT_JCC_K || insn->kind == FORT_JCC_X || insn->kind == FORT_MAY_GOTO;
}

/* The side of a fork that the search took; false when that is not known. */
static bool choose(struct replay *r, struct fort_step *step)
{
	if (r->at == r->n_trail || r->trail[r->at]->pc != r->pc) {
		fort_state_free(&r->pool, step->other);
		return false;
	}
	if (!r->trail[r->at++]->taken) {
		fort_state_free(&r->pool, step->other);
		return true;
	}
	fort_state_free(&r->pool, r->state);
	r->state = step->other;
	step->pc = step->other_pc;
	fort_narrate_resume(r->narrator, fort_narrate_position(r->narrator), r->pc);
	return true;
}

enum walk { WALK_ON, WALK_ENDS, WALK_FAILS };

static enum walk one_step(struct replay *r)
{
	struct fort_search *s = r->s;
	struct fort_effect_room room;
	struct fort_effect effect;
	struct fort_step step;

	fort_narrate_insn(r->narrator, r->state, r->pc);
	if (r->at == r->n_trail && r->pc == s->pc && s->own)
		return WALK_ENDS; /* what was found is not an instruction's fault */
	fort_effect_before(s->env, r->state, r->pc, &room, &effect);
	s->err = fort_step(s->env, &r->pool, r->state, r->pc, &step);
	if (s->err)
		return WALK_FAILS;
	if (step.outcome == FORT_STEP_BAD) {
		s->result->violation = step.violation;
		return WALK_ENDS;
	}
	if (step.outcome == FORT_STEP_END || step.outcome == FORT_STEP_DEAD)
		return WALK_ENDS;
	if (step.outcome == FORT_STEP_FORK && !choose(r, &step))
		return WALK_ENDS;
	if (is_branch(r) && !add_step(r, step.pc != r->pc + 1)) {
		s->err = -ENOMEM;
		return WALK_FAILS;
	}
	r->pc = step.pc;
	fort_narrate_effect(r->narrator, &effect, r->state, r->pc);
	return WALK_ON;
}

static int walk(struct replay *r)
{
	struct fort_search *s = r->s;
	struct fort_root root = fort_search_root(s, s->spot->root);
	enum walk walk = WALK_ON;
	int err = fort_step_enter(s->env, &r->pool, &root, &r->state);

	if (err)
		return err;
	r->pc = s->env->graph->program.subprogs[root.subprog].start;
	fort_narrate_start(r->narrator);
	fort_narrate_root(r->narrator, &root);
	for (uint64_t i = 0; walk == WALK_ON && i <= s->options->budget_insns; i++)
		walk = one_step(r);
	s->result->path = r->path;
	s->result->n_path = r->n_path;
	s->result->state = r->state;
	return walk == WALK_FAILS ? s->err : 0;
}

int fort_replay(struct fort_search *s)
{
	struct replay r = {.s = s};

	if (!s->narrator)
		r.narrator = s->options->narrator;
	s->result->state = s->state;
	if (!s->spot || !s->state)
		return 0;
	fort_pool_init(&r.pool, s->arena);
	return collect(&r) ? walk(&r) : -ENOMEM;
}
