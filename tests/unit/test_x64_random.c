/* Random programs on the interpreter and on another engine (RANDOM_ENGINE, x64 if it is not said):
 * result, memory, end and fuel must be the same.
 * usage: test_NAME_random [PROGRAMS [SEED]]. Program i of seed s is program 0 of seed s + i.
 *
 * Tame programs (random_recipe.h) run under any isolation; wild ones under sfi. All are expanded
 * first. Some of them call another one, or themselves, by tail calls.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "abi/helpers.h"
#include "abi/uapi.h"
#include "engine/tail.h"
#include "harden/expand.h"
#include "helper/helper.h"
#include "isolate/signals.h"
#include "random_recipe.h"

#ifndef RANDOM_ENGINE
#define RANDOM_ENGINE fort_engine_x64
#define PROGRAMS      60000
#endif

#define PAGE     FORT_PAGE_BYTES
#define ARENA    (1u << 20)
#define FUEL_MAX 1500
#define LEVELS   3u /* too few for some */
#define PACKET   64u

static uint64_t n_programs = PROGRAMS, first_seed;

/* --- where programs run --- */

/* Two programs, each with a window of its own, and the slot in common. */
static struct bench {
	struct fort_domain domains[RECIPE_TAILS];
	/* The slot's stacks and hidden memory, the context, the map. */
	uint8_t before[SEALED][LEVELS * FORT_LEVEL_BYTES], after[SEALED][LEVELS * FORT_LEVEL_BYTES];
	struct fort_tail tails[RECIPE_TAILS];
} bench;

