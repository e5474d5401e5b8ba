#include "proof/check.h"

#include <errno.h>
#include <string.h>

#include "proof/cover.h"
#include "step/relate.h"

static const char *const fault_texts[FORT_CHECK_FAULTS] = {
	[FORT_CHECK_OK] = "no fault",
	[FORT_CHECK_FORM] = "the bytes are no certificate",
	[FORT_CHECK_BINDING] = "made for another program, map or version",
	[FORT_CHECK_CLAIM] = "a claim is malformed",
	[FORT_CHECK_EDGE] = "an edge names no state at this instruction",
	[FORT_CHECK_EDGES] = "the number of edges does not fit the paths",
	[FORT_CHECK_ARRIVAL] = "a state is what arrives first, and nothing does",
	[FORT_CHECK_COVER] = "the named state does not cover what arrives",
	[FORT_CHECK_RANK] = "nothing shows that a loop ends",
	[FORT_CHECK_ROOT] = "a function that is called from outside is missing",
	[FORT_CHECK_UNSAFE] = "an instruction may be unsafe",
	[FORT_CHECK_STEPS] = "more steps than declared",
	[FORT_CHECK_MEMORY] = "not enough memory",
};

const char *fort_check_fault_text(enum fort_check_fault fault)
{
	return fault < FORT_CHECK_FAULTS ? fault_texts[fault] : "unknown fault";
}

/* A path of the region that waits for its turn. */
struct pending {
	struct pending *next;
	struct fort_state *state;
	uint32_t pc;
};

struct checker {
	struct fort_env *env;
	struct fort_certificate cert;
	struct fort_pool pool;
	struct fort_arena *arena;
	struct pending *todo, *spare;
	uint32_t index; /* of the state whose region is walked; roots come after all states */
	uint32_t group; /* of that state, or n_groups */
	struct fort_reader edges;
	uint32_t edges_left;
	struct fort_check *check;
	/* What each state claims, from the first arrival until nothing can arrive any more; else
	 * NULL. */
	struct fort_state **claims;
};

static bool fail(struct checker *c, enum fort_check_fault fault, uint32_t pc)
{
	c->check->fault = fault;
	c->check->state = c->index;
	c->check->pc = pc;
	return false;
}

static bool push(struct checker *c, struct fort_state *state, uint32_t pc)
{
	struct pending *item = c->spare;

	if (item)
		c->spare = item->next;
	else
		item = FORT_ARENA_NEW(c->arena, struct pending);
	if (!item)
		return fail(c, FORT_CHECK_MEMORY, pc);
	*item = (struct pending){.next = c->todo, .state = state, .pc = pc};
	c->todo = item;
	return true;
}

/* --- loops --- */

/* Is the state's rank past what the group's ghost remembers? */
static bool progresses(const struct checker *c, const struct fort_state *state, uint32_t group)
{
	const struct fort_cert_group *of = &c->cert.groups[group];
	const struct fort_value *now = fort_state_cell(state, of->rank);

	if (!now || now->type == FORT_NONE)
		return false;
	for (uint32_t i = 0; i < state->n_ghosts; i++) {
		const struct fort_ghost *ghost = &state->ghosts[i];

		if (ghost->owner == group)
			return of->falls ? fort_relate_most(state, now, NULL, &ghost->value) < 0
					 : fort_relate_most(state, &ghost->value, NULL, now) < 0;
	}
	return group < state->unset_below;
}

/* Edges go down, or around a loop that ends. */
static bool leads_to_an_end(const struct checker *c, const struct fort_state *state,
			    uint32_t target)
{
	uint32_t group = fort_certificate_group(&c->cert, target);

	if (target < c->index && (group == c->cert.n_groups || group != c->group))
		return true;
	return group < c->cert.n_groups && progresses(c, state, group);
}

bool fort_certificate_enter(const struct fort_certificate *cert, uint32_t index,
			    struct fort_pool *pool, struct fort_state *state)
{
	uint32_t group = fort_certificate_group(cert, index), n = 0;
	struct fort_value *rank;

	state->unset_below = fort_certificate_groups_below(cert, index);
	for (uint32_t i = 0; i < state->n_ghosts; i++)
		if (state->ghosts[i].owner >= state->unset_below && state->ghosts[i].owner != group)
			state->ghosts[n++] = state->ghosts[i];
	state->n_ghosts = n;
	if (group == cert->n_groups)
		return true;
	rank = fort_state_cell(state, cert->groups[group].rank);
	return rank && rank->type != FORT_NONE && fort_state_remember(pool, state, group, rank);
}

/* --- walking --- */

/* Makes known what a state claims, before its region is walked: what is found there is of no other
 * claim. `arrived`: what arrives first, if something did. A claim that is kept takes that over,
 * which it covers: *arrived is NULL then. */
