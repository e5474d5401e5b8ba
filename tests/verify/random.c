#include "random_gen.h"

#include <stdlib.h>
#include <string.h>

struct random random_from(uint64_t seed)
{
	struct random random = {seed * 0x9e3779b97f4a7c15ull + 0x2545f4914f6cdd1dull};

	for (int i = 0; i < 4; i++)
		(void)random_next(&random);
	return random;
}

uint64_t random_next(struct random *random)
{
	uint64_t x = random->state ? random->state : 1;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	random->state = x;
	return x * 0x2545f4914f6cdd1dull;
}

uint32_t random_below(struct random *random, uint32_t n)
{
	return n ? (uint32_t)((random_next(random) >> 32) % n) : 0;
}

uint64_t random_number(struct random *random)
{
	uint64_t power = 1ull << random_below(random, 64);

	switch (random_below(random, 8)) {
	case 0: return random_below(random, 16);
	case 1: return 0ull - random_below(random, 16);
	case 2: return power + random_below(random, 5) - 2;
	case 3: return 0ull - power + random_below(random, 5) - 2;
	case 4: return random_below(random, 4096);
	case 5: return random_next(random) & 0xffffffff;
	case 6: return (uint64_t)(int64_t)(int32_t)random_next(random);
	default: return random_next(random);
	}
}

/* --- choices --- */

uint32_t gen_below(struct gen *g, uint32_t n)
{
	return random_below(&g->random, n);
}

bool gen_chance(struct gen *g, unsigned percent)
{
	return gen_below(g, 100) < percent;
}

bool gen_slip(struct gen *g)
{
	return gen_below(g, 1000) < g->wild;
}

/* --- instructions --- */

bool gen_full(const struct gen *g, unsigned slots)
{
	return g->out->n_insns + slots + 64 > LAB_INSNS;
}

uint32_t gen_put(struct gen *g, enum fort_row row, unsigned dst, unsigned src, int off, int64_t imm)
{
	struct fort_insn insn = fort_insn_make(row, (uint8_t)dst, (uint8_t)src, (int16_t)off, imm);
	uint32_t pc = g->out->n_insns;

	if (pc + 2 <= LAB_INSNS)
		g->out->n_insns += fort_insn_encode(&insn, &g->out->insns[pc]);
	return pc;
}

void gen_patch(struct gen *g, uint32_t pc)
{
	g->out->insns[pc].off = (int16_t)(g->out->n_insns - pc - 1);
}

void gen_number(struct gen *g, unsigned reg, uint64_t number)
{
	if (number == (uint64_t)(int64_t)(int32_t)number)
		gen_put(g, FORT_ROW_MOV64_K, reg, 0, 0, (int64_t)number);
	else if (number <= UINT32_MAX && gen_chance(g, 50))
		gen_put(g, FORT_ROW_MOV32_K, reg, 0, 0, (int32_t)number);
	else
		gen_put(g, FORT_ROW_LDIMM, reg, 0, 0, (int64_t)number);
	gen_set(g, reg, HELD_NUMBER);
	g->scope.regs[reg].most = number;
}

void gen_move(struct gen *g, unsigned dst, unsigned src)
{
	gen_put(g, FORT_ROW_MOV64_X, dst, src, 0, 0);
	if (src == FORT_R10)
		gen_set(g, dst, HELD_STACK);
	else
		g->scope.regs[dst] = g->scope.regs[src];
}

void gen_call(struct gen *g, int number)
{
	gen_put(g, FORT_ROW_CALL, 0, 0, 0, number);
	gen_forget_arguments(g);
}

enum fort_row gen_row(struct gen *g, enum fort_kind kind)
{
	unsigned n = 0;
	enum fort_row row = 0;

	for (unsigned i = 0; i < FORT_ROWS; i++)
		if (fort_rows[i].kind == kind && !gen_below(g, ++n))
			row = i;
	return row;
}

enum fort_row gen_memory_row(enum fort_kind kind, enum fort_op op, unsigned bytes)
{
	for (unsigned i = 0; i < FORT_ROWS; i++)
		if (fort_rows[i].kind == kind && fort_rows[i].op == op &&
		    fort_rows[i].bits == bytes * 8)
			return i;
	abort();
}

/* --- registers --- */

unsigned gen_free(struct gen *g, bool saved)
{
	unsigned first = saved ? FORT_R6 : FORT_R0, n = saved ? 4 : 10, skip = gen_below(g, n);

	for (unsigned i = 0; i < n; i++) {
		unsigned reg = first + (i + skip) % n;

		if (!(g->scope.fixed_regs >> reg & 1))
			return reg;
	}
	return FORT_R10;
}

unsigned gen_find(struct gen *g, enum held held)
{
	unsigned skip = gen_below(g, FORT_R10);

	for (unsigned i = 0; i < FORT_R10; i++) {
		unsigned reg = (i + skip) % FORT_R10;

		if (g->scope.regs[reg].held == held)
			return reg;
	}
	return FORT_R10;
}

