/* What is known of registers where paths join, whatever path was taken: maps' handles, which
 * compilers load far from where they use them, and upper halves that are zero.
 *
 * Each sweep goes along the program once; a join knows what all paths to it agree on. Jumps back
 * make another sweep when they took something away. Knowledge only ever shrinks, and few programs
 * take more than three sweeps; those that take too many know nothing.
 */
#include "engine/x64_op.h"

#include <string.h>

#define SWEEPS_MAX 6u

struct state {
	uint8_t known[FORT_REGS];
};

static void forget_all(struct state *state)
{
	memset(state->known, FORT_X64_ANYTHING, sizeof(state->known));
}

static uint8_t both(uint8_t a, uint8_t b)
{
	if (a == b || b == FORT_X64_UNREACHED)
		return a;
	return a == FORT_X64_UNREACHED ? b : FORT_X64_ANYTHING;
}

/* Takes from `to` what `from` does not say too; returns whether that was something. */
static bool agree(uint8_t to[FORT_REGS], const struct state *from)
{
	bool changed = false;

	for (unsigned reg = 0; reg < FORT_REGS; reg++) {
		uint8_t known = both(to[reg], from->known[reg]);

		changed |= known != to[reg];
		to[reg] = known;
	}
	return changed;
}

static uint8_t of_constant(const struct fort_x64 *x, int64_t imm)
{
	uint32_t index = (uint32_t)imm;

	if (index < x->request->domain->n_maps && (uint64_t)imm == fort_map_handle(index))
		return (uint8_t)(FORT_X64_MAP + index);
	return (uint64_t)imm <= UINT32_MAX ? FORT_X64_LOW_HALF : FORT_X64_ANYTHING;
}

static bool is_mask(const struct fort_x64_op *op)
{
	return op->kind == FORT_X64_OP_ALU && op->op == FORT_OP_AND && op->b == FORT_X64_NO_REG &&
	       op->imm >= 0;
}

static bool is_long_shift(const struct fort_x64_op *op)
{
	return op->kind == FORT_X64_OP_SHIFT && op->op == FORT_OP_RSH && op->b == FORT_X64_NO_REG &&
	       op->imm >= 32;
}

/* Of the result of an operation, from its kind alone. */
static uint8_t of_result(const struct fort_x64_op *op)
{
	if (op->bits < 64)
		return op->kind == FORT_X64_OP_LOAD && op->op == FORT_OP_LDXS ? FORT_X64_ANYTHING
									      : FORT_X64_LOW_HALF;
	return is_mask(op) || is_long_shift(op) ? FORT_X64_LOW_HALF : FORT_X64_ANYTHING;
}

/* What has no rule of its own says by its width what its result is. */
static void step(const struct fort_x64 *x, struct state *state, const struct fort_x64_op *op)
{
	if (op->dst == FORT_X64_NO_REG && op->kind != FORT_X64_OP_LOCAL)
		return;
	switch (op->kind) {
	case FORT_X64_OP_CONST: state->known[op->dst] = of_constant(x, op->imm); return;
	case FORT_X64_OP_MOVE:
		state->known[op->dst] =
			op->bits == 64 ? state->known[op->a] : (uint8_t)FORT_X64_LOW_HALF;
		return;
	case FORT_X64_OP_SELECT:
		state->known[op->dst] =
			both(state->known[op->dst], op->index != FORT_X64_NO_REG
							    ? state->known[op->index]
							    : of_constant(x, op->disp));
		return;
	case FORT_X64_OP_HELPER:
	case FORT_X64_OP_CALLX:
	case FORT_X64_OP_LOCAL: memset(state->known, FORT_X64_ANYTHING, FORT_R6); return;
	default: state->known[op->dst] = of_result(op);
	}
}

static bool goes_on(const struct fort_x64_op *op)
{
	return op->kind != FORT_X64_OP_JUMP && op->kind != FORT_X64_OP_EXIT &&
	       op->kind != FORT_X64_OP_STOP;
}

/* Returns whether a jump back changed what was read already. */
static bool sweep(struct fort_x64 *x)
{
	struct state state;
	bool again = false;

	forget_all(&state);
	for (uint32_t i = 0; i < x->n_ops; i++) {
		const struct fort_x64_op *op = &x->ops[i];

		if (op->flags & FORT_X64_LABEL) {
			(void)agree(x->joins[op->join].known, &state);
			memcpy(state.known, x->joins[op->join].known, sizeof(state.known));
		}
		step(x, &state, op);
		if (op->kind == FORT_X64_OP_JUMP || op->kind == FORT_X64_OP_BRANCH)
			again |= agree(x->joins[op->target].known, &state) &&
				 op->flags & FORT_X64_BACK;
		if (!goes_on(op))
			memset(state.known, FORT_X64_UNREACHED, sizeof(state.known));
	}
	return again;
}

void fort_x64_facts(struct fort_x64 *x)
{
	const struct fort_program *program = x->request->program;
	uint32_t sweeps = 0;

	if (x->n_joins == 1) {
		memset(x->joins[1].known, FORT_X64_ANYTHING, FORT_REGS);
		return;
	}
	for (uint32_t i = 1; i <= x->n_joins; i++)
		memset(x->joins[i].known, FORT_X64_UNREACHED, sizeof(x->joins[i].known));
	for (uint32_t i = 0; i < program->n_subprogs; i++)
		memset(x->joins[x->join_at[program->subprogs[i].start]].known, FORT_X64_ANYTHING,
		       FORT_REGS);
	while (sweep(x))
		if (++sweeps == SWEEPS_MAX) {
			for (uint32_t i = 1; i <= x->n_joins; i++)
				memset(x->joins[i].known, FORT_X64_ANYTHING, FORT_REGS);
			return;
		}
}
