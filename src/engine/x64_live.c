/* Backwards: which registers, and which halves of them, somebody still needs. Operations whose
 * results nobody needs go, but for accesses, which may fault; those that forward marked are put
 * together where nothing else needs what is between.
 *
 * Before a join its `live` says what is needed there; a jump back is reached before its target is.
 * So, in programs with loops, sweeps that change nothing go first: needs grow from nothing until no
 * sweep finds more (few take more than three). A program that takes too many needs everything at
 * its joins.
 */
#include "engine/x64_fold.h"

#define SWEEPS_MAX          8u
#define ALL_OF(first, last) ((FORT_X64_LOW((last) + 1) - FORT_X64_LOW(first)) * 0x10001u)

static uint32_t bit(uint8_t reg)
{
	return reg == FORT_X64_NO_REG ? 0 : FORT_X64_LOW(reg);
}

static uint32_t both(uint8_t reg)
{
	return bit(reg) * 0x10001u;
}

static bool is_live(uint32_t live, uint8_t reg)
{
	return live & both(reg);
}

static uint32_t of_width(const struct fort_x64_op *op, uint8_t reg)
{
	return op->bits == 64 ? both(reg) : bit(reg);
}

/* Accesses in a window need but low halves of addresses. */
uint32_t fort_x64_reads_mem(const struct fort_x64 *x, const struct fort_x64_op *op)
{
	switch (op->kind) {
	case FORT_X64_OP_ALU:
	case FORT_X64_OP_BRANCH:
		if (!(op->flags & (FORT_X64_MEM_A | FORT_X64_MEM_B)))
			return 0;
		break;
	case FORT_X64_OP_LOAD:
	case FORT_X64_OP_LOOKUP:
	case FORT_X64_OP_UPDATE:
	case FORT_X64_OP_STORE:
	case FORT_X64_OP_ATOMIC: break;
	default: return 0;
	}
	return (bit(op->base) | bit(op->index)) * (x->window ? 1u : 0x10001u);
}

uint32_t fort_x64_reads_data(const struct fort_x64_op *op)
{
	uint32_t operands = of_width(op, op->a) | of_width(op, op->b);

	switch (op->kind) {
	case FORT_X64_OP_SUM: return of_width(op, op->base) | of_width(op, op->index);
	case FORT_X64_OP_SHIFT: return of_width(op, op->a) | bit(op->b);
	case FORT_X64_OP_EXTEND: return bit(op->a);
	case FORT_X64_OP_ATOMIC:
		return op->op == FORT_OP_A_CMPXCHG ? operands | of_width(op, FORT_R0) : operands;
	case FORT_X64_OP_SELECT:
		return op->keep ? operands : operands | both(op->dst) | both(op->index);
	case FORT_X64_OP_HELPER: return ALL_OF(FORT_R1, FORT_R5) & ALL_OF(FORT_R0, op->scale);
	case FORT_X64_OP_CALLX: return ALL_OF(FORT_R1, FORT_R5) | both(op->a);
	case FORT_X64_OP_NOTHING:
	case FORT_X64_OP_LOAD:
	case FORT_X64_OP_CPU:
	case FORT_X64_OP_CACHED: return 0;
	case FORT_X64_OP_BRANCH: return op->value ? 0 : operands;
	default: return operands;
	}
}

#define KIND(kind) (1u << FORT_X64_OP_##kind)
#define PURE_KINDS                                                                       \
	(KIND(MOVE) | KIND(CONST) | KIND(SUM) | KIND(SHIFT) | KIND(ROTATE) | KIND(NEG) | \
	 KIND(EXTEND) | KIND(SWAP) | KIND(DIVIDE) | KIND(SELECT))
#define CALL_KINDS \
	(KIND(HELPER) | KIND(LOCAL) | KIND(CALLX) | KIND(LOOKUP) | KIND(CPU) | KIND(CACHED))

/* Does it do nothing but write dst? */
static bool is_pure(const struct fort_x64_op *op)
{
	return PURE_KINDS >> op->kind & 1 ||
	       (op->kind == FORT_X64_OP_ALU && !(op->flags & FORT_X64_MEM_B));
}

static void remove_op(struct fort_x64_op *op)
{
	op->kind = FORT_X64_OP_NOTHING;
	op->dst = FORT_X64_NO_REG;
	op->pattern = FORT_X64_ALONE;
}

/* --- together --- */

static void take_mem(struct fort_x64_op *op, struct fort_x64_op *load, uint8_t flag)
{
	op->base = load->base;
	op->index = load->index;
	op->scale = load->scale;
	op->disp = load->disp;
	op->pc = load->pc;
	op->flags |= flag;
	if (flag == FORT_X64_MEM_A)
		op->a = FORT_X64_NO_REG;
	else
		op->b = FORT_X64_NO_REG;
	op->keep = load->bits;
	op->pattern = FORT_X64_ALONE;
	remove_op(load);
}