static int values_file(uint32_t bytes)
{
	int fd = memfd_create("values", MFD_ALLOW_SEALING);

	assert_int_equal(ftruncate(fd, bytes), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	return fd;
}

static int open_bench(void **state)
{
	struct fort_domain_layout layout = {.n_slots = 1, .n_levels = LEVELS, .ctx_bytes = PAGE};
	struct fort_domain_map maps[] = {
		{.fd = values_file(PAGE), .bytes = PAGE, .writable = true},
		{.fd = values_file(PAGE), .bytes = PAGE},
	};
	int slot = -1;

	for (unsigned i = 0; i < RECIPE_TAILS; i++) {
		assert_int_equal(fort_domain_open(&layout, maps, 2, &bench.domains[i]), 0);
		if (slot < 0)
			slot = values_file(fort_domain_shared_bytes(&bench.domains[i]));
		assert_int_equal(fort_domain_share(&bench.domains[i], slot), 0);
	}
	close(slot);
	close(maps[0].fd);
	close(maps[1].fd);
	return 0;
}

static int close_bench(void **state)
{
	for (unsigned i = 0; i < RECIPE_TAILS; i++)
		fort_domain_close(&bench.domains[i]);
	return 0;
}

static uint32_t bytes_of(unsigned page)
{
	return page == STACK ? LEVELS * FORT_LEVEL_BYTES : PAGE;
}

static uint8_t *page_of(unsigned page)
{
	const struct fort_domain *domain = &bench.domains[0];
	const uint32_t starts[] = {[STACK] = domain->slot_start,
				   [CONTEXT] = (uint32_t)fort_domain_ctx(domain, 0),
				   [MAP] = domain->map_start[0]};

	return domain->window.base + starts[page];
}

static struct tally {
	uint64_t rows[FORT_ROWS], ends[FORT_ABORT_CODES], runs, tails, most_tails;
	uint64_t elements, turns[2]; /* counters were used up; set anew */
} tally;

/* --- helpers --- */

static uint64_t mix(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
		    struct fort_run *run)
{
	return a1 + 3 * a2 + 5 * a3 + 7 * a4 + 11 * a5 + run->fuel;
}

static uint64_t burn(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
		     struct fort_run *run)
{
	uint64_t cost = a1 & 31;

	run->fuel -= run->fuel < cost ? run->fuel : cost;
	return run->fuel;
}

static uint64_t refuse(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
		       struct fort_run *run)
{
	if (!(a2 & 3))
		fort_run_abort(run, FORT_ABORT_HELPER_ARG, 1 + (uint32_t)(a1 & 3));
	return a1 ^ a2;
}

/* What walks and tail calls need, without maps: one of four elements, and an array of programs. */
static uint64_t next(uint64_t map, uint64_t cursor, uint64_t key, uint64_t a4, uint64_t a5,
		     struct fort_run *run)
{
	const struct fort_window *window = &run->domain->window;

	if (map != fort_map_handle(0) || !fort_window_allows(window, key, 4, FORT_WRITE)) {
		fort_run_abort(run, FORT_ABORT_HELPER_ARG, map == fort_map_handle(0) ? 3 : 1);
		return 0;
	}
	if (cursor >= 4)
		return 0;
	memcpy(fort_window_at(window, key), &cursor, 4);
	return cursor + 1;
}

static uint64_t value(uint64_t map, uint64_t cursor, uint64_t a3, uint64_t a4, uint64_t a5,
		      struct fort_run *run)
{
	tally.elements++;
	if (cursor <= 4)
		return fort_domain_address(run->domain, run->domain->map_start[0]) + 8 * cursor;
	fort_run_abort(run, FORT_ABORT_HELPER_ARG, 2);
	return 0;
}

static uint64_t tail_call(uint64_t ctx, uint64_t map, uint64_t index, uint64_t a4, uint64_t a5,
			  struct fort_run *run)
{
	if (ctx != run->ctx || map != fort_map_handle(1)) {
		fort_run_abort(run, FORT_ABORT_HELPER_ARG, ctx != run->ctx ? 1 : 2);
		return 0;
	}
	if (index >= RECIPE_TAILS || !bench.tails[index].code ||
	    run->tails.n >= FORT_TAIL_CALLS_MAX)
		return 0;
	run->tails.n++;
	run->tails.next = &bench.tails[index];
	return 1;
}

static uint64_t turns(uint64_t at, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
		      struct fort_run *run)
{
	uint64_t more = fort_helper_function(FORT_INTERNAL_TURNS)(at, a2, a3, a4, a5, run);

	tally.turns[more]++;
	return more;
}

static fort_helper_fn *helper_by_number(uint32_t number)
{
	static fort_helper_fn *const helpers[] = {mix, burn, refuse};

	switch (number) {
	case BPF_FUNC_tail_call: return tail_call;
	case FORT_INTERNAL_NEXT: return next;
	case FORT_INTERNAL_VALUE: return value;
	case FORT_INTERNAL_TURNS: return turns;
	case FORT_INTERNAL_PACKET:
	case BPF_FUNC_loop:
	case BPF_FUNC_for_each_map_elem: return fort_helper_function(number);
	default: return number < FORT_LEN(helpers) ? helpers[number] : NULL;
	}
}

static struct fort_helper_shape shape_by_number(uint32_t number)
{
	return (struct fort_helper_shape){.n_args = FORT_HELPER_ARGS,
					  .inlines = number == BPF_FUNC_tail_call
							     ? FORT_INLINE_TAIL
							     : FORT_INLINE_NOTHING};
}

/* --- running --- */

/* A program, expanded, and those that it may call; without tail calls, one. */
struct cast {
	struct recipe recipes[RECIPE_TAILS];
	struct fort_program programs[RECIPE_TAILS];
	unsigned n;
	bool tame;
};

struct outcome {
	uint64_t r0;
	struct fort_abort abort;
	uint64_t fuel;
	uint64_t n_tails, at; /* at: which program it ended in */
};

static void fill_pages(void)
{
	memset(bench.before[STACK], 0, bytes_of(STACK));
	for (unsigned page = 0; page < SEALED; page++) {
		uint64_t word = any();

		for (unsigned i = 0; i < PAGE; i += 8)
			memcpy(&bench.before[page][i], &word, 8), word += 0x0101010101010101;
	}
}

static void compile_all(const struct fort_engine *engine, struct fort_compile request,
			const struct cast *cast)
{
	for (unsigned i = 0; i < RECIPE_TAILS; i++) {
		struct fort_tail *tail = &bench.tails[i];
		struct fort_code *code;

		*tail = (struct fort_tail){.engine = engine,
					   .domain = &bench.domains[i],
					   .ctx = fort_domain_ctx(&bench.domains[i], 0),
					   .stack_top = fort_domain_stack_top(&bench.domains[i], 0),
					   .stack_bytes = FORT_LEVEL_STACK_BYTES,
					   .isolation = request.isolation};
		if (i >= cast->n)
			continue;
		request.program = &cast->programs[i];
		request.domain = &bench.domains[i];
		assert_int_equal(engine->compile(&request, &code), 0);
		tail->code = code;
	}
}

static struct outcome run_on(const struct fort_engine *engine, const struct fort_compile *request,
			     const struct cast *cast, uint64_t fuel)
{
	struct fort_run run = {
		.domain = &bench.domains[0],
		.fuel = fuel,
		.ctx_length = PAGE,
		.ctx = fort_domain_ctx(&bench.domains[0], 0),
		.packet = {.start = page_of(CONTEXT), .bytes = PACKET, .network = 14},
		.tails = {.zeroed = FORT_LEVEL_STACK_BYTES}};
	struct outcome outcome = {0};

	for (unsigned page = 0; page < SEALED; page++)
		memcpy(page_of(page), bench.before[page], bytes_of(page));
	compile_all(engine, *request, cast);
	outcome.r0 = engine->run(bench.tails[0].code, &run);
	for (unsigned i = 0; i < cast->n; i++)
		engine->free((struct fort_code *)(uintptr_t)bench.tails[i].code);
	outcome.abort = run.abort;
	outcome.fuel = run.fuel;
	outcome.n_tails = run.tails.n;
	outcome.at = run.tails.at ? 1 + (uint64_t)(run.tails.at - bench.tails) : 0;
	return outcome;
}

static void show_program(const struct fort_program *program)
{
	for (uint32_t pc = 0; pc < program->n_insns; pc++) {
		const struct fort_insn *insn = &program->insns[pc];

		print_error("%3u %-14s dst r%u src r%u off %d imm %lld\n", pc,
			    fort_insn_row(insn)->name, insn->dst, insn->src, insn->off,
			    (long long)insn->imm);
	}
}

static void show(const struct cast *cast, const struct outcome *a, const struct outcome *b)
{
	for (unsigned i = 0; i < cast->n; i++) {
		print_error("program %u:\n", i);
		show_program(&cast->programs[i]);
	}
	for (const struct outcome *o = a; o; o = o == a ? b : NULL)
		print_error("%s: r0 %llx, %s at %u of %llu (address %llx, %u bytes, detail %u), "
			    "fuel %llu, %llu tail calls\n",
			    o == a ? "interp" : RANDOM_ENGINE.name, (unsigned long long)o->r0,
			    fort_abort_name(o->abort.code), o->abort.pc, (unsigned long long)o->at,
			    (unsigned long long)o->abort.address, o->abort.bytes, o->abort.detail,
			    (unsigned long long)o->fuel, (unsigned long long)o->n_tails);
}

static bool same_pages(void)
{
	for (unsigned page = 0; page < SEALED; page++)
		if (memcmp(bench.after[page], page_of(page), bytes_of(page)))
			return false;
	return true;
}

/* The first word that differs. */
static void show_difference(void)
{
	for (unsigned page = 0; page < SEALED; page++)
		for (uint32_t i = 0; i < bytes_of(page); i += 8) {
			const uint8_t *a = &bench.after[page][i], *b = page_of(page) + i;
			uint64_t words[2];

			if (!memcmp(a, b, 8))
				continue;
			memcpy(&words[0], a, 8);
			memcpy(&words[1], b, 8);
			print_error("page %u, at %x: %llx, %llx\n", page, i,
				    (unsigned long long)words[0], (unsigned long long)words[1]);
			return;
		}
}

static void compare_on(const struct cast *cast, enum fort_isolation isolation, uint64_t fuel,
		       uint64_t seed)
{
	struct fort_compile request = {.isolation = isolation,
				       .helper = helper_by_number,
				       .shape = shape_by_number,
				       .callx = true,
				       .proven = isolation != FORT_ISOLATION_SFI,
				       .inspect = true,
				       .blind = below(4) == 0};
	struct outcome expected = run_on(&fort_engine_interp, &request, cast, fuel), got;
	bool same;

	for (unsigned page = 0; page < SEALED; page++)
		memcpy(bench.after[page], page_of(page), bytes_of(page));
	got = run_on(&RANDOM_ENGINE, &request, cast, fuel);
	/* Code that faults does not always say what fuel it had (engine/llvm.c). */
	if (RANDOM_ENGINE.vague && got.abort.code == FORT_ABORT_MEMORY)
		got.fuel = expected.fuel;
	same = same_pages();
	tally.ends[expected.abort.code]++;
	tally.runs++;
	tally.tails += expected.n_tails;
	if (expected.n_tails > tally.most_tails)
		tally.most_tails = expected.n_tails;
	if (same && !memcmp(&expected, &got, sizeof(got)))
		return;
	show(cast, &expected, &got);
	if (!same)
		show_difference();
	fail_msg("seed %llu, %s", (unsigned long long)seed, fort_isolation_name(isolation));
}

static enum fort_isolation any_isolation(void)
{
	enum fort_isolation isolation;

	do
		isolation = below(FORT_ISOLATIONS);
	while (!fort_engine_has(&RANDOM_ENGINE, isolation) || fort_isolation_probe(isolation));
	return isolation;
}

/* A program that is none is made anew. */
static void make_program(struct cast *cast, unsigned i, struct fort_arena *arena)
{
	struct recipe_place place = {.ctx = fort_domain_ctx(&bench.domains[i], 0),
				     .tame = cast->tame,
				     .tails = cast->n > 1};
	struct recipe *recipe = &cast->recipes[i];
	struct fort_expanded expanded;
	struct fort_graph_error error;
	struct fort_graph graph;
	int err;

	do {
		make_recipe(recipe, &place);
		err = fort_graph_build(arena, recipe->insns, recipe->n, &graph, &error);
	} while (err);
	assert_int_equal(fort_expand(&graph.program, arena, &expanded), 0);
	cast->programs[i] = expanded.program;
	for (uint32_t pc = 0; pc < recipe->n; pc++)
		tally.rows[recipe->insns[pc].row]++;
}

/* Makes programs of this seed and compares. */
static void try_seed(uint64_t seed)
{
	static struct cast cast;
	struct fort_arena arena;
	uint64_t fuel;

	draw_from(seed);
	fort_arena_init(&arena, ARENA);
	cast.n = one_in(3) ? RECIPE_TAILS : 1;
	cast.tame = one_in(2);
	for (unsigned i = 0; i < cast.n; i++)
		make_program(&cast, i, &arena);
	fill_pages();
	fuel = below(one_in(16) ? 40 * FUEL_MAX : FUEL_MAX);
	compare_on(&cast, cast.tame ? any_isolation() : FORT_ISOLATION_SFI, fuel, seed);
	fort_arena_free(&arena);
}

static void engines_agree_on_random_programs(void **state)
{
	if (RANDOM_ENGINE.absent) {
		print_message("%s: %s\n", RANDOM_ENGINE.name, RANDOM_ENGINE.absent);
		skip();
	}
	assert_int_equal(fort_signals_install(), 0); /* cmocka has handlers of its own */
	for (uint64_t i = 0; i < n_programs; i++)
		try_seed(first_seed + i);
}

/* Programs are worth something only if they reach all rows, and end in all ways. */
static void random_programs_reach_everything(void **state)
{
	static const enum fort_abort_code ends[] = {FORT_ABORT_NONE,       FORT_ABORT_FUEL,
						    FORT_ABORT_MEMORY,     FORT_ABORT_DEPTH,
						    FORT_ABORT_HELPER_ARG, FORT_ABORT_HELPER,
						    FORT_ABORT_INSN};

	if (n_programs < 10000) {
		print_message("%llu programs are not enough\n", (unsigned long long)n_programs);
		skip();
	}
	for (unsigned row = 0; row < FORT_ROWS; row++)
		if (recipe_has(row) && tally.rows[row] < 100)
			fail_msg("%s: %llu times", fort_rows[row].name,
				 (unsigned long long)tally.rows[row]);
	assert_int_equal(tally.most_tails, FORT_TAIL_CALLS_MAX);
	assert_in_range(tally.elements, tally.runs / 20, UINT64_MAX);
	for (unsigned more = 0; more < 2; more++)
		assert_in_range(tally.turns[more], tally.runs / 1000, UINT64_MAX);
	if (tally.tails < tally.runs / 20)
		fail_msg("%llu tail calls", (unsigned long long)tally.tails);
	for (unsigned i = 0; i < FORT_LEN(ends); i++)
		if (tally.ends[ends[i]] < tally.runs / 1000)
			fail_msg("%s: %llu of %llu runs", fort_abort_name(ends[i]),
				 (unsigned long long)tally.ends[ends[i]],
				 (unsigned long long)tally.runs);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(engines_agree_on_random_programs),
		cmocka_unit_test(random_programs_reach_everything),
	};
	int failed;

	if (argc > 1)
		n_programs = strtoull(argv[1], NULL, 0);
	if (argc > 2)
		first_seed = strtoull(argv[2], NULL, 0);
	else if (getrandom(&first_seed, sizeof(first_seed), 0) != sizeof(first_seed))
		return 2;
	printf("# %llu programs from seed %llu\n", (unsigned long long)n_programs,
	       (unsigned long long)first_seed);
	failed = cmocka_run_group_tests(tests, open_bench, close_bench);
	printf("# %llu tail calls, %llu elements, counters %llu times used up, %llu times not\n",
	       (unsigned long long)tally.tails, (unsigned long long)tally.elements,
	       (unsigned long long)tally.turns[0], (unsigned long long)tally.turns[1]);
	for (unsigned code = 0; code < FORT_ABORT_CODES; code++)
		if (tally.ends[code])
			printf("# %s: %llu of %llu runs\n", fort_abort_name(code),
			       (unsigned long long)tally.ends[code],
			       (unsigned long long)tally.runs);
	return failed;
}
