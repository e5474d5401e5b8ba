/* Attach, hit, detach: counts, registers, return values, what is left. */
#include "tests/attach/harness.h"

#include <string.h>
#include <unistd.h>

static const char *const builds[] = {"VICTIM", "VICTIM_ENDBR", "VICTIM_STATIC", "VICTIM_NOPIE"};

static void step(const struct victim *victim, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		victim->control->events++;
		harness_progress(victim, 1);
	}
}

static void counts_are_exact(void **state)
{
	for (size_t i = 0; i < sizeof(builds) / sizeof(builds[0]); i++) {
		struct victim victim = harness_start(builds[i], "step", 1);
		struct remains before = harness_remains(victim.pid);
		struct aim aim = harness_aim(victim.pid);
		struct fort_probe *entry, *exit, *recurse;

		step(&victim, 1);
		entry = harness_probe(&aim, NULL, "victim_work", false, COUNTING_RECORD, 1);
		exit = harness_probe(&aim, NULL, "victim_work", true, COUNTING_RECORD, 2);
		recurse = harness_probe(&aim, NULL, "victim_recurse", true, COUNTING_NOTHING, 3);
		step(&victim, 10);
		assert_int_equal(fort_probe_counts(entry).hits, 10);
		assert_int_equal(fort_probe_counts(exit).hits, 10);
		assert_int_equal(fort_probe_counts(recurse).hits, 410);
		assert_int_equal(fort_probe_counts(recurse).missed, 0);
		assert_int_equal(harness_runs(&aim), 20);
		harness_unprobe(entry);
		step(&victim, 5);
		assert_int_equal(fort_probe_counts(exit).hits, 15);
		harness_unprobe(exit);
		harness_unprobe(recurse);
		step(&victim, 5);
		assert_int_equal(harness_runs(&aim), 25);
		harness_aim_close(&aim);
		harness_assert_clean(victim.pid, &before);
		harness_end(&victim);
	}
}

static void registers_are_those_of_the_call(void **state)
{
	struct victim victim = harness_start("VICTIM", "step", 1);
	struct aim aim = harness_aim(victim.pid);
	struct fort_probe *probe = harness_probe(&aim, NULL, "victim_work", false, COUNTING_RECORD,
						 0x1122334455667788);
	const uint64_t *regs = aim.counting->regs;
	uint64_t entry_rsp;

	step(&victim, 1);
	assert_int_equal(regs[FORT_CPU_RDI], 11);
	assert_int_equal(regs[FORT_CPU_RSI], 12);
	assert_int_equal(regs[FORT_CPU_RDX], 13);
	assert_int_equal(regs[FORT_CPU_RCX], 14);
	assert_int_equal(regs[FORT_CPU_R8], 15);
	assert_int_equal(regs[FORT_CPU_R9], 16);
	assert_int_equal(regs[FORT_CPU_RIP], fort_probe_address(probe));
	assert_int_equal(aim.counting->ip, fort_probe_address(probe));
	assert_int_equal(aim.counting->cookie, 0x1122334455667788);
	assert_int_equal(regs[FORT_CPU_ORIG_RAX], -1);
	assert_int_equal(regs[FORT_CPU_CS], 0x33);
	assert_int_equal(regs[FORT_CPU_SS], 0x2b);
	assert_int_equal(regs[FORT_CPU_FLAGS] & 0x202, 0x202);
	entry_rsp = regs[FORT_CPU_RSP];
	harness_unprobe(probe);
	probe = harness_probe(&aim, NULL, "victim_work", true, COUNTING_RECORD, 5);
	step(&victim, 1);
	assert_int_equal(regs[FORT_CPU_RAX], 11 + 24 + 39 + 56 + 75 + 96 + 119 + 144);
	assert_int_equal(regs[FORT_CPU_RSP], entry_rsp + 8);
	assert_int_not_equal(regs[FORT_CPU_RIP], fort_probe_address(probe));
	assert_int_equal(aim.counting->ip, fort_probe_address(probe));
	harness_unprobe(probe);
	harness_aim_close(&aim);
	harness_end(&victim);
}

int main(void)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_are_exact),
		cmocka_unit_test(registers_are_those_of_the_call),
	};

	return HARNESS_MAIN(tests);
}
