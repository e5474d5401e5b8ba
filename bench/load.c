/* How long a program of 1,000 instructions without jumps takes to load: to be verified, for its
 * certificate to be checked, and to be compiled by x64 under sfi; part by part, and through the
 * front door; and the compiler alone, without what a program's memory costs. Medians.
 *
 * usage: bench_load [ROUNDS]
 */
#include <linux/bpf.h>

#include "abi/progs.h"
#include "base/text.h"
#include "bench.h"
#include "engine/code_pool.h"
#include "helper/helper.h"
#include "isolate/spares.h"
#include "load/loaded.h"
#include "load/unit.h"
#include "verify/verify.h"

#define INSNS      1000u
#define ROUNDS_MAX 100000u

enum part { DECODE, SEARCH, CHECK, COMPILE, PARTS };
static const char *const part_names[PARTS] = {"decode", "verify", "check", "compile"};

struct load {
	struct fort_raw_insn insns[INSNS + 2];
	uint32_t n;
	struct fort_arena arenas[3];
	struct fort_unit *unit;
	struct fort_verify_result found;
	struct fort_proven proven;
	struct fort_loaded *loaded;
	/* As stores have them. */
	struct fort_spares spares;
	struct fort_code_pool *pool;
	_Alignas(16) uint8_t memory[FORT_LOADED_BYTES(INSNS)];
};

static void die(const char *what, int err)
{
	fprintf(stderr, "bench_load: %s: %d\n", what, err);
	exit(2);
}

/* As compilers write where there is no loop: sums, shifts, words of the stack, the context. */
static void write_program(struct load *load)
{
	struct fort_text text = fort_text_new();
	struct fort_assembly assembly;
	struct fort_asm_error error;
	struct fort_arena arena;

	fort_text_add(&text, "mov r6, r1\nmov r0, 0\n");
	for (unsigned i = 0; i < (INSNS - 4) / 6; i++)
		fort_text_add(&text,
			      "ldxw r1, [r6+%u]\nadd r0, r1\nstxdw [r10-%u], r0\nlsh r1, %u\n"
			      "ldxdw r2, [r10-%u]\nxor32 r0, r2\n",
			      12 + i % 2 * 4, 8 + i % 32 * 8, 1 + i % 8, 8 + i % 32 * 8);
	fort_text_add(&text, "mov r1, 1\nexit\n");
	fort_arena_init(&arena, 1u << 20);
	if (fort_assemble(&arena, text.data, text.length, &assembly, &error))
		die("cannot be assembled, line", (int)error.line);
	load->n = assembly.n_insns;
	memcpy(load->insns, assembly.insns, assembly.n_insns * sizeof(load->insns[0]));
	fort_arena_free(&arena);
	fort_text_free(&text);
}

static void decode(struct load *load)
{
	const struct fort_unit_request request = {
		.insns = load->insns,
		.n_insns = load->n,
		.hook = {.prog = fort_prog_by_number(BPF_PROG_TYPE_XDP)},
		.rights = FORT_ALL_VERIFIER_RIGHTS,
		.gpl = true};
	struct fort_unit_error error;
	int err;

	load->unit = FORT_ARENA_NEW(&load->arenas[0], struct fort_unit);
	err = load->unit ? fort_unit_build(&load->arenas[0], &request, load->unit, &error) : -1;
	if (err)
		die("no unit", err);
}

static void search(struct load *load)
{
	const struct fort_verify_options options = {.budget_insns = FORT_BUDGET_INSNS};
	int err = fort_verify_search(&load->unit->env, &load->arenas[0], &options, &load->found);

	if (err || load->found.verdict != FORT_ACCEPT)
		die("refused", err);
}

static void check(struct load *load)
{
	const struct fort_span bytes = {load->found.certificate.data,
					load->found.certificate.bytes};
	struct fort_check found;

	if (!fort_certificate_check(bytes, &load->unit->env, &load->arenas[1], &found,
				    &load->proven))
		die("a wrong certificate", found.fault);
}

static void compile(struct load *load)
{
	const struct fort_load_request request = {.proven = &load->proven,
						  .engine = &fort_engine_x64,
						  .isolation = FORT_ISOLATION_SFI,
						  .n_slots = 1,
						  .packet_bytes = FORT_PAGE_BYTES,
						  .fuel = FORT_FUEL_DEFAULT,
						  .scratch = &load->arenas[2],
						  .spares = &load->spares,
						  .pool = load->pool,
						  .memory = load->memory,
						  .memory_bytes = sizeof(load->memory)};
	int err = fort_loaded_open(&request, &load->loaded);

	if (err)
		die("not compiled", err);
}

static void forget(struct load *load)
{
	fort_loaded_close(load->loaded);
	fort_buf_free(&load->found.certificate);
	for (unsigned i = 0; i < FORT_LEN(load->arenas); i++)
		fort_arena_reset(&load->arenas[i], FORT_ARENA_KEPT_BYTES);
}

static unsigned rounds = 201;

static void print_row(const char *what, const char *const *names, unsigned n,
		      double us[][ROUNDS_MAX])
{
	printf("%-40s %6.1f us:", what, bench_median(us[n], rounds));
	for (unsigned i = 0; i < n; i++)
		printf(" %s %.1f", names[i], bench_median(us[i], rounds));
	putchar('\n');
}