unsigned gen_any_number(struct gen *g)
{
	unsigned reg = gen_find(g, HELD_NUMBER);

	if (reg < FORT_R10 && gen_chance(g, 85))
		return reg;
	reg = gen_free(g, false);
	if (reg < FORT_R10)
		gen_number(g, reg, random_number(&g->random));
	return reg;
}

bool gen_has_saved(const struct gen *g)
{
	return (g->scope.fixed_regs >> FORT_R6 & 15) != 15;
}

void gen_set(struct gen *g, unsigned reg, enum held held)
{
	g->scope.regs[reg] = (struct holding){.held = held, .most = UINT64_MAX};
}

/* --- blocks --- */

static void merge_holding(struct holding *into, const struct holding *other)
{
	if (into->held != other->held || into->object != other->object || into->id != other->id) {
		*into = (struct holding){0};
		return;
	}
	into->most = into->most > other->most ? into->most : other->most;
}

void gen_merge(struct scope *into, const struct scope *other)
{
	for (unsigned i = 0; i < FORT_R10; i++)
		merge_holding(&into->regs[i], &other->regs[i]);
	for (unsigned i = 0; i < GEN_SLOTS; i++)
		merge_holding(&into->slots[i], &other->slots[i]);
}

void gen_leave(struct gen *g, struct block *block, uint32_t jump)
{
	if (block->n == GEN_EXITS)
		abort();
	block->known[block->n] = g->scope;
	block->jumps[block->n++] = jump;
}

void gen_end(struct gen *g, struct block *block)
{
	for (unsigned i = 0; i < block->n; i++) {
		gen_patch(g, block->jumps[i]);
		gen_merge(&g->scope, &block->known[i]);
	}
}

static const struct {
	gen_shape *shape;
	unsigned weight;
} shapes[] =
	{
		{gen_alu, 14},           {gen_copy, 6},     {gen_bound, 9},
		{gen_store, 9},          {gen_load, 9},     {gen_value, 7},
		{gen_stack_variable, 4}, {gen_lookup, 5},   {gen_ring, 3},
		{gen_packet, 7},         {gen_context, 4},  {gen_helper, 4},
		{gen_branch, 9},         {gen_loop, 3},     {gen_local, 4},
		{gen_atomic, 3},         {gen_related, 7},  {gen_pointer_tricks, 3},
		{gen_update, 2},         {gen_anything, 1},
},
  idle_shapes[] = {
	  {gen_socket, 3}, {gen_lookup_socket, 3}, {gen_inner, 3},       {gen_queue, 2},
	  {gen_legacy, 2}, {gen_move_packet, 2},   {gen_idle_helper, 5}, {gen_tail_call, 1},
};

static gen_shape *any_idle_shape(struct gen *g)
{
	uint32_t ticket = gen_below(g, 21);
	size_t i = 0;

	while (ticket >= idle_shapes[i].weight)
		ticket -= idle_shapes[i++].weight;
	return idle_shapes[i].shape;
}

void gen_block(struct gen *g, int weight, unsigned depth)
{
	unsigned total = 0;

	for (size_t i = 0; i < FORT_LEN(shapes); i++)
		total += shapes[i].weight;
	while (weight > 0 && !gen_full(g, 64)) {
		uint32_t before = g->out->n_insns, ticket = gen_below(g, total);
		size_t i = 0;

		if ((g->options & RANDOM_CALLBACKS) && gen_chance(g, 8)) {
			gen_call_back(g, depth);
			weight -= (int)(g->out->n_insns - before) + 1;
			continue;
		}
		if ((g->options & RANDOM_IDLE) && gen_chance(g, 25)) {
			any_idle_shape(g)(g, depth);
			weight -= (int)(g->out->n_insns - before) + 1;
			continue;
		}

		while (ticket >= shapes[i].weight)
			ticket -= shapes[i++].weight;
		shapes[i].shape(g, depth);
		weight -= (int)(g->out->n_insns - before) + 1;
	}
}

/* --- programs --- */

static void choose_signature(struct gen *g, struct signature *f)
{
	static const enum held kinds[] = {HELD_NUMBER, HELD_NUMBER, HELD_NUMBER,
					  HELD_STACK,  HELD_VALUE,  HELD_CTX};

	f->n_args = gen_below(g, 4);
	f->stack_bytes = 8 * (1 + gen_below(g, 4));
	for (unsigned i = 0; i < f->n_args; i++)
		f->args[i] = kinds[gen_below(g, FORT_LEN(kinds))];
	f->object = LAB_GLOBAL;
	gen_choose_callback(g, f);
}

