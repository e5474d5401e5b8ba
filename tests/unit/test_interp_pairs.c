/* Pairs of instructions that the interpreter does in one step, beside itself doing one at a time:
 * an observed run has no pairs. Every pair, every way in which registers of the two can be the
 * same, numbers and addresses of all kinds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include <string.h>

#include "engine/interp.h"
#include "isa/graph.h"

#define REGS      3u /* r1 to r3 */
#define SEEDS     8u
#define INSNS_MAX 40u

static const struct row_pair {
	uint8_t kind[2], op[2], bits[2];
} pairs[] = {
#define FORT_PAIR(how, kind1, op1, bits1, kind2, op2, bits2) \
	{{FORT_##kind1, FORT_##kind2}, {FORT_OP_##op1, FORT_OP_##op2}, {bits1, bits2}},
#include "engine/interp_pairs.def"
};

struct bench {
	struct fort_arena arena;
	struct fort_domain domain;
	uint64_t seed;
	uint32_t runs, aborts;
};

static uint64_t next(struct bench *b)
{
	b->seed ^= b->seed << 13;
	b->seed ^= b->seed >> 7;
	b->seed ^= b->seed << 17;
	return b->seed;
}

static enum fort_row row_of(const struct row_pair *pair, unsigned which)
{
	for (unsigned row = 0; row < FORT_ROWS; row++)
		if (fort_rows[row].kind == pair->kind[which] &&
		    fort_rows[row].op == pair->op[which] &&
		    fort_rows[row].bits == pair->bits[which])
			return (enum fort_row)row;
	fail_msg("a pair of no row");
	return FORT_ROWS;
}

/* In the stack, near its ends, anywhere; small, large. */
static uint64_t number(struct bench *b)
{
	uint64_t random = next(b), top = fort_domain_stack_top(&b->domain, 0);

	switch (random >> 60) {
	case 0: return random & 0xff;
	case 1: return random & 0xffffffff;
	case 2: return random;
	case 3: return top - (random & 15);
	case 4: return (uint64_t)(int64_t)(int8_t)random;
	default: return top - 256 - (random & 127);
	}
}

static void add(struct fort_insn *insns, uint32_t *n, enum fort_row row, uint8_t dst, uint8_t src,
		int16_t off, int64_t imm)
{
	insns[(*n)++] = fort_insn_make(row, dst, src, off, imm);
	if (row == FORT_ROW_LDIMM)
		insns[(*n)++] = fort_insn_make(FORT_ROW_LDIMM_HIGH, 0, 0, 0, imm >> 32);
}

static void add_one(struct bench *b, struct fort_insn *insns, uint32_t *n, enum fort_row row,
		    unsigned regs)
{
	uint64_t fields = fort_rows[row].fields;
	bool jumps = fort_rows[row].kind == FORT_JCC_K || fort_rows[row].kind == FORT_JCC_X;
	int64_t imm = next(b) & 1 ? (int64_t)(next(b) & 63) : (int32_t)next(b);

	add(insns, n, row, (uint8_t)(1 + regs % REGS),
	    fields & FORT_USE('S') ? (uint8_t)(1 + regs / REGS) : 0,
	    jumps                    ? 1
	    : fields & FORT_USE('O') ? (int16_t)(next(b) & 31)
				     : 0,
	    fields & FORT_USE('I') ? imm : 0);
}

/* The pair; what a jump of it leaves out; a word of all registers. */
static uint32_t make(struct bench *b, const struct row_pair *pair, unsigned regs,
		     struct fort_insn insns[INSNS_MAX])
{
	uint32_t n = 0;

	for (uint8_t reg = 1; reg <= REGS; reg++)
		add(insns, &n, FORT_ROW_LDIMM, reg, 0, 0, (int64_t)number(b));
	add_one(b, insns, &n, row_of(pair, 0), regs % (REGS * REGS));
	add_one(b, insns, &n, row_of(pair, 1), regs / (REGS * REGS));
	add(insns, &n, FORT_ROW_ADD64_K, 0, 0, 0, 77);
	for (uint8_t reg = 1; reg <= REGS; reg++) {
		add(insns, &n, FORT_ROW_MUL64_K, 0, 0, 0, 1000003);
		add(insns, &n, FORT_ROW_ADD64_X, 0, reg, 0, 0);
	}
	add(insns, &n, FORT_ROW_EXIT, 0, 0, 0, 0);
	return n;
}

static fort_helper_fn *no_helper(uint32_t number)
{
	return NULL;
}

struct outcome {
	uint64_t r0, fuel;
	struct fort_abort abort;
	uint8_t stack[FORT_STACK_BYTES];
};

static void run(struct bench *b, struct fort_code *code, uint64_t *counts, struct outcome *out)
{
	uint8_t *stack =
		(uint8_t *)fort_window_at(&b->domain.window, fort_domain_stack_top(&b->domain, 0)) -
		FORT_STACK_BYTES;
	struct fort_run run = {.domain = &b->domain, .fuel = 1000, .counts = counts};

	memset(out, 0, sizeof(*out));
	for (unsigned i = 0; i < FORT_STACK_BYTES; i++)
		stack[i] = (uint8_t)(i * 37 + 1);
	out->r0 = fort_engine_interp.run(code, &run);
	out->fuel = run.fuel;
	out->abort = run.abort;
	memcpy(out->stack, stack, FORT_STACK_BYTES);
}

static void compare(struct bench *b, const struct row_pair *pair, unsigned regs,
		    enum fort_isolation isolation)
{
	struct fort_arena_mark mark = fort_arena_mark(&b->arena);
	struct fort_insn insns[INSNS_MAX];
	uint64_t counts[INSNS_MAX] = {0};
	struct fort_graph graph;
	struct fort_graph_error error;
	struct outcome in_pairs, one_by_one;
	uint32_t n = make(b, pair, regs, insns);
	struct fort_compile request = {.program = &graph.program,
				       .domain = &b->domain,
				       .isolation = isolation,
				       .helper = no_helper,
				       .proven = true};
	struct fort_code *code;

	assert_int_equal(fort_graph_build(&b->arena, insns, n, &graph, &error), 0);
	assert_int_equal(fort_engine_interp.compile(&request, &code), 0);
	run(b, code, NULL, &in_pairs);
	run(b, code, counts, &one_by_one);
	if (memcmp(&in_pairs, &one_by_one, sizeof(in_pairs)))
		fail_msg("pair %u, registers %u: r0 %llx and %llx, ends %u and %u",
			 (unsigned)(pair - pairs), regs, (unsigned long long)in_pairs.r0,
			 (unsigned long long)one_by_one.r0, in_pairs.abort.code,
			 one_by_one.abort.code);
	b->runs++;
	b->aborts += one_by_one.abort.code != FORT_ABORT_NONE;
	fort_engine_interp.free(code);
	fort_arena_rewind(&b->arena, mark);
}

static bool accesses(const struct row_pair *pair)
{
	for (unsigned i = 0; i < 2; i++)
		if (pair->kind[i] == FORT_LDX || pair->kind[i] == FORT_STX)
			return true;
	return false;
}

static void as_one_by_one(void **state)
{
	const struct fort_domain_layout layout = {.n_slots = 1, .ctx_bytes = 64};
	struct bench b = {.seed = 88172645463325252u};

	(void)state;
	fort_arena_init(&b.arena, SIZE_MAX);
	assert_int_equal(fort_domain_open(&layout, NULL, 0, &b.domain), 0);
	for (unsigned i = 0; i < FORT_LEN(pairs); i++)
		for (unsigned regs = 0; regs < REGS * REGS * REGS * REGS; regs++)
			for (unsigned seed = 0; seed < SEEDS; seed++) {
				compare(&b, &pairs[i], regs, FORT_ISOLATION_SFI);
				if (!accesses(&pairs[i]))
					compare(&b, &pairs[i], regs,
						seed % 2 ? FORT_ISOLATION_NONE
							 : FORT_ISOLATION_SFI_STORE);
			}
	/* Of those that access memory, some end, most do not. */
	assert_true(b.aborts > 1000 && b.aborts < b.runs / 2);
	fort_domain_close(&b.domain);
	fort_arena_free(&b.arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(as_one_by_one)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
