/* Loops that are known to go round a certain number of times, by a counter: several rounds at a
 * time, with the counter asked, and fuel paid, once for all of them. If something leaves from
 * between, it gets back what is not due: so fuel is the same at every place where somebody sees
 * it. With less left than that, the loop itself takes over, which comes behind all other code:
 *
 *	        what is the same in each round
 *	head:   pay for n rounds, or go to the loop itself
 *	        round; leaving, or a fault in it: gives back n rounds, less what is due
 *	        round; n - 1 rounds
 *	        ...
 *	        to head, if there are more
 *	        give back one jump to head
 *	after:
 *
 * A counter that is only part of addresses is added to once; displacements do the rest.
 */
#include "engine/x64_op.h"

#define OPS_MAX    24u /* of a loop, with those that are nothing */
#define UNROLLED   48u /* operations at most that it becomes */
#define ROUNDS_MAX 8u  /* at a time, if there are more */
#define BACK_MAX   16u /* operations before a loop where its counter may start */
#define NEAR       (1 << 30)

struct loop {
	uint32_t start, end; /* operations: head, jump back to it */
	uint32_t head;       /* join */
	uint32_t rounds;     /* at a time */
	uint32_t cost;       /* of a round */
	int32_t step;
	uint8_t counter;
	bool leaves;     /* there are jumps out of it */
	bool ends;       /* after these rounds */
	bool in_address; /* that is all that the counter is for */
};

/* --- which loops --- */

static bool may_repeat(const struct fort_x64_op *op)
{
	switch (op->kind) {
	case FORT_X64_OP_JUMP:
	case FORT_X64_OP_EXIT:
	case FORT_X64_OP_STOP:
	case FORT_X64_OP_HELPER:
	case FORT_X64_OP_LOOKUP:
	case FORT_X64_OP_CPU:
	case FORT_X64_OP_CACHED:
	case FORT_X64_OP_LOCAL:
	case FORT_X64_OP_CALLX: return false;
	default: return true;
	}
}

static bool is_something(const struct fort_x64_op *op)
{
	return op->kind != FORT_X64_OP_NOTHING && op->kind != FORT_X64_OP_CHARGE;
}

/* What an operation costs when the loop goes on. */
static uint32_t cost_of(const struct fort_x64 *x, const struct loop *loop, uint32_t at)
{
	const struct fort_x64_op *op = &x->ops[at];
	bool charges =
		op->kind == FORT_X64_OP_CHARGE || (at == loop->end && op->flags & FORT_X64_BACK);

	return charges ? x->joins[op->target].cost : 0;
}

/* Straight code from a head to the only jump to it, but for jumps out? Returns how many
 * operations do something, or 0. */
static uint32_t measure(const struct fort_x64 *x, struct loop *loop)
{
	uint32_t n = 0;

	for (uint32_t at = loop->start; at <= loop->end; at++) {
		const struct fort_x64_op *op = &x->ops[at];

		if ((at > loop->start && op->flags & FORT_X64_LABEL) || !may_repeat(op))
			return 0;
		loop->leaves |= at < loop->end && op->kind == FORT_X64_OP_BRANCH;
		loop->cost += cost_of(x, loop, at);
		n += is_something(op);
	}
	return loop->cost <= INT32_MAX / UNROLLED ? n : 0;
}

/* --- counting --- */

/* Does it write `reg`? Atomics may write two registers, or none. */
static bool writes(const struct fort_x64_op *op, uint8_t reg)
{
	return op->dst == reg ||
	       (op->kind == FORT_X64_OP_ATOMIC && (op->a == reg || reg == FORT_R0));
}

static bool is_step(const struct fort_x64_op *op, uint8_t counter)
{
	return op->kind == FORT_X64_OP_SUM && op->dst == counter && op->base == counter &&
	       op->index == FORT_X64_NO_REG && op->disp;
}

/* The counter must change by the same constant in each round. */
static bool find_step(const struct fort_x64 *x, struct loop *loop)
{
	loop->step = 0;
	for (uint32_t at = loop->start; at < loop->end; at++) {
		if (!writes(&x->ops[at], loop->counter))
			continue;
		if (loop->step || !is_step(&x->ops[at], loop->counter))
			return false;
		loop->step = x->ops[at].disp;
	}
	return loop->step;
}

