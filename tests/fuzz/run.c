/* Any bytes as a program that nobody verified, run by the interpreter in mode sfi: it ends, and the
 * host is as before. Sanitizers watch the rest.
 */
#include "fuzz.h"

#include <string.h>

#include "engine/engine.h"

#define SLOTS_MAX   1024u
#define ARENA_BYTES (1u << 20)
#define FUEL        (1u << 14)

/* One domain for all inputs: opening one costs more than most runs. */
static struct fort_domain domain;

static uint64_t some_helper(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
			    struct fort_run *run)
{
	if (a1 == 0xbad)
		fort_run_abort(run, FORT_ABORT_HELPER_ARG, 1);
	return a1 ^ a2 ^ a3 ^ a4 ^ a5;
}

static fort_helper_fn *helper(uint32_t number)
{
	return number % 2 ? some_helper : NULL;
}

static void run_program(const struct fort_program *program)
{
	const struct fort_compile request = {
		.program = program,
		.domain = &domain,
		.isolation = FORT_ISOLATION_SFI,
		.helper = helper,
		.callx = true,
	};
	struct fort_run run = {
		.domain = &domain,
		.fuel = FUEL,
		.ctx = fort_domain_ctx(&domain, 0),
		.ctx_length = 64,
	};
	struct fort_code *code;

	if (fort_engine_interp.compile(&request, &code))
		return;
	fort_engine_interp.run(code, &run);
	fort_engine_interp.free(code);
	FUZZ_ASSERT(run.fuel <= FUEL);
	FUZZ_ASSERT(run.abort.code < FORT_ABORT_CODES);
	FUZZ_ASSERT(!run.abort.code || run.abort.pc < program->n_insns);
	FUZZ_ASSERT(run.abort.address < FORT_WINDOW_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static const struct fort_domain_layout layout = {.n_slots = 1, .ctx_bytes = 64};
	struct fort_raw_insn raw[SLOTS_MAX];
	struct fort_insn insns[SLOTS_MAX];
	uint32_t count = (uint32_t)(bytes / sizeof(*raw));
	struct fort_decode_error decode_error;
	struct fort_graph_error graph_error;
	struct fort_graph graph;
	struct fort_arena arena;

	if (!domain.shape.n_slots)
		FUZZ_ASSERT(!fort_domain_open(&layout, NULL, 0, &domain));
	if (!count || count > SLOTS_MAX)
		return 0;
	memcpy(raw, data, count * sizeof(*raw));
	if (fort_insn_decode(raw, count, insns, &decode_error))
		return 0;
	fort_arena_init(&arena, ARENA_BYTES);
	if (!fort_graph_build(&arena, insns, count, &graph, &graph_error))
		run_program(&graph.program);
	fort_arena_free(&arena);
	return 0;
}
