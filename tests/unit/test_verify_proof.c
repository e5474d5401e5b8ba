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

#define MUTATIONS 100000

/* Programs whose certificates hold every kind of claim and edge. */
static const struct {
	const char *type, *code;
} programs[] = {
	{"socket_filter", "mov r6, r1\nmov r7, 0\nmov r8, 0\n"
			  "loop: call 7\njset r0, 1, odd\nadd r8, 1\n"
			  "odd: add r7, 1\njlt r7, 20, loop\n"
			  "mov r0, r8\nexit\n"},
	{"xdp", "ldxw r6, [r1+0]\nldxw r7, [r1+4]\ncall 7\nmov r8, r0\nand r8, 63\n"
		"mov r1, r6\nadd r1, r8\nmov r2, r1\nadd r2, 4\njgt r2, r7, out\n"
		"jset r0, 1, a\nldxw r3, [r1+0]\nja b\na: ldxb r3, [r1+3]\n"
		"b: ldxh r4, [r1+2]\nstxdw [r10-8], r1\nout: mov r0, 2\nexit\n"},
	{"kprobe", "mov r6, 0\nstxdw [r10-16], r6\nlddw r1, map_idx 1\nmov r2, r10\nadd r2, -16\n"
		   "call 1\nmov r7, r0\ncall 7\nand r0, 7\nstxdw [r10-24], r0\njset r0, 1, a\n"
		   "mov r6, 1\na: jeq r7, 0, out\nldxdw r1, [r10-24]\nadd r7, r1\n"
		   "ldxb r0, [r7+8]\nout: mov r0, r6\nexit\n"},
	{"kprobe", "lddw r1, map_idx 2\nmov r2, 24\nmov r3, 0\ncall 131\nmov r6, r0\n"
		   "jeq r6, 0, out\ncall 7\njset r0, 1, a\nstxdw [r6+0], r0\n"
		   "a: mov r1, r6\nmov r2, 0\ncall local send\nout: mov r0, 0\nexit\n"
		   "send: jset r2, 1, drop\ncall 132\nmov r0, 0\nexit\n"
		   "drop: call 133\nmov r0, 0\nexit\n"},
	{"socket_filter", "call 7\nmov r1, r0\nand r1, 0xff\nmov r2, r1\njlt r1, 16, small\n"
			  "mov r2, 15\nsmall: lddw r3, map_idx_value 3, 0\nadd r3, r2\n"
			  "stdw [r10-8], 0\ncall local f\nexit\n"
			  "f: mov r6, 3\nl: ldxb r0, [r3+0]\nadd r3, 1\nsub r6, 1\n"
			  "jne r6, 0, l\nexit\n"},
};

static struct lab lab;

static void open_program(size_t i)
{
	if (!lab_open(&lab, programs[i].type, programs[i].code))
		fail_msg("program %zu: %s", i, lab.error);
	assert_true(lab_search(&lab, FORT_SABOTAGE_NONE));
	if (lab.result.verdict != FORT_ACCEPT)
		fail_msg("program %zu: rejected at %u with %u", i, lab.result.violation.pc,
			 lab.result.violation.diag);
}

static void honest_certificates_pass(void **state)
{
	(void)state;
	for (size_t i = 0; i < FORT_LEN(programs); i++) {
		open_program(i);
		if (!lab_check(&lab, lab.result.certificate.data, lab.result.certificate.bytes))
			fail_msg("program %zu: %s at %u", i, fort_check_fault_text(lab.check.fault),
				 lab.check.pc);
		assert_int_equal(lab.check.steps, lab.result.insns_processed);
		lab_free(&lab);
	}
}

/* Unsafe twins: the search is told to overlook something; the checker must not. Programs that are
 * safe may still be accepted, if what was overlooked did not matter. */
static const struct {
	enum fort_sabotage sabotage;
	const char *type, *code;
} unsafe[] = {
	/* An index is 0 on the first path to the join, 60 on the second. */
	{FORT_SABOTAGE_PRUNE, "socket_filter",
	 "call 7\nmov r6, 0\njset r0, 1, a\nja b\na: mov r6, 60\n"
	 "b: lddw r1, map_idx_value 3, 0\nadd r1, r6\nldxdw r0, [r1+0]\nmov r0, 0\nexit\n"},
	{FORT_SABOTAGE_PRECISION, "socket_filter",
	 "call 7\nmov r6, 0\njset r0, 1, a\nja b\na: mov r6, 60\n"
	 "b: lddw r1, map_idx_value 3, 0\nadd r1, r6\nldxdw r0, [r1+0]\nmov r0, 0\nexit\n"},
	/* A register is set on one path only. */
	{FORT_SABOTAGE_LIVENESS, "socket_filter",
	 "call 7\njset r0, 1, a\nmov r9, 0\na: call 7\njset r0, 2, b\nmov r8, r9\n"
	 "b: mov r0, 0\nexit\n"},
	/* A pointer is checked on one path only. */
	{FORT_SABOTAGE_PRUNE, "xdp",
	 "ldxw r6, [r1+0]\nldxw r7, [r1+4]\nmov r8, r6\nadd r8, 8\ncall 7\njset r0, 1, a\n"
	 "jgt r8, r7, out\na: ldxdw r0, [r6+0]\nout: mov r0, 0\nexit\n"},
	{FORT_SABOTAGE_LIVENESS, "xdp",
	 "ldxw r8, [r1+0]\nldxw r9, [r1+4]\nmov r1, r8\nadd r1, 8\njgt r1, r9, out\ncall 7\n"
	 "jset r0, 1, a\nmov r0, 0\na: ldxdw r0, [r8+0]\nout: mov r0, 0\nexit\n"},
};

static void sabotage_is_caught(void **state)
{
	unsigned rejected = 0, uncertified = 0;

	(void)state;
	for (size_t i = 0; i < FORT_LEN(unsafe); i++) {
		bool safe;

		if (!lab_open(&lab, unsafe[i].type, unsafe[i].code))
			fail_msg("program %zu: %s", i, lab.error);
		assert_true(lab_search(&lab, FORT_SABOTAGE_NONE));
		safe = lab.result.verdict == FORT_ACCEPT;
		assert_true(lab_search(&lab, unsafe[i].sabotage));
		if (lab.result.verdict == FORT_REJECT) {
			rejected++;
		} else if (!lab_check(&lab, lab.result.certificate.data,
				      lab.result.certificate.bytes)) {
			uncertified++;
		} else if (!safe) {
			fail_msg("program %zu: an unsafe program passed", i);
		}
		lab_free(&lab);
	}
	/* The switches must do what they are for: most end at the checker. */
	if (uncertified < 3)
		fail_msg("%u caught by the checker, %u by the search", uncertified, rejected);
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
	for (size_t i = 0; i < FORT_LEN(programs); i++) {
		uint8_t *bytes;
		size_t n;

		open_program(i);
		n = lab.result.certificate.bytes;
		bytes = malloc(n);
		for (unsigned round = 0; round < MUTATIONS / FORT_LEN(programs); round++) {
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
	for (size_t i = 0; i < FORT_LEN(programs); i++) {
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
