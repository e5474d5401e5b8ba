/* Random statements: arithmetic, bounds, branches, loops, functions. */
#include "random_gen.h"

/* --- arithmetic --- */

static bool writable(const struct gen *g, unsigned reg)
{
	return reg < FORT_R10 && !(g->scope.fixed_regs >> reg & 1);
}

static bool divides(enum fort_op op)
{
	return op == FORT_OP_DIV || op == FORT_OP_MOD || op == FORT_OP_SDIV || op == FORT_OP_SMOD;
}

static bool shifts(enum fort_op op)
{
	return op == FORT_OP_LSH || op == FORT_OP_RSH || op == FORT_OP_ARSH;
}

static void alu_immediate(struct gen *g, unsigned reg)
{
	enum fort_row row = gen_row(g, FORT_ALU_K);
	const struct fort_row_info *info = &fort_rows[row];
	struct holding *number = &g->scope.regs[reg];
	int32_t imm = (int32_t)random_number(&g->random);
	uint64_t most = UINT64_MAX;

	if (shifts(info->op) && !gen_slip(g))
		imm = (int32_t)gen_below(g, info->bits);
	if (divides(info->op) && !imm && !gen_slip(g))
		imm = 1 + (int32_t)gen_below(g, 100);
	gen_put(g, row, reg, 0, 0, imm);
	if (info->op == FORT_OP_AND && imm >= 0)
		most = (uint32_t)imm;
	else if (info->op == FORT_OP_RSH)
		most = (info->bits == 64 ? number->most : UINT32_MAX) >> (imm & 63);
	else if (info->op == FORT_OP_MOD && imm > 0 && (g->options & RANDOM_OWN_BOUNDS))
		most = (uint32_t)imm - 1;
	number->most = most;
}

void gen_alu(struct gen *g, unsigned depth)
{
	unsigned reg = gen_any_number(g), other;

	(void)depth;
	if (!writable(g, reg))
		return;
	switch (gen_below(g, 10)) {
	case 0: gen_put(g, gen_row(g, FORT_NEG), reg, 0, 0, 0); break;
	case 1: gen_put(g, gen_row(g, FORT_END), reg, 0, 0, 0); break;
	case 2:
	case 3:
		other = gen_any_number(g);
		if (other == FORT_R10)
			return;
		gen_put(g, gen_chance(g, 50) ? gen_row(g, FORT_MOVSX) : FORT_ROW_MOV32_X, reg,
			other, 0, 0);
		break;
	case 4:
	case 5:
	case 6:
		other = gen_any_number(g);
		if (other == FORT_R10)
			return;
		gen_put(g, gen_row(g, FORT_ALU_X), reg, other, 0, 0);
		break;
	default: alu_immediate(g, reg); return;
	}
	gen_set(g, reg, HELD_NUMBER);
}

void gen_copy(struct gen *g, unsigned depth)
{
	unsigned src = gen_below(g, FORT_R10), dst = gen_free(g, gen_chance(g, 50));

	(void)depth;
	if (dst == FORT_R10 || src == dst || g->scope.regs[src].held == HELD_NOTHING)
		return;
	gen_move(g, dst, src);
}

/* --- bounds --- */