/* The constant with which a counter enters the loop, which nothing jumps to from outside; or -1. */
static int64_t find_start(const struct fort_x64 *x, const struct loop *loop)
{
	for (uint32_t back = 1; back <= BACK_MAX && back <= loop->start; back++) {
		const struct fort_x64_op *op = &x->ops[loop->start - back];

		if (op->kind == FORT_X64_OP_CONST && op->dst == loop->counter)
			return op->imm >= 0 && op->imm <= INT32_MAX ? op->imm : -1;
		if (op->flags & FORT_X64_LABEL || writes(op, loop->counter) ||
		    (!may_repeat(op) && op->kind != FORT_X64_OP_NOTHING))
			break;
	}
	return -1;
}

static uint8_t negated(uint8_t op)
{
	switch (op) {
	case FORT_OP_JEQ: return FORT_OP_JNE;
	case FORT_OP_JGE: return FORT_OP_JLT;
	case FORT_OP_JSGE: return FORT_OP_JSLT;
	case FORT_OP_JGT: return FORT_OP_JLE;
	case FORT_OP_JSGT: return FORT_OP_JSLE;
	case FORT_OP_JLT: return FORT_OP_JGE;
	case FORT_OP_JSLT: return FORT_OP_JSGE;
	case FORT_OP_JLE: return FORT_OP_JGT;
	case FORT_OP_JSLE: return FORT_OP_JSGT;
	default: return FORT_OP_JSET; /* of what is not one of these */
	}
}

/* How often a loop goes round that a counter on its way from `start` by `step` repeats until it
 * has come over `way`. */
static int64_t rounds_over(int64_t way, int64_t step)
{
	return way <= step ? 1 : (way + step - 1) / step;
}

/* 0: not known. All numbers are below 2^31, so it does not matter how wide they are, nor whether
 * they have signs. */
static int64_t count_trips(const struct fort_x64_op *latch, int64_t start, int64_t step)
{
	int64_t limit = latch->imm, trips = 0;
	uint8_t op = latch->flags & FORT_X64_UNLESS ? negated(latch->op) : latch->op;

	if (start < 0 || limit < 0 || limit > INT32_MAX)
		return 0;
	if (op == FORT_OP_JNE && (limit - start) % step == 0)
		trips = (limit - start) / step;
	else if ((op == FORT_OP_JLT || op == FORT_OP_JSLT) && step > 0)
		trips = rounds_over(limit - start, step);
	else if ((op == FORT_OP_JLE || op == FORT_OP_JSLE) && step > 0)
		trips = rounds_over(limit + 1 - start, step);
	else if ((op == FORT_OP_JGT || op == FORT_OP_JSGT) && step < 0)
		trips = rounds_over(start - limit, -step);
	else if ((op == FORT_OP_JGE || op == FORT_OP_JSGE) && step < 0)
		trips = rounds_over(start - limit + 1, -step);
	if (trips < 2 || start + trips * step < 0 || start + trips * step > INT32_MAX)
		return 0;
	return trips;
}

/* As many rounds at a time as there is room for, all of them if possible. */
static void choose_rounds(struct loop *loop, uint32_t n, int64_t trips)
{
	uint32_t most = UNROLLED / n;

	loop->ends = trips <= most;
	loop->rounds = (uint32_t)trips;
	if (loop->ends)
		return;
	loop->rounds = most < ROUNDS_MAX ? most : ROUNDS_MAX;
	while (trips % loop->rounds)
		loop->rounds--;
}

static bool has_memory(const struct fort_x64_op *op)
{
	switch (op->kind) {
	case FORT_X64_OP_SUM:
	case FORT_X64_OP_LOAD:
	case FORT_X64_OP_STORE:
	case FORT_X64_OP_UPDATE:
	case FORT_X64_OP_ATOMIC: return true;
	default: return op->flags & FORT_X64_MEM_B;
	}
}

static bool is_near(const struct fort_x64_op *op)
{
	return op->disp > -NEAR && op->disp < NEAR;
}

/* Is the counter only part of addresses, and the displacements never too large? */
static bool is_in_address(const struct fort_x64 *x, const struct loop *loop)
{
	if (loop->leaves || loop->step > NEAR / 256 || loop->step < -NEAR / 256)
		return false;
	for (uint32_t at = loop->start; at < loop->end; at++) {
		const struct fort_x64_op *op = &x->ops[at];
		bool part = op->base == loop->counter || op->index == loop->counter;

		if (!is_something(op) || is_step(op, loop->counter))
			continue;
		if (op->a == loop->counter || op->b == loop->counter ||
		    (part && (!has_memory(op) || !is_near(op))))
			return false;
	}
	return true;
}

