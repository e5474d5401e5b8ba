/* Expanded programs (harden/expand.h): that they are programs, what they do under an engine without
 * a proof and read back by the output checker, and where they end when they end early. Programs
 * beside the running kernel are in tests/kernel/test_kernel_expand.c.
 */
#define MACHINE_EXPAND
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/text.h"
#include "helper/helper.h"
#include "machine.h"

#define CALL_BACK(count, function)                   \
	"mov r1, " count "\nlddw r2, func " function \
	"\nmov r3, r10\nadd r3, -8\nmov r4, 0\ncall 181\n"

static const struct row {
	const char *name, *code;
	uint64_t r0;
	enum fort_abort_code abort;
	uint32_t pc; /* of the program as it was */
} rows[] = {
	{"registers are kept",
	 "mov r6, 1\nmov r7, 2\nmov r8, 4\nmov r9, 8\n" CALL_BACK(
		 "3", "f") "add r0, r6\nadd r0, r7\nadd r0, r8\nadd r0, r9\nexit\n"
			   "f: mov r6, 50\nmov r7, 50\nmov r8, 50\nmov r9, 50\nmov r0, 0\nexit",
	 18, 0, 0},
	{"eight frames",
	 CALL_BACK("1", "a") "exit\na: " CALL_BACK(
		 "1",
		 "b") "mov r0, 0\nexit\n"
		      "b: " CALL_BACK("1", "c") "mov r0, 0\nexit\nc: " CALL_BACK(
			      "1",
			      "d") "mov r0, 0\nexit\n"
				   "d: " CALL_BACK("1", "e") "mov r0, 0\nexit\ne: " CALL_BACK(
					   "1",
					   "f") "mov r0, 0\nexit\n"
						"f: " CALL_BACK(
							"2",
							"g") "mov r0, 0\nexit\ng: mov r0, 0\nexit",
	 1, 0, 0},
	{"more frames",
	 CALL_BACK("1", "a") "exit\na: " CALL_BACK(
		 "1", "b") "mov r0, 0\nexit\n"
			   "b: " CALL_BACK("1", "c") "mov r0, 0\nexit\nc: " CALL_BACK(
				   "1",
				   "d") "mov r0, 0\nexit\n"
					"d: " CALL_BACK("1", "e") "mov r0, 0\nexit\ne: " CALL_BACK(
						"1",
						"f") "mov r0, 0\nexit\n"
						     "f: " CALL_BACK("2",
								     "g") "mov r0, "
									  "0\nexit\ng: " CALL_BACK(
										  "2",
										  "h") "mov r0, "
										       "0\nexit\n"
										       "h: mov r0, "
										       "0\nexit",
	 0, FORT_ABORT_DEPTH, 68},
	{"a fault in what is called back",
	 CALL_BACK("5", "f") "exit\nf: jlt r1, 3, o\nldxdw r0, [r1+0]\no: mov r0, 0\nexit", 0,
	 FORT_ABORT_MEMORY, 9},
	{"fuel that ends in what is called back", CALL_BACK("2", "f") "exit\nf: l: ja l", 0,
	 FORT_ABORT_FUEL, 8},
	{"fuel that ends between two calls", CALL_BACK("8000000", "f") "exit\nf: mov r0, 0\nexit",
	 0, FORT_ABORT_FUEL, 6},
	{"what is no function", "mov r1, 1\nmov r2, 2048\nmov r3, 0\nmov r4, 0\ncall 181\nexit", 0,
	 FORT_ABORT_HELPER_ARG, 4},
	{"the address of another function, kept in memory",
	 "lddw r2, func f\nstxdw [r10-16], r2\nlddw r2, func g\nldxdw r2, [r10-16]\nmov r1, 9\n"
	 "mov r3, 0\nmov r4, 0\ncall 181\nexit\nf: mov r0, 1\nexit\ng: mov r0, 0\nexit",
	 1, 0, 0},
	{"jumps across what is expanded",
	 "mov r0, 0\nmov r6, 3\nl: add r0, 1\nmay_goto o\n" CALL_BACK(
		 "2", "f") "add r6, r0\njlt r6, 9, l\no: mov r0, r6\nexit\nf: mov r0, 0\nexit",
	 9, 0, 0},
	{"no packet", "mov r6, r1\nmov r0, 5\nldabsb 0\nmov r0, 7\nexit", 0, 0, 0},
	{"a counter of each frame",
	 "mov r6, 0\nl: may_goto o\nadd r6, 1\nmov r1, 0\ncall local f\njlt r6, 3, l\n"
	 "o: mov r0, r6\nexit\nf: may_goto +2\nadd r1, 1\njlt r1, 1500, f\nmov r0, 0\nexit",
	 3, 0, 0},
};

