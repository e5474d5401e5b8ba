/* The search: attempts, and the walk through one region after the other. */
#include "verify/search.h"

#include <errno.h>
#include <string.h>

#include "verify/cost.h"
#include "verify/depth.h"
#include "verify/replay.h"

/* From few states to many. What the first accepts is accepted; an attempt that rejects is believed
 * if nothing was joined on the way to what it found. */
static const struct fort_policy policies[] = {
	{.keep = 4, .turns = 0, .draws = 0, .constants = true},
	{.keep = 8, .turns = 0, .draws = 4, .constants = false, .straight = true},
	{.keep = 16, .turns = 1024, .draws = 4, .constants = false},
	{.keep = 256, .turns = UINT32_MAX, .draws = 16, .constants = false},
};

enum fort_progress fort_search_no_memory(struct fort_search *s)
{
	s->err = -ENOMEM;
	return FORT_FAILED;
}

enum fort_progress fort_search_reject(struct fort_search *s, enum fort_diag diag, int64_t arg)
{
	s->result->violation = (struct fort_violation){
		.diag = (uint16_t)diag, .reg = FORT_REGS, .pc = s->pc, .args = {arg, 0, 0, 0}};
	s->own = true;
	return FORT_REJECTED;
}

/* --- walking a region --- */

static bool decide(struct fort_search *s, const struct fort_trail *before, uint32_t pc, bool taken,
		   const struct fort_trail **out)
{
	struct fort_trail *trail = fort_arena_room(s->arena, sizeof(*trail));

	if (!trail)
		return false;
	*trail = (struct fort_trail){before, pc, taken};
	*out = trail;
	return true;
}

/* Puts the jumping side aside. */
static bool put_aside(struct fort_search *s, const struct fort_waiting *side)
{
	struct fort_waiting *item = s->spare;

	if (item)
		s->spare = item->next;
	else
		item = FORT_ARENA_NEW(s->arena, struct fort_waiting);
	if (!item)
		return false;
	*item = *side;
	item->next = s->todo;
	s->todo = item;
	return true;
}

/* Will all of this region be done again, or not at all? The rest of it must not even arrive: the
 * layer of a spot that is dead has lost its states. */
static bool is_in_vain(const struct fort_search *s)
{
	return s->again && (s->spot->dead || s->spot->pending);
}

/* The jumping side arrives at once where others may arrive too; nothing of it waits then. */
static enum fort_progress arrive_by_jump(struct fort_search *s, const struct fort_waiting *side)
{
	struct fort_waiting fall = {NULL, s->state, s->trail, s->pc, s->before};
	enum fort_progress progress;

	s->state = side->state;
	s->trail = side->trail;
	s->pc = side->pc;
	s->before = side->from;
	progress = fort_search_arrive(s, true);
	if (progress != FORT_ENDS)
		return progress;
	fort_state_free(&s->pool, s->state);
	s->state = fall.state;
	s->trail = fall.trail;
	s->pc = fall.pc;
	s->before = fall.from;
	return is_in_vain(s) ? FORT_ENDS : FORT_GOES_ON;
}

/* The path goes on falling through. */
static enum fort_progress fork_path(struct fort_search *s, const struct fort_step *step)
{
	struct fort_waiting side = {NULL, step->other, NULL, step->other_pc, s->pc};
	const struct fort_trail *before = s->trail;

	if (!decide(s, before, s->pc, true, &side.trail) ||
	    !decide(s, before, s->pc, false, &s->trail))
		return fort_search_no_memory(s);
	if (fort_is_cut_point(s->env->graph, side.pc))
		return arrive_by_jump(s, &side);
	return put_aside(s, &side) ? FORT_GOES_ON : fort_search_no_memory(s);
}

/* Takes the path up that was put aside last; false when there is none. */
static bool resume(struct fort_search *s)
{
	struct fort_waiting *item = s->todo;

	if (!item)
		return false;
	s->todo = item->next;
	s->state = item->state;
	s->trail = item->trail;
	s->pc = item->pc;
	s->before = item->from;
	item->next = s->spare;
	s->spare = item;
	fort_narrate_resume(s->narrator, 0, s->before);
	return true;
}

