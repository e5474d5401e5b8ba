/* From the spots of an attempt to certificate bytes. */
#include "verify/search.h"

#include <errno.h>

enum color { WHITE, OPEN, DONE };

struct emit {
	struct fort_search *s;
	struct fort_arena *arena;
	struct fort_spot **listed;
	struct fort_layer **groups; /* wide layers that close, in the order of the list */
	struct fort_layer **layers; /* by number; those that were met */
	uint32_t n_listed, n_groups, room, n_layers;
	uint64_t steps;
	uint32_t loop; /* head of a loop that nothing shows to end */
	int err;
};

/* --- the order of the list: what a region leads to comes before it --- */

/* A spot, or a layer with all its members, whose edges are being followed. */
struct visit {
	struct visit *below;
	struct fort_spot *spot;
	struct fort_layer *layer; /* or NULL: the spot alone */
	uint32_t edge;
};

/* Layers that are one node of the order. */
static struct fort_layer *node_layer(const struct fort_spot *spot)
{
	return spot->layer && spot->layer->wide ? spot->layer : NULL;
}

/* Does the way from `spot` to `layer` lead around its loop? */
static bool is_around(const struct fort_spot *spot, const struct fort_layer *layer)
{
	const struct fort_layer *at = spot->layer ? spot->layer : spot->origin;

	while (at && at != layer)
		at = at->outer;
	return at;
}

static bool list(struct emit *e, struct fort_spot *spot)
{
	if (e->n_listed == e->room) {
		uint32_t room = e->room ? e->room * 2 : 256;
		struct fort_spot **listed = FORT_ARENA_ARRAY(e->arena, room, struct fort_spot *);

		if (!listed)
			return false;
		for (uint32_t i = 0; i < e->n_listed; i++)
			listed[i] = e->listed[i];
		e->listed = listed;
		e->room = room;
	}
	spot->order = e->n_listed;
	e->listed[e->n_listed++] = spot;
	return true;
}

static bool finish(struct emit *e, const struct visit *visit)
{
	struct fort_layer *layer = visit->layer;

	if (!layer) {
		visit->spot->color = DONE;
		e->steps += visit->spot->steps;
		return !visit->spot->settled || list(e, visit->spot);
	}
	layer->color = DONE;
	if (layer->closed && !fort_layer_rank(layer)) {
		e->loop = layer->point->pc;
		e->err = -ELOOP;
		return false;
	}
	layer->order = e->n_groups;
	if (layer->closed)
		e->groups[e->n_groups++] = layer;
	for (struct fort_spot *spot = layer->members; spot; spot = spot->next) {
		e->steps += spot->steps;
		if (!list(e, spot))
			return false;
	}
	return true;
}

static struct visit *enter(struct emit *e, struct visit *below, struct fort_spot *spot)
{
	struct visit *visit = FORT_ARENA_NEW(e->arena, struct visit);
	struct fort_layer *layer = node_layer(spot);

	if (!visit)
		return NULL;
	*visit = (struct visit){below, layer ? layer->members : spot, layer, 0};
	if (layer) {
		layer->color = OPEN;
		e->layers[layer->number] = layer;
	} else {
		spot->color = OPEN;
	}
	return visit;
}

/* The next spot that the node leads to and that is not done; NULL at its end. */
static struct fort_spot *next_target(struct emit *e, struct visit *visit)
{
	for (;;) {
		struct fort_spot *to;
		struct fort_layer *layer;

		if (visit->edge == visit->spot->n_edges) {
			if (!visit->layer || !visit->spot->next)
				return NULL;
			visit->spot = visit->spot->next;
			visit->edge = 0;
			continue;
		}
		/* From the last on, so that what arrived first does so in the certificate too. */
		to = visit->spot->edges[visit->spot->n_edges - ++visit->edge];
		if (!to)
			continue;
		layer = node_layer(to);
		if (layer ? layer->color == DONE || is_around(visit->spot, layer)
			  : to->color == DONE)
			continue;
		if ((layer ? layer->color : to->color) == OPEN || to->dead) {
			e->loop = to->point->pc; /* a cycle that is no loop of ours */
			e->err = -ELOOP;
			return NULL;
		}
		return to;
	}
}

