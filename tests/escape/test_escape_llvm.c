/* The llvm engine on programs that nothing was proven about: where they may not go is where the
 * interpreter ends them, and nothing of the host's changes. A compilation takes milliseconds, so
 * programs are fewer than those of the other engines, and get their addresses from the context.
 * usage: test_escape_llvm [PROGRAMS [SEED]]
 */
#include "generate.h"

#include "engine/llvm_inspect.h"

#include <sched.h>
#include <sys/random.h>

#define PROGRAMS 150
#define FUEL     1000u

static struct cage cage;
static uint64_t n_programs = PROGRAMS, first_seed;

static const struct fort_engine *const engines[] = {&fort_engine_interp, &fort_engine_llvm};

/* What the output checker was given, and refused; code is then made in another way. */
static uint64_t n_read, n_refused;

bool __real_fort_llvm_inspect(const struct fort_llvm_inspect *view, struct fort_inspection *out);
bool __wrap_fort_llvm_inspect(const struct fort_llvm_inspect *view, struct fort_inspection *out);
bool __wrap_fort_llvm_inspect(const struct fort_llvm_inspect *view, struct fort_inspection *out)
{
	bool good = __real_fort_llvm_inspect(view, out);

	n_read++;
	n_refused += !good;
	return good;
}

/* Both end alike; what fuel a fault leaves is not known. */
static bool agree(const struct outcome outcomes[2])
{
	struct outcome got = outcomes[1];

	if (got.abort.code == FORT_ABORT_MEMORY)
		got.fuel = outcomes[0].fuel;
	return !memcmp(&outcomes[0], &got, sizeof(got));
}

/* --- accesses --- */

static bool is_load(enum fort_row row)
{
	return fort_rows[row].kind == FORT_LDX || fort_rows[row].kind == FORT_LDACQ;
}

static bool accesses(enum fort_row row)
{
	return is_load(row) || fort_rows[row].kind == FORT_ST || fort_rows[row].kind == FORT_STX ||
	       fort_rows[row].kind == FORT_ATOMIC || fort_rows[row].kind == FORT_STREL;
}

/* r6 is the address, r7 the data, r0 what became of it. */
static void build(enum fort_row row, int16_t off, struct caged *caged)
{
	bool loads = is_load(row), constant = fort_rows[row].kind == FORT_ST;
	const struct fort_insn insns[] = {
		fort_insn_make(FORT_ROW_LDX64, FORT_R6, FORT_R1, 0, 0),
		fort_insn_make(FORT_ROW_LDX64, FORT_R7, FORT_R1, 8, 0),
		fort_insn_make(FORT_ROW_MOV64_K, FORT_R0, 0, 0, 77),
		fort_insn_make(row, loads ? FORT_R7 : FORT_R6,
			       loads      ? FORT_R6
			       : constant ? 0
					  : FORT_R7,
			       off, constant ? 0x55 : 0),
		fort_insn_make(FORT_ROW_MOV64_X, FORT_R0, FORT_R7, 0, 0),
		fort_insn_make(FORT_ROW_EXIT, 0, 0, 0, 0),
	};

	assert_true(caged_build(caged, insns, FORT_LEN(insns)));
}

static uint32_t try_access(enum fort_row row, int16_t off)
{
	struct bad_address bad[BAD_ADDRESSES_MAX];
	uint32_t n = bad_addresses(&cage, bad);
	struct fort_code *code[2];
	struct caged caged;

	build(row, off, &caged);
	for (unsigned e = 0; e < 2; e++) {
		struct fort_compile request =
			cage_compile(&cage, FORT_ISOLATION_SFI, false, &caged);

		assert_int_equal(engines[e]->compile(&request, &code[e]), 0);
	}
	for (uint32_t i = 0; i < n; i++) {
		struct outcome outcomes[2];

		cage_ctx(&cage)[0] = bad[i].address;
		cage_ctx(&cage)[1] = 0x1122334455667788;
		for (unsigned e = 0; e < 2; e++)
			outcomes[e] = cage_run_code(&cage, engines[e], code[e], FUEL);
		if (!agree(outcomes))
			fail_msg("%s at %s%+d: %s and %s", fort_rows[row].name, bad[i].what, off,
				 fort_abort_name(outcomes[0].abort.code),
				 fort_abort_name(outcomes[1].abort.code));
	}
	for (unsigned e = 0; e < 2; e++)
		engines[e]->free(code[e]);
	caged_free(&caged);
	return n;
}