/* The kernel counts instructions only; comparing states may take longer. */
static bool is_too_much(struct fort_search *s)
{
	if (s->result->insns_processed++ >= s->options->budget_insns)
		(void)fort_search_reject(s, FORT_DIAG_TOO_LARGE,
					 (int64_t)s->result->insns_processed);
	else if (s->work++ >= FORT_BUDGET_WORK)
		(void)fort_search_reject(s, FORT_DIAG_TOO_MANY_STATES,
					 (int64_t)s->result->insns_processed);
	else
		return false;
	s->result->violation.args[1] = (int64_t)s->work;
	return true;
}

/* What is demanded only on a path that may not be possible, proves nothing when it fails. */
static void note_demands(struct fort_search *s)
{
	while (s->n_known < s->env->n_demands)
		s->demanded[++s->n_known] = s->exact;
}

static enum fort_progress execute(struct fort_search *s)
{
	struct fort_narrator *narrator = s->narrator;
	struct fort_effect_room room;
	struct fort_effect effect;
	struct fort_step step;
	bool narrates = fort_narrates(narrator);

	if (is_too_much(s))
		return FORT_REJECTED;
	s->spot->steps++;
	if (narrates) {
		fort_narrate_insn(narrator, s->state, s->pc);
		fort_effect_before(s->env, s->state, s->pc, &room, &effect);
	}
	s->err = fort_step(s->env, &s->pool, s->state, s->pc, &step);
	if (s->err)
		return FORT_FAILED;
	note_demands(s);
	switch (step.outcome) {
	case FORT_STEP_BAD: s->result->violation = step.violation; return FORT_REJECTED;
	case FORT_STEP_END:
	case FORT_STEP_DEAD: return FORT_ENDS;
	default: break;
	}
	if (narrates)
		fort_narrate_effect(narrator, &effect, s->state, step.pc);
	if (step.outcome == FORT_STEP_FORK) {
		enum fort_progress progress = fork_path(s, &step);

		if (progress != FORT_GOES_ON)
			return progress;
	}
	s->before = s->pc;
	s->pc = step.pc;
	return FORT_GOES_ON;
}

/* To the path's end. `fresh`: it begins here, at what it was stored for. */
static enum fort_progress walk_path(struct fort_search *s, bool fresh)
{
	enum fort_progress progress = FORT_GOES_ON;

	while (progress == FORT_GOES_ON) {
		if (!fresh && fort_is_cut_point(s->env->graph, s->pc))
			progress = fort_search_arrive(s, false);
		fresh = false;
		if (progress == FORT_GOES_ON)
			progress = execute(s);
	}
	return progress;
}

/* What is not worth finishing, because all of the region will be done again. */
static void give_up(struct fort_search *s)
{
	while (resume(s))
		fort_state_free(&s->pool, s->state);
	s->state = NULL;
}

static enum fort_progress walk_region(struct fort_search *s)
{
	enum fort_progress progress;
	bool fresh = true;

	do {
		progress = walk_path(s, fresh);
		fresh = false;
		if (progress != FORT_ENDS)
			return progress;
		fort_state_free(&s->pool, s->state);
		s->state = NULL;
		if (is_in_vain(s)) {
			give_up(s);
			return FORT_ENDS;
		}
	} while (resume(s));
	return FORT_ENDS;
}

static bool keep_edges(struct fort_search *s)
{
	size_t bytes = s->n_edges * sizeof(s->edges[0]);

	s->spot->n_edges = s->n_edges;
	s->spot->edges = s->n_edges ? fort_arena_copy(s->arena, s->edges, bytes) : NULL;
	return !s->n_edges || s->spot->edges;
}

/* All that can happen from a spot until paths arrive at others. The state is the region's own. */
static enum fort_progress work(struct fort_search *s, struct fort_spot *spot,
			       struct fort_state *state, uint32_t pc)
{
	enum fort_progress progress;

	s->spot = spot;
	s->state = state;
	s->trail = NULL;
	s->pc = pc;
	s->before = pc;
	s->exact = spot->exact;
	s->again = false;
	s->n_edges = 0;
	spot->steps = 0;
	spot->works++;
	progress = walk_region(s);
	if (spot->point)
		spot->point->tally.insns += spot->steps;
	if (progress == FORT_ENDS && !keep_edges(s))
		return fort_search_no_memory(s);
	return progress;
}

static bool waits(const struct fort_spot *spot)
{
	return spot->pending && !spot->dead;
}

/* Where paths meet, the last one to come: paths that go on without a jump come after those that
 * jumped, and the kernel follows them first. Where two paths are wrong, we name the same one. At
 * the head of a loop the first, which jumped back first: what does not end is found there. */
