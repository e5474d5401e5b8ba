#include "isa/graph.h"

#include <errno.h>
#include <string.h>

struct build {
	const struct fort_insn *insns;
	uint32_t count;
	uint8_t *marks, *color;
	struct fort_subprog *subprogs;
	uint32_t n_subprogs;
	struct fort_graph_error *error;
};

static int fail(struct build *b, enum fort_graph_fault fault, uint32_t pc, int64_t target)
{
	*b->error = (struct fort_graph_error){.fault = fault, .pc = pc, .target = target};
	return -EINVAL;
}

/* Every target of a local call starts a subprogram; the marks give them in order. */
static int find_subprogs(struct build *b)
{
	uint32_t n = 1;

	b->marks[0] |= FORT_MARK_SUBPROG;
	for (uint32_t pc = 0; pc < b->count; pc++) {
		int64_t target;

		if (!fort_insn_names_subprog(&b->insns[pc]))
			continue;
		target = fort_insn_target(&b->insns[pc], pc);
		if (target < 0 || target >= b->count || b->insns[target].kind == FORT_LDIMM_HIGH)
			return fail(b, FORT_GRAPH_CALL_OUT, pc, target);
		if (b->marks[target] & FORT_MARK_SUBPROG)
			continue;
		if (++n > FORT_SUBPROGS_MAX)
			return fail(b, FORT_GRAPH_SUBPROGS, pc, target);
		b->marks[target] |= FORT_MARK_SUBPROG;
	}
	b->n_subprogs = n;
	return 0;
}

static void fill_subprogs(struct build *b)
{
	uint32_t n = 0;

	for (uint32_t pc = 0; pc < b->count; pc++) {
		if (!(b->marks[pc] & FORT_MARK_SUBPROG))
			continue;
		if (n)
			b->subprogs[n - 1].end = pc;
		b->subprogs[n++].start = pc;
	}
	b->subprogs[n - 1].end = b->count;
}

static int check_jump(struct build *b, const struct fort_subprog *subprog, uint32_t pc)
{
	int64_t target = fort_insn_target(&b->insns[pc], pc);

	if (target < subprog->start || target >= subprog->end)
		return fail(b, FORT_GRAPH_JUMP_OUT, pc, target);
	if (b->insns[target].kind == FORT_LDIMM_HIGH)
		return fail(b, FORT_GRAPH_JUMP_LDIMM, pc, target);
	return 0;
}

static int check_jumps(struct build *b)
{
	for (uint32_t i = 0; i < b->n_subprogs; i++) {
		const struct fort_subprog *subprog = &b->subprogs[i];
		uint32_t last = subprog->end - 1;

		for (uint32_t pc = subprog->start; pc < subprog->end; pc++) {
			int err = fort_insn_jumps(&b->insns[pc]) ? check_jump(b, subprog, pc) : 0;

			if (err)
				return err;
		}
		if (b->insns[last].kind != FORT_EXIT && b->insns[last].kind != FORT_JA)
			return fail(b, FORT_GRAPH_FALL_OFF, last, subprog->end);
	}
	return 0;
}

/* --- the depth-first walk: reachability, joins, loop heads --- */

/* Per slot: not seen, on the walk's path, or finished. */
enum color { UNSEEN, OPEN, DONE };

/* A run on the path: slots that follow each other, of which only the last has other successors, and
 * how many of these have been entered. */
struct run {
	uint32_t first, last, entered;
};

struct walk {
	struct run *path;
	uint32_t depth;
};

static void note_seen(struct build *b, uint32_t pc)
{
	b->marks[pc] |= FORT_MARK_JOIN;
	if (b->color[pc] != DONE)
		b->marks[pc] |= FORT_MARK_LOOP_HEAD;
}

/* What is new from here on goes on the path, as far as control goes on to the next instruction
 * anyway. */
static void enter(struct build *b, struct walk *walk, uint32_t pc)
{
	const struct fort_insn *insn = &b->insns[pc];
	uint32_t first = pc;

	if (b->color[pc] != UNSEEN) {
		note_seen(b, pc);
		return;
	}
	for (;;) {
		uint32_t next = pc + fort_insn_slots(insn);

		b->marks[pc] |= FORT_MARK_REACHED;
		b->color[pc] = OPEN;
		if (fort_insn_jumps(insn) || insn->kind == FORT_EXIT || b->color[next] != UNSEEN)
			break;
		pc = next;
		insn = &b->insns[pc];
	}
	walk->path[walk->depth++] = (struct run){.first = first, .last = pc};
}

/* Without recursion; bounded because each slot is entered once. */
static void walk_from(struct build *b, struct walk *walk, uint32_t start)
{
	enter(b, walk, start);
	while (walk->depth) {
		struct run *run = &walk->path[walk->depth - 1];
		uint32_t next[2];

		if (run->entered < fort_successors(b->insns, run->last, next)) {
			enter(b, walk, next[run->entered++]);
		} else {
			memset(&b->color[run->first], DONE, run->last + 1 - run->first);
			walk->depth--;
		}
	}
}

static int check_reached(struct build *b)
{
	for (uint32_t pc = 0; pc < b->count; pc++) {
		const struct fort_insn *insn = &b->insns[pc];

		if (!(b->marks[pc] & FORT_MARK_REACHED) && insn->kind != FORT_LDIMM_HIGH)
			return fail(b, FORT_GRAPH_UNREACHABLE, pc, 0);
		if (insn->kind == FORT_CALL && insn->op == FORT_OP_LOCAL)
			b->marks[pc + 1] |= FORT_MARK_RETURN; /* a call is never the last slot */
	}
	return 0;
}

static int build(struct build *b, struct fort_arena *arena)
{
	struct walk walk;
	int err = find_subprogs(b);

	if (err)
		return err;
	b->subprogs = FORT_ARENA_ARRAY(arena, b->n_subprogs, struct fort_subprog);
	b->color = FORT_ARENA_ARRAY(arena, b->count, uint8_t);
	walk = (struct walk){.path = FORT_ARENA_ARRAY(arena, b->count, struct run)};
	if (!b->subprogs || !b->color || !walk.path)
		return -ENOMEM;
	fill_subprogs(b);
	err = check_jumps(b);
	if (err)
		return err;
	for (uint32_t i = 0; i < b->n_subprogs; i++)
		walk_from(b, &walk, b->subprogs[i].start);
	return check_reached(b);
}

int fort_graph_build(struct fort_arena *arena, const struct fort_insn *insns, uint32_t count,
		     struct fort_graph *out, struct fort_graph_error *error)
{
	struct build b = {.insns = insns, .count = count, .error = error};
	int err;

	b.marks = FORT_ARENA_ARRAY(arena, count, uint8_t);
	if (!b.marks)
		return -ENOMEM;
	err = build(&b, arena);
	if (err)
		return err;
	*out = (struct fort_graph){
		.program = {.insns = insns,
			    .n_insns = count,
			    .subprogs = b.subprogs,
			    .n_subprogs = b.n_subprogs},
		.marks = b.marks,
	};
	return 0;
}

uint32_t fort_subprog_of(const struct fort_program *program, uint32_t pc)
{
	uint32_t low = 0, high = program->n_subprogs;

	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (program->subprogs[middle].start <= pc)
			low = middle;
		else
			high = middle;
	}
	return low;
}

int fort_subprog_at(const struct fort_program *program, int64_t pc)
{
	uint32_t i;

	if (pc < 0 || pc >= program->n_insns)
		return -1;
	i = fort_subprog_of(program, (uint32_t)pc);
	return program->subprogs[i].start == pc ? (int)i : -1;
}