/* After this the number is at most `most`. */
static void bound_below(struct gen *g, unsigned reg, uint32_t most)
{
	static const struct {
		enum fort_row row;
		int32_t more;
	} keeps[] = {{FORT_ROW_JLE64_K, 0}, {FORT_ROW_JLT64_K, 1}};
	static const struct {
		enum fort_row row;
		int32_t more;
	} leaves[] = {{FORT_ROW_JGT64_K, 0}, {FORT_ROW_JGE64_K, 1}};
	unsigned way = gen_below(g, 6), i = gen_below(g, 2), other;
	uint32_t jump, past;

	switch (way) {
	case 0:
		if ((most & (most + 1)) == 0) {
			gen_put(g, FORT_ROW_AND64_K, reg, 0, 0, (int32_t)most);
			break;
		}
		__attribute__((fallthrough));
	case 1: /* 32-bit comparison of a number whose upper half is zero */
		gen_put(g, FORT_ROW_MOV32_X, reg, reg, 0, 0);
		jump = gen_put(g, FORT_ROW_JLE32_K, reg, 0, 0, (int32_t)most);
		gen_put(g, FORT_ROW_MOV64_K, reg, 0, 0, (int32_t)gen_below(g, most + 1));
		gen_patch(g, jump);
		break;
	case 2: /* signed, from both sides */
		jump = gen_put(g, FORT_ROW_JSGT64_K, reg, 0, 0, (int32_t)most);
		past = gen_put(g, FORT_ROW_JSGE64_K, reg, 0, 0, 0);
		gen_patch(g, jump);
		gen_put(g, FORT_ROW_MOV64_K, reg, 0, 0, (int32_t)gen_below(g, most + 1));
		gen_patch(g, past);
		break;
	case 3: /* against a register */
		other = gen_free(g, false);
		if (other == FORT_R10 || other == reg)
			other = reg == FORT_R0 ? FORT_R1 : FORT_R0;
		if (!writable(g, other))
			return;
		gen_number(g, other, most);
		jump = gen_put(g, FORT_ROW_JLE64_X, reg, other, 0, 0);
		gen_put(g, FORT_ROW_MOV64_X, reg, other, 0, 0);
		gen_patch(g, jump);
		break;
	case 4: /* the other way round */
		jump = gen_put(g, leaves[i].row, reg, 0, 0, (int32_t)most + leaves[i].more);
		past = gen_put(g, FORT_ROW_JA, 0, 0, 0, 0);
		gen_patch(g, jump);
		gen_put(g, FORT_ROW_MOV64_K, reg, 0, 0, (int32_t)gen_below(g, most + 1));
		gen_patch(g, past);
		break;
	default:
		jump = gen_put(g, keeps[i].row, reg, 0, 0, (int32_t)most + keeps[i].more);
		gen_put(g, FORT_ROW_MOV64_K, reg, 0, 0, (int32_t)gen_below(g, most + 1));
		gen_patch(g, jump);
	}
	gen_set(g, reg, HELD_NUMBER);
	g->scope.regs[reg].most = most;
}

unsigned gen_index(struct gen *g, uint32_t most)
{
	unsigned reg = gen_any_number(g);

	if (reg == FORT_R10)
		return reg;
	if (g->scope.regs[reg].most <= most)
		return reg;
	if (!writable(g, reg))
		return FORT_R10;
	if (!gen_slip(g))
		bound_below(g, reg, most);
	return reg;
}

void gen_bound(struct gen *g, unsigned depth)
{
	(void)depth;
	(void)gen_index(g, gen_chance(g, 50) ? (1u << gen_below(g, 12)) - 1 : gen_below(g, 5000));
}

/* A copy at a distance learns from a test of the original, or the other way. */
void gen_related(struct gen *g, unsigned depth)
{
	unsigned from = gen_any_number(g), to = gen_free(g, gen_chance(g, 60));
	uint32_t most = gen_below(g, 64), by = gen_below(g, 16);
	bool spilled = gen_chance(g, 30);
	uint32_t slot = gen_below(g, g->stack_slots);

	(void)depth;
	if (!writable(g, from) || to == FORT_R10 || to == from)
		return;
	gen_move(g, to, from);
	if (gen_chance(g, 70))
		gen_put(g, FORT_ROW_ADD64_K, to, 0, 0, (int32_t)by);
	else
		by = 0;
	g->scope.regs[to].most = UINT64_MAX;
	if (spilled && !(g->scope.fixed_slots >> slot & 1)) {
		gen_put(g, FORT_ROW_STX64, FORT_R10, to, -8 * (int)(slot + 1), 0);
		g->scope.slots[slot] = (struct holding){.held = HELD_NUMBER, .most = UINT64_MAX};
	}
	/* Both sides of one test, without a write to either: the copy is bounded by the test. */
	if (gen_chance(g, 80)) {
		uint32_t jump = gen_put(g, FORT_ROW_JLE64_K, from, 0, 0, (int32_t)most);
		uint32_t past;

		gen_number(g, to, by);
		if (spilled && g->scope.slots[slot].held == HELD_NUMBER)
			gen_put(g, FORT_ROW_STX64, FORT_R10, to, -8 * (int)(slot + 1), 0);
		past = gen_put(g, FORT_ROW_JA, 0, 0, 0, 0);
		gen_patch(g, jump);
		gen_put(g, FORT_ROW_MOV64_X, from, from, 0, 0);
		gen_patch(g, past);
		gen_set(g, to, HELD_NUMBER);
		g->scope.regs[to].most = most + by;
		if (spilled && g->scope.slots[slot].held == HELD_NUMBER)
			g->scope.slots[slot].most = most + by;
	} else {
		gen_put(g, gen_row(g, FORT_JCC_X), from, to, 0, 0);
	}
}

/* --- control flow --- */

