/* Random statements about functions that a helper calls back, and loops that count themselves. */
#include <stdio.h>
#include <string.h>

#include "random_gen.h"

#define BPF_LOOP 181
#define FOR_EACH 164

/* Some functions are not called, but called back. Once for each function, before any is written. */
void gen_choose_callback(struct gen *g, struct signature *f)
{
	static const struct signature loop = {.calls_back = BPF_LOOP,
					      .n_args = 2,
					      .args = {HELD_NUMBER, HELD_STACK}},
				      each = {.calls_back = FOR_EACH,
					      .n_args = 4,
					      .args = {HELD_NOTHING, HELD_NOTHING, HELD_VALUE,
						       HELD_STACK}};
	uint32_t stack_bytes = f->stack_bytes;

	if (!(g->options & RANDOM_CALLBACKS) || gen_chance(g, 40))
		return;
	*f = gen_chance(g, 70) ? loop : each;
	f->stack_bytes = stack_bytes;
	f->object = gen_chance(g, 50) ? LAB_ARRAY : LAB_PERCPU;
}

/* What bpf_func_info says of them, in the order in which they were written. */
void gen_describe(const struct gen *g)
{
	size_t room = sizeof(g->out->functions), at = 0;

	g->out->functions[0] = 0;
	if (!(g->options & RANDOM_CALLBACKS))
		return;
	for (unsigned i = g->n_functions; i-- > 0;)
		if (g->functions[i].called)
			at += (size_t)snprintf(g->out->functions + at, room - at, "%sstatic f%u",
					       at ? "; " : "", i);
}

static void first_argument(struct gen *g, const struct signature *f)
{
	unsigned count;

	if (f->calls_back == FOR_EACH) {
		gen_put(g, FORT_ROW_LDIMM_MAP_IDX, FORT_R1, 0, 0,
			gen_slip(g) ? LAB_RING : f->object);
		return;
	}
	count = gen_chance(g, 40) ? gen_index(g, 9) : FORT_R10;
	if (count == FORT_R10 || (count >= FORT_R2 && count <= FORT_R4))
		gen_number(g, FORT_R1, gen_below(g, 10));
	else if (count != FORT_R1)
		gen_move(g, FORT_R1, count);
}

void gen_call_back(struct gen *g, unsigned depth)
{
	unsigned number = gen_below(g, g->function);
	struct signature *f = &g->functions[number];

	(void)depth;
	if (!g->function || !f->calls_back || g->n_calls == GEN_EXITS ||
	    (g->scope.fixed_regs & ((1u << FORT_R6) - 1)))
		return;
	first_argument(g, f);
	if (!gen_pass_stack(g, FORT_R3, f->stack_bytes))
		return;
	g->calls[g->n_calls].pc = g->out->n_insns;
	g->calls[g->n_calls++].function = number;
	f->called = true;
	gen_put(g, FORT_ROW_LDIMM_FUNC, FORT_R2, 0, 0, 0);
	gen_put(g, FORT_ROW_MOV64_K, FORT_R4, 0, 0, gen_slip(g));
	gen_call(g, (int)f->calls_back);
}

/* Before a loop's body, which it may skip. */
void gen_may_leave(struct gen *g, struct block *block)
{
	if ((g->options & RANDOM_CALLBACKS) && gen_chance(g, 50))
		gen_leave(g, block, gen_put(g, FORT_ROW_MAY_GOTO, 0, 0, 0, 0));
}