static void end_function(struct gen *g)
{
	bool main = g->function == g->n_functions;
	bool two = main ? g->two_results : g->functions[g->function].calls_back;

	if (two && !gen_slip(g))
		gen_number(g, FORT_R0, gen_below(g, 2));
	else if (g->scope.regs[FORT_R0].held != HELD_NUMBER &&
		 ((g->options & RANDOM_REPEATABLE) || !gen_slip(g)))
		gen_number(g, FORT_R0, gen_below(g, 4));
	gen_put(g, FORT_ROW_EXIT, 0, 0, 0, 0);
}

/* The context is kept somewhere safe, mostly. */
static void keep_context(struct gen *g)
{
	unsigned reg = gen_free(g, true);

	if (gen_chance(g, 80)) {
		gen_move(g, reg, FORT_R1);
		g->scope.fixed_regs |= (uint16_t)(1u << reg);
	}
}

static void write_main(struct gen *g)
{
	g->function = g->n_functions;
	g->stack_slots = 20;
	memset(&g->scope, 0, sizeof(g->scope));
	gen_set(g, FORT_R1, HELD_CTX);
	keep_context(g);
	gen_block(g, 20 + (int)gen_below(g, 60), 0);
	end_function(g);
}

static void write_function(struct gen *g, unsigned number)
{
	struct signature *f = &g->functions[number];

	f->start = g->out->n_insns;
	g->function = number;
	g->stack_slots = 12;
	memset(&g->scope, 0, sizeof(g->scope));
	for (unsigned i = 0; i < f->n_args; i++) {
		gen_set(g, FORT_R1 + i, f->args[i]);
		if (f->args[i] == HELD_VALUE)
			g->scope.regs[FORT_R1 + i].object = f->object;
		if (f->args[i] == HELD_STACK)
			gen_set(g, FORT_R1 + i, HELD_NOTHING);
		/* What is behind a caller's pointer is known by the signature only. */
		if (f->args[i] == HELD_STACK && gen_chance(g, 90)) {
			uint32_t off = gen_below(g, f->stack_bytes / 4) * 4;
			unsigned bytes = gen_chance(g, 50) ? 4 : 1;

			if (gen_chance(g, 50))
				gen_put(g, gen_memory_row(FORT_LDX, FORT_OP_LDX, bytes), FORT_R0,
					FORT_R1 + i, (int)off, 0);
			else
				gen_put(g, gen_memory_row(FORT_ST, FORT_OP_ST, bytes), FORT_R1 + i,
					0, (int)off, (int32_t)random_number(&g->random));
		}
	}
	gen_block(g, 8 + (int)gen_below(g, 24), 1);
	end_function(g);
}

static void link_calls(struct gen *g)
{
	for (unsigned i = 0; i < g->n_calls; i++) {
		struct fort_raw_insn *call = &g->out->insns[g->calls[i].pc];

		call->imm =
			(int32_t)(g->functions[g->calls[i].function].start - g->calls[i].pc - 1);
	}
}

void random_program_make(uint64_t seed, uint32_t options, struct random_program *out)
{
	static const enum fort_prog_id types[] = {FORT_PROG_SOCKET_FILTER, FORT_PROG_XDP,
						  FORT_PROG_XDP,           FORT_PROG_SCHED_CLS,
						  FORT_PROG_KPROBE,        FORT_PROG_TRACEPOINT,
						  FORT_PROG_RAW_TRACEPOINT};
	struct gen g = {.random = random_from(seed), .out = out};
	static const enum fort_prog_id idle_types[] = {
		FORT_PROG_SOCKET_FILTER, FORT_PROG_SCHED_CLS,  FORT_PROG_SCHED_CLS,
		FORT_PROG_XDP,           FORT_PROG_CGROUP_SKB, FORT_PROG_SK_SKB,
		FORT_PROG_SK_MSG,        FORT_PROG_PERF_EVENT};
	bool idle = options & RANDOM_IDLE;
	const struct fort_prog_info *prog =
		&fort_progs[idle ? idle_types[gen_below(&g, FORT_LEN(idle_types))]
				 : types[gen_below(&g, FORT_LEN(types))]];
	const struct fort_hook hook = {.prog = prog};

	out->type = prog->name;
	out->n_insns = 0;
	g.wild = gen_chance(&g, 50) ? 0 : 1 + gen_below(&g, 100);
	g.has_packet = prog->packet != FORT_PACKET_NONE;
	g.options = options;
	g.two_results = fort_hook_retval(&hook, false);
	g.n_functions = gen_below(&g, GEN_FUNCTIONS + 1);
	for (unsigned i = 0; i < g.n_functions; i++)
		choose_signature(&g, &g.functions[i]);
	write_main(&g);
	/* A function calls only those before it; what nobody calls is not written. */
	for (unsigned i = g.n_functions; i-- > 0;)
		if (g.functions[i].called)
			write_function(&g, i);
	link_calls(&g);
	gen_describe(&g);
}