/* A conditional jump about numbers; where it is. */
static uint32_t condition(struct gen *g)
{
	unsigned reg = gen_any_number(g), other = gen_find(g, HELD_NUMBER);

	if (reg == FORT_R10)
		return UINT32_MAX;
	if (other < FORT_R10 && gen_chance(g, 40))
		return gen_put(g, gen_row(g, FORT_JCC_X), reg, other, 0, 0);
	return gen_put(g, gen_row(g, FORT_JCC_K), reg, 0, 0, (int32_t)random_number(&g->random));
}

void gen_branch(struct gen *g, unsigned depth)
{
	struct block block = {.n = 0};
	struct scope before;
	uint32_t jump, past;

	if (depth >= GEN_DEPTH)
		return;
	jump = condition(g);
	if (jump == UINT32_MAX)
		return;
	if (gen_chance(g, 60)) {
		gen_leave(g, &block, jump);
		gen_block(g, 2 + (int)gen_below(g, 12), depth + 1);
		gen_end(g, &block);
		return;
	}
	before = g->scope;
	gen_block(g, 2 + (int)gen_below(g, 10), depth + 1);
	past = gen_put(g, FORT_ROW_JA, 0, 0, 0, 0);
	gen_leave(g, &block, past);
	gen_patch(g, jump);
	g->scope = before;
	gen_block(g, 2 + (int)gen_below(g, 10), depth + 1);
	gen_end(g, &block);
}

/* What a loop's body may not change, so that each round finds what the first one found. */
static void settle_for_loop(struct gen *g)
{
	for (unsigned reg = FORT_R0; reg < FORT_R10; reg++) {
		if (reg <= FORT_R5)
			gen_set(g, reg, HELD_NOTHING);
		else if (g->scope.regs[reg].held == HELD_NUMBER)
			g->scope.regs[reg].most = UINT64_MAX;
		else if (g->scope.regs[reg].held != HELD_NOTHING)
			g->scope.fixed_regs |= (uint16_t)(1u << reg);
	}
	for (unsigned slot = 0; slot < GEN_SLOTS; slot++) {
		if (g->scope.slots[slot].held == HELD_NUMBER)
			g->scope.slots[slot].most = UINT64_MAX;
		else if (g->scope.slots[slot].held != HELD_NOTHING)
			g->scope.fixed_slots |= 1ull << slot;
	}
}

/* Numbers where the loop's head has numbers. */
static void restore_head(struct gen *g, const struct scope *head)
{
	for (unsigned reg = FORT_R6; reg < FORT_R10; reg++)
		if (head->regs[reg].held == HELD_NUMBER && g->scope.regs[reg].held != HELD_NUMBER)
			gen_number(g, reg, gen_below(g, 100));
	for (unsigned slot = 0; slot < g->stack_slots; slot++)
		if (head->slots[slot].held == HELD_NUMBER &&
		    g->scope.slots[slot].held != HELD_NUMBER)
			(void)gen_store_zero(g, slot);
}

void gen_loop(struct gen *g, unsigned depth)
{
	unsigned counter = gen_free(g, true);
	struct block block = {.n = 0};
	struct scope head;
	uint32_t start, back;

	if (depth >= 2 || counter == FORT_R10)
		return;
	gen_number(g, counter, 0);
	settle_for_loop(g);
	g->scope.fixed_regs |= (uint16_t)(1u << counter);
	g->scope.regs[counter].most = 15;
	head = g->scope;
	start = g->out->n_insns;
	gen_may_leave(g, &block);
	gen_block(g, 3 + (int)gen_below(g, 12), depth + 2);
	restore_head(g, &head);
	gen_put(g, FORT_ROW_ADD64_K, counter, 0, 0, 1);
	back = gen_put(g, gen_chance(g, 50) ? FORT_ROW_JLT64_K : FORT_ROW_JNE64_K, counter, 0, 0,
		       1 + (int)gen_below(g, 15));
	g->out->insns[back].off = (int16_t)((int)start - (int)back - 1);
	gen_merge(&g->scope, &head);
	gen_end(g, &block);
	g->scope.fixed_regs = head.fixed_regs & (uint16_t) ~(1u << counter);
}

/* --- functions --- */

bool gen_pass_stack(struct gen *g, unsigned reg, uint32_t bytes)
{
	uint32_t n = bytes / 8, slot = n - 1 + gen_below(g, g->stack_slots - n + 1);

	for (uint32_t k = 0; k < n; k++)
		if (!gen_store_zero(g, slot - k))
			return false;
	gen_put(g, FORT_ROW_MOV64_X, reg, FORT_R10, 0, 0);
	gen_put(g, FORT_ROW_ADD64_K, reg, 0, 0, -8 * (int)(slot + 1));
	gen_set(g, reg, HELD_STACK);
	return true;
}

