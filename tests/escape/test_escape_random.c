/* Hostile programs by the hundred thousand, with the verifier off, on both engines: nothing of the
 * host's changes, both end alike, and nothing is left behind.
 * usage: test_escape_random [PROGRAMS [SEED]]. Program i of seed s is program 0 of seed s + i.
 */
#include "generate.h"

#include <sched.h>
#include <sys/random.h>

#include "isa/disasm.h"

#define PROGRAMS 100000
#define FUEL_MAX 1000u

static struct cage cage;
static uint64_t n_programs = PROGRAMS, first_seed;
static struct {
	uint64_t made, ends[FORT_ABORT_CODES], compared;
} tally;

/* One processor: per-CPU values are then the same ones. */
static void stay(void)
{
	cpu_set_t set;
	int cpu = sched_getcpu();

	CPU_ZERO(&set);
	CPU_SET(cpu < 0 ? 0 : cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void show(const struct hostile *hostile, const struct outcome outcomes[2])
{
	for (uint32_t pc = 0; pc < hostile->n; pc++) {
		const struct fort_insn *insn = &hostile->insns[pc];

		print_error("%3u %-14s dst r%u src r%u off %d imm %llx\n", pc,
			    fort_insn_row(insn)->name, insn->dst, insn->src, insn->off,
			    (unsigned long long)insn->imm);
	}
	for (unsigned i = 0; i < 2; i++)
		print_error("%s: r0 %llx, %s at %u (address %llx, %u bytes, detail %u), fuel %llu, "
			    "memory %llx\n",
			    cage_engines[i]->name, (unsigned long long)outcomes[i].r0,
			    fort_abort_name(outcomes[i].abort.code), outcomes[i].abort.pc,
			    (unsigned long long)outcomes[i].abort.address, outcomes[i].abort.bytes,
			    outcomes[i].abort.detail, (unsigned long long)outcomes[i].fuel,
			    (unsigned long long)outcomes[i].memory);
}

static void try_seed(uint64_t seed)
{
	struct hostile_maker maker;
	struct outcome outcomes[2];
	struct hostile hostile;
	struct caged caged;
	uint64_t fuel;

	hostile_init(&maker, &cage, seed);
	do
		hostile_make(&maker, &hostile);
	while (!caged_build(&caged, hostile.insns, hostile.n));
	fuel = rng_below(&maker.rng, FUEL_MAX);
	for (unsigned i = 0; i < 2; i++) {
		outcomes[i] =
			cage_run(&cage, cage_engines[i], FORT_ISOLATION_SFI, false, &caged, fuel);
		tally.ends[outcomes[i].abort.code]++;
	}
	tally.made++;
	tally.compared += !hostile.varies;
	if (!hostile.varies && memcmp(&outcomes[0], &outcomes[1], sizeof(outcomes[0]))) {
		show(&hostile, outcomes);
		fail_msg("seed %llu: engines differ", (unsigned long long)seed);
	}
	caged_free(&caged);
}

static void no_program_escapes(void **state)
{
	struct cage_counts before, after;

	try_seed(first_seed);
	before = cage_count();
	alarm((unsigned)(60 + n_programs / 200));
	for (uint64_t i = 1; i < n_programs; i++)
		try_seed(first_seed + i);
	alarm(0);
	after = cage_count();
	assert_int_equal(after.descriptors, before.descriptors);
	assert_int_equal(after.mappings, before.mappings);
}

/* Programs are worth something only if they come far, and end in all ways. */
static void programs_end_in_all_ways(void **state)
{
	static const enum fort_abort_code ends[] = {
		FORT_ABORT_NONE,       FORT_ABORT_FUEL,  FORT_ABORT_MEMORY,
		FORT_ABORT_HELPER_ARG, FORT_ABORT_DEPTH, FORT_ABORT_INSN,
	};

	if (n_programs < 10000)
		skip();
	for (unsigned i = 0; i < FORT_LEN(ends); i++)
		if (tally.ends[ends[i]] < tally.made / 500)
			fail_msg("%s: %llu of %llu", fort_abort_name(ends[i]),
				 (unsigned long long)tally.ends[ends[i]],
				 (unsigned long long)tally.made);
	assert_int_equal(tally.ends[FORT_ABORT_TRAP] + tally.ends[FORT_ABORT_STATE], 0);
	assert_true(tally.compared > tally.made / 4);
}

static int open_all(void **state)
{
	stay();
	cage_open(&cage);
	return 0;
}

static int close_all(void **state)
{
	cage_close(&cage);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_program_escapes),
		cmocka_unit_test(programs_end_in_all_ways),
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
	failed = cmocka_run_group_tests(tests, open_all, close_all);
	printf("# %llu compared\n", (unsigned long long)tally.compared);
	for (unsigned code = 0; code < FORT_ABORT_CODES; code++)
		if (tally.ends[code])
			printf("# %s: %llu of %llu runs\n", fort_abort_name(code),
			       (unsigned long long)tally.ends[code],
			       (unsigned long long)(2 * tally.made));
	return failed;
}
