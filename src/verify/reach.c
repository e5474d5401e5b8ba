#include "verify/reach.h"

#include <errno.h>

bool fort_insn_writes(const struct fort_insn *insn, unsigned reg)
{
	switch (insn->kind) {
	case FORT_CALL:
	case FORT_CALLX: return reg <= FORT_R5;
	case FORT_LDABS:
	case FORT_LDIND: return reg <= FORT_R5;
	case FORT_ATOMIC:
		return (reg == FORT_R0 && fort_insn_uses(insn, '0')) ||
		       (reg == insn->src && fort_insn_uses(insn, 's'));
	default:
		return reg == insn->dst && (fort_insn_uses(insn, 'D') || fort_insn_uses(insn, 'b'));
	}
}

/* The function's edges, backward: of each instruction a list of those before it. */
struct edges {
	const struct fort_program *program;
	struct fort_subprog in;
	uint32_t *first; /* of each instruction: an edge + 1 */
	uint32_t *next;  /* of each edge: another of the same instruction, + 1; edge 2 i + k is the
			  * k-th of instruction i */
	uint8_t *seen;
	uint32_t *todo, n_todo;
};

static bool build(struct edges *e, struct fort_arena *arena)
{
	uint32_t n = e->in.end - e->in.start;

	e->first = FORT_ARENA_ARRAY(arena, n, uint32_t);
	e->next = FORT_ARENA_ARRAY(arena, (size_t)n * 2, uint32_t);
	e->seen = fort_arena_alloc(arena, n);
	e->todo = FORT_ARENA_ARRAY(arena, n, uint32_t);
	if (!e->first || !e->next || !e->seen || !e->todo)
		return false;
	for (uint32_t pc = e->in.start; pc < e->in.end; pc++) {
		uint32_t to[2];
		unsigned n_to = e->program->insns[pc].kind == FORT_LDIMM_HIGH
					? 0
					: fort_successors(e->program->insns, pc, to);

		for (unsigned k = 0; k < n_to; k++) {
			uint32_t edge = 2 * (pc - e->in.start) + k;

			if (to[k] < e->in.start || to[k] >= e->in.end)
				continue;
			e->next[edge] = e->first[to[k] - e->in.start];
			e->first[to[k] - e->in.start] = edge + 1;
		}
	}
	return true;
}

static void look_at(struct edges *e, uint32_t pc, unsigned reg, struct fort_writers *out)
{
	uint32_t at = pc - e->in.start;

	if (pc == e->in.start)
		out->entry = true;
	for (uint32_t edge = e->first[at]; edge; edge = e->next[edge - 1]) {
		uint32_t before = (edge - 1) / 2;

		if (e->seen[before])
			continue;
		e->seen[before] = 1;
		if (!fort_insn_writes(&e->program->insns[e->in.start + before], reg))
			e->todo[e->n_todo++] = before;
		else if (out->n < FORT_WRITERS_MAX)
			out->list[out->n++] = e->in.start + before;
		else
			out->over = true;
	}
}

int fort_writers_find(struct fort_arena *arena, const struct fort_program *program, uint32_t pc,
		      unsigned reg, struct fort_writers *out)
{
	struct edges e = {.program = program,
			  .in = program->subprogs[fort_subprog_of(program, pc)]};

	*out = (struct fort_writers){0};
	if (!build(&e, arena))
		return -ENOMEM;
	look_at(&e, pc, reg, out);
	while (e.n_todo)
		look_at(&e, e.in.start + e.todo[--e.n_todo], reg, out);
	return 0;
}
