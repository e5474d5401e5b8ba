#include "verify/verify.h"

#include <errno.h>
#include <string.h>

#include "verify/narrate.h"
#include "verify/node.h"

/* Finished nodes remembered at one instruction; older ones make room. */
#define CANDIDATES_MAX 64u

/* A path that waits for its turn: the jumping side of a fork. */
struct pending {
	struct pending *next;
	struct fort_state *state;
	struct fort_node *node;
	struct fort_trace_entry *prev;
	uint32_t pc;
	uint64_t log_position;
};

/* What is remembered per instruction. */
struct place {
	struct fort_node *candidates; /* finished, newest first */
	uint32_t n_candidates, visits;
	/* An open node at this instruction to compare with, moved at powers of two: a cycle of
	 * states meets it within three times its length (Brent). */
	struct fort_node *probe;
	uint32_t since, power;
};

struct search {
	struct fort_env *env;
	const struct fort_verify_options *options;
	struct fort_verify_result *result;
	struct fort_arena *arena;
	struct fort_pool pool;
	struct fort_trace trace;
	struct place *places;
	struct pending *todo, *spare;
	struct fort_node **finished;
	uint32_t n_finished, finished_room;
	struct fort_buf scratch;
	/* the path being walked */
	struct fort_state *state;
	struct fort_node *node;
	struct fort_trace_entry *prev;
	uint32_t pc;
	int err;
};

enum path_end { PATH_GOES_ON, PATH_ENDS, PATH_REJECTED, PATH_FAILED };

static enum path_end out_of_memory(struct search *s)
{
	s->err = -ENOMEM;
	return PATH_FAILED;
}

static enum path_end reject(struct search *s, enum fort_diag diag, int64_t arg)
{
	s->result->violation = (struct fort_violation){
		.diag = (uint16_t)diag, .reg = FORT_REGS, .pc = s->pc, .args = {arg, 0, 0, 0}};
	return PATH_REJECTED;
}

/* --- nodes --- */

/* States can cover each other only in the same chain of calls, holding as much. */
static uint64_t key_of(const struct fort_state *state)
{
	uint64_t key = state->n_refs;

	for (uint32_t i = 0; i < state->n_frames; i++)
		key = (key ^ state->frames[i]->return_pc) * 0x9e3779b97f4a7c15ull + i;
	return key;
}

/* A claim, kept in the arena. */
static bool keep_claim(struct search *s, const struct fort_state *state,
		       const struct fort_need *need, struct fort_span *out)
{
	s->scratch.bytes = 0;
	fort_claim_write(&s->scratch, state, need);
	if (s->scratch.err)
		return false;
	out->bytes = s->scratch.bytes;
	out->data = fort_arena_copy(s->arena, s->scratch.data, s->scratch.bytes);
	return out->data;
}

static bool add_arrival(struct search *s, struct fort_node *from, struct fort_node *node,
			bool child)
{
	struct fort_arrival *arrival = FORT_ARENA_NEW(s->arena, struct fort_arrival);

	if (!arrival)
		return false;
	*arrival = (struct fort_arrival){.node = node, .child = child};
	if (from->last_arrival)
		from->last_arrival->next = arrival;
	else
		from->arrivals = arrival;
	from->last_arrival = arrival;
	return true;
}

static struct fort_node *new_node(struct search *s)
{
	struct fort_node *node = FORT_ARENA_NEW(s->arena, struct fort_node);

	if (!node)
		return NULL;
	node->parent = s->node;
	node->came_from = s->prev;
	node->pc = s->pc;
	node->open = 1;
	node->key = key_of(s->state);
	node->mark = fort_trace_mark(&s->trace);
	return node;
}

static void sabotage_need(struct search *s, struct fort_need *need)
{
	for (unsigned i = 0; i < FORT_FRAMES_MAX; i++) {
		if (s->options->sabotage == FORT_SABOTAGE_LIVENESS)
			need->frames[i].regs &= 0x0ff;
		if (s->options->sabotage == FORT_SABOTAGE_PRECISION)
			need->frames[i].exact_regs = 0;
	}
}

static bool remember(struct search *s, struct fort_node *node)
{
	if (s->n_finished == s->finished_room) {
		uint32_t room = s->finished_room ? s->finished_room * 2 : 256;
		struct fort_node **nodes = FORT_ARENA_ARRAY(s->arena, room, struct fort_node *);

		if (!nodes)
			return false;
		if (s->n_finished)
			memcpy(nodes, s->finished, s->n_finished * sizeof(*nodes));
		s->finished = nodes;
		s->finished_room = room;
	}
	s->finished[s->n_finished++] = node;
	return true;
}

static void add_candidate(struct search *s, struct fort_node *node)
{
	struct place *place = &s->places[node->pc];

	node->next = place->candidates;
	place->candidates = node;
	if (place->n_candidates++ < CANDIDATES_MAX)
		return;
	for (struct fort_node *at = node; at; at = at->next)
		if (at->next && !at->next->next)
			at->next = NULL;
	place->n_candidates--;
}

