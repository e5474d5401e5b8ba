#include "verify/point.h"

#include <errno.h>
#include <string.h>

#define TABLE_MIN 32u

int fort_points_init(struct fort_points *points, struct fort_arena *arena,
		     const struct fort_loops *loops)
{
	*points = (struct fort_points){.arena = arena,
				       .loops = loops,
				       .room = TABLE_MIN,
				       .contexts_room = TABLE_MIN,
				       .heap_room = TABLE_MIN};
	points->table = FORT_ARENA_ARRAY(arena, points->room, struct fort_point *);
	points->contexts = FORT_ARENA_ARRAY(arena, points->contexts_room, struct fort_context *);
	points->heap = FORT_ARENA_ARRAY(arena, points->heap_room, struct fort_point *);
	return points->table && points->contexts && points->heap ? 0 : -ENOMEM;
}

/* --- chains of calls: an open table --- */

static uint32_t hash_of(uint32_t a, uint32_t b)
{
	uint64_t mixed = ((uint64_t)a << 32 | b) * 0x9e3779b97f4a7c15ull;

	return (uint32_t)(mixed >> 32);
}

static bool grow_contexts(struct fort_points *points)
{
	struct fort_context **old = points->contexts;
	uint32_t n = points->contexts_room;

	points->contexts = FORT_ARENA_ARRAY(points->arena, n * 2, struct fort_context *);
	if (!points->contexts)
		return false;
	points->contexts_room = n * 2;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t at;

		if (!old[i])
			continue;
		at = hash_of(old[i]->caller ? old[i]->caller->number : 0, old[i]->call_pc);
		while (points->contexts[at % points->contexts_room])
			at++;
		points->contexts[at % points->contexts_room] = old[i];
	}
	return true;
}

static struct fort_context *enter_context(struct fort_points *points, struct fort_context *caller,
					  uint32_t call_pc)
{
	uint32_t at = hash_of(caller ? caller->number : 0, call_pc), depth;
	struct fort_context *context;

	for (;; at++) {
		context = points->contexts[at % points->contexts_room];
		if (!context)
			break;
		if (context->caller == caller && context->call_pc == call_pc)
			return context;
	}
	if (points->n_contexts * 2 >= points->contexts_room) {
		if (!grow_contexts(points))
			return NULL;
		return enter_context(points, caller, call_pc);
	}
	context = FORT_ARENA_NEW(points->arena, struct fort_context);
	if (!context)
		return NULL;
	points->contexts[at % points->contexts_room] = context;
	context->caller = caller;
	context->call_pc = call_pc;
	context->number = ++points->n_contexts;
	depth = caller ? caller->depth : 0;
	if (caller) {
		memcpy(context->places, caller->places, depth * sizeof(context->places[0]));
		context->places[depth] = points->loops->order[call_pc];
		context->depth = depth + 1;
	}
	return context;
}

const struct fort_context *fort_points_context(struct fort_points *points,
					       const struct fort_state *state, uint32_t root)
{
	/* A root is like a call from nowhere. */
	struct fort_context *context = enter_context(points, NULL, UINT32_MAX - root);

	for (uint32_t f = 1; context && f < state->n_frames; f++) {
		const struct fort_frame *frame = state->frames[f];
		bool called = frame->kind == FORT_FRAME_CALLED; /* a local call has one slot */

		context = enter_context(points, context, frame->return_pc - called);
	}
	return context;
}

/* --- points: chains by hash --- */

/* Instructions that are neighbours are looked at one after the other: so are their chains. */
static uint32_t chain_of(const struct fort_points *points, const struct fort_context *context,
			 uint32_t pc)
{
	return (pc + context->number * 0x9e3779b1u) % points->room;
}

static bool grow_table(struct fort_points *points)
{
	struct fort_point **old = points->table;
	uint32_t n = points->room;

	points->table = FORT_ARENA_ARRAY(points->arena, n * 4, struct fort_point *);
	if (!points->table)
		return false;
	points->room = n * 4;
	for (uint32_t i = 0; i < n; i++)
		while (old[i]) {
			struct fort_point *point = old[i];
			uint32_t at = chain_of(points, point->context, point->pc);

			old[i] = point->next;
			point->next = points->table[at];
			points->table[at] = point;
		}
	return true;
}

struct fort_point *fort_points_at(struct fort_points *points, const struct fort_context *context,
				  uint32_t pc)
{
	uint32_t at = chain_of(points, context, pc);
	struct fort_point *point;

	for (point = points->table[at]; point; point = point->next)
		if (point->context == context && point->pc == pc)
			return point;
	if (points->n >= points->room && !grow_table(points))
		return NULL;
	at = chain_of(points, context, pc);
	point = FORT_ARENA_NEW(points->arena, struct fort_point);
	if (!point)
		return NULL;
	point->context = context;
	point->pc = pc;
	point->place = points->loops->order[pc];
	point->next = points->table[at];
	points->table[at] = point;
	points->n++;
	return point;
}

/* --- the order of work --- */

/* By the outermost call that differs; a caller that goes on after its callee. */
static bool comes_before(const struct fort_point *a, const struct fort_point *b)
{
	const struct fort_context *x = a->context, *y = b->context;
	uint32_t depth = x->depth < y->depth ? x->depth : y->depth;

	for (uint32_t i = 0; i < depth; i++)
		if (x->places[i] != y->places[i])
			return x->places[i] < y->places[i];
	if (x->depth == y->depth)
		return a->place < b->place;
	/* One is inside a call that the other's function makes, or not. */
	return x->depth > y->depth ? x->places[depth] < b->place : a->place <= y->places[depth];
}

static void put_heap(struct fort_points *points, uint32_t at, struct fort_point *point)
{
	points->heap[at] = point;
	point->heap = at + 1;
}

static void sift_up(struct fort_points *points, uint32_t at)
{
	struct fort_point *point = points->heap[at];

	while (at && comes_before(point, points->heap[(at - 1) / 2])) {
		put_heap(points, at, points->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	put_heap(points, at, point);
}

static void sift_down(struct fort_points *points, uint32_t at)
{
	struct fort_point *point = points->heap[at];

	for (;;) {
		uint32_t child = 2 * at + 1;

		if (child >= points->n_heap)
			break;
		if (child + 1 < points->n_heap &&
		    comes_before(points->heap[child + 1], points->heap[child]))
			child++;
		if (!comes_before(points->heap[child], point))
			break;
		put_heap(points, at, points->heap[child]);
		at = child;
	}
	put_heap(points, at, point);
}

bool fort_points_wait(struct fort_points *points, struct fort_point *point)
{
	if (point->heap)
		return true;
	if (points->n_heap == points->heap_room) {
		struct fort_point **heap =
			FORT_ARENA_ARRAY(points->arena, points->heap_room * 2, struct fort_point *);

		if (!heap)
			return false;
		memcpy(heap, points->heap, points->n_heap * sizeof(*heap));
		points->heap = heap;
		points->heap_room *= 2;
	}
	put_heap(points, points->n_heap++, point);
	sift_up(points, points->n_heap - 1);
	return true;
}

struct fort_point *fort_points_take(struct fort_points *points)
{
	struct fort_point *first;

	if (!points->n_heap)
		return NULL;
	first = points->heap[0];
	first->heap = 0;
	points->n_heap--;
	if (points->n_heap) {
		put_heap(points, 0, points->heap[points->n_heap]);
		sift_down(points, 0);
	}
	return first;
}
