#include "proof/check.h"

#include <errno.h>
#include <string.h>

static const char *const fault_texts[FORT_CHECK_FAULTS] = {
	[FORT_CHECK_OK] = "no fault",
	[FORT_CHECK_FORM] = "the bytes are no certificate",
	[FORT_CHECK_BINDING] = "made for another program, map or version",
	[FORT_CHECK_CLAIM] = "a claim is malformed",
	[FORT_CHECK_EDGE] = "an edge names no earlier state at this instruction",
	[FORT_CHECK_EDGES] = "the number of edges does not fit the paths",
	[FORT_CHECK_COVER] = "the named state does not cover what arrives",
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
	uint32_t index; /* of the state whose region is walked */
	struct fort_reader edges;
	uint32_t edges_left;
	struct fort_check *check;
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

/* An arrival at a cut point: true with *stop saying whether the path ends here. */
static bool arrive(struct checker *c, const struct fort_state *state, uint32_t pc, bool *stop)
{
	const struct fort_cert_state *target;
	uint64_t distance;

	*stop = false;
	if (!c->edges_left || fort_reader_varint(&c->edges, &distance))
		return fail(c, FORT_CHECK_EDGES, pc);
	c->edges_left--;
	if (!distance)
		return true;
	if (distance > c->index)
		return fail(c, FORT_CHECK_EDGE, pc);
	target = &c->cert.states[c->index - distance];
	if (target->pc != pc)
		return fail(c, FORT_CHECK_EDGE, pc);
	if (!fort_claim_covers(target->claim, state))
		return fail(c, FORT_CHECK_COVER, pc);
	*stop = true;
	return true;
}

/* One path, to its end or to the states that take over. Owns the state. */
static bool walk_path(struct checker *c, struct fort_state *state, uint32_t pc, bool fresh)
{
	struct fort_step step;
	bool stop = false;

	while (!stop) {
		if (!fresh && fort_is_cut_point(c->env->graph, pc)) {
			if (!arrive(c, state, pc, &stop))
				return false;
			if (stop)
				break;
		}
		fresh = false;
		if (c->check->steps++ == c->cert.steps)
			return fail(c, FORT_CHECK_STEPS, pc);
		if (fort_step(c->env, &c->pool, state, pc, &step))
			return fail(c, FORT_CHECK_MEMORY, pc);
		if (step.outcome == FORT_STEP_BAD) {
			c->check->violation = step.violation;
			return fail(c, FORT_CHECK_UNSAFE, pc);
		}
		if (step.outcome == FORT_STEP_FORK && !push(c, step.other, step.other_pc))
			return false;
		stop = step.outcome == FORT_STEP_END || step.outcome == FORT_STEP_DEAD;
		pc = step.pc;
	}
	fort_state_free(&c->pool, state);
	return true;
}

/* All paths from one claimed state. On failure memory is the arena's business. */
static bool walk_region(struct checker *c, struct fort_state *state, uint32_t pc)
{
	const struct fort_cert_state *from = &c->cert.states[c->index];

	c->edges = fort_reader_on(from->edges.data, from->edges.bytes);
	c->edges_left = from->n_edges;
	if (!walk_path(c, state, pc, true))
		return false;
	while (c->todo) {
		struct pending *item = c->todo;

		c->todo = item->next;
		state = item->state;
		pc = item->pc;
		item->next = c->spare;
		c->spare = item;
		if (!walk_path(c, state, pc, false))
			return false;
	}
	return c->edges_left ? fail(c, FORT_CHECK_EDGES, pc) : true;
}

static bool check_states(struct checker *c)
{
	const struct fort_env *env = c->env;
	struct fort_state *state;

	for (c->index = 0; c->index < c->cert.n_states; c->index++) {
		const struct fort_cert_state *from = &c->cert.states[c->index];

		if (fort_claim_read(from->claim, &c->pool, env, &state))
			return fail(c, FORT_CHECK_CLAIM, from->pc);
		if (!walk_region(c, state, from->pc))
			return false;
	}
	state = fort_step_entry(env, &c->pool);
	if (!state)
		return fail(c, FORT_CHECK_MEMORY, 0);
	return walk_region(c, state, 0);
}

static void clear_outputs(struct fort_env *env)
{
	memset(env->access, 0, env->graph->program.n_insns * sizeof(env->access[0]));
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
	fort_binding(env, binding);
	if (memcmp(binding, c.cert.binding, sizeof(binding)))
		return fail(&c, FORT_CHECK_BINDING, 0);
	if (!check_states(&c))
		return false;
	out->env = env;
	memcpy(out->binding, binding, sizeof(binding));
	return true;
}
