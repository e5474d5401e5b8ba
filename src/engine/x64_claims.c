#include "engine/x64_claims.h"

#include <stdlib.h>

#include "base/pages.h"

#define ALL_WORDS UINT16_MAX

/* What is found out about an operation. */
struct op_claims {
	uint64_t order;
	uint32_t live;                /* behind it: halves (x64_op.h) */
	uint32_t ahead, ahead_behind; /* fuel that is paid there for ways to come */
	uint8_t ways;                 /* find_orders: how many it went, and whether it was there */
	bool seen;
};

/* --- registers --- */

static uint16_t home_bit(uint8_t reg)
{
	return (uint16_t)(1u << fort_x64_home(reg));
}

/* Of a mask of live halves (x64_op.h), r10 apart. */
static uint16_t words_of(uint32_t live)
{
	uint16_t words = 0;

	for (uint8_t reg = FORT_R0; reg < FORT_R10; reg++)
		if (live & FORT_X64_BOTH(reg))
			words |= home_bit(reg);
	return words;
}

static uint16_t writes_of(const struct fort_x64_subprog *subprog)
{
	uint16_t writes = 0;

	for (uint8_t reg = FORT_R0; reg < FORT_R6; reg++)
		writes |= home_bit(reg);
	for (uint8_t reg = FORT_R6; reg < FORT_R10; reg++)
		if (subprog->changes & 1u << (reg - FORT_R6))
			writes |= home_bit(reg);
	return writes;
}

/* --- functions --- */

/* The image's own frame is the main program, unless that is called as a subprogram too. */
static uint16_t function_of(const struct fort_x64 *x, uint32_t pc)
{
	return (uint16_t)(fort_subprog_of(x->request->program, pc) + x->main_is_called);
}

static void claim_functions(const struct fort_x64 *x, struct fort_x64_claims *claims)
{
	const struct fort_program *program = x->request->program;

	claims->n_functions = program->n_subprogs + x->main_is_called;
	claims->functions[0] = (struct fort_inspect_function){.writes = ALL_WORDS, .aligned = true};
	for (uint32_t i = 0; i < program->n_subprogs; i++) {
		uint32_t start = program->subprogs[i].start;
		uint16_t function = function_of(x, start);

		if (!function)
			continue;
		claims->functions[function] = (struct fort_inspect_function){
			.at = fort_x64_label_place(x, x->joins[x->join_at[start]].label),
			.returns = words_of(x->subprogs[i].live),
			.writes = writes_of(&x->subprogs[i]),
			.aligned = x->subprogs[i].helpers,
		};
	}
}

/* --- what is live --- */

#define LOST_BY_CALL (0x3fu * 0x10001u) /* r0 to r5 */

static uint32_t reads(const struct fort_x64 *x, const struct fort_x64_op *op)
{
	return fort_x64_reads_data(op) | fort_x64_reads_mem(x, op);
}

static uint32_t live_before(const struct fort_x64 *x, const struct fort_x64_op *op,
			    const uint32_t *joins, uint32_t live)
{
	switch (op->kind) {
	case FORT_X64_OP_NOTHING: return live;
	case FORT_X64_OP_LOCAL: return (live & ~LOST_BY_CALL) | joins[op->target];
	case FORT_X64_OP_HELPER:
	case FORT_X64_OP_CALLX:
	case FORT_X64_OP_LOOKUP:
	case FORT_X64_OP_CPU:
	case FORT_X64_OP_CACHED: return (live & ~LOST_BY_CALL) | reads(x, op);
	default: break;
	}
	if (op->dst != FORT_X64_NO_REG)
		live &= ~FORT_X64_BOTH(op->dst);
	return live | reads(x, op);
}

static uint32_t live_behind(const struct fort_x64 *x, const struct fort_x64_op *op,
			    const uint32_t *joins, uint32_t live)
{
	switch (op->kind) {
	case FORT_X64_OP_JUMP: return joins[op->target];
	case FORT_X64_OP_AHEAD:
	case FORT_X64_OP_BRANCH: return live | joins[op->target];
	case FORT_X64_OP_EXIT: return x->subprogs[op->target].live;
	case FORT_X64_OP_STOP: return 0;
	default: return live;
	}
}

/* Of operations as they are now, until nothing changes: each round takes what lives one jump back
 * further. */