static bool make_claim(struct checker *c, uint32_t index, struct fort_state **arrived)
{
	const struct fort_cert_state *from = &c->cert.states[index];
	struct fort_state **claim = &c->claims[index];
	int err;

	if (!fort_claim_is_kept(from->claim)) {
		err = fort_claim_read(from->claim, &c->pool, c->env, c->cert.n_groups, claim);
	} else if (arrived) {
		err = fort_claim_keep(from->claim, &c->pool, *arrived);
		*claim = *arrived;
		*arrived = NULL;
	} else {
		return fail(c, FORT_CHECK_ARRIVAL, from->pc);
	}
	return !err || fail(c, err == -ENOMEM ? FORT_CHECK_MEMORY : FORT_CHECK_CLAIM, from->pc);
}

static bool is_covered(struct checker *c, struct fort_state **arrived, uint32_t target)
{
	if (!c->claims[target]) {
		if (target >= c->index) /* cannot be: its region was walked, with a claim */
			return fail(c, FORT_CHECK_EDGE, c->cert.states[target].pc);
		if (!make_claim(c, target, arrived))
			return false;
	}
	return !*arrived || fort_state_covers(&c->pool, c->claims[target], *arrived) ||
	       fail(c, FORT_CHECK_COVER, c->cert.states[target].pc);
}

/* An arrival at a cut point: true with *stop saying whether the path ends here; the state that
 * takes it over may have taken *state as well. States are settled so that what the step makes of
 * them is what the search saw; of one that ends here it makes nothing more, and whether a claim
 * covers it does not depend on how its ids are numbered. */
static bool arrive(struct checker *c, struct fort_state **state, uint32_t pc, bool *stop)
{
	uint64_t edge;

	*stop = false;
	if (!c->edges_left || fort_reader_varint(&c->edges, &edge))
		return fail(c, FORT_CHECK_EDGES, pc);
	c->edges_left--;
	if (!edge)
		return fort_state_settle(&c->pool, *state) || fail(c, FORT_CHECK_MEMORY, pc);
	if (edge > c->cert.n_states || c->cert.states[edge - 1].pc != pc)
		return fail(c, FORT_CHECK_EDGE, pc);
	if (!leads_to_an_end(c, *state, (uint32_t)edge - 1))
		return fail(c, FORT_CHECK_RANK, pc);
	*stop = true;
	return is_covered(c, state, (uint32_t)edge - 1);
}

/* A path being walked. */
struct path {
	struct fort_state *state;
	uint32_t pc;
	bool arrived; /* its edge at this cut point was taken */
};

static bool apply(struct checker *c, struct path *path, struct fort_step *step)
{
	if (c->check->steps++ == c->cert.steps)
		return fail(c, FORT_CHECK_STEPS, path->pc);
	if (fort_step(c->env, &c->pool, path->state, path->pc, step))
		return fail(c, FORT_CHECK_MEMORY, path->pc);
	path->arrived = false;
	path->pc = step->pc;
	if (step->outcome != FORT_STEP_BAD)
		return true;
	c->check->violation = step->violation;
	return fail(c, FORT_CHECK_UNSAFE, step->violation.pc);
}

/* The jumping side of a fork: waits for its turn, or arrives and may take the path's place. */
static bool jump(struct checker *c, struct path *path, const struct fort_step *step)
{
	struct fort_state *other = step->other;
	bool stop;

	if (!fort_is_cut_point(c->env->graph, step->other_pc))
		return push(c, other, step->other_pc);
	if (!arrive(c, &other, step->other_pc, &stop))
		return false;
	if (stop) {
		fort_state_free(&c->pool, other);
		return true;
	}
	if (!push(c, path->state, path->pc))
		return false;
	*path = (struct path){other, step->other_pc, true};
	return true;
}

/* One path, to its end or to the states that take over. Owns the state. */
static bool walk_path(struct checker *c, struct path path)
{
	struct fort_step step;
	bool stop = false;

	while (!stop) {
		if (!path.arrived && fort_is_cut_point(c->env->graph, path.pc)) {
			if (!arrive(c, &path.state, path.pc, &stop))
				return false;
			if (stop)
				break;
		}
		if (!apply(c, &path, &step))
			return false;
		if (step.outcome == FORT_STEP_FORK && !jump(c, &path, &step))
			return false;
		stop = step.outcome == FORT_STEP_END || step.outcome == FORT_STEP_DEAD;
	}
	fort_state_free(&c->pool, path.state);
	return true;
}

