/* In which order operations are emitted. Compilers for BPF leave blocks where others of their
 * passes put them, with jumps to and fro. A run of operations that ends in a jump is followed by
 * the one it jumps to, if nothing falls into that, and the jump is gone. What jumps cost in fuel
 * stays what it was.
 */
#include "engine/x64_op.h"

#include <string.h>

static bool ends_run(const struct fort_x64_op *op)
{
	return op->kind == FORT_X64_OP_JUMP || op->kind == FORT_X64_OP_EXIT ||
	       op->kind == FORT_X64_OP_STOP;
}

/* Copies the run that starts at `at`; returns the operation that starts the run which goes on where
 * it jumps to, or UINT32_MAX. */
static uint32_t copy_run(struct fort_x64 *x, struct fort_x64_op *to, uint32_t *n, uint32_t at)
{
	uint32_t end = at, next;
	struct fort_x64_op *last;

	while (!ends_run(&x->ops[end]))
		end++;
	memcpy(to + *n, x->ops + at, (end + 1 - at) * sizeof(*to));
	*n += end + 1 - at;
	for (; at <= end; at++)
		x->placed[at] = true;
	last = &to[*n - 1];
	if (last->kind != FORT_X64_OP_JUMP)
		return UINT32_MAX;
	next = x->joins[last->target].op;
	if (x->placed[next] || (next && !ends_run(&x->ops[next - 1])))
		return UINT32_MAX;
	last->kind = last->flags & FORT_X64_BACK ? FORT_X64_OP_CHARGE : FORT_X64_OP_NOTHING;
	return next;
}

static bool leads_to_join(const struct fort_x64_op *op)
{
	return op->kind == FORT_X64_OP_JUMP || op->kind == FORT_X64_OP_BRANCH ||
	       op->kind == FORT_X64_OP_LOCAL || op->kind == FORT_X64_OP_AHEAD;
}

static void count_refs(struct fort_x64 *x)
{
	for (uint32_t i = 1; i <= x->n_joins; i++) {
		x->joins[i].refs = x->joins[i].last = 0;
		x->joins[i].bound = false;
	}
	for (uint32_t i = 0; i < x->n_ops; i++)
		if (leads_to_join(&x->ops[i]))
			x->joins[x->ops[i].target].refs++;
}

/* Labels where nothing leads any more go. */
void fort_x64_find_loops(struct fort_x64 *x)
{
	count_refs(x);
	for (uint32_t i = 0; i < x->n_ops; i++) {
		struct fort_x64_op *op = &x->ops[i];

		if (op->flags & FORT_X64_LABEL && !x->joins[op->join].refs)
			op->flags &= (uint8_t)~FORT_X64_LABEL;
		if (op->flags & FORT_X64_LABEL) {
			x->joins[op->join].bound = true;
			x->joins[op->join].op = i;
		}
		if (leads_to_join(op) && op->kind != FORT_X64_OP_LOCAL &&
		    x->joins[op->target].bound)
			x->joins[op->target].last = i;
	}
}

void fort_x64_order(struct fort_x64 *x)
{
	struct fort_x64_op *to = x->reordered;
	uint32_t n = 0;

	if (x->n_joins == 1 && !x->refs[0]) /* nothing jumps */
		return;
	for (uint32_t i = 0; i < x->n_ops; i++)
		if (x->ops[i].flags & FORT_X64_LABEL)
			x->joins[x->ops[i].join].op = i;
	for (uint32_t i = 0; i < x->n_ops; i++)
		for (uint32_t next = i; next != UINT32_MAX && !x->placed[next];)
			next = copy_run(x, to, &n, next);
	x->reordered = x->ops;
	x->ops = to;
	fort_x64_find_loops(x);
}
