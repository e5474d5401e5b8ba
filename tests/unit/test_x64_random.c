/* Random programs on the interpreter and on another engine (RANDOM_ENGINE, x64 if it is not said):
 * result, memory, end and fuel must be the same.
 * usage: test_NAME_random [PROGRAMS [SEED]]. Program i of seed s is program 0 of seed s + i.
 *
 * Programs are made from rows of isa.def. Tame ones access memory only through registers that hold
 * what they may access, and run under any isolation; wild ones access anything, under sfi.
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

#include "base/text.h"
#include "engine/engine.h"
#include "isolate/signals.h"
#include "isa/graph.h"

#ifndef RANDOM_ENGINE
#define RANDOM_ENGINE fort_engine_x64
#define PROGRAMS      100000
#endif

#define SLOTS_MAX 160
#define BODY_MAX  40
#define FUNCTIONS 3
#define PAGE      FORT_PAGE_BYTES
#define ARENA     (1u << 20)
#define FUEL_MAX  1500

static uint64_t n_programs = PROGRAMS, first_seed;

/* splitmix64 */
static uint64_t state_;

static uint64_t any(void)
{
	uint64_t z = state_ += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static uint32_t below(uint32_t n)
{
	return (uint32_t)(any() % n);
}

static bool one_in(uint32_t n)
{
	return !below(n);
}

/* --- where programs run --- */

struct place {
	uint32_t start;
	bool writable;
};

static struct bench {
	struct fort_domain domain;
	struct place places[4]; /* stack, context, map, map that is read only */
	uint8_t before[3][PAGE], after[3][PAGE];
} bench;

enum { STACK, CONTEXT, MAP, SEALED, PLACES };

static int values_file(void)
{
	int fd = memfd_create("values", MFD_ALLOW_SEALING);

	assert_int_equal(ftruncate(fd, PAGE), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	return fd;
}

static int open_bench(void **state)
{
	struct fort_domain_layout layout = {.n_slots = 1, .ctx_bytes = PAGE};
	struct fort_domain_map maps[] = {
		{.fd = values_file(), .bytes = PAGE, .writable = true},
		{.fd = values_file(), .bytes = PAGE},
	};
	struct fort_domain *domain = &bench.domain;

	assert_int_equal(fort_domain_open(&layout, maps, 2, domain), 0);
	close(maps[0].fd);
	close(maps[1].fd);
	bench.places[STACK] = (struct place){domain->slot_start, true};
	bench.places[CONTEXT] = (struct place){(uint32_t)fort_domain_ctx(domain, 0), true};
	bench.places[MAP] = (struct place){domain->map_start[0], true};
	bench.places[SEALED] = (struct place){domain->map_start[1], false};
	return 0;
}

static int close_bench(void **state)
{
	fort_domain_close(&bench.domain);
	return 0;
}

static uint8_t *page_of(unsigned place)
{
	return bench.domain.window.base + bench.places[place].start;
}

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

#define HELPERS 4 /* the last does not exist */

static fort_helper_fn *helper_by_number(uint32_t number)
{
	static fort_helper_fn *const helpers[] = {mix, burn, refuse};

	return number < FORT_LEN(helpers) ? helpers[number] : NULL;
}

/* --- making programs --- */

struct recipe {
	struct fort_insn insns[SLOTS_MAX];
	uint32_t n, starts[FUNCTIONS + 1], n_functions;
	uint32_t body; /* of the main program: jumps go there */
	bool tame;
};

/* Numbers near which something changes. */
static int64_t number(void)
{
	static const int64_t edges[] = {0, 1, -1, 2, 7, 8, 31, 32, 63, 64, 127, 128, -128, 255, 256,
					INT16_MAX, INT16_MIN, INT32_MAX, INT32_MIN, 0x80000000,
					UINT32_MAX, INT64_MAX, INT64_MIN, 0x100000000,
					/* what spells instructions that no image may have */
					0x50f, 0x340f, 0x80cd, 0xef010f, 0x68ae0f00, 0xd8ae0f,
					0x18c70f};

	switch (below(4)) {
	case 0: return (int64_t)any();
	case 1: return (int64_t)any() >> below(64);
	default: return edges[below(FORT_LEN(edges))];
	}
}

static void add(struct recipe *recipe, struct fort_insn insn)
{
	recipe->insns[recipe->n++] = insn;
	if (insn.kind == FORT_LDIMM) {
		recipe->insns[recipe->n] = fort_insn_make(FORT_ROW_LDIMM_HIGH, 0, 0, 0, 0);
		recipe->n++;
	}
}

/* r6 the context, r7 the stack, r8 the map, r9 the sealed map; wild programs may change them. */
static const uint8_t pointers[PLACES] = {
	[STACK] = FORT_R7, [CONTEXT] = FORT_R6, [MAP] = FORT_R8, [SEALED] = FORT_R9};

static uint8_t writable_register(const struct recipe *recipe)
{
	return (uint8_t)(recipe->tame || !one_in(12) ? below(FORT_R6) : below(FORT_REGS));
}

static bool is_load(const struct fort_row_info *info)
{
	return info->kind == FORT_LDX || info->kind == FORT_LDACQ;
}

/* An access; most go through a pointer to the inside of its page. */
static struct fort_insn access_insn(const struct recipe *recipe, enum fort_row row)
{
	const struct fort_row_info *info = &fort_rows[row];
	int bytes = info->bits / 8, off = (int)below(PAGE / (unsigned)bytes) * bytes;
	unsigned place = below(is_load(info) ? PLACES : SEALED);
	uint8_t base = pointers[place], data = writable_register(recipe);

	if (one_in(3) && place == STACK) {
		base = FORT_R10;
		off = -bytes * (1 + (int)below(FORT_STACK_BYTES / (unsigned)bytes));
	}
	if (!recipe->tame && one_in(6)) { /* around the borders of pages, and anywhere */
		static const int borders[] = {-1, 0, PAGE, PAGE - 1, PAGE - 7, -8};

		off = one_in(2)   ? borders[below(FORT_LEN(borders))] + (int)below(3)
		      : one_in(2) ? (int)number()
				  : (int16_t)any();
		base = (uint8_t)(one_in(2) ? below(FORT_REGS) : pointers[below(PLACES)]);
	}
	if (is_load(info))
		return fort_insn_make(row, data, base, (int16_t)off, 0);
	return fort_insn_make(row, base, info->kind == FORT_ST ? 0 : data, (int16_t)off,
			      info->kind == FORT_ST ? (int32_t)number() : 0);
}

/* The word at which a compare-and-exchange is aimed, in r0, so that it happens; above it, for 32
 * bits, something that must go. */
static void aim(struct recipe *recipe, struct fort_insn insn)
{
	bool wide = insn.bits == 64;

	add(recipe,
	    fort_insn_make(wide ? FORT_ROW_LDX64 : FORT_ROW_LDX32, FORT_R0, insn.dst, insn.off, 0));
	if (wide)
		return;
	add(recipe, fort_insn_make(FORT_ROW_LDIMM, FORT_R5, 0, 0, 0x7bull << 40));
	add(recipe, fort_insn_make(FORT_ROW_OR64_X, FORT_R0, FORT_R5, 0, 0));
}

/* Over what comes next, so that the rest of the function stays reachable. */
static void add_way_around(struct recipe *recipe)
{
	add(recipe,
	    fort_insn_make(FORT_ROW_JSGT64_K, (uint8_t)below(FORT_R10), 0, 1, (int32_t)number()));
}

static void add_simple(struct recipe *recipe, enum fort_row row)
{
	bool dst = strpbrk(fort_rows[row].uses, "Db") || strchr(fort_rows[row].uses, 'd');
	bool src = strchr(fort_rows[row].uses, 'S'), imm = strchr(fort_rows[row].uses, 'I');

	add(recipe,
	    fort_insn_make(row, dst ? writable_register(recipe) : 0,
			   src ? (uint8_t)below(FORT_REGS) : 0, 0, imm ? (int32_t)number() : 0));
}

/* What compilers write and x64 takes together: a copy that is added to, and a low half extended. */
static void add_idiom(struct recipe *recipe)
{
	uint8_t dst = writable_register(recipe), src = (uint8_t)below(FORT_REGS);
	bool sign = one_in(2);

	if (!one_in(3))
		add(recipe, fort_insn_make(FORT_ROW_MOV64_X, dst, src, 0, 0));
	switch (below(3)) {
	case 0: add(recipe, fort_insn_make(FORT_ROW_ADD64_K, dst, 0, 0, (int32_t)number())); break;
	case 1:
		add(recipe, fort_insn_make(FORT_ROW_ADD64_X, dst, (uint8_t)below(FORT_REGS), 0, 0));
		break;
	default:
		add(recipe, fort_insn_make(FORT_ROW_LSH64_K, dst, 0, 0, one_in(8) ? 31 : 32));
		add(recipe, fort_insn_make(sign ? FORT_ROW_ARSH64_K : FORT_ROW_RSH64_K, dst, 0, 0,
					   one_in(2) ? 32 : (int32_t)below(70)));
	}
}

/* Where jumps and local calls go is settled when everything has its place. */
static void add_row(struct recipe *recipe, enum fort_row row)
{
	struct fort_insn insn;

	switch (fort_rows[row].kind) {
	case FORT_LDX:
	case FORT_ST:
	case FORT_STX:
	case FORT_ATOMIC:
	case FORT_LDACQ:
	case FORT_STREL:
		insn = access_insn(recipe, row);
		if (insn.op == FORT_OP_A_CMPXCHG && one_in(2))
			aim(recipe, insn);
		add(recipe, insn);
		break;
	case FORT_LDIMM:
		add(recipe, fort_insn_make(row, writable_register(recipe), 0, 0,
					   row == FORT_ROW_LDIMM ? number() : below(2)));
		break;
	case FORT_JA:
	case FORT_EXIT:
		if (one_in(2))
			break;
		add_way_around(recipe);
		add(recipe, fort_insn_make(row, 0, 0, 0, 0));
		break;
	case FORT_CALL:
		if (row == FORT_ROW_CALL_LOCAL && recipe->tame && recipe->n_functions == 1)
			break;
		add(recipe, fort_insn_make(row, 0, 0, 0, below(HELPERS)));
		break;
	case FORT_CALLX:
		if (!one_in(4))
			add(recipe,
			    fort_insn_make(FORT_ROW_MOV64_K, FORT_R0, 0, 0, below(HELPERS)));
		add(recipe, fort_insn_make(row, FORT_R0, 0, 0, 0));
		break;
	default: add_simple(recipe, row);
	}
}

/* Can engines run it? Second halves come with their first. */
static bool runs(enum fort_row row)
{
	const struct fort_row_info *info = &fort_rows[row];

	switch (info->kind) {
	case FORT_LDABS:
	case FORT_LDIND:
	case FORT_MAY_GOTO:
	case FORT_LDIMM_HIGH: return false;
	case FORT_LDIMM:
		return info->op == FORT_OP_CONST || info->op == FORT_OP_MAP_IDX ||
		       info->op == FORT_OP_MAP_IDX_VALUE;
	case FORT_CALL: return info->op != FORT_OP_KFUNC;
	default: return true;
	}
}

static void add_body(struct recipe *recipe, const enum fort_row *rows, uint32_t n_rows)
{
	for (uint32_t left = 3 + below(BODY_MAX / recipe->n_functions); left; left--)
		if (one_in(8))
			add_idiom(recipe);
		else
			add_row(recipe, rows[below(n_rows)]);
}

static void add_start(struct recipe *recipe)
{
	add(recipe, fort_insn_make(FORT_ROW_MOV64_X, FORT_R6, FORT_R1, 0, 0));
	add(recipe, fort_insn_make(FORT_ROW_MOV64_X, FORT_R7, FORT_R10, 0, 0));
	add(recipe, fort_insn_make(FORT_ROW_ADD64_K, FORT_R7, 0, 0,
				   -(int)(FORT_FRAMES_MAX * FORT_STACK_BYTES)));
	add(recipe, fort_insn_make(FORT_ROW_LDIMM_MAP_IDX_VALUE, FORT_R8, 0, 0, 0));
	add(recipe, fort_insn_make(FORT_ROW_LDIMM_MAP_IDX_VALUE, FORT_R9, 0, 0, 1));
	for (uint8_t reg = FORT_R0; reg < FORT_R6; reg++)
		add(recipe, fort_insn_make(FORT_ROW_LDIMM, reg, 0, 0, number()));
}

/* All registers to memory, where the comparison sees them. */
static void add_end(struct recipe *recipe)
{
	for (uint8_t reg = FORT_R0; reg < FORT_R10; reg++)
		add(recipe,
		    fort_insn_make(FORT_ROW_STX64, FORT_R10, reg, (int16_t)(-8 * (reg + 1)), 0));
}

static uint32_t random_slot(const struct recipe *recipe, uint32_t start, uint32_t end)
{
	uint32_t slot;

	do
		slot = start + below(end - start);
	while (recipe->insns[slot].kind == FORT_LDIMM_HIGH);
	return slot;
}

/* The main program sets pointers from r1, which is the context only at the start. */
static uint32_t callee(const struct recipe *recipe)
{
	return recipe->tame ? 1 + below(recipe->n_functions - 1) : below(recipe->n_functions);
}

static void settle_jumps(struct recipe *recipe, uint32_t start, uint32_t end)
{
	for (uint32_t pc = start; pc < end; pc++) {
		struct fort_insn *insn = &recipe->insns[pc];
		bool way_around = insn->kind == FORT_JCC_K && insn->off;
		int32_t to = (int32_t)random_slot(recipe, start, end) - (int32_t)pc - 1;

		if (insn->op == FORT_OP_LOCAL)
			insn->imm = (int32_t)recipe->starts[callee(recipe)] - (int32_t)pc - 1;
		else if (insn->op == FORT_OP_JA32)
			insn->imm = to;
		else if (fort_insn_jumps(insn) && !way_around)
			insn->off = (int16_t)to;
	}
}

static void make_recipe(struct recipe *recipe)
{
	enum fort_row rows[FORT_ROWS];
	uint32_t n_rows = 0;

	for (unsigned row = 0; row < FORT_ROWS; row++)
		if (runs(row))
			rows[n_rows++] = row;
	*recipe = (struct recipe){.tame = one_in(2), .n_functions = 1 + below(FUNCTIONS)};
	for (uint32_t f = 0; f < recipe->n_functions; f++) {
		recipe->starts[f] = recipe->n;
		if (!f) {
			add_start(recipe);
			recipe->body = recipe->n;
		}
		add_body(recipe, rows, n_rows);
		if (!f)
			add_end(recipe);
		add(recipe, fort_insn_make(FORT_ROW_EXIT, 0, 0, 0, 0));
	}
	recipe->starts[recipe->n_functions] = recipe->n;
	assert_true(recipe->n <= SLOTS_MAX);
	for (uint32_t f = 0; f < recipe->n_functions; f++)
		settle_jumps(recipe, f ? recipe->starts[f] : recipe->body, recipe->starts[f + 1]);
}

/* --- running --- */

struct outcome {
	uint64_t r0;
	struct fort_abort abort;
	uint64_t fuel;
};

static void fill_pages(void)
{
	for (unsigned place = 0; place < SEALED; place++) {
		uint64_t word = any();

		for (unsigned i = 0; i < PAGE; i += 8)
			memcpy(&bench.before[place][i], &word, 8), word += 0x0101010101010101;
	}
}

static struct outcome run_on(const struct fort_engine *engine, const struct fort_compile *request,
			     uint64_t fuel)
{
	struct fort_run run = {.domain = &bench.domain, .fuel = fuel, .ctx_length = PAGE};
	struct fort_code *code;
	struct outcome outcome;

	for (unsigned place = 0; place < SEALED; place++)
		memcpy(page_of(place), bench.before[place], PAGE);
	run.ctx = fort_domain_ctx(&bench.domain, 0);
	assert_int_equal(engine->compile(request, &code), 0);
	outcome.r0 = engine->run(code, &run);
	engine->free(code);
	outcome.abort = run.abort;
	outcome.fuel = run.fuel;
	return outcome;
}

static void show(const struct recipe *recipe, const struct outcome *a, const struct outcome *b)
{
	for (uint32_t pc = 0; pc < recipe->n; pc++) {
		const struct fort_insn *insn = &recipe->insns[pc];

		print_error("%3u %-14s dst r%u src r%u off %d imm %lld\n", pc,
			    fort_insn_row(insn)->name, insn->dst, insn->src, insn->off,
			    (long long)insn->imm);
	}
	for (const struct outcome *o = a; o; o = o == a ? b : NULL)
		print_error(
			"%s: r0 %llx, %s at %u (address %llx, %u bytes, detail %u), fuel %llu\n",
			o == a ? "interp" : RANDOM_ENGINE.name, (unsigned long long)o->r0,
			fort_abort_name(o->abort.code), o->abort.pc,
			(unsigned long long)o->abort.address, o->abort.bytes, o->abort.detail,
			(unsigned long long)o->fuel);
}

static struct tally {
	uint64_t rows[FORT_ROWS], ends[FORT_ABORT_CODES], runs;
} tally;

static void compare_on(const struct recipe *recipe, const struct fort_program *program,
		       enum fort_isolation isolation, uint64_t fuel, uint64_t seed)
{
	struct fort_compile request = {.program = program,
				       .domain = &bench.domain,
				       .isolation = isolation,
				       .helper = helper_by_number,
				       .callx = true,
				       .proven = isolation != FORT_ISOLATION_SFI,
				       .inspect = true,
				       .blind = below(4) == 0};
	struct outcome expected = run_on(&fort_engine_interp, &request, fuel), got;
	bool same = true;

	for (unsigned place = 0; place < SEALED; place++)
		memcpy(bench.after[place], page_of(place), PAGE);
	got = run_on(&RANDOM_ENGINE, &request, fuel);
	/* Code that faults does not always say what fuel it had (engine/llvm.c). */
	if (RANDOM_ENGINE.vague && got.abort.code == FORT_ABORT_MEMORY)
		got.fuel = expected.fuel;
	for (unsigned place = 0; place < SEALED; place++)
		same &= !memcmp(bench.after[place], page_of(place), PAGE);
	tally.ends[expected.abort.code]++;
	tally.runs++;
	if (same && !memcmp(&expected, &got, sizeof(got)))
		return;
	show(recipe, &expected, &got);
	fail_msg("seed %llu, %s%s", (unsigned long long)seed, fort_isolation_name(isolation),
		 same ? "" : ": memory differs");
}

static enum fort_isolation any_isolation(void)
{
	enum fort_isolation isolation;

	do
		isolation = below(FORT_ISOLATIONS);
	while (!fort_engine_has(&RANDOM_ENGINE, isolation) || fort_isolation_probe(isolation));
	return isolation;
}

/* Makes a program of this seed and compares; a program that is none is made anew. */
static void try_seed(uint64_t seed)
{
	struct recipe recipe;
	struct fort_graph graph;
	struct fort_graph_error error;
	struct fort_arena arena;
	uint64_t fuel;
	int err;

	state_ = seed;
	fort_arena_init(&arena, ARENA);
	do {
		fort_arena_free(&arena);
		make_recipe(&recipe);
		err = fort_graph_build(&arena, recipe.insns, recipe.n, &graph, &error);
	} while (err);
	for (uint32_t pc = 0; pc < recipe.n; pc++)
		tally.rows[recipe.insns[pc].row]++;
	fill_pages();
	fuel = below(FUEL_MAX);
	compare_on(&recipe, &graph.program, recipe.tame ? any_isolation() : FORT_ISOLATION_SFI,
		   fuel, seed);
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
		if (runs(row) && tally.rows[row] < 100)
			fail_msg("%s: %llu times", fort_rows[row].name,
				 (unsigned long long)tally.rows[row]);
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
	for (unsigned code = 0; code < FORT_ABORT_CODES; code++)
		if (tally.ends[code])
			printf("# %s: %llu of %llu runs\n", fort_abort_name(code),
			       (unsigned long long)tally.ends[code],
			       (unsigned long long)tally.runs);
	return failed;
}