static void no_access_escapes(void **state)
{
	static const int16_t offsets[] = {0, -1, 7, INT16_MAX, INT16_MIN};
	uint32_t n = 0;

	for (unsigned row = 0; row < FORT_ROWS; row++)
		for (unsigned i = 0; accesses((enum fort_row)row) && i < FORT_LEN(offsets); i++)
			n += try_access((enum fort_row)row, offsets[i]);
	print_message("# %u accesses\n", n);
	assert_true(n > 5000);
}

/* --- whole programs --- */

/* One processor: per-CPU values are then the same ones. */
static void stay(void)
{
	cpu_set_t set;
	int cpu = sched_getcpu();

	CPU_ZERO(&set);
	CPU_SET(cpu < 0 ? 0 : cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static enum fort_abort_code try_seed(uint64_t seed)
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
	fuel = rng_below(&maker.rng, FUEL);
	for (unsigned e = 0; e < 2; e++)
		outcomes[e] = cage_run(&cage, engines[e], FORT_ISOLATION_SFI, false, &caged, fuel);
	if (!hostile.varies && !agree(outcomes))
		fail_msg("seed %llu: %s at %u and %s at %u", (unsigned long long)seed,
			 fort_abort_name(outcomes[0].abort.code), outcomes[0].abort.pc,
			 fort_abort_name(outcomes[1].abort.code), outcomes[1].abort.pc);
	caged_free(&caged);
	return outcomes[1].abort.code;
}

static void no_program_escapes(void **state)
{
	uint64_t ends[FORT_ABORT_CODES] = {0};

	for (uint64_t i = 0; i < n_programs; i++)
		ends[try_seed(first_seed + i)]++;
	assert_true(ends[FORT_ABORT_MEMORY] > n_programs / 100);
	assert_true(ends[FORT_ABORT_NONE] > n_programs / 100);
}

/* All code is read, and nearly all is as LLVM makes it by itself. */
static void little_is_made_anew(void **state)
{
	print_message("# %llu images read, %llu refused at first\n", (unsigned long long)n_read,
		      (unsigned long long)n_refused);
	assert_true(n_read >= n_programs);
	assert_true(n_refused < n_read / 10);
}

/* Without a proof nothing but the window may be what is relied on. */
static void what_does_not_confine_needs_a_proof(void **state)
{
	struct fort_compile request;
	struct fort_code *code;
	struct caged caged;

	caged_assemble(&caged, "mov r0, 5\nexit");
	request = cage_compile(&cage, FORT_ISOLATION_SFI_STORE, false, &caged);
	assert_int_equal(fort_engine_llvm.compile(&request, &code), -EPERM);
	request.isolation = FORT_ISOLATION_NONE;
	assert_int_equal(fort_engine_llvm.compile(&request, &code), -EPERM);
	caged_free(&caged);
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
		cmocka_unit_test(no_access_escapes),
		cmocka_unit_test(no_program_escapes),
		cmocka_unit_test(little_is_made_anew),
		cmocka_unit_test(what_does_not_confine_needs_a_proof),
	};

	if (argc > 1)
		n_programs = strtoull(argv[1], NULL, 0);
	if (argc > 2)
		first_seed = strtoull(argv[2], NULL, 0);
	else if (getrandom(&first_seed, sizeof(first_seed), 0) != sizeof(first_seed))
		return 2;
	printf("# %llu programs from seed %llu\n", (unsigned long long)n_programs,
	       (unsigned long long)first_seed);
	return cmocka_run_group_tests(tests, open_all, close_all);
}
