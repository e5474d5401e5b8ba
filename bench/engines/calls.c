#include "calls.h"

#include "../bench.h"
#include "engine/engine.h"

#define CALLS  1000u /* of one run */
#define RUNS   100u  /* of one round */
#define ROUNDS 21u

struct loop {
	struct fort_arena arena;
	struct fort_graph graph;
	struct fort_domain domain;
	struct fort_code *code;
	const struct fort_engine *engine;
};

static volatile uint64_t sink;

static void die(const char *what, int err)
{
	fprintf(stderr, "bench_engines: calls: %s: %d\n", what, err);
	exit(2);
}

__attribute__((noinline)) static uint64_t same(uint64_t a, uint64_t b, uint64_t c, uint64_t d,
					       uint64_t e, struct fort_run *run)
{
	return a;
}

static fort_helper_fn *helper(uint32_t number)
{
	return same;
}

static void load(struct loop *loop, const char *text)
{
	struct fort_assembly assembly;
	struct fort_asm_error asm_error;
	struct fort_decode_error decode_error;
	struct fort_graph_error graph_error;
	struct fort_insn *insns;

	fort_arena_init(&loop->arena, 1u << 20);
	if (fort_assemble(&loop->arena, text, strlen(text), &assembly, &asm_error))
		die("cannot be assembled, line", (int)asm_error.line);
	insns = FORT_ARENA_ARRAY(&loop->arena, assembly.n_insns, struct fort_insn);
	if (!insns || fort_insn_decode(assembly.insns, assembly.n_insns, insns, &decode_error) ||
	    fort_graph_build(&loop->arena, insns, assembly.n_insns, &loop->graph, &graph_error))
		die("is no program", 0);
}

static void compile(struct loop *loop, const struct fort_engine *engine,
		    enum fort_isolation isolation)
{
	const struct fort_domain_layout layout = {.n_slots = 1, .ctx_bytes = FORT_PAGE_BYTES};
	const struct fort_compile request = {.program = &loop->graph.program,
					     .domain = &loop->domain,
					     .isolation = isolation,
					     .helper = helper,
					     .proven = true};
	int err = fort_domain_open(&layout, NULL, 0, &loop->domain);

	err = err ? err : engine->compile(&request, &loop->code);
	if (err)
		die("not compiled", err);
	loop->engine = engine;
}

static void drop(struct loop *loop)
{
	loop->engine->free(loop->code);
	fort_domain_close(&loop->domain);
}

static uint64_t run(const struct loop *loop)
{
	struct fort_run run = {.domain = &loop->domain,
			       .ctx = fort_domain_ctx(&loop->domain, 0),
			       .fuel = UINT32_MAX};
	uint64_t r0 = loop->engine->run(loop->code, &run);

	if (run.abort.code)
		die("a run ended early", (int)run.abort.code);
	return r0;
}

/* Of a call in the compiler's code: the pointer keeps it from knowing what is called. */
static uint64_t run_native(bool calls)
{
	fort_helper_fn *volatile function = same;
	fort_helper_fn *f = function;
	uint64_t sum = 0;

	for (uint64_t i = CALLS; i; i--) {
		uint64_t x = i;

		if (calls)
			x = f(x, 0, 0, 0, 0, NULL);
		else
			__asm__("" : "+r"(x));
		sum += x;
	}
	return sum;
}

/* Nanoseconds of one call: with it, without it, in turns. NULL: the compiler's. */
static double measure(const struct loop loops[2])
{
	double ns[ROUNDS];

	for (unsigned round = 0; round < ROUNDS; round++) {
		double took[2];

		for (unsigned calls = 0; calls < 2; calls++) {
			double start = bench_cpu_ns();

			for (unsigned i = 0; i < RUNS; i++)
				sink += loops ? run(&loops[calls]) : run_native(calls);
			took[calls] = bench_cpu_ns() - start;
		}
		ns[round] = (took[1] - took[0]) / (RUNS * CALLS);
	}
	return bench_median(ns, ROUNDS);
}

void bench_calls(void)
{
	struct loop loops[2];

	load(&loops[0], "mov r6, 1000\nmov r7, 0\ntop: mov r1, r6\nmov r0, r1\nadd r7, r0\n"
			"sub r6, 1\njne r6, 0, top\nmov r0, r7\nexit");
	load(&loops[1], "mov r6, 1000\nmov r7, 0\ntop: mov r1, r6\ncall 1\nadd r7, r0\n"
			"sub r6, 1\njne r6, 0, top\nmov r0, r7\nexit");
	printf("call of a helper that does nothing (at most 2): native %.2f ns", measure(NULL));
	for (unsigned e = 0; fort_engines[e]; e++)
		for (unsigned i = 0; i < FORT_ISOLATIONS; i++) {
			if (!fort_engine_has(fort_engines[e], i) || fort_isolations[i].keys)
				continue;
			for (unsigned calls = 0; calls < 2; calls++)
				compile(&loops[calls], fort_engines[e], i);
			if (run(&loops[0]) != run(&loops[1]))
				die("loops differ on", (int)e);
			printf(", %s %s %.2f", fort_engines[e]->name, fort_isolations[i].name,
			       measure(loops));
			for (unsigned calls = 0; calls < 2; calls++)
				drop(&loops[calls]);
		}
	putchar('\n');
	for (unsigned calls = 0; calls < 2; calls++)
		fort_arena_free(&loops[calls].arena);
}
