/* Emitting: bytes for each operation, in order. */
#include "engine/x64_exit.h"

static void nothing(struct fort_x64 *x, const struct fort_x64_op *op)
{
}

static fort_x64_emitter *const emitters[FORT_X64_OPS] = {
	[FORT_X64_OP_NOTHING] = nothing,         [FORT_X64_OP_MOVE] = fort_x64_move,
	[FORT_X64_OP_CONST] = fort_x64_constant, [FORT_X64_OP_SUM] = fort_x64_sum,
	[FORT_X64_OP_ALU] = fort_x64_alu,        [FORT_X64_OP_SHIFT] = fort_x64_shift,
	[FORT_X64_OP_ROTATE] = fort_x64_rotate,  [FORT_X64_OP_NEG] = fort_x64_neg,
	[FORT_X64_OP_EXTEND] = fort_x64_extend,  [FORT_X64_OP_SWAP] = fort_x64_swap,
	[FORT_X64_OP_DIVIDE] = fort_x64_divide,  [FORT_X64_OP_LOAD] = fort_x64_load,
	[FORT_X64_OP_STORE] = fort_x64_store,    [FORT_X64_OP_UPDATE] = fort_x64_update,
	[FORT_X64_OP_ATOMIC] = fort_x64_atomic,  [FORT_X64_OP_JUMP] = fort_x64_ja,
	[FORT_X64_OP_AHEAD] = fort_x64_ahead,    [FORT_X64_OP_REFUND] = fort_x64_refund,
	[FORT_X64_OP_CHARGE] = fort_x64_charge,  [FORT_X64_OP_BRANCH] = fort_x64_branch,
	[FORT_X64_OP_SELECT] = fort_x64_select,  [FORT_X64_OP_HELPER] = fort_x64_helper,
	[FORT_X64_OP_LOOKUP] = fort_x64_lookup,  [FORT_X64_OP_CPU] = fort_x64_cpu,
	[FORT_X64_OP_CACHED] = fort_x64_cached,  [FORT_X64_OP_LOCAL] = fort_x64_local,
	[FORT_X64_OP_CALLX] = fort_x64_callx,    [FORT_X64_OP_EXIT] = fort_x64_exit,
	[FORT_X64_OP_STOP] = fort_x64_stop,
};

/* Most operations are one or two instructions, with constants that may have to be hidden; the
 * others have jumps, ways out, and code that is seldom run. */
#define KIND(kind) (1u << FORT_X64_OP_##kind)
#define OTHER_KINDS                                                                             \
	(KIND(JUMP) | KIND(AHEAD) | KIND(CHARGE) | KIND(BRANCH) | KIND(DIVIDE) | KIND(HELPER) | \
	 KIND(LOOKUP) | KIND(CPU) | KIND(CACHED) | KIND(LOCAL) | KIND(CALLX))
_Static_assert(FORT_X64_OPS <= 32, "a bit for each kind");

static bool is_simple(const struct fort_x64_op *op)
{
	return !(OTHER_KINDS >> op->kind & 1);
}

#define SIMPLE_BYTES 128u
#define OTHER_BYTES  640u
#define OTHERS       1024u /* prologue, ways out */

struct fort_x64_room fort_x64_room(const struct fort_x64 *x)
{
	size_t simple = 0, other, n = x->n_ops;

	for (uint32_t i = 0; i < x->n_ops; i++)
		simple += is_simple(&x->ops[i]);
	other = n - simple;
	return (struct fort_x64_room){
		.bytes = simple * SIMPLE_BYTES + other * OTHER_BYTES + OTHERS,
		.jumps = simple + other * 12 + x->n_joins + 64,
		.labels = simple + other * 16 + 2 * (size_t)x->n_joins + 64,
		.stops = simple + other * 3 + x->n_joins,
		.colds = other * 3,
		.accesses = 2 * n,
		.helpers = 2 * other + 1,
	};
}

/* Moves leave the flags alone. */
static bool keeps_flags(const struct fort_x64 *x, const struct fort_x64_op *op)
{
	switch (op->kind) {
	case FORT_X64_OP_NOTHING: return true;
	case FORT_X64_OP_MOVE:
	case FORT_X64_OP_CONST:
	case FORT_X64_OP_LOAD: return op->dst != x->flags_of;
	case FORT_X64_OP_STORE: return true;
	default: return false;
	}
}

static bool reads_flags(const struct fort_x64_op *op)
{
	return op->kind == FORT_X64_OP_BRANCH || op->kind == FORT_X64_OP_SELECT;
}

static void bind_join(struct fort_x64 *x, const struct fort_x64_join *join)
{
	if (join->last && !join->seldom)
		fort_x64_align_here(x, join->last);
	fort_x64_bind(x, join->label);
	x->flags_of = FORT_X64_NO_REG;
}

static void emit_one(struct fort_x64 *x, const struct fort_x64_op *op)
{
	if (op->flags & FORT_X64_LABEL)
		bind_join(x, &x->joins[op->join]);
	if (op->avoid & FORT_X64_PAD)
		fort_x64_pad(x);
	if (!keeps_flags(x, op) && !reads_flags(op))
		x->flags_of = FORT_X64_NO_REG;
	emitters[op->kind](x, op);
	if (reads_flags(op))
		x->flags_of = FORT_X64_NO_REG;
}

void fort_x64_emit(struct fort_x64 *x)
{
	x->bytes.at = x->n_accesses = x->n_stops = x->n_colds = x->n_helpers = x->epilogue = 0;
	x->tail_exit = x->tail_slot = 0;
	x->layout->n_jumps = x->layout->n_labels = x->layout->n_aligns = 0;
	x->layout->saved = x->layout->padded = 0; /* of an earlier try */
	x->flags_of = FORT_X64_NO_REG;
	for (uint32_t i = 1; i <= x->n_joins; i++) {
		x->joins[i].label = fort_x64_label(x);
		x->joins[i].out_of_fuel = 0;
	}
	fort_x64_prologue(x);
	for (x->at = 0; x->at < x->n_ops; x->at++) {
		x->places[x->at] = x->bytes.at;
		emit_one(x, &x->ops[x->at]);
	}
	x->places[x->n_ops] = x->bytes.at;
	fort_x64_endings(x);
}
