#include "isa/graph.h"

#include <errno.h>
#include <string.h>

/* Most slots do nothing that matters here: sets of those that do are one bit a slot, and passes go
 * from one to the next. */
struct build {
	const struct fort_insn *insns;
	uint32_t count;
	uint8_t *marks, *color;
	uint64_t *stops; /* jumps and exits */
	uint64_t *named; /* what names a subprogram */
	uint64_t *heads; /* first slots of runs, as the walk finds them */
	struct fort_subprog *subprogs;
	uint32_t n_stops, n_subprogs, n_reached;
	struct fort_graph_error *error;
};

static int fail(struct build *b, enum fort_graph_fault fault, uint32_t pc, int64_t target)
{
	*b->error = (struct fort_graph_error){.fault = fault, .pc = pc, .target = target};
	return -EINVAL;
}

#define WORD_BITS 64u

static uint32_t n_words(uint32_t count)
{
	return (count + WORD_BITS - 1) / WORD_BITS;
}

/* The first slot of a set at or after `from` and before `end`, or `end`. */
static uint32_t next_of(const uint64_t *set, uint32_t from, uint32_t end)
{
	while (from < end) {
		uint64_t word = set[from / WORD_BITS] >> from % WORD_BITS;

		if (word) {
			from += (uint32_t)__builtin_ctzll(word);
			return from < end ? from : end;
		}
		from = (from / WORD_BITS + 1) * WORD_BITS;
	}
	return end;
}

#define KIND(kind) (1u << FORT_##kind)
#define STOPS      (KIND(JA) | KIND(JCC_K) | KIND(JCC_X) | KIND(MAY_GOTO) | KIND(EXIT))
_Static_assert(FORT_EXIT < 32, "a bit for each kind");

static void sort_slots(struct build *b)
{
	for (uint32_t first = 0; first < b->count; first += WORD_BITS) {
		const struct fort_insn *insns = &b->insns[first];
		uint32_t n = b->count - first < WORD_BITS ? b->count - first : WORD_BITS;
		uint64_t stops = 0, named = 0;

		for (uint32_t i = 0; i < n; i++) {
			uint32_t is_stop = STOPS >> insns[i].kind & 1;

			b->n_stops += is_stop;
			stops |= (uint64_t)is_stop << i;
			named |= (uint64_t)fort_insn_names_subprog(&insns[i]) << i;
		}
		b->stops[first / WORD_BITS] = stops;
		b->named[first / WORD_BITS] = named;
	}
}

/* Every target of a local call starts a subprogram; the marks give them in order. */
static int find_subprogs(struct build *b)
{
	uint32_t n = 1;

	b->marks[0] |= FORT_MARK_SUBPROG;
	for (uint32_t pc = next_of(b->named, 0, b->count); pc < b->count;
	     pc = next_of(b->named, pc + 1, b->count)) {
		int64_t target = fort_insn_target(&b->insns[pc], pc);

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

	for (uint32_t pc = 0; n < b->n_subprogs; pc++) {
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

		for (uint32_t pc = next_of(b->stops, subprog->start, subprog->end);
		     pc < subprog->end; pc = next_of(b->stops, pc + 1, subprog->end)) {
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

/* A run on the path: slots [first, end) that follow each other, of which only the last instruction
 * has other successors, and how many of these have been entered. */
struct run {
	uint32_t first, last, end, entered;
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
 * anyway: there is a jump or an exit, and what was seen before starts another run. */
static void enter(struct build *b, struct walk *walk, uint32_t pc)
{
	struct run run = {.first = pc};

	if (b->color[pc] != UNSEEN) {
		note_seen(b, pc);
		return;
	}
	run.end = next_of(b->stops, pc, b->count - 1) + 1;
	run.end = next_of(b->heads, pc + 1, run.end);
	run.last = run.end - 1;
	if (b->insns[run.last].kind == FORT_LDIMM_HIGH)
		run.last--;
	for (uint32_t i = pc; i < run.end; i++)
		b->marks[i] |= FORT_MARK_REACHED;
	memset(&b->color[pc], OPEN, run.end - pc);
	b->heads[pc / WORD_BITS] |= 1ull << pc % WORD_BITS;
	b->n_reached += run.end - pc;
	walk->path[walk->depth++] = run;
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
			memset(&b->color[run->first], DONE, run->end - run->first);
			walk->depth--;
		}
	}
}

static int check_reached(struct build *b)
{
	for (uint32_t pc = 0; b->n_reached < b->count && pc < b->count; pc++)
		if (!(b->marks[pc] & FORT_MARK_REACHED))
			return fail(b, FORT_GRAPH_UNREACHABLE, pc, 0);
	for (uint32_t pc = next_of(b->named, 0, b->count); pc < b->count;
	     pc = next_of(b->named, pc + 1, b->count))
		if (b->insns[pc].kind == FORT_CALL)
			b->marks[pc + 1] |= FORT_MARK_RETURN; /* never the last slot */
	return 0;
}

static int find_paths(struct build *b, struct fort_arena *arena)
{
	/* A subprogram's start is a run's, and each jump leads to two more at most. */
	size_t n_runs = 2 * (size_t)b->n_stops + b->n_subprogs;
	struct walk walk = {.path = fort_arena_room(arena, n_runs * sizeof(*walk.path))};

	if (!walk.path)
		return -ENOMEM;
	for (uint32_t i = 0; i < b->n_subprogs; i++)
		walk_from(b, &walk, b->subprogs[i].start);
	return check_reached(b);
}

static int build(struct build *b, struct fort_arena *arena)
{
	int err;

	sort_slots(b);
	err = find_subprogs(b);
	if (err)
		return err;
	b->subprogs = FORT_ARENA_ARRAY(arena, b->n_subprogs, struct fort_subprog);
	if (!b->subprogs)
		return -ENOMEM;
	fill_subprogs(b);
	err = check_jumps(b);
	return err ? err : find_paths(b, arena);
}

int fort_graph_build(struct fort_arena *arena, const struct fort_insn *insns, uint32_t count,
		     struct fort_graph *out, struct fort_graph_error *error)
{
	struct build b = {.insns = insns, .count = count, .error = error};
	int err;

	b.marks = FORT_ARENA_ARRAY(arena, count, uint8_t);
	b.color = FORT_ARENA_ARRAY(arena, count, uint8_t);
	b.stops = FORT_ARENA_ARRAY(arena, n_words(count), uint64_t);
	b.named = FORT_ARENA_ARRAY(arena, n_words(count), uint64_t);
	b.heads = FORT_ARENA_ARRAY(arena, n_words(count), uint64_t);
	if (!b.marks || !b.color || !b.stops || !b.named || !b.heads)
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