static void programs_do_what_they_should(void **state)
{
	for (size_t i = 0; i < FORT_LEN(rows); i++)
		for (unsigned isolation = 0; isolation < FORT_ISOLATIONS; isolation++) {
			const struct row *row = &rows[i];
			struct machine m;
			uint32_t pc;
			uint64_t r0;

			if (!(MACHINE_ENGINE.isolations & 1u << isolation) ||
			    fort_isolations[isolation].keys || !machine_allows(isolation) ||
			    (row->abort == FORT_ABORT_MEMORY && !fort_isolations[isolation].loads))
				continue;
			machine_load(&m, row->code, NULL, 0);
			m.helper = fort_helper_function;
			m.unproven = isolation == FORT_ISOLATION_SFI;
			assert_int_equal(machine_compile(&m, isolation), 0);
			r0 = machine_run(&m);
			pc = m.expanded.origin[m.run.abort.pc];
			if (r0 != row->r0 || m.run.abort.code != row->abort ||
			    (row->abort && pc != row->pc))
				fail_msg("%s, %s: %llu, %s at %u", row->name,
					 fort_isolation_name(isolation), (unsigned long long)r0,
					 fort_abort_name(m.run.abort.code), pc);
			machine_free(&m);
		}
}

/* What was written is a program: its targets are instructions, its functions those of the table;
 * and each instruction that was there begins once. */
static void what_comes_out_is_a_program(void **state)
{
	for (size_t i = 0; i < FORT_LEN(rows); i++) {
		struct fort_graph_error error;
		struct fort_graph graph;
		struct machine m;
		uint32_t begins = 0, insns = 0;

		machine_load(&m, rows[i].code, NULL, 0);
		assert_int_equal(fort_graph_build(&m.arena, m.expanded.program.insns,
						  m.expanded.program.n_insns, &graph, &error),
				 0);
		assert_int_equal(graph.program.n_subprogs, m.expanded.program.n_subprogs);
		assert_memory_equal(graph.program.subprogs, m.expanded.program.subprogs,
				    graph.program.n_subprogs * sizeof(graph.program.subprogs[0]));
		for (uint32_t pc = 0; pc < m.expanded.program.n_insns; pc++)
			begins += m.expanded.sights[pc] == FORT_SIGHT_BEGINS;
		for (uint32_t pc = 0; pc < m.graph.program.n_insns; pc++)
			insns += m.graph.program.insns[pc].kind != FORT_LDIMM_HIGH;
		/* "more frames" and the like call all of their functions; one row does not. */
		assert_true(begins == insns || strstr(rows[i].name, "another function"));
		machine_free(&m);
	}
}

static void others_stay_as_they_are(void **state)
{
	struct machine m;

	machine_load(&m, "mov r0, 1\ncall local f\nexit\nf: add r0, 1\nexit", NULL, 0);
	assert_null(m.expanded.origin);
	assert_ptr_equal(m.expanded.program.insns, m.graph.program.insns);
	m.code = NULL;
	assert_int_equal(machine_compile(&m, FORT_ISOLATION_NONE), 0);
	machine_free(&m);
}

/* --- jumps that become too long for their 16 bits --- */

/* Compiling takes LLVM long, and what a guest computes. */
#ifdef MACHINE_MPK
#define LONG_TRIES 1u
#else
#define LONG_TRIES (MACHINE_ENGINE.vague ? 2u : 32u)
#endif

static void add_filling(struct fort_text *text, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		fort_text_add(text, "add r0, 1\n");
}

/* Forward and back over much, and a counted jump: conditions on constants, registers, low halves
 * and bits, and none. The first one jumps over n + m + 7 instructions. */
static uint64_t run_long(unsigned r6, unsigned n, unsigned m)
{
	struct fort_text text = fort_text_new();
	struct machine machine;
	uint64_t r0;

	fort_text_add(&text,
		      "mov r0, 0\nmov r6, %u\nmov r7, 3\nl: jeq r6, 3, o\njset r6, 8, o\n"
		      "jgt32 r6, 100, o\nmay_goto o\n",
		      r6);
	add_filling(&text, n);
	fort_text_add(&text, "add r6, 1\njlt r6, r7, l\njeq r6, 71, q\nja l\nq: \n");
	add_filling(&text, m);
	fort_text_add(&text, "o: add r0, r6\nexit");
	machine_load(&machine, text.data, NULL, 0);
	fort_text_free(&text);
	machine.helper = fort_helper_function;
	machine.unproven = true;
	assert_int_equal(machine_compile(&machine, FORT_ISOLATION_SFI), 0);
	r0 = machine_run(&machine);
	assert_int_equal(machine.run.abort.code, 0);
	machine_free(&machine);
	return r0;
}

