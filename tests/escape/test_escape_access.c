/* Every way to access memory, at every kind of place where a program has no business, on both
 * engines: the access goes to the window's byte with the same low half of the address, if the
 * program has the right to it, or the run ends there; the host's memory stays as it is.
 */
#include "cage.h"

#include "base/text.h"

static struct cage cage;

static const int16_t offsets[] = {0, 1, -1, 7, -8, INT16_MAX, INT16_MIN};

/* --- one access --- */

struct attempt {
	enum fort_row row;
	uint64_t address; /* in the register */
	int16_t off;
};

static bool accesses(enum fort_row row)
{
	switch (fort_rows[row].kind) {
	case FORT_LDX:
	case FORT_ST:
	case FORT_STX:
	case FORT_ATOMIC:
	case FORT_LDACQ:
	case FORT_STREL: return true;
	default: return false;
	}
}

static bool loads(enum fort_row row)
{
	return fort_rows[row].kind == FORT_LDX || fort_rows[row].kind == FORT_LDACQ;
}

static enum fort_rights rights_for(enum fort_row row)
{
	if (loads(row))
		return FORT_READ;
	return fort_rows[row].kind == FORT_ATOMIC ? FORT_RW : FORT_WRITE;
}

/* r6 the address, r7 the data; the access; r0 = r7, or what was loaded. */
static void build(const struct attempt *attempt, struct caged *caged)
{
	const struct fort_row_info *info = &fort_rows[attempt->row];
	bool is_load = loads(attempt->row);
	const struct fort_insn insns[] = {
		fort_insn_make(FORT_ROW_LDIMM, FORT_R6, 0, 0, (int64_t)attempt->address),
		fort_insn_make(FORT_ROW_LDIMM_HIGH, 0, 0, 0, 0),
		fort_insn_make(FORT_ROW_LDIMM, FORT_R7, 0, 0, 0x1122334455667788),
		fort_insn_make(FORT_ROW_LDIMM_HIGH, 0, 0, 0, 0),
		fort_insn_make(FORT_ROW_MOV64_K, FORT_R0, 0, 0, 77),
		fort_insn_make(attempt->row, is_load ? FORT_R7 : FORT_R6,
			       is_load ? FORT_R6 : (uint8_t)(info->kind == FORT_ST ? 0 : FORT_R7),
			       attempt->off, info->kind == FORT_ST ? 0x55 : 0),
		fort_insn_make(FORT_ROW_MOV64_X, FORT_R0, FORT_R7, 0, 0),
		fort_insn_make(FORT_ROW_EXIT, 0, 0, 0, 0),
	};

	assert_true(caged_build(caged, insns, FORT_LEN(insns)));
}

#define ACCESS_PC 5u

static void check(const struct attempt *attempt, const struct outcome *outcome, const char *engine,
		  const char *what)
{
	const struct fort_window *window = &cage.world.domain.window;
	uint64_t address = attempt->address + (uint64_t)(int64_t)attempt->off;
	uint32_t bytes = fort_rows[attempt->row].bits / 8u;
	bool allowed = fort_window_allows_word(window, address, bytes, rights_for(attempt->row));
	bool good = allowed ? outcome->abort.code == FORT_ABORT_NONE
			    : outcome->abort.code == FORT_ABORT_MEMORY &&
				      outcome->abort.pc == ACCESS_PC &&
				      outcome->abort.address == (uint32_t)address &&
				      outcome->abort.bytes == bytes;

	if (!good)
		fail_msg("%s at %s%+d on %s: %s at %u", fort_rows[attempt->row].name, what,
			 attempt->off, engine, fort_abort_name(outcome->abort.code),
			 outcome->abort.pc);
}

static void try(const struct attempt *attempt, enum fort_isolation isolation, const char *what)
{
	struct outcome outcomes[FORT_LEN(cage_engines)];
	bool proven = fort_isolation_needs_proof(isolation);
	struct caged caged;

	build(attempt, &caged);
	for (unsigned i = 0; i < FORT_LEN(cage_engines); i++) {
		outcomes[i] = cage_run(&cage, cage_engines[i], isolation, proven, &caged, 100);
		check(attempt, &outcomes[i], cage_engines[i]->name, what);
	}
	if (memcmp(&outcomes[0], &outcomes[1], sizeof(outcomes[0])))
		fail_msg("%s at %s%+d: engines differ", fort_rows[attempt->row].name, what,
			 attempt->off);
	caged_free(&caged);
}

static uint32_t try_all(enum fort_isolation isolation, bool stores_only)
{
	struct bad_address bad[BAD_ADDRESSES_MAX];
	uint32_t n_bad = bad_addresses(&cage, bad), n = 0;

	for (unsigned row = 0; row < FORT_ROWS; row++) {
		if (!accesses(row) || (stores_only && loads(row)))
			continue;
		for (uint32_t i = 0; i < n_bad; i++)
			for (unsigned j = 0; j < FORT_LEN(offsets); j++, n++) {
				const struct attempt attempt = {row, bad[i].address, offsets[j]};

				try(&attempt, isolation, bad[i].what);
			}
	}
	return n;
}

static void nothing_escapes_from_sfi(void **state)
{
	uint32_t n = try_all(FORT_ISOLATION_SFI, false);

	print_message("# %u accesses on each engine\n", n);
	assert_true(n > 10000);
}

/* What is loaded is the proof's to say, what is stored is not. */
static void no_store_escapes_from_sfi_store(void **state)
{
	print_message("# %u accesses on each engine\n", try_all(FORT_ISOLATION_SFI_STORE, true));
}

