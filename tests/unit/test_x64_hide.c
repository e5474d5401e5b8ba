/* Constants that are hidden in machine code: of every kind of instruction that has one, none is in
 * the image as it is, and the program does the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#define MACHINE_ENGINE fort_engine_x64
#include "machine.h"

#define CONSTANT 0x5eadbe57

static bool image_has(const struct machine *m, uint32_t constant)
{
	struct fort_code_view view;

	m->engine->view(m->code, &view);
	return memmem(view.bytes, view.n_bytes, &constant, sizeof(constant)) != NULL;
}

/* What would a program do that has the constant in this kind of instruction? "": nothing. */
static void write_constant(const struct fort_row_info *row, char *source, size_t room)
{
	bool shifts = row->op == FORT_OP_LSH || row->op == FORT_OP_RSH || row->op == FORT_OP_ARSH;

	source[0] = 0;
	if ((row->kind == FORT_ALU_K || row->kind == FORT_MOV_K) && !shifts)
		snprintf(source, room, "%s r0, %u\nexit", row->name, CONSTANT);
	else if (row->kind == FORT_JCC_K)
		snprintf(source, room, "%s r1, %u, +1\nmov r0, 1\nexit", row->name, CONSTANT);
	else if (row->kind == FORT_ST)
		snprintf(source, room, "%s [r10-8], %u\nldxdw r0, [r10-8]\nexit", row->name,
			 CONSTANT);
	else if (row->kind == FORT_LDIMM && row->op == FORT_OP_CONST)
		snprintf(source, room, "lddw r0, 0x1234%x\nexit", CONSTANT);
}

static void hidden_constants_are_not_in_images(void **state)
{
	unsigned shown = 0, tried = 0;

	for (unsigned row = 0; row < FORT_ROWS; row++) {
		uint64_t results[2];
		char source[128];

		write_constant(&fort_rows[row], source, sizeof(source));
		if (!source[0])
			continue;
		for (unsigned blind = 0; blind < 2; blind++) {
			struct machine m;

			machine_load(&m, source, NULL, 0);
			m.unproven = true;
			m.blind = blind;
			assert_int_equal(machine_compile(&m, FORT_ISOLATION_SFI), 0);
			results[blind] = machine_run(&m);
			if (image_has(&m, CONSTANT) && blind)
				fail_msg("the image has the constant of %s", source);
			shown += image_has(&m, CONSTANT) && !blind;
			machine_free(&m);
		}
		assert_int_equal(results[0], results[1]);
		tried++;
	}
	/* Not of division, which multiplies instead, nor of what is narrower. */
	assert_true(shown > 20 && tried > shown);
}

/* Loops that are unrolled, with costs of all sizes, compute the same and are read back. */
static void unrolled_loops_do_the_same(void **state)
{
	for (uint32_t slots = 2; slots < 40; slots++) {
		for (unsigned blind = 0; blind < 2; blind++) {
			struct fort_text source = fort_text_new();
			struct machine m;

			fort_text_add(&source, "mov r0, 0\nmov r6, 0\n");
			for (uint32_t i = 0; i < slots; i++)
				fort_text_add(&source, "add r0, r6\n");
			fort_text_add(&source, "add r6, 1\njne r6, 37, -%u\nexit", slots + 2);
			machine_load(&m, source.data, NULL, 0);
			m.unproven = true;
			m.blind = blind;
			assert_int_equal(machine_compile(&m, FORT_ISOLATION_SFI), 0);
			assert_int_equal(machine_run(&m), slots * 36 * 37 / 2);
			machine_free(&m);
			fort_text_free(&source);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hidden_constants_are_not_in_images),
		cmocka_unit_test(unrolled_loops_do_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