/* All paths from one claimed state. On failure memory is the arena's business. */
static bool walk_region(struct checker *c, struct fort_state *state, uint32_t pc,
			struct fort_span edges, uint32_t n_edges)
{
	c->edges = fort_reader_on(edges.data, edges.bytes);
	c->edges_left = n_edges;
	c->group = fort_certificate_group(&c->cert, c->index);
	if (!fort_certificate_enter(&c->cert, c->index, &c->pool, state))
		return fail(c, FORT_CHECK_RANK, pc);
	if (!walk_path(c, (struct path){state, pc, true}))
		return false;
	while (c->todo) {
		struct pending *item = c->todo;

		c->todo = item->next;
		state = item->state;
		pc = item->pc;
		item->next = c->spare;
		c->spare = item;
		if (!walk_path(c, (struct path){state, pc, false}))
			return false;
	}
	return c->edges_left ? fail(c, FORT_CHECK_EDGES, pc) : true;
}

/* The state to walk from: the claim itself, where no edge can lead to it any more. Edges to states
 * of no group come from higher numbers, which are done; those to a group's may come from below. */
static struct fort_state *take_claim(struct checker *c, uint32_t index)
{
	struct fort_state *claim = c->claims[index];

	if (claim && fort_certificate_group(&c->cert, index) == c->cert.n_groups) {
		c->claims[index] = NULL;
		return claim;
	}
	return claim ? fort_state_clone(&c->pool, claim) : NULL;
}

/* From the highest number down: the way that edges lead. */
static bool check_states(struct checker *c)
{
	for (uint32_t i = c->cert.n_states; i-- > 0;) {
		const struct fort_cert_state *from = &c->cert.states[i];
		struct fort_state *state;

		c->index = i;
		if (!c->claims[i] && !make_claim(c, i, NULL))
			return false;
		state = take_claim(c, i);
		if (!state)
			return fail(c, FORT_CHECK_MEMORY, from->pc);
		if (!walk_region(c, state, from->pc, from->edges, from->n_edges))
			return false;
	}
	return true;
}

static bool is_listed(const struct checker *c, const struct fort_root *root)
{
	for (uint32_t i = 0; i < c->cert.n_roots; i++)
		if (fort_root_is(&c->cert.roots[i].root, root))
			return true;
	return false;
}

/* The program, and everything that a walk through all of it relied on. */
static bool has_all_roots(const struct checker *c)
{
	const struct fort_root main_root = {.kind = FORT_ROOT_MAIN};

	for (uint32_t i = 0; i < c->env->n_demands; i++)
		if (!is_listed(c, &c->env->demands[i]))
			return false;
	return is_listed(c, &main_root);
}

static bool check_roots(struct checker *c)
{
	const struct fort_program *program = &c->env->graph->program;

	for (uint32_t i = 0; i < c->cert.n_roots; i++) {
		const struct fort_cert_root *from = &c->cert.roots[i];
		uint32_t pc = program->subprogs[from->root.subprog].start;
		struct fort_state *state;
		int err = fort_step_enter(c->env, &c->pool, &from->root, &state);

		c->index = c->cert.n_states + i;
		if (err)
			return fail(c, err == -ENOMEM ? FORT_CHECK_MEMORY : FORT_CHECK_ROOT, pc);
		if (!walk_region(c, state, pc, from->edges, from->n_edges))
			return false;
	}
	return true;
}

static void clear_outputs(struct fort_env *env)
{
	env->n_demands = 0;
	env->uses_kernel = false;
	memset(env->access, 0, env->graph->program.n_insns * sizeof(env->access[0]));
	memset(env->stacks, 0, env->graph->program.n_subprogs * sizeof(env->stacks[0]));
}

bool fort_certificate_check(struct fort_span bytes, struct fort_env *env, struct fort_arena *arena,
			    struct fort_check *check, struct fort_proven *out)
{
	struct checker c = {.env = env, .arena = arena, .check = check};
	uint8_t binding[FORT_SHA256_BYTES];
	int err;

	*check = (struct fort_check){0};
	clear_outputs(env);
	fort_pool_init(&c.pool, arena);
	err = fort_certificate_parse(bytes, env, arena, &c.cert, &check->detail);
	if (err)
		return fail(&c, err == -EBADMSG ? FORT_CHECK_FORM : FORT_CHECK_MEMORY, 0);
	c.claims = FORT_ARENA_ARRAY(arena, c.cert.n_states, struct fort_state *);
	if (!c.claims)
		return fail(&c, FORT_CHECK_MEMORY, 0);
	fort_binding(env, c.cert.flags, binding);
	if (memcmp(binding, c.cert.binding, sizeof(binding)))
		return fail(&c, FORT_CHECK_BINDING, 0);
	if (!check_roots(&c) || !check_states(&c))
		return false;
	if (!has_all_roots(&c))
		return fail(&c, FORT_CHECK_ROOT, 0);
	if (env->uses_kernel && !(c.cert.flags & FORT_CERT_KERNEL))
		return fail(&c, FORT_CHECK_BINDING, 0);
	out->env = env;
	memcpy(out->binding, binding, sizeof(binding));
	return true;
}