/* A load whose result is needed here only. */
static void take(struct fort_x64 *x, struct fort_x64_op *op, uint32_t live, bool first)
{
	struct fort_x64_op *load = &x->ops[x->at - op->from];
	uint8_t reg = first ? op->a : op->b, other = first ? op->b : op->a;

	if (load->kind == FORT_X64_OP_LOAD && load->dst == reg && reg != other &&
	    (load->bits == op->bits || op->kind == FORT_X64_OP_BRANCH) &&
	    (op->dst == reg || !is_live(live, reg)))
		take_mem(op, load, first ? FORT_X64_MEM_A : FORT_X64_MEM_B);
}

static void rewrite(struct fort_x64 *x, struct fort_x64_op *op, uint32_t live)
{
	struct fort_x64_op *alu = &x->ops[x->at - op->from], *load = &x->ops[x->at - op->from2];

	if (load->kind != FORT_X64_OP_LOAD || alu->kind != FORT_X64_OP_ALU ||
	    alu->flags & FORT_X64_MEM_B || alu->bits != op->bits || is_live(live, op->a))
		return;
	op->kind = FORT_X64_OP_UPDATE;
	op->op = alu->op;
	op->a = FORT_X64_NO_REG;
	op->b = alu->b;
	op->imm = alu->imm;
	op->from = (uint8_t)(op->pc - load->pc);
	op->pattern = FORT_X64_ALONE;
	remove_op(load);
	remove_op(alu);
}

static void rotation(struct fort_x64 *x, struct fort_x64_op *op, uint32_t live)
{
	struct fort_x64_op *left = &x->ops[x->at - op->from], *right = &x->ops[x->at - op->from2];

	if (left->kind != FORT_X64_OP_SHIFT || right->kind != FORT_X64_OP_SHIFT ||
	    left->bits != op->bits || right->bits != op->bits ||
	    (left->dst != op->dst && is_live(live, left->dst)) ||
	    (right->dst != op->dst && is_live(live, right->dst)))
		return;
	op->kind = FORT_X64_OP_ROTATE;
	op->a = left->a;
	op->b = FORT_X64_NO_REG;
	op->imm = left->imm;
	op->pattern = FORT_X64_ALONE;
	remove_op(left);
	remove_op(right);
}

static void take_remainder(struct fort_x64 *x, struct fort_x64_op *op, uint32_t live)
{
	struct fort_x64_op *product = &x->ops[x->at - op->from],
			   *quotient = &x->ops[x->at - op->from2];

	if (product->kind != FORT_X64_OP_ALU || quotient->kind != FORT_X64_OP_DIVIDE ||
	    product->dst != quotient->dst || product->bits != op->bits ||
	    quotient->bits != op->bits || (product->dst != op->dst && is_live(live, product->dst)))
		return;
	op->kind = FORT_X64_OP_DIVIDE;
	op->op = FORT_OP_MOD;
	op->b = quotient->b;
	op->pattern = FORT_X64_ALONE;
	remove_op(product);
	remove_op(quotient);
}

static void put_together(struct fort_x64 *x, struct fort_x64_op *op, uint32_t live)
{
	switch (op->pattern) {
	case FORT_X64_TAKE_A: take(x, op, live, true); break;
	case FORT_X64_TAKE_B: take(x, op, live, false); break;
	case FORT_X64_REWRITE: rewrite(x, op, live); break;
	case FORT_X64_ROTATION: rotation(x, op, live); break;
	case FORT_X64_REMAINDER: take_remainder(x, op, live); break;
	default: return;
	}
}

/* --- one operation --- */

static void become_sum(struct fort_x64_op *op)
{
	bool constant = op->base == FORT_X64_NO_REG && op->index == FORT_X64_NO_REG;

	op->kind = constant ? FORT_X64_OP_CONST : FORT_X64_OP_SUM;
	op->imm = (uint32_t)op->disp;
	op->a = op->b = FORT_X64_NO_REG;
}