static bool find_loop(const struct fort_x64 *x, uint32_t start, struct loop *loop)
{
	const struct fort_x64_join *head = &x->joins[x->ops[start].join];
	const struct fort_x64_op *latch = &x->ops[head->last];
	int64_t trips;
	uint32_t n;

	if (!(x->ops[start].flags & FORT_X64_LABEL) || head->last <= start ||
	    head->last - start >= OPS_MAX || head->refs != 1 || latch->kind != FORT_X64_OP_BRANCH ||
	    latch->b != FORT_X64_NO_REG || latch->flags & FORT_X64_MEM_A)
		return false;
	*loop = (struct loop){
		.start = start, .end = head->last, .head = x->ops[start].join, .counter = latch->a};
	n = measure(x, loop);
	if (!n || !find_step(x, loop))
		return false;
	trips = count_trips(latch, find_start(x, loop), loop->step);
	if (!trips)
		return false;
	choose_rounds(loop, n, trips);
	loop->in_address = is_in_address(x, loop);
	return loop->rounds > 1;
}

/* --- writing --- */

static uint32_t new_join(struct fort_x64 *x, const struct loop *loop)
{
	const struct fort_x64_join *head = &x->joins[loop->head];

	x->joins[++x->n_joins] = (struct fort_x64_join){.pc = head->pc, .cost = head->cost};
	return x->n_joins;
}

static struct fort_x64_op *put(struct fort_x64_op *to, uint32_t *n, const struct fort_x64_op *op)
{
	to[*n] = *op;
	return &to[(*n)++];
}

static void put_fuel(struct fort_x64_op *to, uint32_t *n, enum fort_x64_kind kind, uint32_t amount,
		     uint32_t target)
{
	struct fort_x64_op op = {.kind = (uint8_t)kind,
				 .dst = FORT_X64_NO_REG,
				 .a = FORT_X64_NO_REG,
				 .b = FORT_X64_NO_REG,
				 .base = FORT_X64_NO_REG,
				 .index = FORT_X64_NO_REG,
				 .imm = amount,
				 .target = target};

	put(to, n, &op);
}

/* A constant that nobody else writes in the loop, and nobody asks for before, may be there from
 * the start. Divisions have places of their own. */
static bool is_invariant(const struct fort_x64 *x, const struct loop *loop,
			 const struct fort_x64_op *constant)
{
	if (constant->kind != FORT_X64_OP_CONST ||
	    x->joins[loop->head].live & FORT_X64_BOTH(constant->dst))
		return false;
	for (uint32_t at = loop->start; at < loop->end; at++) {
		const struct fort_x64_op *op = &x->ops[at];

		if (op->kind == FORT_X64_OP_DIVIDE ||
		    (writes(op, constant->dst) &&
		     (op->kind != FORT_X64_OP_CONST || op->imm != constant->imm)))
			return false;
	}
	return true;
}

static void put_invariants(const struct fort_x64 *x, struct fort_x64_op *to, uint32_t *n,
			   const struct loop *loop)
{
	for (uint32_t at = loop->start; at < loop->end; at++)
		if (is_invariant(x, loop, &x->ops[at]))
			put(to, n, &x->ops[at])->flags &= (uint8_t)~FORT_X64_LABEL;
}

/* The counter is `ahead` of what its register holds. */
static void move_address(const struct loop *loop, struct fort_x64_op *op, int32_t ahead)
{
	if (!has_memory(op))
		return;
	op->disp += op->base == loop->counter ? ahead : 0;
	op->disp += op->index == loop->counter ? ahead * (1 << op->scale) : 0;
}

static void put_rounds(const struct fort_x64 *x, struct fort_x64_op *to, uint32_t *n,
		       const struct loop *loop, uint32_t paid)
{
	int32_t ahead = 0;

	for (uint32_t round = 1; round <= loop->rounds; round++) {
		for (uint32_t at = loop->start; at < loop->end; at++) {
			struct fort_x64_op *op = &x->ops[at];

			paid -= cost_of(x, loop, at);
			if (loop->in_address && is_step(op, loop->counter))
				ahead += loop->step;
			else if (is_something(op) && !is_invariant(x, loop, op)) {
				op = put(to, n, op);
				op->flags &= (uint8_t)~FORT_X64_LABEL;
				op->flags |= FORT_X64_PAID;
				op->join = paid;
				move_address(loop, op, ahead);
			}
		}
		paid -= round < loop->rounds ? cost_of(x, loop, loop->end) : 0;
	}
}

