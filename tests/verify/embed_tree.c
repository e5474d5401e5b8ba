#include "embed_tree.h"

#include <errno.h>
#include <stdlib.h>

#include "proof/cover.h"

#define NODES_MAX (4u << 20)

static bool add_node(struct embed *e, uint32_t pc, uint32_t *out)
{
	if (e->n_nodes == e->nodes_room) {
		uint32_t room = e->nodes_room ? e->nodes_room * 2 : 1024;
		struct embed_node *nodes = realloc(e->nodes, room * sizeof(*nodes));

		if (!nodes || room > NODES_MAX)
			return embed_wrong(e, "the certificate has too many steps");
		e->nodes = nodes;
		e->nodes_room = room;
	}
	e->nodes[e->n_nodes] = (struct embed_node){pc, {WAY_NONE, WAY_NONE}};
	*out = e->n_nodes++;
	return true;
}

/* A side of a fork that waits for its turn. */
struct waiting {
	struct waiting *next;
	struct fort_state *state;
	uint32_t pc, node;
	unsigned way; /* of the node */
};

struct walk {
	struct embed *e;
	struct waiting *todo;
	struct fort_reader edges;
	uint32_t index;
};

/* The way from an instruction to `pc`, by the next edge if it is a cut point. */
static uint32_t way_to(struct walk *w, uint32_t pc)
{
	uint64_t edge = 0;

	if (fort_is_cut_point(w->e->env->graph, pc) && !fort_reader_varint(&w->edges, &edge) &&
	    edge)
		return WAY_REGION | (uint32_t)(edge - 1);
	return WAY_NONE;
}

/* As the checker does wherever paths may meet. */
bool embed_settle(struct embed *e, struct fort_state *state, uint32_t pc)
{
	if (!fort_is_cut_point(e->env->graph, pc) || fort_state_settle(&e->pool, state))
		return true;
	return embed_wrong(e, "no memory");
}

static bool wait(struct walk *w, struct fort_state *state, uint32_t pc, uint32_t node, unsigned way)
{
	struct waiting *item = FORT_ARENA_NEW(&w->e->arena, struct waiting);

	if (!item)
		return embed_wrong(w->e, "no memory");
	*item = (struct waiting){w->todo, state, pc, node, way};
	w->todo = item;
	return true;
}

/* What the region's state claims is known when something arrives there, or when its turn comes:
 * `arrived` is NULL then. */
static bool note_claim(struct embed *e, uint32_t region, const struct fort_state *arrived)
{
	const struct fort_certificate *c = &e->certificate;
	struct fort_span claim = c->states[region].claim;
	struct fort_state **out = &e->claims[region];
	int err;

	if (*out)
		return true;
	if (fort_claim_is_kept(claim)) {
		*out = arrived ? fort_state_clone(&e->pool, arrived) : NULL;
		err = *out ? fort_claim_keep(claim, &e->pool, *out) : -ENOMEM;
		/* Whatever the checker says: what is kept covers what it is kept of. */
		if (!err && !fort_state_covers(&e->pool, *out, arrived))
			return embed_wrong(e, "a claim does not cover what it keeps");
	} else {
		err = fort_claim_read(claim, &e->pool, e->env, c->n_groups, out);
	}
	return !err || embed_wrong(e, "a claim cannot be read");
}

/* An arrival at `pc`, by a way of a node: *next is the node there, or WAY_NONE when the way ended
 * in another region. */
static bool arrive(struct walk *w, struct fort_state *state, uint32_t pc, uint32_t node,
		   unsigned side, uint32_t *next)
{
	struct embed *e = w->e;
	uint32_t way;

	if (!embed_settle(e, state, pc))
		return false;
	way = way_to(w, pc);
	*next = WAY_NONE;
	if (way == WAY_NONE ? !add_node(e, pc, next) : !note_claim(e, way & ~WAY_REGION, state))
		return false;
	e->nodes[node].ways[side] = way == WAY_NONE ? *next : way;
	return true;
}

