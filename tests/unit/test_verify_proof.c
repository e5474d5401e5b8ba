/* The search proposes, the checker disposes: certificates that are wrong, in whatever way, do not
 * pass.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../verify/lab.h"
#include "../verify/programs.h"

#define MUTATIONS 100000

static struct lab lab;

static void open_program(size_t i)
{
	if (!lab_open(&lab, lab_safe[i].type, lab_safe[i].code))
		fail_msg("program %zu: %s", i, lab.error);
	assert_true(lab_search(&lab, FORT_SABOTAGE_NONE));
	if (lab.result.verdict != FORT_ACCEPT)
		fail_msg("program %zu: rejected at %u with %u", i, lab.result.violation.pc,
			 lab.result.violation.diag);
}

static void honest_certificates_pass(void **state)
{
	(void)state;
	for (size_t i = 0; i < FORT_LEN(lab_safe); i++) {
		open_program(i);
		if (!lab_check(&lab, lab.result.certificate.data, lab.result.certificate.bytes))
			fail_msg("program %zu: %s at %u", i, fort_check_fault_text(lab.check.fault),
				 lab.check.pc);
		/* Once through what the search may have done several times. */
		assert_true(lab.check.steps <= lab.result.insns_processed);
		lab_free(&lab);
	}
}

/* Unsafe programs, and a search that is told to overlook something: the checker must not. */
static void sabotage_is_caught(void **state)
{
	unsigned uncertified[FORT_SABOTAGES] = {0};

	(void)state;
	for (size_t i = 0; i < FORT_LEN(lab_unsafe); i++)
		for (unsigned s = FORT_SABOTAGE_NONE; s < FORT_SABOTAGES; s++) {
			if (!lab_open(&lab, lab_unsafe[i].type, lab_unsafe[i].code))
				fail_msg("program %zu: %s", i, lab.error);
			assert_true(lab_search(&lab, s));
			if (lab.result.verdict == FORT_ACCEPT) {
				if (s == FORT_SABOTAGE_NONE ||
				    lab_check(&lab, lab.result.certificate.data,
					      lab.result.certificate.bytes))
					fail_msg("program %zu: an unsafe program passed", i);
				uncertified[s]++;
			}
			lab_free(&lab);
		}
	/* The switches must do what they are for: each ends at the checker at least once. */
	for (unsigned s = FORT_SABOTAGE_NONE + 1; s < FORT_SABOTAGES; s++)
		if (!uncertified[s])
			fail_msg("sabotage %u was never left to the checker", s);
}

static uint64_t random_state = 0x2545f4914f6cdd1d;

static uint64_t random_number(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* A changed certificate is refused, or proves the same program all the same: what it says is then
 * true, since the checker applied every step. Here: no crash, and the binding always holds. */
static void mutations(void **state)
{
	unsigned refused = 0, passed = 0;

	(void)state;
	for (size_t i = 0; i < FORT_LEN(lab_safe); i++) {
		uint8_t *bytes;
		size_t n;

		open_program(i);
		n = lab.result.certificate.bytes;
		bytes = malloc(n);
		for (unsigned round = 0; round < MUTATIONS / FORT_LEN(lab_safe); round++) {
			size_t length = n;

			memcpy(bytes, lab.result.certificate.data, n);
			bytes[random_number() % n] ^= (uint8_t)(1u << random_number() % 8);
			if (random_number() % 4 == 0)
				bytes[random_number() % n] = (uint8_t)random_number();
			if (random_number() % 16 == 0)
				length = random_number() % n;
			if (!memcmp(bytes, lab.result.certificate.data, length) && length == n)
				continue;
			if (!lab_check(&lab, bytes, length)) {
				refused++;
				continue;
			}
			passed++;
			assert_memory_equal(lab.proven.binding, lab.result.certificate.data + 8,
					    32);
			assert_true(lab.check.steps <= FORT_BUDGET_INSNS);
		}
		free(bytes);
		lab_free(&lab);
	}
	print_message("# %u refused, %u still prove their program\n", refused, passed);
	assert_true(refused > passed);
}

/* Every certificate belongs to its own program. */
static void certificates_are_bound(void **state)
{
	(void)state;
	for (size_t i = 0; i < FORT_LEN(lab_safe); i++) {
		struct fort_buf kept;

		open_program(i);
		fort_buf_init(&kept, FORT_CERT_BYTES_MAX);
		fort_buf_put(&kept, lab.result.certificate.data, lab.result.certificate.bytes);
		lab.maps[0].value_bytes++; /* another map */
		assert_false(lab_check(&lab, kept.data, kept.bytes));
		assert_int_equal(lab.check.fault, FORT_CHECK_BINDING);
		lab.maps[0].value_bytes--;
		lab.env.rights ^= FORT_MAY_LEAK_POINTERS; /* other rights */
		assert_false(lab_check(&lab, kept.data, kept.bytes));
		lab.env.rights ^= FORT_MAY_LEAK_POINTERS;
		lab.insns[0].imm ^= 1; /* another instruction */
		assert_false(lab_check(&lab, kept.data, kept.bytes));
		fort_buf_free(&kept);
		lab_free(&lab);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(honest_certificates_pass),
		cmocka_unit_test(sabotage_is_caught),
		cmocka_unit_test(mutations),
		cmocka_unit_test(certificates_are_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