static void find_lives(const struct fort_x64 *x, struct op_claims *known, uint32_t *joins)
{
	bool changed = true;

	while (changed) {
		uint32_t live = 0;

		changed = false;
		for (uint32_t i = x->n_ops; i-- > 0;) {
			const struct fort_x64_op *op = &x->ops[i];

			known[i].live = live_behind(x, op, joins, live);
			live = live_before(x, op, joins, known[i].live);
			if (op->flags & FORT_X64_LABEL && live & ~joins[op->join]) {
				joins[op->join] |= live;
				changed = true;
			}
		}
	}
}

/* --- fuel --- */

/* Rounds of a loop for which was paid have no labels between them (x64_unroll.c). */
static void find_fuel(const struct fort_x64 *x, struct op_claims *known)
{
	uint32_t ahead = 0;

	for (uint32_t i = 0; i < x->n_ops; i++) {
		const struct fort_x64_op *op = &x->ops[i];

		if (op->flags & FORT_X64_LABEL)
			ahead = 0;
		known[i].ahead = ahead;
		if (op->kind == FORT_X64_OP_AHEAD)
			ahead = (uint32_t)op->imm;
		else if (op->kind == FORT_X64_OP_REFUND)
			ahead = 0;
		known[i].ahead_behind = ahead;
	}
}

/* --- orders --- */

/* Ways that are not paid for lead from lower orders to higher ones; what an operation has of labels
 * comes between it and the next. */
enum { INSIDE = 1, COLD, MIDDLE, BEHIND, ORDERS };

static bool goes_on(const struct fort_x64_op *op)
{
	return op->kind != FORT_X64_OP_JUMP && op->kind != FORT_X64_OP_EXIT &&
	       op->kind != FORT_X64_OP_STOP && op->kind != FORT_X64_OP_CHARGE;
}

/* Jumps back for which was paid ahead are no part of its rounds. */
static bool is_paid(const struct fort_x64_op *op, const struct op_claims *known)
{
	return op->flags & FORT_X64_BACK || (known->ahead && !(op->flags & FORT_X64_PAID));
}

/* One way after the other that is not paid for: an operation; n_ops: there is none left. */
static uint32_t next_way(const struct fort_x64 *x, struct op_claims *known, uint32_t at)
{
	const struct fort_x64_op *op = &x->ops[at];
	bool jumps = op->kind == FORT_X64_OP_JUMP || op->kind == FORT_X64_OP_BRANCH;

	if (!known[at].ways) {
		known[at].ways = 1;
		if (op->kind == FORT_X64_OP_AHEAD || (jumps && !is_paid(op, &known[at])))
			return x->joins[op->target].op;
	}
	if (known[at].ways == 1) {
		known[at].ways = 2;
		if (goes_on(op))
			return at + 1;
	}
	return x->n_ops;
}

/* Into the depth: what an operation leads to is numbered before it, downwards. */
static void find_orders(const struct fort_x64 *x, struct op_claims *known, uint32_t *path)
{
	uint64_t order = (x->n_ops + 1ull) * ORDERS;
	uint32_t n = 0;

	for (uint32_t first = 0; first < x->n_ops; first++) {
		if (!known[first].seen)
			path[n++] = first;
		known[first].seen = true;
		while (n) {
			uint32_t at = path[n - 1], next = next_way(x, known, at);

			if (next < x->n_ops && !known[next].seen) {
				known[next].seen = true;
				path[n++] = next;
			} else if (next == x->n_ops) {
				known[at].order = order -= ORDERS;
				n--;
			}
		}
	}
}

/* --- labels --- */

