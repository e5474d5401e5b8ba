#include "verify/loops.h"

#include <errno.h>
#include <string.h>

/* A part of the graph that waits to be taken apart: a list of instructions, by `next`. */
struct part {
	uint32_t first, loop; /* the loop that it is inside of */
	uint32_t depth;
	bool connected; /* a loop of its own, whose head comes first */
};

struct finder {
	const struct fort_insn *insns;
	const uint8_t *marks;
	uint32_t n;
	uint32_t *rpo;   /* reverse postorder, which chooses heads */
	uint32_t *next;  /* list of the part */
	uint32_t *owner; /* number of the part being taken apart */
	uint32_t *index, *low;
	uint32_t *stack, *path; /* of Tarjan's walk */
	uint32_t *members;      /* of the part, while its list is taken for those found in it */
	uint8_t *entered;
	struct part *parts;
	uint32_t n_parts;
	uint32_t *order, *at, *loop_of;
	struct fort_loop *loops;
	uint32_t n_loops, position, round;
};

/* --- reverse postorder --- */

static void number_from(struct finder *f, uint32_t start, uint32_t *number)
{
	uint32_t depth = 0;

	f->path[depth++] = start;
	f->index[start] = 1;
	while (depth) {
		uint32_t pc = f->path[depth - 1], out[2];
		unsigned n = fort_successors(f->insns, pc, out);

		if (f->entered[pc] == n) {
			f->rpo[pc] = --*number;
			depth--;
			continue;
		}
		pc = out[f->entered[pc]++];
		if (f->index[pc])
			continue;
		f->index[pc] = 1;
		f->path[depth++] = pc;
	}
}

/* --- strongly connected parts of a part --- */

struct tarjan {
	uint32_t depth, top, count;
	uint32_t found; /* parts found, the last in topological order first */
	const struct part *of;
};

static bool is_loop(const struct finder *f, uint32_t pc)
{
	uint32_t out[2];
	unsigned n = fort_successors(f->insns, pc, out);

	for (unsigned i = 0; i < n; i++)
		if (out[i] == pc)
			return true;
	return f->marks[pc] & FORT_MARK_CALLS_BACK;
}

/* Everything above `pc` on the stack is one component; the earliest instruction comes first. */
static void take_component(struct finder *f, struct tarjan *t, uint32_t pc)
{
	struct part *part = &f->parts[f->n_parts++];
	uint32_t head = pc, last = UINT32_MAX, at, n = 0;

	for (uint32_t i = t->top; f->stack[--i] != pc;)
		if (f->rpo[f->stack[i]] < f->rpo[head])
			head = f->stack[i];
	do {
		at = f->stack[--t->top];
		f->owner[at] = 0;
		n++;
		if (at == head)
			continue;
		f->next[at] = last;
		last = at;
	} while (at != pc);
	f->next[head] = last;
	*part = (struct part){.first = head,
			      .loop = t->of->loop,
			      .depth = t->of->depth,
			      .connected = n > 1 || is_loop(f, head)};
	t->found++;
}

static void open_node(struct finder *f, struct tarjan *t, uint32_t pc)
{
	f->index[pc] = f->low[pc] = ++t->count;
	f->entered[pc] = 0;
	f->stack[t->top++] = pc;
	f->path[t->depth++] = pc;
}

static void walk(struct finder *f, struct tarjan *t, uint32_t start)
{
	open_node(f, t, start);
	while (t->depth) {
		uint32_t pc = f->path[t->depth - 1], out[2], to;
		unsigned n = fort_successors(f->insns, pc, out);

		if (f->entered[pc] < n) {
			to = out[f->entered[pc]++];
			if (f->owner[to] != f->round)
				continue; /* of another part, or done */
			if (!f->index[to])
				open_node(f, t, to);
			else if (f->index[to] < f->low[pc])
				f->low[pc] = f->index[to];
			continue;
		}
		t->depth--;
		if (t->depth && f->low[pc] < f->low[f->path[t->depth - 1]])
			f->low[f->path[t->depth - 1]] = f->low[pc];
		if (f->low[pc] == f->index[pc])
			take_component(f, t, pc);
	}
}

/* Puts the components of `part` on the list of parts, the first in topological order on top: that
 * is the order in which Tarjan's walk does not find them, and the list is worked from its end. */
static void take_apart(struct finder *f, const struct part *part)
{
	struct tarjan t = {.of = part};
	uint32_t n = 0;

	f->round++;
	for (uint32_t pc = part->first; pc != UINT32_MAX; pc = f->next[pc]) {
		f->owner[pc] = f->round;
		f->index[pc] = 0;
		f->members[n++] = pc;
	}
	for (uint32_t i = 0; i < n; i++)
		if (f->owner[f->members[i]] == f->round && !f->index[f->members[i]])
			walk(f, &t, f->members[i]);
}

