#include "straight.h"

#include <linux/bpf.h>

#include "../bench.h"
#include "abi/progs.h"
#include "base/text.h"
#include "load/loaded.h"
#include "load/unit.h"
#include "verify/verify.h"

#define INSNS  1000u
#define ROUNDS 41u

enum part { DECODE, SEARCH, CHECK, COMPILE, PARTS };
static const char *const part_names[PARTS] = {"decode", "verify", "check", "compile"};

struct load {
	struct fort_raw_insn insns[INSNS + 2];
	uint32_t n;
	struct fort_arena arenas[2];
	struct fort_unit *unit;
	struct fort_verify_result found;
	struct fort_proven proven;
	struct fort_loaded *loaded;
};

static void die(const char *what, int err)
{
	fprintf(stderr, "bench_engines: straight code: %s: %d\n", what, err);
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
						  .fuel = FORT_FUEL_DEFAULT};
	int err = fort_loaded_open(&request, &load->loaded);

	if (err)
		die("not compiled", err);
}

static void forget(struct load *load)
{
	fort_loaded_close(load->loaded);
	fort_buf_free(&load->found.certificate);
	fort_arena_reset(&load->arenas[0], 1u << 20);
	fort_arena_reset(&load->arenas[1], 1u << 20);
}

void bench_straight(void)
{
	static void (*const parts[PARTS])(struct load *) = {decode, search, check, compile};
	static double us[PARTS + 1][ROUNDS];
	static struct load load;

	write_program(&load);
	fort_arena_init(&load.arenas[0], FORT_SEARCH_BYTES_MAX);
	fort_arena_init(&load.arenas[1], FORT_SEARCH_BYTES_MAX);
	for (unsigned round = 0; round < ROUNDS; round++) {
		double start = bench_cpu_ns(), last = start;

		for (unsigned part = 0; part < PARTS; part++) {
			double now;

			parts[part](&load);
			now = bench_cpu_ns();
			us[part][round] = (now - last) / 1000;
			last = now;
		}
		us[PARTS][round] = (last - start) / 1000;
		forget(&load);
	}
	printf("load of %u instructions without jumps: %22.1f us  (at most 100):", load.n,
	       bench_median(us[PARTS], ROUNDS));
	for (unsigned part = 0; part < PARTS; part++)
		printf(" %s %.1f", part_names[part], bench_median(us[part], ROUNDS));
	putchar('\n');
}