static bool order_from(struct emit *e, struct fort_spot *root)
{
	struct visit *visit = enter(e, NULL, root);

	while (visit) {
		struct fort_spot *to = next_target(e, visit);
		struct visit *inner;

		if (e->err)
			return false;
		if (!to) {
			if (visit->below && !finish(e, visit))
				return false;
			if (!visit->below)
				e->steps += root->steps;
			visit = visit->below;
			continue;
		}
		inner = enter(e, visit, to);
		if (!inner)
			return false;
		visit = inner;
	}
	return !e->err;
}

/* --- edges --- */

struct level {
	struct level *below;
	const struct fort_spot *spot;
	uint32_t at;
};

struct numbers {
	struct fort_arena *arena;
	uint32_t *items;
	uint32_t n, room;
};

static bool add_number(struct numbers *numbers, uint32_t number)
{
	if (numbers->n == numbers->room) {
		uint32_t room = numbers->room ? numbers->room * 2 : 64;
		uint32_t *items = FORT_ARENA_ARRAY(numbers->arena, room, uint32_t);

		if (!items)
			return false;
		for (uint32_t i = 0; i < numbers->n; i++)
			items[i] = numbers->items[i];
		numbers->items = items;
		numbers->room = room;
	}
	numbers->items[numbers->n++] = number;
	return true;
}

/* An arrival, in the order of the checker. Is the first one at a spot what the search stored there,
 * from a region that was not walked again since? Then its claim can keep that. */
static void meet(struct fort_spot *to, const struct fort_spot *from, uint32_t edge)
{
	if (!to->met)
		to->gives =
			to->from == from && to->from_edge == edge && to->from_works == from->works;
	to->met = true;
}

/* Adds all edges of a region: regions of spots that are not listed are part of it. */
static bool collect_edges(struct numbers *edges, const struct fort_spot *spot)
{
	struct level first = {.spot = spot}, *level = &first;

	while (level) {
		struct fort_spot *to;
		struct level *inner;

		if (level->at == level->spot->n_edges) {
			level = level->below;
			continue;
		}
		to = level->spot->edges[level->at++];
		if (!add_number(edges, to && to->settled ? to->order + 1 : 0))
			return false;
		if (to && to->settled)
			meet(to, level->spot, level->at - 1);
		if (!to || to->settled)
			continue;
		inner = FORT_ARENA_NEW(edges->arena, struct level);
		if (!inner)
			return false;
		*inner = (struct level){.below = level, .spot = to};
		level = inner;
	}
	return true;
}

/* --- claims --- */

/* One ghost of a claim, of the group with this number. */
struct chosen {
	uint32_t group;
	struct fort_span rest;
};

static uint32_t rank_number(const struct fort_layer *layer)
{
	return (uint32_t)(fort_layer_rank(layer) - layer->ranks);
}

/* Does the certificate look at this ghost in states like this one? */
static bool is_chosen(const struct emit *e, const struct fort_spot *spot, uint32_t owner)
{
	uint32_t number = owner / FORT_RANKS_MAX;
	const struct fort_layer *layer = number < e->n_layers ? e->layers[number] : NULL;

	return layer && layer->closed && layer != spot->layer &&
	       owner % FORT_RANKS_MAX == rank_number(layer) && is_around(spot, layer);
}

/* The ghosts of a spot's claim, in the order of their groups. */
static uint32_t choose_ghosts(const struct emit *e, const struct fort_spot *spot,
			      struct chosen *list)
{
	struct fort_reader reader = fort_reader_on(spot->ghosts.data, spot->ghosts.bytes);
	uint32_t n = 0;

	while (fort_reader_left(&reader)) {
		uint32_t owner, bytes;
		struct chosen one;
		uint32_t at;

		if (fort_reader_u32(&reader, &owner) || fort_reader_u32(&reader, &bytes) ||
		    fort_reader_take(&reader, bytes, &one.rest.data))
			break; /* cannot be: they were written here */
		one.rest.bytes = bytes;
		if (!is_chosen(e, spot, owner))
			continue;
		one.group = e->layers[owner / FORT_RANKS_MAX]->order;
		for (at = n++; at && list[at - 1].group > one.group; at--)
			list[at] = list[at - 1];
		list[at] = one;
	}
	return n;
}