/* The jumping side of a fork. If it goes on within the region, it takes the path's place. */
static bool jump(struct walk *w, struct fort_state **state, uint32_t *node,
		 const struct fort_step *step, bool *took_over)
{
	uint32_t next;

	*took_over = false;
	if (!fort_is_cut_point(w->e->env->graph, step->other_pc))
		return wait(w, step->other, step->other_pc, *node, 1);
	if (!arrive(w, step->other, step->other_pc, *node, 1, &next))
		return false;
	if (next == WAY_NONE) {
		fort_state_free(&w->e->pool, step->other);
		return true;
	}
	if (!wait(w, *state, step->pc, *node, 0))
		return false;
	*state = step->other;
	*node = next;
	*took_over = true;
	return true;
}

static bool walk_path(struct walk *w, struct fort_state *state, uint32_t node)
{
	struct embed *e = w->e;
	struct fort_step step;
	bool took_over = false;

	for (;;) {
		uint32_t next;

		if (fort_step(e->env, &e->pool, state, e->nodes[node].pc, &step) ||
		    step.outcome == FORT_STEP_BAD)
			return embed_wrong(e, "the certificate does not check");
		if (step.outcome == FORT_STEP_END || step.outcome == FORT_STEP_DEAD)
			break;
		if (step.outcome == FORT_STEP_FORK && !jump(w, &state, &node, &step, &took_over))
			return false;
		if (step.outcome == FORT_STEP_FORK && took_over)
			continue;
		if (!arrive(w, state, step.pc, node, 0, &next))
			return false;
		if (next == WAY_NONE)
			break;
		node = next;
	}
	fort_state_free(&e->pool, state);
	return true;
}

static bool walk_region(struct walk *w, struct fort_state *state, uint32_t pc,
			struct fort_span edges)
{
	struct embed *e = w->e;

	w->edges = fort_reader_on(edges.data, edges.bytes);
	if (!fort_certificate_enter(&e->certificate, w->index, &e->pool, state))
		return embed_wrong(e, "the certificate does not check");
	if (!add_node(e, pc, &e->roots[w->index]) || !walk_path(w, state, e->roots[w->index]))
		return false;
	while (w->todo) {
		struct waiting *item = w->todo;
		uint32_t next;

		w->todo = item->next;
		if (!arrive(w, item->state, item->pc, item->node, item->way, &next) ||
		    (next != WAY_NONE && !walk_path(w, item->state, next)))
			return false;
		if (next == WAY_NONE)
			fort_state_free(&e->pool, item->state);
	}
	return true;
}

bool embed_walk(struct embed *e)
{
	struct fort_certificate *c = &e->certificate;
	struct walk walk = {.e = e};
	struct fort_state *state;

	e->roots = FORT_ARENA_ARRAY(&e->arena, c->n_states + c->n_roots, uint32_t);
	e->claims = FORT_ARENA_ARRAY(&e->arena, c->n_states, struct fort_state *);
	if (!e->roots || !e->claims)
		return embed_wrong(e, "no memory");
	for (unsigned i = 0; i < FORT_FRAMES_MAX; i++) {
		e->acts[i].ghosts = FORT_ARENA_ARRAY(&e->arena, c->n_groups, struct embed_ghost);
		if (!e->acts[i].ghosts)
			return embed_wrong(e, "no memory");
	}
	for (uint32_t i = 0; i < c->n_roots; i++) {
		const struct fort_root *root = &c->roots[i].root;

		walk.index = c->n_states + i;
		if (fort_step_enter(e->env, &e->pool, root, &state) ||
		    !walk_region(&walk, state, e->env->graph->program.subprogs[root->subprog].start,
				 c->roots[i].edges))
			return embed_wrong(e, "the certificate does not check");
	}
	for (walk.index = c->n_states; walk.index-- > 0;) {
		const struct fort_cert_state *from = &c->states[walk.index];

		if (!note_claim(e, walk.index, NULL))
			return false;
		state = fort_state_clone(&e->pool, e->claims[walk.index]);
		if (!state || !walk_region(&walk, state, from->pc, from->edges))
			return embed_wrong(e, "the certificate does not check");
	}
	return true;
}

uint32_t embed_node_pc(const struct embed *e, uint32_t node)
{
	return e->nodes[node].pc;
}