static void jumps_become_long(void **state)
{
	unsigned most = INT16_MAX - 7;

	/* By what a counted jump becomes, and a little: around that some jumps fit and some do
	 * not. */
	for (unsigned less = 0; less < LONG_TRIES; less++) {
		unsigned n = (most - less) / 3 + less * 400, m = most - less - n;

		assert_int_equal(run_long(0, n, m), 3 * n + 3);
		assert_int_equal(run_long(8, n, m), 8);
		assert_int_equal(run_long(101, n, m), 101);
		assert_int_equal(run_long(70, n, m), n + m + 71);
	}
}

/* Where a jump of the expanded program gets to, through those that it is made of. */
static uint32_t end_of_jump(const struct fort_program *program, uint32_t pc)
{
	uint32_t to = (uint32_t)fort_insn_target(&program->insns[pc], pc);

	/* What jumps no further than over the next one jumps to a longer one. */
	if (to == pc + 2 && program->insns[pc + 1].kind == FORT_JA &&
	    program->insns[to].op == FORT_OP_JA32)
		to = (uint32_t)fort_insn_target(&program->insns[to], to);
	return to;
}

/* As large as programs are, with a jump as long as there is at every eighth instruction: each goes
 * to what its target became, and so does what comes behind one that is not taken. */
static void all_of_a_large_program(void **state)
{
	const uint32_t n = FORT_PROG_INSNS_MAX, step = 8;
	struct fort_insn *insns = calloc(n, sizeof(*insns));
	uint32_t *starts = calloc(n, sizeof(*starts));
	struct fort_graph_error error;
	struct fort_expanded expanded;
	struct fort_arena arena;
	struct fort_graph graph;
	uint32_t jumps = 0, stretched = 0;

	for (uint32_t pc = 0; pc < n; pc++)
		insns[pc] = fort_insn_make(FORT_ROW_MOV64_K, 0, 0, 0, 1);
	insns[n - 1] = fort_insn_make(FORT_ROW_EXIT, 0, 0, 0, 0);
	for (uint32_t pc = 0; pc + step < n; pc += step) {
		int64_t most = pc % 16 ? (int64_t)n - 2 - pc : -(int64_t)pc - 1;
		int64_t off = most > INT16_MAX ? INT16_MAX : most < INT16_MIN ? INT16_MIN : most;

		insns[pc] = fort_insn_make(FORT_ROW_JGT64_K, 1, 0, (int16_t)off, 0);
		insns[pc + 3] = fort_insn_make(FORT_ROW_MAY_GOTO, 0, 0, 1, 0);
	}
	fort_arena_init(&arena, 1u << 30);
	assert_int_equal(fort_graph_build(&arena, insns, n, &graph, &error), 0);
	assert_int_equal(fort_expand(&graph.program, &arena, &expanded), 0);
	for (uint32_t pc = expanded.program.n_insns; pc-- > 0;)
		if (expanded.sights[pc] == FORT_SIGHT_BEGINS)
			starts[expanded.origin[pc]] = pc;
	for (uint32_t pc = 0; pc < n; pc++) {
		if (insns[pc].kind != FORT_JCC_K)
			continue;
		assert_int_equal(end_of_jump(&expanded.program, starts[pc]),
				 starts[fort_insn_target(&insns[pc], pc)]);
		if (starts[pc + 1] != starts[pc] + 1) {
			assert_int_equal(expanded.program.insns[starts[pc] + 1].kind, FORT_JA);
			assert_int_equal(fort_insn_target(&expanded.program.insns[starts[pc] + 1],
							  starts[pc] + 1),
					 starts[pc + 1]);
			stretched++;
		}
		jumps++;
	}
	assert_in_range(jumps, n / step - 1, n / step);
	assert_in_range(stretched, jumps * 9 / 10, jumps);
	fort_arena_free(&arena);
	free(starts);
	free(insns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(programs_do_what_they_should),
		cmocka_unit_test(what_comes_out_is_a_program),
		cmocka_unit_test(others_stay_as_they_are),
		cmocka_unit_test(jumps_become_long),
		cmocka_unit_test(all_of_a_large_program),
	};

	if (machine_must_skip())
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
