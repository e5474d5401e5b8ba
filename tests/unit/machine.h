/* A program from assembly text, in a domain of its own, ready to run: for tests of engines. They
 * are built once for each engine, with MACHINE_ENGINE its object.
 */
#pragma once

#include <stdio.h>
#include <string.h>

#include "engine/interp.h"
#include "harden/expand.h"
#include "isolate/signals.h"
#include "isa/asm.h"

#ifndef MACHINE_ENGINE
#define MACHINE_ENGINE fort_engine_interp
#endif

/* Built with MACHINE_MPK, what would run under sfi runs under protection keys. The test itself has
 * all keys open: it looks into windows as it likes. */
#ifdef MACHINE_MPK
static struct fort_keys machine_keys;

static struct fort_keys *machine_open_keys(void)
{
	if (!machine_keys.runtime)
		assert_int_equal(fort_keys_open(&machine_keys), 0);
	fort_keys_set(0);
	return &machine_keys;
}

static inline int machine_must_skip(void)
{
	int err = fort_keys_probe();

	if (err)
		printf("1..0 # SKIP %s\n", fort_keys_why(err));
	return err;
}
/* Others find the window closed. */
static inline bool machine_allows(unsigned isolation)
{
	return isolation == FORT_ISOLATION_SFI;
}
#else
static inline bool machine_allows(unsigned isolation)
{
	return true;
}

static struct fort_keys *machine_open_keys(void)
{
	return NULL;
}

static inline int machine_must_skip(void)
{
	return 0;
}
#endif

/* Built with MACHINE_EXPAND, programs are expanded first. */
#ifdef MACHINE_EXPAND
#define MACHINE_EXPANDS true
#else
#define MACHINE_EXPANDS false
#endif

/* Built with MACHINE_POOL, machine code lies in packs. */
#ifdef MACHINE_POOL
#include "engine/code_pool.h"
static struct fort_code_pool *machine_pool;

static struct fort_code_pool *machine_open_pool(void)
{
	if (!machine_pool)
		assert_int_equal(fort_code_pool_open(&machine_pool), 0);
	return machine_pool;
}
#else
static struct fort_code_pool *machine_open_pool(void)
{
	return NULL;
}
#endif

struct machine {
	const struct fort_engine *engine;
	struct fort_code_pool *pool;
	struct fort_arena arena;
	struct fort_graph graph;
	struct fort_expanded expanded;
	struct fort_domain domain;
	struct fort_code *code;
	struct fort_run run;
	fort_helper_lookup *helper;
	bool callx, unproven, blind, seal;
};

#define MACHINE_FUEL 1000000u

static fort_helper_fn *machine_no_helper(uint32_t number)
{
	return NULL;
}

/* Decodes and builds the graph; maps may be NULL. */
static inline void machine_load(struct machine *m, const char *source,
				const struct fort_domain_map *maps, uint32_t n_maps)
{
	struct fort_domain_layout layout = {.n_slots = 1,
					    .ctx_bytes = 64,
					    .packet_bytes = 64,
					    .hidden = MACHINE_EXPANDS,
					    .keys = machine_open_keys()};
	struct fort_assembly assembly;
	struct fort_asm_error error = {0};
	struct fort_decode_error decode_error;
	struct fort_graph_error graph_error;
	struct fort_insn *insns;

	if (MACHINE_ENGINE.absent) {
		print_message("%s: %s\n", MACHINE_ENGINE.name, MACHINE_ENGINE.absent);
		skip();
	}
	*m = (struct machine){.engine = &MACHINE_ENGINE,
			      .pool = machine_open_pool(),
			      .helper = machine_no_helper};
	fort_arena_init(&m->arena, 1u << 26);
	if (fort_assemble(&m->arena, source, strlen(source), &assembly, &error))
		fail_msg("line %u, column %u: expected %s", error.line, error.column,
			 error.expected);
	insns = FORT_ARENA_ARRAY(&m->arena, assembly.n_insns, struct fort_insn);
	assert_int_equal(fort_insn_decode(assembly.insns, assembly.n_insns, insns, &decode_error),
			 0);
	if (fort_graph_build(&m->arena, insns, assembly.n_insns, &m->graph, &graph_error))
		fail_msg("graph: %d at %u", graph_error.fault, graph_error.pc);
	m->expanded.program = m->graph.program;
	if (MACHINE_EXPANDS)
		assert_int_equal(fort_expand(&m->graph.program, &m->arena, &m->expanded), 0);
	assert_int_equal(fort_domain_open(&layout, maps, n_maps, &m->domain), 0);
}

static inline enum fort_isolation machine_isolation(const struct machine *m,
						    enum fort_isolation isolation)
{
	bool keys = m->domain.keys && m->engine->isolations & 1u << FORT_ISOLATION_MPK;

	return keys && isolation == FORT_ISOLATION_SFI ? FORT_ISOLATION_MPK : isolation;
}

static inline int machine_compile(struct machine *m, enum fort_isolation isolation)
{
	struct fort_compile request = {
		.program = &m->expanded.program,
		.domain = &m->domain,
		.isolation = machine_isolation(m, isolation),
		.helper = m->helper,
		.callx = m->callx,
		.blind = m->blind,
		.seal = m->seal,
		.pool = m->pool,
		.proven = !m->unproven, /* who writes the test vouches for the program */
		.inspect = true,
	};

	m->run = (struct fort_run){.domain = &m->domain, .fuel = MACHINE_FUEL};
	m->run.ctx = fort_domain_ctx(&m->domain, 0);
	/* cmocka sets handlers of its own for each test. */
	if (m->engine != &fort_engine_interp)
		assert_int_equal(fort_signals_install(), 0);
	return m->engine->compile(&request, &m->code);
}

static inline uint64_t machine_run(struct machine *m)
{
	return m->engine->run(m->code, &m->run);
}

static inline void machine_free(struct machine *m)
{
	m->engine->free(m->code);
	fort_domain_close(&m->domain);
	fort_arena_free(&m->arena);
}
