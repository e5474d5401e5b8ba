/* What a proof says besides: what cannot run yet - which instruction, by class LATER, and only of
 * what some path leads to; the rest does nothing (harden) - and where barriers belong, if no window
 * confines the program.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "harden/harden.h"
#include "lab.h"
#include "load/runs.h"
#include "verify/render.h"

static struct lab lab;

static void prove(const char *type, const char *code)
{
	assert_true(lab_open(&lab, type, code));
	assert_true(lab_meet(&lab, NULL));
	assert_true(lab_search(&lab, FORT_SABOTAGE_NONE));
	assert_int_equal(lab.result.verdict, FORT_ACCEPT);
	assert_true(lab_check(&lab, lab.result.certificate.data, lab.result.certificate.bytes));
}

static void idle_programs_are_named(void **state)
{
	static const struct {
		const char *type, *code, *diag;
		uint32_t pc;
	} rows[] = {
		{"sched_act", "mov r0, 0\nexit", "F1002", 0},
		{"xdp", "lddw r1, map_idx 13\nmov r0, 2\nexit", "F1004", 0},
		{"xdp", "mov r0, 2\nlddw r1, map_idx 16\nexit", "F1004", 1},
		{"sched_cls", "ldxdw r0, [r1+168]\nmov r0, 0\nexit", "F0604", 0},
		{"socket_filter", "call 42\nmov r0, 0\nexit", "F0702", 0},
		{"socket_filter", "lddw r1, map_idx 0\nldxw r1, [r1+24]\nmov r0, 0\nexit", "F0324",
		 2},
		{"xdp",
		 "mov r2, 0\nmov r3, r10\nadd r3, -16\n"
		 "call kfunc bpf_dynptr_from_xdp\nmov r0, 2\nexit",
		 "F0717", 3},
	};

	(void)state;
	for (size_t i = 0; i < FORT_LEN(rows); i++) {
		struct fort_violation why;

		prove(rows[i].type, rows[i].code);
		assert_false(fort_env_runs(&lab.env, &why));
		assert_string_equal(fort_diag_info(why.diag)->code, rows[i].diag);
		assert_int_equal(fort_diag_info(why.diag)->class, FORT_CLASS_LATER);
		assert_int_equal(why.pc, rows[i].pc);
		lab_free(&lab);
	}
}

static void what_nothing_leads_to_does_not_count(void **state)
{
	struct fort_hardened hardened;
	struct fort_violation why;

	(void)state;
	prove("socket_filter", "mov r6, r1\n"
			       "mov r0, 0\n"
			       "jeq r0, 0, out\n"
			       "call 42\n"
			       "ldabsb 0\n"
			       "lddw r1, map_idx 12\n"
			       "out: mov r0, 0\n"
			       "exit");
	assert_true(fort_env_runs(&lab.env, &why));
	assert_int_equal(fort_harden(&lab.proven, &lab.arena, &hardened), 0);
	assert_int_equal(hardened.program.insns[3].kind, FORT_JA);
	assert_int_equal(hardened.program.insns[4].kind, FORT_JA);
	assert_int_equal(hardened.program.insns[5].op, FORT_OP_CONST);
	lab_free(&lab);
}

static void guesses_have_barriers(void **state)
{
	static const struct {
		const char *code;
		uint32_t pc, barriers;
	} rows[] = {
		{"ldxw r0, [r1+0]\nexit", 0, 0},
		{"ldxw r2, [r1+0]\nldxw r3, [r1+4]\nmov r4, r2\nadd r4, 1\n"
		 "jgt r4, r3, out\nldxb r0, [r2+0]\nout: mov r0, 2\nexit",
		 5, FORT_BARRIER_BEFORE},
		{"lddw r2, map_idx_value 3, 8\nldxw r3, [r1+12]\nldxb r0, [r2+0]\n"
		 "and r3, 7\nadd r2, r3\nldxb r0, [r2+0]\nexit",
		 3, 0},
		{"lddw r2, map_idx_value 3, 8\nldxw r3, [r1+12]\nldxb r0, [r2+0]\n"
		 "and r3, 7\nadd r2, r3\nldxb r0, [r2+0]\nexit",
		 6, FORT_BARRIER_BEFORE},
		{"stdw [r10-8], 0\nmov r0, 2\nexit", 0, FORT_BARRIER_AFTER},
		{"stb [r10-7], 5\nstb [r10-7], 6\nmov r0, 2\nexit", 1, 0},
		{"stb [r10-7], 5\nstxdw [r10-8], r1\nmov r0, 2\nexit", 1, FORT_BARRIER_AFTER},
		{"stxdw [r10-8], r1\nstdw [r10-8], 0\nmov r0, 2\nexit", 1, FORT_BARRIER_AFTER},
	};

	(void)state;
	for (size_t i = 0; i < FORT_LEN(rows); i++) {
		const char *type = i ? "xdp" : "socket_filter";

		prove(type, rows[i].code);
		assert_int_equal(lab.env.access[rows[i].pc].barriers, rows[i].barriers);
		lab_free(&lab);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(idle_programs_are_named),
		cmocka_unit_test(what_nothing_leads_to_does_not_count),
		cmocka_unit_test(guesses_have_barriers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