/* All paths from the node have ended: what of it mattered? */
static bool finish(struct search *s, struct fort_node *node)
{
	struct fort_state *state;

	if (!fort_trace_need(&s->trace, node->mark, &node->need))
		return false;
	fort_trace_rewind(&s->trace, node->mark);
	node->finished = true;
	if (!node->parent)
		return true;
	sabotage_need(s, &node->need);
	s->err = fort_claim_read(node->full, &s->pool, s->env, &state);
	if (s->err || !keep_claim(s, state, &node->need, &node->claim))
		return false;
	fort_state_free(&s->pool, state);
	add_candidate(s, node);
	return remember(s, node) && fort_trace_arrive(&s->trace, node->came_from, &node->need);
}

/* One path of the node ended; it may have been the last, and the last of its parents. */
static bool end_path(struct search *s, struct fort_node *node)
{
	while (node && !--node->open) {
		if (!finish(s, node))
			return false;
		node = node->parent;
	}
	return true;
}

/* --- arrivals --- */

static struct fort_node *covering(struct search *s, const struct fort_state *state)
{
	struct place *place = &s->places[s->pc];
	uint64_t key = key_of(state);

	for (struct fort_node *node = place->candidates; node; node = node->next) {
		if (node->key != key)
			continue;
		if (s->options->sabotage == FORT_SABOTAGE_PRUNE ||
		    fort_claim_covers(node->claim, state))
			return node;
	}
	return NULL;
}

/* Is the path back at an open node in exactly its state? */
static bool repeats(struct search *s, struct fort_node *node)
{
	struct place *place = &s->places[node->pc];
	struct fort_node *probe = place->probe;

	if (probe && !probe->finished && probe->key == node->key &&
	    probe->full.bytes == node->full.bytes &&
	    !memcmp(probe->full.data, node->full.data, node->full.bytes))
		return true;
	if (!probe || probe->finished) {
		place->power = 1;
		place->since = 0;
		place->probe = node;
	} else if (++place->since == place->power) {
		place->power *= 2;
		place->since = 0;
		place->probe = node;
	}
	return false;
}

/* The path is at a cut point: it ends at a state that covers it, or goes on as a new node. */
static enum path_end arrive(struct search *s)
{
	struct fort_node *node = covering(s, s->state);
	struct place *place = &s->places[s->pc];

	if (node) {
		node->hits++;
		fort_narrate_pruned(s->options->narrator, s->prev->pc, s->pc);
		if (!add_arrival(s, s->node, node, false) ||
		    !fort_trace_arrive(&s->trace, s->prev, &node->need))
			return out_of_memory(s);
		return PATH_ENDS;
	}
	node = new_node(s);
	if (!node || !add_arrival(s, s->node, node, true) ||
	    !keep_claim(s, s->state, NULL, &node->full))
		return s->scratch.err == -EFBIG
			       ? reject(s, FORT_DIAG_CERT_LIMIT, FORT_CLAIM_IDS_MAX)
			       : out_of_memory(s);
	s->result->total_states++;
	if (++place->visits > s->result->max_states_per_insn)
		s->result->max_states_per_insn = place->visits;
	if (repeats(s, node))
		return reject(s, FORT_DIAG_INFINITE_LOOP, 0);
	s->node = node;
	s->prev = NULL;
	return PATH_GOES_ON;
}

/* --- walking --- */

static bool push(struct search *s, struct fort_state *state, uint32_t pc)
{
	struct pending *item = s->spare;

	if (item)
		s->spare = item->next;
	else
		item = FORT_ARENA_NEW(s->arena, struct pending);
	if (!item)
		return false;
	*item = (struct pending){.next = s->todo,
				 .state = state,
				 .node = s->node,
				 .prev = s->prev,
				 .pc = pc,
				 .log_position = fort_narrate_position(s->options->narrator)};
	s->todo = item;
	s->node->open++;
	return true;
}

static bool pop(struct search *s)
{
	struct pending *item = s->todo;

	if (!item)
		return false;
	s->todo = item->next;
	s->state = item->state;
	s->node = item->node;
	s->prev = item->prev;
	s->pc = item->pc;
	fort_narrate_resume(s->options->narrator, item->log_position, s->prev->pc);
	item->next = s->spare;
	s->spare = item;
	return true;
}

static enum path_end execute(struct search *s)
{
	struct fort_effect_room room;
	struct fort_effect effect;
	struct fort_step step;
	uint32_t pc = s->pc;