/* Puts an argument into its register; false when there is nothing to put. */
static bool pass(struct gen *g, const struct signature *f, unsigned i)
{
	unsigned reg = FORT_R1 + i, src;

	switch (f->args[i]) {
	case HELD_CTX:
		src = gen_find(g, HELD_CTX);
		if (src == FORT_R10)
			return false;
		gen_move(g, reg, src);
		return true;
	case HELD_VALUE: gen_global(g, reg); return true;
	case HELD_STACK: return gen_pass_stack(g, reg, f->stack_bytes);
	default:
		src = gen_find(g, HELD_NUMBER);
		if (src < FORT_R10 && src != reg)
			gen_move(g, reg, src);
		else
			gen_number(g, reg, random_number(&g->random));
		return true;
	}
}

void gen_local(struct gen *g, unsigned depth)
{
	unsigned number = gen_below(g, g->function);
	struct signature *f = &g->functions[number];

	(void)depth;
	if (!g->function || g->n_calls == GEN_EXITS || f->calls_back)
		return;
	for (unsigned reg = FORT_R1; reg <= f->n_args; reg++)
		if (!writable(g, reg))
			return;
	for (unsigned i = 0; i < f->n_args; i++)
		if (!pass(g, f, i) && !gen_slip(g))
			return;
	g->calls[g->n_calls].pc = g->out->n_insns;
	g->calls[g->n_calls++].function = number;
	f->called = true;
	gen_put(g, FORT_ROW_CALL_LOCAL, 0, 0, 0, 0);
	gen_forget_arguments(g);
}

/* --- nonsense --- */

void gen_pointer_tricks(struct gen *g, unsigned depth)
{
	unsigned reg = gen_free(g, false), pointer = gen_below(g, FORT_R10), other;

	(void)depth;
	if (reg == FORT_R10 || reg == pointer || g->scope.regs[pointer].held <= HELD_NUMBER ||
	    (g->options & RANDOM_REPEATABLE))
		return;
	other = gen_find(g, g->scope.regs[pointer].held);
	switch (gen_below(g, 5)) {
	case 0: /* a test that pointers pass */
		gen_put(g, gen_chance(g, 50) ? FORT_ROW_JEQ64_K : FORT_ROW_JNE64_K, pointer, 0, 0,
			0);
		return;
	case 1: gen_put(g, FORT_ROW_MOV32_X, reg, pointer, 0, 0); break;
	case 2:
		gen_put(g, FORT_ROW_MOV64_X, reg, pointer, 0, 0);
		gen_put(g, FORT_ROW_SUB64_X, reg, other, 0, 0);
		break;
	case 3: gen_put(g, gen_row(g, FORT_JCC_X), pointer, other, 0, 0); return;
	default:
		gen_put(g, FORT_ROW_MOV64_X, reg, FORT_R10, 0, 0);
		gen_put(g, FORT_ROW_SUB64_X, reg, FORT_R10, 0, 0);
	}
	gen_set(g, reg, HELD_NUMBER);
}

/* What nobody would write, and almost always a mistake. */
void gen_anything(struct gen *g, unsigned depth)
{
	const enum fort_kind kinds[] = {FORT_ALU_K, FORT_ALU_X, FORT_MOV_X, FORT_LDX,
					FORT_STX,   FORT_ST,    FORT_JCC_X, FORT_ATOMIC};
	enum fort_row row = gen_row(g, kinds[gen_below(g, FORT_LEN(kinds))]);
	const char *uses = fort_rows[row].uses;
	unsigned dst = gen_below(g, FORT_R10), src = gen_below(g, FORT_REGS);
	bool has_src =
		uses[0] && (uses[1] == 'S' || uses[0] == 'S' || fort_rows[row].kind == FORT_ATOMIC);

	(void)depth;
	if (!gen_slip(g) || !writable(g, dst))
		return;
	gen_put(g, row, dst, has_src ? src : 0,
		fort_rows[row].kind == FORT_JCC_X || fort_rows[row].kind == FORT_ALU_X ||
				fort_rows[row].kind == FORT_ALU_K ||
				fort_rows[row].kind == FORT_MOV_X
			? 0
			: -(int)gen_below(g, 64),
		fort_rows[row].kind == FORT_ALU_K || fort_rows[row].kind == FORT_ST
			? 1 + (int)gen_below(g, 30)
			: 0);
}