static void put_state(struct emit *e, const struct fort_spot *spot, struct fort_buf *out)
{
	struct chosen ghosts[FORT_GHOSTS_MAX];
	struct fort_buf *rest = &e->s->body;
	uint32_t n;

	if (spot->gives && spot->kept.bytes) {
		fort_certificate_put_state(out, spot->point->pc, spot->kept,
					   (struct fort_span){NULL, 0});
		return;
	}
	n = choose_ghosts(e, spot, ghosts);
	rest->bytes = 0;
	fort_buf_varint(rest, n);
	for (uint32_t i = 0; i < n; i++) {
		fort_buf_varint(rest, ghosts[i].group);
		fort_buf_put(rest, ghosts[i].rest.data, ghosts[i].rest.bytes);
	}
	fort_certificate_put_state(out, spot->point->pc, spot->claim,
				   (struct fort_span){rest->data, rest->bytes});
}

/* --- the certificate --- */

static void put_groups(const struct emit *e, struct fort_buf *out)
{
	for (uint32_t i = 0; i < e->n_groups; i++) {
		const struct fort_layer *layer = e->groups[i];
		const struct fort_rank *rank = fort_layer_rank(layer);
		const struct fort_cert_group group = {.first = layer->members->order,
						      .count = layer->n_members,
						      .rank = rank->cell,
						      .falls = !rank->rises};

		fort_certificate_put_group(out, &group);
	}
}

/* The edges of all regions, in one list. */
struct regions {
	struct numbers edges;
	struct region {
		uint32_t start, n;
	} * at; /* of states, then of roots */
};

static bool collect_region(struct regions *regions, uint32_t index, const struct fort_spot *spot)
{
	uint32_t start = regions->edges.n;
	bool good = collect_edges(&regions->edges, spot);

	regions->at[index] = (struct region){start, regions->edges.n - start};
	return good;
}

/* In the order in which the checker walks them. */
static bool collect_all(struct emit *e, struct regions *regions)
{
	*regions = (struct regions){.edges.arena = e->arena};
	regions->at =
		FORT_ARENA_ARRAY(e->arena, e->n_listed + (size_t)e->s->n_roots, struct region);
	if (!regions->at)
		return false;
	for (uint32_t i = 0; i < e->s->n_roots; i++)
		if (!collect_region(regions, e->n_listed + i, e->s->roots[i]))
			return false;
	for (uint32_t i = e->n_listed; i-- > 0;)
		if (!collect_region(regions, i, e->listed[i]))
			return false;
	return true;
}

static void put_edges(const struct regions *regions, uint32_t index, struct fort_buf *out)
{
	const struct region *region = &regions->at[index];

	fort_certificate_put_edges(out, region->n ? &regions->edges.items[region->start] : NULL,
				   region->n);
}

static int put_all(struct emit *e, struct fort_buf *out)
{
	const struct fort_cert_counts counts = {.steps = e->steps,
						.groups = e->n_groups,
						.states = e->n_listed,
						.roots = e->s->n_roots};
	struct regions regions;

	if (!collect_all(e, &regions))
		return -ENOMEM;
	fort_certificate_begin(out, e->s->env, &counts);
	put_groups(e, out);
	for (uint32_t i = 0; i < e->n_listed; i++) {
		put_state(e, e->listed[i], out);
		put_edges(&regions, i, out);
	}
	for (uint32_t i = 0; i < e->s->n_roots; i++) {
		struct fort_root root = fort_search_root(e->s, i);

		fort_certificate_put_root(out, &root);
		put_edges(&regions, e->n_listed + i, out);
	}
	return e->s->body.err ? e->s->body.err : out->err;
}

int fort_search_emit(struct fort_search *s, uint32_t *pc)
{
	struct emit e = {.s = s, .arena = s->arena, .n_layers = s->n_layers};

	e.groups = FORT_ARENA_ARRAY(s->arena, s->n_layers, struct fort_layer *);
	e.layers = FORT_ARENA_ARRAY(s->arena, s->n_layers, struct fort_layer *);
	if (!e.groups || !e.layers)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->n_roots; i++)
		if (!order_from(&e, s->roots[i])) {
			*pc = e.loop;
			return e.err ? e.err : -ENOMEM;
		}
	return put_all(&e, &s->result->certificate);
}