	if (s->result->insns_processed++ >= s->options->budget_insns)
		return reject(s, FORT_DIAG_TOO_LARGE, (int64_t)s->result->insns_processed);
	fort_narrate_insn(s->options->narrator, s->state, pc);
	fort_effect_before(s->env, s->state, pc, &room, &effect);
	s->err = fort_step(s->env, &s->pool, s->state, pc, &step);
	if (s->err)
		return PATH_FAILED;
	fort_effect_after(&step, &effect);
	s->prev = fort_trace_push(&s->trace, s->prev, pc, &effect);
	if (!s->prev)
		return out_of_memory(s);
	switch (step.outcome) {
	case FORT_STEP_BAD: s->result->violation = step.violation; return PATH_REJECTED;
	case FORT_STEP_END:
	case FORT_STEP_DEAD: return PATH_ENDS;
	case FORT_STEP_FORK:
		if (!push(s, step.other, step.other_pc))
			return out_of_memory(s);
		break;
	default: break;
	}
	s->pc = step.pc;
	fort_narrate_effect(s->options->narrator, &effect, s->state, s->pc);
	return PATH_GOES_ON;
}

static enum path_end walk_path(struct search *s)
{
	enum path_end end = PATH_GOES_ON;

	while (end == PATH_GOES_ON) {
		if (s->prev && fort_is_cut_point(s->env->graph, s->pc))
			end = arrive(s);
		if (end == PATH_GOES_ON)
			end = execute(s);
	}
	return end;
}

/* --- the way to a rejection --- */

static bool is_branch(const struct fort_program *program, uint32_t pc)
{
	return program->insns[pc].kind == FORT_JCC_K || program->insns[pc].kind == FORT_JCC_X;
}

static const struct fort_trace_entry *entry_before(const struct fort_trace_entry *entry,
						   const struct fort_node **node)
{
	while (entry && !entry->prev && *node) {
		const struct fort_node *left = *node;

		*node = left->parent;
		if (left->came_from)
			return left->came_from;
	}
	return entry ? entry->prev : NULL;
}

/* The decisions that led here, oldest first. */
static bool record_path(struct search *s)
{
	const struct fort_program *program = &s->env->graph->program;
	const struct fort_node *node = s->node;
	uint32_t n = 0, next = s->pc;

	for (const struct fort_trace_entry *e = s->prev; e; e = entry_before(e, &node))
		n += is_branch(program, e->pc);
	s->result->path = FORT_ARENA_ARRAY(s->arena, n ? n : 1, struct fort_path_step);
	if (!s->result->path)
		return false;
	s->result->n_path = n;
	node = s->node;
	for (const struct fort_trace_entry *e = s->prev; e; e = entry_before(e, &node)) {
		if (is_branch(program, e->pc))
			s->result->path[--n] = (struct fort_path_step){.pc = e->pc,
								       .branch = true,
								       .taken = next != e->pc + 1};
		next = e->pc;
	}
	return true;
}

/* --- the search --- */

static enum path_end walk_all(struct search *s)
{
	enum path_end end;

	for (;;) {
		end = walk_path(s);
		if (end != PATH_ENDS)
			return end;
		fort_state_free(&s->pool, s->state);
		if (!end_path(s, s->node)) {
			s->err = s->err ? s->err : -ENOMEM;
			return PATH_FAILED;
		}
		if (!pop(s))
			return PATH_ENDS;
	}
}

static int begin(struct search *s)
{
	s->places = FORT_ARENA_ARRAY(s->arena, s->env->graph->program.n_insns, struct place);
	s->state = fort_step_entry(s->env, &s->pool);
	if (!s->places || !s->state)
		return -ENOMEM;
	s->node = new_node(s);
	return s->node ? 0 : -ENOMEM;
}

static int conclude(struct search *s, struct fort_node *root, enum path_end end)
{
	struct fort_verify_result *result = s->result;

	result->peak_states = (uint32_t)s->pool.peak_states;
	if (end == PATH_FAILED)
		return s->err;
	if (end == PATH_REJECTED) {
		result->verdict = FORT_REJECT;
		result->state = s->state;
		return record_path(s) ? 0 : -ENOMEM;
	}
	result->verdict = FORT_ACCEPT;
	fort_narrate_accepted(s->options->narrator);
	return fort_emit_certificate(s->env, s->arena, root, s->finished, s->n_finished,
				     result->insns_processed, &result->certificate);
}

int fort_verify_search(struct fort_env *env, struct fort_arena *arena,
		       const struct fort_verify_options *options, struct fort_verify_result *result)
{
	struct search s = {.env = env, .options = options, .result = result, .arena = arena};
	struct fort_node *root;
	int err;

	memset(result, 0, sizeof(*result));
	fort_buf_init(&result->certificate, FORT_CERT_BYTES_MAX);
	fort_pool_init(&s.pool, arena);
	fort_trace_init(&s.trace, FORT_SEARCH_BYTES_MAX);
	fort_buf_init(&s.scratch, FORT_CERT_BYTES_MAX);
	err = begin(&s);
	root = s.node;
	fort_narrate_start(options->narrator);
	if (!err)
		err = conclude(&s, root, walk_all(&s));
	if (err == -EFBIG) { /* safe, but its proof is too long to keep */
		result->verdict = FORT_REJECT;
		(void)reject(&s, FORT_DIAG_CERT_LIMIT, FORT_CERT_BYTES_MAX);
		err = 0;
	}
	fort_buf_free(&s.scratch);
	fort_trace_free(&s.trace);
	return err;
}