/* The operation whose code has this place in x->bytes, or starts there. */
static uint32_t op_at(const struct fort_x64 *x, uint32_t at)
{
	uint32_t low = 0, high = x->n_ops;

	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (x->places[middle] <= at)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* Between operations it belongs to the one before. */
static void claim_any(const struct fort_x64 *x, const struct op_claims *known, uint32_t at,
		      struct fort_inspect_label *label)
{
	uint32_t op = op_at(x, at ? at - 1 : 0);
	bool behind = op + 1 < x->n_ops && at == x->places[op + 1];

	*label = (struct fort_inspect_label){
		.words = ALL_WORDS,
		.function = function_of(x, x->ops[op].pc),
		.order = known[op].order + (behind ? BEHIND : INSIDE),
		.ahead = behind ? known[op].ahead_behind : known[op].ahead,
		.leaves = at >= x->stops_at,
	};
}

static void claim_join(const struct fort_x64 *x, const struct op_claims *known, uint32_t live,
		       const struct fort_x64_join *join, struct fort_inspect_label *label)
{
	label->words = words_of(live);
	label->function = function_of(x, join->pc);
	label->order = known[join->op].order;
	label->ahead = 0;
}

/* Of what is seldom done: where it starts, and where it comes back, with what is live behind the
 * operation, or, in the middle of it, all that was taken along. */
static void claim_cold(const struct fort_x64 *x, const struct op_claims *known,
		       const struct fort_x64_cold *cold, struct fort_inspect_label *labels)
{
	struct fort_inspect_label *from = &labels[cold->from - 1], *back = &labels[cold->back - 1];
	bool owes = cold->op->kind == FORT_X64_OP_AHEAD;

	known += cold->op - x->ops;
	from->function = function_of(x, cold->op->pc);
	from->order = known->order + COLD;
	from->ahead = known->ahead;
	from->owed = owes ? (uint32_t)cold->op->imm : 0;
	back->words = cold->keeps_free ? ALL_WORDS : words_of(known->live);
	back->order = known->order + (cold->keeps_free ? MIDDLE : BEHIND);
}

/* Labels are numbered from 1; what is known of them, in the order of numbers. */
static void claim_labels(const struct fort_x64 *x, const struct op_claims *known,
			 const uint32_t *lives, struct fort_inspect_label *labels)
{
	const struct fort_x64_layout *layout = x->layout;

	for (uint32_t i = 1; i <= layout->n_labels; i++)
		if (layout->labels[i].at != FORT_X64_UNBOUND)
			claim_any(x, known, layout->labels[i].at, &labels[i - 1]);
	for (uint32_t i = 1; i <= x->n_joins; i++)
		claim_join(x, known, lives[i], &x->joins[i], &labels[x->joins[i].label - 1]);
	for (uint32_t i = 0; i < x->n_colds; i++)
		claim_cold(x, known, &x->colds[i], labels);
	if (x->epilogue) {
		labels[x->epilogue - 1].words = home_bit(FORT_R0);
		labels[x->epilogue - 1].order = UINT64_MAX;
		labels[x->epilogue - 1].ahead = 0;
	}
	for (uint32_t i = 1; i <= layout->n_labels; i++)
		labels[i - 1].at = layout->labels[i].at == FORT_X64_UNBOUND
					   ? FORT_X64_UNBOUND
					   : fort_x64_label_place(x, i);
}

static int by_place(const void *a, const void *b)
{
	const struct fort_inspect_label *left = a, *right = b;

	return left->at < right->at ? -1 : left->at > right->at;
}

/* One label for each place; those without one come last. */
static uint32_t merge(struct fort_inspect_label *labels, uint32_t n)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < n && labels[i].at != FORT_X64_UNBOUND; i++) {
		struct fort_inspect_label *last = &labels[kept ? kept - 1 : 0];

		if (!kept || last->at != labels[i].at) {
			labels[kept++] = labels[i];
			continue;
		}
		last->words &= labels[i].words;
		if (last->order < labels[i].order)
			last->order = labels[i].order;
		if (last->ahead > labels[i].ahead)
			last->ahead = labels[i].ahead;
	}
	return kept;
}

int fort_x64_claims_make(const struct fort_x64 *x, struct fort_x64_claims *claims)
{
	uint32_t n = x->layout->n_labels, *lives, *path;
	struct op_claims *known;
	void *pages;
	int err;

	claims->n_labels = 0;
	claim_functions(x, claims);
	claims->bytes = n * sizeof(claims->labels[0]) + x->n_ops * sizeof(known[0]) +
			(x->n_ops + x->n_joins + 1ull) * sizeof(lives[0]);
	err = fort_pages_alloc(claims->bytes, &pages);
	if (err)
		return err;
	claims->labels = pages;
	known = (struct op_claims *)(void *)(claims->labels + n);
	path = (uint32_t *)(void *)(known + x->n_ops);
	lives = path + x->n_ops;
	find_lives(x, known, lives);
	find_fuel(x, known);
	find_orders(x, known, path);
	claim_labels(x, known, lives, claims->labels);
	qsort(claims->labels, n, sizeof(claims->labels[0]), by_place);
	claims->n_labels = merge(claims->labels, n);
	return 0;
}

void fort_x64_claims_free(struct fort_x64_claims *claims)
{
	fort_pages_free(claims->labels, claims->bytes);
}