static struct fort_spot *next_spot(const struct fort_point *point)
{
	struct fort_spot *found = point->spots;

	while (found && !waits(found))
		found = found->next;
	for (const struct fort_layer *layer = point->layers; layer && !found; layer = layer->next)
		for (struct fort_spot *spot = layer->members; spot; spot = spot->next)
			found = waits(spot) ? spot : found;
	return found;
}

static enum fort_progress work_on_point(struct fort_search *s, struct fort_point *point)
{
	enum fort_progress progress = FORT_ENDS;
	struct fort_spot *spot;

	while (progress == FORT_ENDS && point->n_waiting && (spot = next_spot(point))) {
		struct fort_state *state;

		progress = fort_search_begin(s, spot, &state);
		if (progress != FORT_GOES_ON)
			return progress;
		if (spot->trail)
			fort_narrate_resume(s->narrator, 0, spot->trail->pc);
		progress = work(s, spot, state, point->pc);
	}
	return progress;
}

/* --- attempts --- */

struct fort_root fort_search_root(const struct fort_search *s, uint32_t root)
{
	return root ? s->env->demands[root - 1] : (struct fort_root){.kind = FORT_ROOT_MAIN};
}

static enum fort_progress walk_root(struct fort_search *s, uint32_t number)
{
	struct fort_root root = fort_search_root(s, number);
	enum fort_progress progress;
	struct fort_point *point;
	struct fort_state *state;

	s->roots[number] = FORT_ARENA_NEW(s->arena, struct fort_spot);
	if (!s->roots[number])
		return fort_search_no_memory(s);
	*s->roots[number] = (struct fort_spot){.root = number, .exact = s->demanded[number]};
	s->n_roots = number + 1;
	fort_narrate_root(s->narrator, &root);
	s->err = fort_step_enter(s->env, &s->pool, &root, &state);
	if (s->err)
		return FORT_FAILED;
	progress = work(s, s->roots[number], state,
			s->env->graph->program.subprogs[root.subprog].start);
	while (progress == FORT_ENDS && (point = fort_points_take(&s->points)))
		progress = work_on_point(s, point);
	if (progress == FORT_ENDS)
		fort_narrate_root_safe(s->narrator, &root);
	return progress;
}

/* The program, then the functions that it turned out to rely on. */
static enum fort_progress walk_all(struct fort_search *s)
{
	enum fort_progress progress = FORT_ENDS;

	s->env->n_demands = s->n_known = 0;
	s->env->uses_kernel = false;
	memset(s->env->stacks, 0, s->env->graph->program.n_subprogs * sizeof(s->env->stacks[0]));
	s->roots = FORT_ARENA_ARRAY(s->arena, FORT_DEMANDS_MAX + 1, struct fort_spot *);
	s->demanded = FORT_ARENA_ARRAY(s->arena, FORT_DEMANDS_MAX + 1, bool);
	if (!s->roots || !s->demanded)
		return fort_search_no_memory(s);
	s->demanded[0] = true;
	for (uint32_t i = 0; progress == FORT_ENDS && i <= s->env->n_demands; i++)
		progress = walk_root(s, i);
	return progress;
}

/* Do paths meet anywhere, behind the first instruction? Where they do not, nothing is compared. */
static bool paths_meet(const struct fort_graph *graph)
{
	for (uint32_t pc = 1; pc < graph->program.n_insns; pc++)
		if (fort_is_cut_point(graph, pc))
			return true;
	return graph->marks[0] & FORT_MARK_JOIN;
}

/* What the search knows of the program as a whole. */
static int prepare(struct fort_search *s, struct fort_loops *loops)
{
	int err = fort_loops_find(s->arena, s->env->graph, loops);

	s->loops = loops;
	err = err ? err : fort_live_find(s->arena, s->env, loops, &s->live);
	err = err ? err : fort_loads_find(s->arena, &s->env->graph->program, &s->loads);
	if (err || !loops->n_loops)
		return err;
	return fort_thresholds_find(s->arena, &s->env->graph->program, &s->widening);
}

/* One attempt, in memory that is given back if another one follows. *final: nothing else is to be
 * tried. */