/* The counter catches up. */
static void put_step(const struct fort_x64 *x, struct fort_x64_op *to, uint32_t *n,
		     const struct loop *loop)
{
	uint32_t at = loop->start;
	struct fort_x64_op *op;

	while (!is_step(&x->ops[at], loop->counter))
		at++;
	op = put(to, n, &x->ops[at]);
	op->flags &= (uint8_t)~FORT_X64_LABEL;
	op->disp = loop->step * (int32_t)loop->rounds;
}

/* The loop as it was, under another label. */
static void put_itself(const struct fort_x64 *x, struct fort_x64_op *to, uint32_t *n,
		       const struct loop *loop, uint32_t itself, uint32_t after)
{
	uint32_t start = *n;

	for (uint32_t at = loop->start; at <= loop->end; at++)
		put(to, n, &x->ops[at]);
	to[start].join = itself;
	to[*n - 1].target = itself;
	put_fuel(to, n, FORT_X64_OP_JUMP, 0, after);
}

/* A label on what follows the loop: something does, programs do not end in branches. */
static uint32_t label_after(struct fort_x64 *x, const struct loop *loop)
{
	struct fort_x64_op *op = &x->ops[loop->end + 1];

	if (!(op->flags & FORT_X64_LABEL)) {
		op->flags |= FORT_X64_LABEL;
		op->join = new_join(x, loop);
	}
	return op->join;
}

static void unroll(struct fort_x64 *x, struct fort_x64_op *to, uint32_t *n, const struct loop *loop)
{
	uint32_t after = label_after(x, loop), itself = new_join(x, loop);
	uint32_t latch = cost_of(x, loop, loop->end);
	uint32_t paid = loop->rounds * loop->cost - (loop->ends ? latch : 0);

	put_invariants(x, to, n, loop);
	put_fuel(to, n, FORT_X64_OP_AHEAD, paid, itself);
	to[*n - 1].flags = FORT_X64_LABEL;
	to[*n - 1].join = loop->head;
	put_rounds(x, to, n, loop, paid);
	if (loop->in_address)
		put_step(x, to, n, loop);
	if (!loop->ends) {
		put(to, n, &x->ops[loop->end])->flags &= (uint8_t)~FORT_X64_BACK;
		if (latch)
			put_fuel(to, n, FORT_X64_OP_REFUND, latch, 0);
	}
	x->joins[itself].op = loop->start; /* for put_loops, which puts it */
	x->joins[itself].last = after;
}

/* The loops themselves. They are not worth to be aligned. */
static void put_loops(struct fort_x64 *x, struct fort_x64_op *to, uint32_t *n, uint32_t first)
{
	struct loop loop;

	for (uint32_t join = first; join <= x->n_joins; join++) {
		uint32_t after = x->joins[join].last;

		if (after && find_loop(x, x->joins[join].op, &loop))
			put_itself(x, to, n, &loop, join, after);
		x->joins[join].seldom = true;
	}
}

static bool is_there_any(const struct fort_x64 *x)
{
	struct loop loop;

	for (uint32_t join = 1; join <= x->n_joins; join++)
		if (x->joins[join].last && find_loop(x, x->joins[join].op, &loop))
			return true;
	return false;
}

void fort_x64_unroll(struct fort_x64 *x)
{
	struct fort_x64_op *to = x->reordered;
	uint32_t n = 0, first = x->n_joins + 1, room = x->n_ops + FORT_X64_UNROLL_OPS;
	struct loop loop;

	if (!is_there_any(x))
		return;
	for (uint32_t at = 0; at < x->n_ops; at++) {
		if (room < 2 * UNROLLED || !find_loop(x, at, &loop)) {
			put(to, &n, &x->ops[at]);
			continue;
		}
		room -= 2 * UNROLLED;
		unroll(x, to, &n, &loop);
		at = loop.end;
	}
	put_loops(x, to, &n, first);
	x->reordered = x->ops;
	x->ops = to;
	x->n_ops = n;
	fort_x64_find_loops(x);
}