/* Where the upper half of the result is not needed, 32 bits do. */
static void narrow(struct fort_x64_op *op, uint32_t live)
{
	if (op->bits != 64 || live & both(op->dst) & ~bit(op->dst))
		return;
	switch (op->kind) {
	case FORT_X64_OP_CONST: op->imm = (uint32_t)op->imm; return;
	case FORT_X64_OP_SHIFT:
		if (op->op != FORT_OP_LSH || op->b != FORT_X64_NO_REG || op->imm >= 32)
			return;
		break;
	case FORT_X64_OP_ALU:
		if (op->pattern == FORT_X64_LOW_SUM)
			become_sum(op);
		else if (op->flags & FORT_X64_MEM_B || op->pattern != FORT_X64_ALONE)
			return;
		break;
	case FORT_X64_OP_MOVE:
	case FORT_X64_OP_SUM:
	case FORT_X64_OP_NEG: break;
	default: return;
	}
	op->bits = 32;
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

/* Calls lose r1 to r5, and r0; a subprogram gets them as they are, and leaves them as they end. */
static uint32_t live_before_call(struct fort_x64 *x, struct fort_x64_op *op, uint32_t live,
				 uint32_t reads)
{
	struct fort_x64_subprog *callee;

	if (op->kind != FORT_X64_OP_LOCAL) {
		op->keep = (uint8_t)((live | live >> 16) >> FORT_R1 & 0x1f);
		return (live & ~ALL_OF(FORT_R0, FORT_R5)) | reads;
	}
	callee = &x->subprogs[x->joins[op->target].subprog];
	if (live & ALL_OF(FORT_R0, FORT_R5) & ~callee->live) {
		callee->live |= live & ALL_OF(FORT_R0, FORT_R5);
		x->grew = true;
	}
	op->keep = (uint8_t)((live | live >> 16) >> FORT_R6 & callee->changes);
	return (live & ~ALL_OF(FORT_R0, FORT_R5)) | both(FORT_R10) | x->joins[op->target].live;
}

static bool is_call(const struct fort_x64_op *op)
{
	return CALL_KINDS >> op->kind & 1;
}

static uint32_t live_before(struct fort_x64 *x, struct fort_x64_op *op, uint32_t live,
			    uint32_t reads)
{
	if (FORT_UNLIKELY(is_call(op)))
		return live_before_call(x, op, live, reads);
	return (live & ~both(op->dst)) | reads;
}

static bool goes_on(const struct fort_x64_op *op)
{
	return op->kind != FORT_X64_OP_JUMP && op->kind != FORT_X64_OP_EXIT &&
	       op->kind != FORT_X64_OP_STOP;
}

/* A division does not keep r0 and r3 where nobody behind it needs them: neither may somebody begin
 * to. */
static void note_division(const struct fort_x64 *x, struct fort_x64_uses *uses,
			  const struct fort_x64_op *op)
{
	if (op->kind != FORT_X64_OP_DIVIDE)
		return;
	if (!(op->flags & FORT_X64_KEEP_R0))
		uses->written[FORT_R0] = x->at;
	if (!(op->flags & FORT_X64_KEEP_R3))
		uses->written[FORT_R3] = x->at;
}

static void note_call(const struct fort_x64 *x, struct fort_x64_uses *uses)
{
	for (uint8_t reg = FORT_R0; reg <= FORT_R5; reg++) {
		fort_x64_uses_forget(uses, reg);
		uses->written[reg] = x->at;
	}
}

/* What is needed elsewhere, `live` says. */
static void note_uses(const struct fort_x64 *x, struct fort_x64_uses *uses,
		      const struct fort_x64_op *op, uint32_t live)
{
	if (!goes_on(op)) {
		fort_x64_uses_start(uses);
		fort_x64_uses_other(uses, live);
	}
	if (op->kind == FORT_X64_OP_BRANCH)
		fort_x64_uses_other(uses, x->joins[op->target].live);
	if (FORT_UNLIKELY(is_call(op)))
		note_call(x, uses);
	if (op->dst != FORT_X64_NO_REG) {
		fort_x64_uses_forget(uses, op->dst);
		uses->written[op->dst] = x->at;
	}
	note_division(x, uses, op);
}

/* Is the upper half of the result zero, whatever the operands are? */
static bool makes_low_half(const struct fort_x64_op *op)
{
	return op->bits < 64 && !(op->kind == FORT_X64_OP_LOAD && op->op == FORT_OP_LDXS);
}

/* A copy of what the operation before it made, which nobody else needs: it is made here at once. */
static bool make_here(struct fort_x64 *x, const struct fort_x64_op *op, uint32_t live)
{
	uint32_t before = x->at;
	struct fort_x64_op *maker;

	if (op->kind != FORT_X64_OP_MOVE || op->flags & FORT_X64_LABEL || op->a == FORT_R10 ||
	    is_live(live & ~both(op->dst), op->a))
		return false;
	while (before && x->ops[before - 1].kind == FORT_X64_OP_NOTHING &&
	       !(x->ops[before - 1].flags & FORT_X64_LABEL))
		before--;
	if (!before)
		return false;
	maker = &x->ops[before - 1];
	if (maker->dst != op->a || (!is_pure(maker) && maker->kind != FORT_X64_OP_LOAD) ||
	    maker->kind == FORT_X64_OP_SELECT || (op->bits == 32 && !makes_low_half(maker)))
		return false;
	maker->dst = op->dst;
	return true;
}

/* Is this what is done about a lookup that found nothing? */
static void test_lookup(struct fort_x64 *x, struct fort_x64_op *op)
{
	uint32_t before = x->at;

	if (op->flags & FORT_X64_LABEL || op->a != FORT_R0 || op->b != FORT_X64_NO_REG || op->imm ||
	    op->bits != 64 || (op->op != FORT_OP_JEQ && op->op != FORT_OP_JNE))
		return;
	while (before && x->ops[before - 1].kind == FORT_X64_OP_NOTHING &&
	       !(x->ops[before - 1].flags & FORT_X64_LABEL))
		before--;
	if (!before || x->ops[before - 1].kind != FORT_X64_OP_LOOKUP ||
	    x->ops[before - 1].value & FORT_X64_KEY_CONSTANT)
		return;
	op->value = 1;
	x->ops[before - 1].value |= FORT_X64_TESTED;
}

/* What the operation becomes, and what is needed before that. */
static uint32_t settle(struct fort_x64 *x, struct fort_x64_uses *uses, struct fort_x64_op *op,
		       uint32_t live)
{
	uint8_t dst = op->dst;
	uint32_t data, mem;

	if (op->kind == FORT_X64_OP_LOOKUP && !(live & ALL_OF(FORT_R1, FORT_R5)) &&
	    fort_x64_lookup_constant(x, op, &op->imm))
		op->kind = FORT_X64_OP_CONST;
	if (is_pure(op) && (!is_live(live, dst) || fort_x64_fold(x, uses, op, &live))) {
		remove_op(op);
		return live;
	}
	put_together(x, op, live);
	if (op->kind == FORT_X64_OP_BRANCH)
		test_lookup(x, op);
	if (op->kind == FORT_X64_OP_LOOKUP)
		fort_x64_fold_lookup(x, uses, op);
	if (dst != FORT_X64_NO_REG)
		narrow(op, live);
	if ((op->kind == FORT_X64_OP_MOVE && op->a == dst && !(live & both(dst) & ~bit(dst))) ||
	    make_here(x, op, live)) {
		remove_op(op);
		return live;
	}
	if (op->kind == FORT_X64_OP_DIVIDE)
		op->flags |= (uint8_t)((is_live(live, FORT_R0) ? FORT_X64_KEEP_R0 : 0) |
				       (is_live(live, FORT_R3) ? FORT_X64_KEEP_R3 : 0));
	data = fort_x64_reads_data(op);
	mem = fort_x64_reads_mem(x, op);
	note_uses(x, uses, op, live);
	fort_x64_uses_note(x, uses, op, data, mem);
	if (op->kind == FORT_X64_OP_LOCAL)
		fort_x64_uses_other(uses, ALL_OF(FORT_R0, FORT_R10));
	return live_before(x, op, live, data | mem);
}

static void sweep(struct fort_x64 *x, bool settles)
{
	struct fort_x64_uses uses;
	uint32_t live = 0;

	fort_x64_uses_start(&uses);

	x->grew = false;
	for (x->at = x->n_ops; x->at-- > 0;) {
		struct fort_x64_op *op = &x->ops[x->at];

		live = live_behind(x, op, live);
		live = settles ? settle(x, &uses, op, live)
			       : live_before(x, op, live,
					     fort_x64_reads_data(op) | fort_x64_reads_mem(x, op));
		if (!(op->flags & FORT_X64_LABEL))
			continue;
		fort_x64_uses_other(&uses, live);
		if (!settles && live & ~x->joins[op->join].live)
			x->grew = true;
		x->joins[op->join].live |= live;
	}
}

/* For those without loops and subprograms, what a sweep finds on its way is all there is. */
static bool needs_sweeps(const struct fort_x64 *x)
{
	if (x->request->program->n_subprogs > 1 || x->main_is_called)
		return true;
	for (uint32_t i = 0; i < x->n_ops; i++)
		if (x->ops[i].flags & FORT_X64_BACK)
			return true;
	return false;
}

void fort_x64_live(struct fort_x64 *x)
{
	uint32_t sweeps = 0;

	x->subprogs[0].live = FORT_X64_BOTH(FORT_R0); /* the run's result */
	if (needs_sweeps(x))
		for (sweep(x, false); x->grew && sweeps < SWEEPS_MAX; sweeps++)
			sweep(x, false);
	if (sweeps == SWEEPS_MAX)
		for (uint32_t i = 1; i <= x->n_joins; i++)
			x->joins[i].live = ALL_OF(FORT_R0, FORT_R10);
	if (sweeps == SWEEPS_MAX)
		for (uint32_t i = 0; i < x->request->program->n_subprogs; i++)
			x->subprogs[i].live |= ALL_OF(FORT_R0, FORT_R5);
	sweep(x, true);
}
