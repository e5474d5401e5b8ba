/* Subprograms: what a call of one must keep, and how deep calls nest. */
#include "engine/x64_tail.h"

#include <string.h>

/* Who calls whom: a bit for each callee. */
struct calls {
	uint64_t of[FORT_SUBPROGS_MAX][FORT_SUBPROGS_MAX / 64];
};

static bool names(const struct fort_x64_op *op, uint8_t reg)
{
	return op->a == reg || op->b == reg || op->base == reg || op->index == reg;
}

/* A program that a tail call enters has its frames from there on. */
static void look_at(struct fort_x64_subprog *subprog, const struct fort_x64_op *op, bool is_tail)
{
	if (op->dst >= FORT_R6 && op->dst < FORT_R10)
		subprog->changes |= (uint8_t)(1u << (op->dst - FORT_R6));
	subprog->frame |= names(op, FORT_R10) || is_tail;
	subprog->helpers |= op->kind == FORT_X64_OP_HELPER || op->kind == FORT_X64_OP_CALLX;
}

static void collect(struct fort_x64 *x, struct calls *calls)
{
	const struct fort_program *program = x->request->program;
	uint32_t current = 0;

	for (uint32_t i = 0; i < program->n_subprogs; i++)
		x->joins[x->join_at[program->subprogs[i].start]].subprog = i;
	for (uint32_t i = 0; i < x->n_ops; i++) {
		struct fort_x64_op *op = &x->ops[i];

		while (op->pc >= program->subprogs[current].end)
			current++;
		look_at(&x->subprogs[current], op, fort_x64_is_tail(x, op));
		if (op->kind == FORT_X64_OP_EXIT)
			op->target = current;
		if (op->kind == FORT_X64_OP_LOCAL) {
			uint32_t callee = x->joins[op->target].subprog;

			calls->of[current][callee / 64] |= 1ull << callee % 64;
			x->main_is_called |= !callee;
		}
	}
}

/* From a callee to its caller, and the depth the other way. */
static bool spread(struct fort_x64_subprog *caller, struct fort_x64_subprog *callee)
{
	struct fort_x64_subprog before[2] = {*caller, *callee};

	caller->changes |= callee->changes;
	caller->helpers |= callee->helpers;
	caller->frame |= callee->frame;
	if (caller->depth >= callee->depth && callee->depth < FORT_FRAMES_MAX)
		callee->depth = (uint8_t)(caller->depth + 1);
	return memcmp(&before[0], caller, sizeof(*caller)) ||
	       memcmp(&before[1], callee, sizeof(*callee));
}

static bool spread_all(struct fort_x64 *x, const struct calls *calls, uint32_t n)
{
	bool changed = false;

	for (uint32_t caller = 0; caller < n; caller++)
		for (uint32_t word = 0; word < FORT_SUBPROGS_MAX / 64; word++)
			for (uint64_t left = calls->of[caller][word]; left; left &= left - 1)
				changed |= spread(
					&x->subprogs[caller],
					&x->subprogs[word * 64 + (uint32_t)__builtin_ctzll(left)]);
	return changed;
}

void fort_x64_subprogs(struct fort_x64 *x)
{
	uint32_t n = x->request->program->n_subprogs;
	struct calls calls;

	if (n == 1 && !x->refs[0])
		return;
	memset(calls.of, 0, n * sizeof(calls.of[0]));
	collect(x, &calls);
	/* Each round spreads everything one call further at least; depths are bounded. */
	for (uint32_t round = 0; round < n + FORT_FRAMES_MAX && spread_all(x, &calls, n); round++)
		;
	for (uint32_t i = 0; i < n; i++)
		x->counts_frames |= x->subprogs[i].depth == FORT_FRAMES_MAX;
}