static int attempt(struct fort_search *s, const struct fort_policy *policy, bool *final)
{
	struct fort_verify_result *result = s->result;
	enum fort_progress progress;
	uint32_t pc = 0;
	int err = fort_points_init(&s->points, s->arena, s->loops);

	if (err)
		return err;
	s->policy = policy;
	s->own = false;
	s->work = 0;
	s->n_roots = s->n_layers = 0;
	s->todo = s->spare = NULL;
	s->edges = NULL;
	s->edges_room = 0;
	fort_pool_init(&s->pool, s->arena);
	result->insns_processed = result->total_states = result->max_states_per_insn = 0;
	fort_narrate_start(s->narrator);
	progress = walk_all(s);
	result->peak_states = (uint32_t)s->pool.peak_states;
	if (progress == FORT_FAILED)
		return s->err;
	result->verdict = progress == FORT_REJECTED ? FORT_REJECT : FORT_ACCEPT;
	*final = s->exact || fort_is_out_of_budget(&result->violation);
	if (progress == FORT_REJECTED)
		return 0;
	*final = true;
	err = fort_search_emit(s, &pc);
	if (err != -ELOOP)
		return err;
	*final = false;
	result->verdict = FORT_REJECT;
	s->pc = pc;
	s->state = NULL;
	(void)fort_search_reject(s, FORT_DIAG_INFINITE_LOOP, 0);
	return 0;
}

/* Is the attempt worth it, after what the one before found? */
static bool is_of_use(const struct fort_search *s, const struct fort_policy *policy)
{
	return !policy->straight || (s->doubt.diag != FORT_DIAG_INFINITE_LOOP &&
				     (!s->loops || s->loops->loop_of[s->doubt.pc] == FORT_NO_LOOP));
}

static int run(struct fort_search *s)
{
	struct fort_arena_mark mark = fort_arena_mark(s->arena);
	bool final = false;
	int err = 0;

	for (size_t i = 0; !err && !final && i < FORT_LEN(policies); i++) {
		s->doubt = s->result->violation;
		if (!is_of_use(s, &policies[i]))
			continue;
		fort_arena_rewind(s->arena, mark);
		fort_buf_free(&s->result->certificate);
		fort_buf_init(&s->result->certificate, FORT_CERT_BYTES_MAX);
		s->result->violation = (struct fort_violation){0};
		err = attempt(s, &policies[i], &final);
	}
	if (err == -EFBIG) { /* safe, but its proof is too long to keep */
		s->result->verdict = FORT_REJECT;
		s->state = NULL;
		(void)fort_search_reject(s, FORT_DIAG_CERT_LIMIT, FORT_CERT_BYTES_MAX);
		return 0;
	}
	return err;
}

/* Every struct has rules of its own, which are not known. */
static bool is_foreign(struct fort_search *s)
{
	if (s->env->hook.prog->bit != FORT_BIT_STOPS)
		return false;
	s->result->verdict = FORT_REJECT;
	(void)fort_search_reject(s, FORT_DIAG_STRUCT_OPS_LATER, 0);
	return true;
}

/* Every path is safe. */
static int accept(struct fort_search *s)
{
	int err = s->options->any_depth ? 0
					: fort_depth_check(s->arena, s->env, FORT_STACK_BYTES,
							   &s->result->violation);

	fort_narrate_accepted(s->options->narrator);
	if (err == -E2BIG)
		s->result->verdict = FORT_REJECT;
	return err == -E2BIG ? 0 : err;
}

int fort_verify_search(struct fort_env *env, struct fort_arena *arena,
		       const struct fort_verify_options *options, struct fort_verify_result *result)
{
	struct fort_search s = {.env = env, .options = options, .result = result, .arena = arena};
	struct fort_loops loops = {0};
	bool straight = !paths_meet(env->graph);
	int err;

	memset(result, 0, sizeof(*result));
	fort_buf_init(&result->certificate, FORT_CERT_BYTES_MAX);
	fort_buf_init(&s.body, FORT_CERT_BYTES_MAX);
	fort_buf_init(&s.ghosts, FORT_CERT_BYTES_MAX);
	if (fort_narrates_all(options->narrator))
		s.narrator = options->narrator;
	err = straight ? 0 : prepare(&s, &loops);
	err = err || is_foreign(&s) ? err : run(&s);
	if (!err && straight && result->verdict == FORT_REJECT)
		err = prepare(&s, &loops); /* for what is told of it */
	if (!err && fort_is_out_of_budget(&result->violation) && options->explains)
		err = fort_cost_sum(&s, &result->cost);
	if (!err && result->verdict == FORT_REJECT)
		err = fort_replay(&s);
	else if (!err)
		err = accept(&s);
	fort_buf_free(&s.body);
	fort_buf_free(&s.ghosts);
	return err;
}