static void measure_parts(struct load *load)
{
	static void (*const parts[PARTS])(struct load *) = {decode, search, check, compile};
	static double us[PARTS + 1][ROUNDS_MAX];

	for (unsigned i = 0; i < FORT_LEN(load->arenas); i++)
		fort_arena_init(&load->arenas[i], SIZE_MAX);
	for (unsigned round = 0; round < rounds; round++) {
		double start = bench_cpu_ns(), last = start;

		for (unsigned part = 0; part < PARTS; part++) {
			double now;

			parts[part](load);
			now = bench_cpu_ns();
			us[part][round] = (now - last) / 1000;
			last = now;
		}
		us[PARTS][round] = (last - start) / 1000;
		forget(load);
	}
	print_row("load of 1,000 instructions (at most 100):", part_names, PARTS, us);
	for (unsigned i = 0; i < FORT_LEN(load->arenas); i++)
		fort_arena_free(&load->arenas[i]);
}

/* What compiling consists of: the program rewritten for engines, its window, machine code in a
 * place of its own; and the last without the place, by the instructions that a second would take.
 */
static void measure_compile(struct load *load)
{
	enum { REWRITE, WINDOW, CODE, FREE, COMPILE_PARTS };
	static const char *const names[] = {"rewrite", "window", "code", "free"};
	static double us[COMPILE_PARTS + 1][ROUNDS_MAX];
	const struct fort_domain_layout layout = {.n_slots = 1,
						  .ctx_bytes = 64,
						  .packet_bytes = FORT_PAGE_BYTES,
						  .spares = &load->spares};

	for (unsigned i = 0; i < FORT_LEN(load->arenas); i++)
		fort_arena_init(&load->arenas[i], SIZE_MAX);
	decode(load);
	search(load);
	check(load);
	for (unsigned round = 0; round < rounds; round++) {
		struct fort_arena_mark mark = fort_arena_mark(&load->arenas[1]);
		struct fort_hardened hardened;
		struct fort_domain domain;
		struct fort_compile request = {.program = &hardened.program,
					       .domain = &domain,
					       .isolation = FORT_ISOLATION_SFI,
					       .helper = fort_helper_function,
					       .shape = fort_helper_shape,
					       .scratch = &load->arenas[2],
					       .pool = load->pool,
					       .proven = true};
		struct fort_code *code = NULL;
		double at[COMPILE_PARTS + 1];
		int err;

		at[0] = bench_cpu_ns();
		err = fort_harden(&load->proven, &load->arenas[1], &hardened);
		at[1] = bench_cpu_ns();
		err = err ? err : fort_domain_open(&layout, NULL, 0, &domain);
		at[2] = bench_cpu_ns();
		err = err ? err : fort_engine_x64.compile(&request, &code);
		at[3] = bench_cpu_ns();
		if (err)
			die("not compiled", err);
		fort_engine_x64.free(code);
		fort_domain_close(&domain);
		at[4] = bench_cpu_ns();
		fort_arena_rewind(&load->arenas[1], mark);
		fort_arena_reset(&load->arenas[2], FORT_ARENA_KEPT_BYTES);
		for (unsigned part = 0; part < COMPILE_PARTS; part++)
			us[part][round] = (at[part + 1] - at[part]) / 1000;
		us[COMPILE_PARTS][round] = (at[COMPILE_PARTS] - at[0]) / 1000;
	}
	print_row("compiled, and freed:", names, COMPILE_PARTS, us);
	fort_buf_free(&load->found.certificate);
	for (unsigned i = 0; i < FORT_LEN(load->arenas); i++)
		fort_arena_free(&load->arenas[i]);
}

/* The same through the front door: what else a store does is what is left. */
static void measure_store(const struct load *load)
{
	enum { VERIFY, CHECK_IT, COMPILE_IT, REST, CLOSE, STORE_PARTS };
	static const char *const names[] = {"verify", "check", "compile", "rest", "close"};
	static double us[STORE_PARTS + 1][ROUNDS_MAX];
	struct fort_store *store;
	int err = fort_store_create(&store);

	err = err ? err : fort_store_set_engine(store, &fort_engine_x64, FORT_ISOLATION_SFI);
	if (err)
		die("no store", err);
	for (unsigned round = 0; round < rounds; round++) {
		union fort_attr attr = {.prog_load = {.prog_type = BPF_PROG_TYPE_XDP,
						      .insns = PTR(load->insns),
						      .insn_cnt = load->n,
						      .license = PTR("GPL")}};
		const struct fort_load_report *report;
		double start = bench_cpu_ns(), end;
		long fd = bench_bpf(store, FORT_CMD_PROG_LOAD, &attr);

		end = bench_cpu_ns();
		if (fd < 0)
			die("not loaded", (int)fd);
		report = fort_store_last_load(store);
		us[VERIFY][round] = (double)report->verify_ns / 1000;
		us[CHECK_IT][round] = (double)report->check_ns / 1000;
		us[COMPILE_IT][round] = (double)report->compile_ns / 1000;
		us[STORE_PARTS][round] = (end - start) / 1000;
		us[REST][round] = us[STORE_PARTS][round] - us[VERIFY][round] - us[CHECK_IT][round] -
				  us[COMPILE_IT][round];
		start = bench_cpu_ns();
		close((int)fd);
		fort_store_reap(store);
		us[CLOSE][round] = (bench_cpu_ns() - start) / 1000;
	}
	print_row("the same by a store's PROG_LOAD:", names, STORE_PARTS, us);
	fort_store_free(store);
}

int main(int argc, char **argv)
{
	static struct load load;

	if (argc > 1)
		rounds = (unsigned)strtoul(argv[1], NULL, 10);
	if (!rounds || rounds > ROUNDS_MAX)
		return 2;
	write_program(&load);
	if (fort_code_pool_open(&load.pool))
		die("no pool", 0);
	measure_parts(&load);
	measure_compile(&load);
	fort_spares_close(&load.spares);
	fort_code_pool_close(load.pool);
	measure_store(&load);
	return 0;
}