/* Each register may hold the address, and each the data; r10 too. */
static void registers_do_not_matter(void **state)
{
	static const enum fort_row rows[] = {FORT_ROW_LDX64, FORT_ROW_STX8, FORT_ROW_A_ADD64,
					     FORT_ROW_A_CMPXCHG32, FORT_ROW_A_FETCH_XOR64};
	uint64_t heap = (uint64_t)(uintptr_t)cage.heap;

	for (unsigned i = 0; i < FORT_LEN(rows); i++)
		for (uint8_t base = 0; base < FORT_R10; base++)
			for (uint8_t data = 0; data < FORT_R10; data++) {
				bool is_load = loads(rows[i]);
				const struct fort_insn insns[] = {
					fort_insn_make(FORT_ROW_LDIMM, base, 0, 0, (int64_t)heap),
					fort_insn_make(FORT_ROW_LDIMM_HIGH, 0, 0, 0, 0),
					fort_insn_make(rows[i], is_load ? data : base,
						       is_load ? base : data, 0, 0),
					fort_insn_make(FORT_ROW_EXIT, 0, 0, 0, 0),
				};
				struct outcome outcomes[FORT_LEN(cage_engines)];
				struct caged caged;

				assert_true(caged_build(&caged, insns, FORT_LEN(insns)));
				for (unsigned e = 0; e < FORT_LEN(cage_engines); e++)
					outcomes[e] =
						cage_run(&cage, cage_engines[e], FORT_ISOLATION_SFI,
							 false, &caged, 100);
				assert_memory_equal(&outcomes[0], &outcomes[1],
						    sizeof(outcomes[0]));
				caged_free(&caged);
			}
}

/* --- programs in the shape of known holes --- */

/* What verifiers took for bounded, and was not: each ends in an access far from the map's value
 * in r8, by what the mistake left in r1. From the kernel's history (spec of the verifier, 4). */
static const struct {
	const char *what, *source;
} holes[] = {
	{"2017-16995: a negative immediate, 32 bits", "mov32 r1, -1\njeq r1, -1, +1\nlsh r1, 12"},
	{"2017-16996: truncation of a range", "lddw r1, 0x100000007\nmov32 r1, r1\nlsh r1, 20"},
	{"2017-17852: arithmetic on a pointer, 32 bits", "mov r1, 0\nadd32 r8, 0x7fff0000"},
	{"2018-18445: a shift of 32 bits", "lddw r1, 0xfffffffff0000000\nrsh32 r1, 4"},
	{"2020-8835: bounds of a 32-bit comparison",
	 "lddw r1, 0x7fffffff00000001\njgt32 r1, 1, +1\nlsh r1, 3"},
	{"2020-27194: OR of halves", "lddw r1, 0x7fff000000000000\nor r1, 1"},
	{"2021-3444: remainder by zero",
	 "lddw r1, 0x700000000\nmov r2, 0\nmod32 r1, r2\nlsh r1, 33"},
	{"2021-3490: AND of known halves", "lddw r1, 0xffffffff00000001\nand r1, r1"},
	{"2021-31440: a range over 2^32", "lddw r1, 0x1fffffff8\nadd r1, 16"},
	{"2022-23222: arithmetic on a pointer or NULL", "mov r1, 0\nmov r8, 0\nadd r8, 0x1000"},
	{"2023-2163: two paths, one of them safe", "mov r1, 0\njeq r1, 0, +2\nlddw r1, 0x10000000"},
	{"2023-52920: a spill by another register",
	 "mov r2, r10\nlddw r1, 0x40000000\nstxdw [r2-8], r1\nldxdw r1, [r10-8]"},
	{"2024-41003: an empty range", "mov32 r1, 0x7ffff000\nand32 r1, 0x7ffff001"},
	{"2026-31413: OR of a sign", "mov r1, -1\narsh r1, 31\nor r1, 8\nlsh r1, 30"},
	{"2026-31525: the least number divided by -1",
	 "mov32 r1, 0x80000000\nmov32 r2, -1\nsdiv32 r1, r2"},
};

static void known_holes_lead_nowhere(void **state)
{
	static const char *const ends[] = {"ldxdw r0, [r8+0]", "stxdw [r8+0], r8", "stdw [r8+0], 1",
					   "lock add [r8+0], r1"};

	for (unsigned i = 0; i < FORT_LEN(holes); i++)
		for (unsigned j = 0; j < FORT_LEN(ends); j++) {
			struct outcome outcomes[FORT_LEN(cage_engines)];
			char source[512];
			struct fort_text text = fort_text_on(source, sizeof(source));
			struct caged caged;

			fort_text_add(&text,
				      "lddw r8, map_idx_value %u, 0\n%s\nadd r8, r1\n%s\nexit",
				      CAGE_ARRAY, holes[i].source, ends[j]);
			caged_assemble(&caged, source);
			for (unsigned e = 0; e < FORT_LEN(cage_engines); e++)
				outcomes[e] = cage_run(&cage, cage_engines[e], FORT_ISOLATION_SFI,
						       false, &caged, 1000);
			if (memcmp(&outcomes[0], &outcomes[1], sizeof(outcomes[0])) ||
			    (outcomes[0].abort.code != FORT_ABORT_MEMORY &&
			     outcomes[0].abort.code != FORT_ABORT_NONE))
				fail_msg("%s, %s: %s", holes[i].what, ends[j],
					 fort_abort_name(outcomes[0].abort.code));
			caged_free(&caged);
		}
}

/* --- --- */

static int open_all(void **state)
{
	cage_open(&cage);
	return 0;
}

static int close_all(void **state)
{
	cage_close(&cage);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_escapes_from_sfi),
		cmocka_unit_test(no_store_escapes_from_sfi_store),
		cmocka_unit_test(registers_do_not_matter),
		cmocka_unit_test(known_holes_lead_nowhere),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
