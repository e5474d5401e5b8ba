/* From finished nodes to certificate bytes. */
#include "verify/node.h"

#include <errno.h>

#include "proof/certificate.h"

#define NOT_LISTED UINT32_MAX

/* A growing list of edges. */
struct edges {
	struct fort_arena *arena;
	uint32_t *items;
	uint32_t n, room;
};

static bool add_edge(struct edges *edges, uint32_t edge)
{
	if (edges->n == edges->room) {
		uint32_t room = edges->room ? edges->room * 2 : 64;
		uint32_t *items = FORT_ARENA_ARRAY(edges->arena, room, uint32_t);

		if (!items)
			return false;
		for (uint32_t i = 0; i < edges->n; i++)
			items[i] = edges->items[i];
		edges->items = items;
		edges->room = room;
	}
	edges->items[edges->n++] = edge;
	return true;
}

/* Where the walk through nested regions stands. */
struct level {
	struct level *below;
	const struct fort_arrival *at;
};

/* All edges of a region: regions of nodes that are not listed are part of their parent's. */
static bool collect_edges(struct edges *edges, const struct fort_node *node, uint32_t index)
{
	struct level first = {.at = node->arrivals}, *level = &first;

	edges->n = 0;
	while (level) {
		const struct fort_arrival *at = level->at;
		struct level *inner;

		if (!at) {
			level = level->below;
			continue;
		}
		level->at = at->next;
		if (at->node->order != NOT_LISTED) {
			if (!add_edge(edges, index - at->node->order))
				return false;
			continue;
		}
		if (!add_edge(edges, 0))
			return false;
		inner = FORT_ARENA_NEW(edges->arena, struct level);
		if (!inner)
			return false;
		*inner = (struct level){.below = level, .at = at->node->arrivals};
		level = inner;
	}
	return true;
}

int fort_emit_certificate(const struct fort_env *env, struct fort_arena *arena,
			  struct fort_node *root, struct fort_node **finished, uint32_t n_finished,
			  uint64_t steps, struct fort_buf *out)
{
	struct edges edges = {.arena = arena};
	uint32_t n_listed = 0;

	for (uint32_t i = 0; i < n_finished; i++)
		finished[i]->order = finished[i]->hits ? n_listed++ : NOT_LISTED;
	fort_certificate_begin(out, env, steps, n_listed);
	for (uint32_t i = 0; i < n_finished; i++) {
		struct fort_node *node = finished[i];

		if (node->order == NOT_LISTED)
			continue;
		if (!collect_edges(&edges, node, node->order))
			return -ENOMEM;
		fort_certificate_state(out, node->pc, node->claim);
		fort_certificate_edges(out, edges.items, edges.n);
	}
	if (!collect_edges(&edges, root, n_listed))
		return -ENOMEM;
	fort_certificate_edges(out, edges.items, edges.n);
	return out->err;
}
