#include "engine/x64_claims.h"

#include <stdlib.h>

#include "base/pages.h"

#define ALL_WORDS UINT16_MAX

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
			.at = fort_x64_label_place(x, x->joins[x->slots[start].join].label),
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

static uint32_t live_before(const struct fort_x64 *x, const struct fort_x64_op *op, uint32_t live)
{
	switch (op->kind) {
	case FORT_X64_OP_NOTHING: return live;
	case FORT_X64_OP_LOCAL: return (live & ~LOST_BY_CALL) | x->joins[op->target].live;
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

static uint32_t live_behind(const struct fort_x64 *x, const struct fort_x64_op *op, uint32_t live)
{
	switch (op->kind) {
	case FORT_X64_OP_JUMP: return x->joins[op->target].live;
	case FORT_X64_OP_BRANCH: return live | x->joins[op->target].live;
	case FORT_X64_OP_EXIT: return x->subprogs[op->target].live;
	case FORT_X64_OP_STOP: return 0;
	default: return live;
	}
}

/* Behind each operation, from what the passes found for joins. */
static void find_lives(const struct fort_x64 *x, uint32_t *lives)
{
	uint32_t live = 0;

	for (uint32_t i = x->n_ops; i-- > 0;) {
		const struct fort_x64_op *op = &x->ops[i];

		lives[i] = live_behind(x, op, live);
		live = live_before(x, op, lives[i]);
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

/* What seldom done parts of an operation come back with: what is live behind it, or, in the middle
 * of it, all that they took along. */
static uint16_t words_behind(const struct fort_x64 *x, const struct fort_x64_cold *cold,
			     const uint32_t *lives)
{
	return cold->keeps_free ? ALL_WORDS : words_of(lives[cold->op - x->ops]);
}

/* Ways that cost nothing lead forward in the program: blocks are in the order of their slots,
 * operations in theirs, and what an operation has of labels comes between it and the next. */
enum { INSIDE = 1, COLD, MIDDLE, BEHIND, ORDERS = 8 };

static bool goes_on(const struct fort_x64_op *op)
{
	return op->kind != FORT_X64_OP_JUMP && op->kind != FORT_X64_OP_EXIT &&
	       op->kind != FORT_X64_OP_STOP;
}

static void find_orders(const struct fort_x64 *x, uint64_t *orders)
{
	uint64_t order = 0;

	for (uint32_t i = 0; i < x->n_ops; i++, order += ORDERS) {
		const struct fort_x64_op *op = &x->ops[i];

		if (op->flags & FORT_X64_LABEL)
			order = (x->joins[op->join].pc + 1ull) << 32;
		else if (!i || !goes_on(op - 1))
			order = (op->pc + 1ull) << 32;
		orders[i] = order;
	}
}

/* Labels are numbered from 1; what is known of them, in the order of numbers. */
static void claim_labels(const struct fort_x64 *x, const uint32_t *lives, const uint64_t *orders,
			 struct fort_inspect_label *labels)
{
	const struct fort_x64_layout *layout = x->layout;

	for (uint32_t i = 1; i <= layout->n_labels; i++) {
		uint32_t at = layout->labels[i].at, op = op_at(x, at ? at - 1 : 0);
		bool behind = op + 1 < x->n_ops && at == x->places[op + 1];

		labels[i - 1] = (struct fort_inspect_label){
			.at = fort_x64_label_place(x, i),
			.words = ALL_WORDS,
			.function = function_of(x, x->ops[op].pc),
			.order = orders[op] + (behind ? BEHIND : INSIDE),
			.leaves = at >= x->stops_at,
		};
	}
	if (x->epilogue) {
		labels[x->epilogue - 1].words = home_bit(FORT_R0);
		labels[x->epilogue - 1].order = UINT64_MAX;
	}
	for (uint32_t i = 1; i <= x->n_joins; i++) {
		const struct fort_x64_join *join = &x->joins[i];

		labels[join->label - 1].words = words_of(join->live);
		labels[join->label - 1].function = function_of(x, join->pc);
		labels[join->label - 1].order = (join->pc + 1ull) << 32;
	}
	for (uint32_t i = 0; i < x->n_colds; i++) {
		const struct fort_x64_cold *cold = &x->colds[i];
		uint64_t order = orders[cold->op - x->ops];

		labels[cold->from - 1].function = function_of(x, cold->op->pc);
		labels[cold->from - 1].order = order + COLD;
		labels[cold->back - 1].words = words_behind(x, cold, lives);
		labels[cold->back - 1].order = order + (cold->keeps_free ? MIDDLE : BEHIND);
	}
}

static int by_place(const void *a, const void *b)
{
	const struct fort_inspect_label *left = a, *right = b;

	return left->at < right->at ? -1 : left->at > right->at;
}

/* One label for each place. */
static uint32_t merge(struct fort_inspect_label *labels, uint32_t n)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct fort_inspect_label *last = &labels[kept ? kept - 1 : 0];

		if (!kept || last->at != labels[i].at) {
			labels[kept++] = labels[i];
			continue;
		}
		last->words &= labels[i].words;
		if (last->order < labels[i].order)
			last->order = labels[i].order;
	}
	return kept;
}

int fort_x64_claims_make(const struct fort_x64 *x, struct fort_x64_claims *claims)
{
	uint32_t n = x->layout->n_labels, *lives;
	uint64_t *orders;
	void *pages;
	int err;

	claims->n_labels = 0;
	claim_functions(x, claims);
	claims->bytes =
		n * sizeof(claims->labels[0]) + x->n_ops * (sizeof(orders[0]) + sizeof(lives[0]));
	err = fort_pages_alloc(claims->bytes, &pages);
	if (err)
		return err;
	claims->labels = pages;
	orders = (uint64_t *)(void *)(claims->labels + n);
	lives = (uint32_t *)(void *)(orders + x->n_ops);
	find_orders(x, orders);
	find_lives(x, lives);
	claim_labels(x, lives, orders, claims->labels);
	qsort(claims->labels, n, sizeof(claims->labels[0]), by_place);
	claims->n_labels = merge(claims->labels, n);
	return 0;
}

void fort_x64_claims_free(struct fort_x64_claims *claims)
{
	fort_pages_free(claims->labels, claims->bytes);
}