static void place(struct finder *f, uint32_t pc, uint32_t loop)
{
	f->at[f->position] = pc;
	f->order[pc] = f->position++;
	f->loop_of[pc] = loop;
}

/* A loop: its head, then what remains of it without the head. */
static void place_loop(struct finder *f, const struct part *part)
{
	uint32_t loop = f->n_loops++;
	struct part rest = {.first = f->next[part->first], .loop = loop, .depth = part->depth + 1};

	f->loops[loop] = (struct fort_loop){part->first, part->loop};
	place(f, part->first, loop);
	if (rest.first == UINT32_MAX)
		return;
	if (rest.depth < FORT_LOOP_DEPTH_MAX) {
		take_apart(f, &rest);
		return;
	}
	for (uint32_t pc = rest.first; pc != UINT32_MAX; pc = f->next[pc])
		place(f, pc, loop);
}

/* Reverse postorder is all the order that a function without loops needs. */
static void place_straight(struct finder *f, const struct fort_subprog *of)
{
	uint32_t first = f->rpo[of->start], n = 0;

	for (uint32_t pc = of->start; pc < of->end; pc += fort_insn_slots(&f->insns[pc]), n++) {
		f->order[pc] = f->position + f->rpo[pc] - first;
		f->at[f->order[pc]] = pc;
		f->loop_of[pc] = FORT_NO_LOOP;
	}
	f->position += n;
}

static bool has_loops(const struct finder *f, const struct fort_subprog *of)
{
	for (uint32_t pc = of->start; pc < of->end; pc++)
		if (f->marks[pc] & (FORT_MARK_LOOP_HEAD | FORT_MARK_CALLS_BACK))
			return true;
	return false;
}

static void place_function(struct finder *f, const struct fort_subprog *of)
{
	struct part whole = {.first = UINT32_MAX, .loop = FORT_NO_LOOP};

	for (uint32_t pc = of->start; pc < of->end; pc += fort_insn_slots(&f->insns[pc])) {
		f->next[pc] = whole.first;
		whole.first = pc;
	}
	take_apart(f, &whole);
	while (f->n_parts) {
		struct part part = f->parts[--f->n_parts];

		if (part.connected)
			place_loop(f, &part);
		else
			place(f, part.first, part.loop);
	}
}

/* What only functions with loops need. */
static bool make_room(struct finder *f, struct fort_arena *arena)
{
	uint32_t **arrays[] = {&f->next, &f->owner, &f->low, &f->stack, &f->members};

	for (size_t i = 0; i < FORT_LEN(arrays); i++) {
		*arrays[i] = FORT_ARENA_ARRAY(arena, f->n, uint32_t);
		if (!*arrays[i])
			return false;
	}
	f->parts = FORT_ARENA_ARRAY(arena, f->n, struct part);
	f->loops = FORT_ARENA_ARRAY(arena, f->n, struct fort_loop);
	return f->parts && f->loops;
}

static bool find(struct finder *f, struct fort_arena *arena, const struct fort_program *program)
{
	uint32_t number = f->n;

	for (uint32_t i = program->n_subprogs; i-- > 0;)
		number_from(f, program->subprogs[i].start, &number);
	for (uint32_t i = 0; i < program->n_subprogs; i++) {
		const struct fort_subprog *of = &program->subprogs[i];

		if (!has_loops(f, of)) {
			place_straight(f, of);
			continue;
		}
		if (!f->loops && !make_room(f, arena))
			return false;
		place_function(f, of);
	}
	return true;
}

int fort_loops_find(struct fort_arena *arena, const struct fort_graph *graph,
		    struct fort_loops *out)
{
	uint32_t n = graph->program.n_insns;
	struct finder f = {.insns = graph->program.insns, .n = n, .marks = graph->marks};
	uint32_t **arrays[] = {&f.rpo, &f.index, &f.path, &f.order, &f.at, &f.loop_of};

	for (size_t i = 0; i < FORT_LEN(arrays); i++) {
		*arrays[i] = FORT_ARENA_ARRAY(arena, n, uint32_t);
		if (!*arrays[i])
			return -ENOMEM;
	}
	f.entered = FORT_ARENA_ARRAY(arena, n, uint8_t);
	if (!f.entered || !find(&f, arena, &graph->program))
		return -ENOMEM;
	*out = (struct fort_loops){f.order, f.at, f.loop_of, f.loops, f.n_loops, f.position};
	return 0;
}

bool fort_loop_has(const struct fort_loops *loops, uint32_t loop, uint32_t pc)
{
	uint32_t at = loops->loop_of[pc];

	while (at != loop && at != FORT_NO_LOOP)
		at = loops->loops[at].parent;
	return at == loop;
}

uint32_t fort_loop_headed(const struct fort_loops *loops, uint32_t pc)
{
	uint32_t loop = loops->loop_of[pc];

	return loop != FORT_NO_LOOP && loops->loops[loop].head == pc ? loop : FORT_NO_LOOP;
}
