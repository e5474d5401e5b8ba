/* The assembler: each row of isa.def from text to slots and back, its errors by line and column. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "isa/asm.h"

#define ARENA_BYTES (1u << 20)

static void put_operands(const struct fort_row_info *info, const struct fort_insn *insn,
			 struct fort_text *text)
{
	switch (info->kind) {
	case FORT_ALU_K:
	case FORT_MOV_K: fort_text_add(text, "r%u, %d", insn->dst, (int32_t)insn->imm); break;
	case FORT_ALU_X:
	case FORT_MOV_X:
	case FORT_MOVSX: fort_text_add(text, "%%r%u, %%r%u", insn->dst, insn->src); break;
	case FORT_NEG:
	case FORT_END:
	case FORT_CALLX: fort_text_add(text, "%%r%u", insn->dst); break;
	case FORT_LDX:
	case FORT_LDACQ:
		fort_text_add(text, "r%u, [r%u%+d]", insn->dst, insn->src, insn->off);
		break;
	case FORT_ST:
		fort_text_add(text, "[r%u%+d], %d", insn->dst, insn->off, (int32_t)insn->imm);
		break;
	case FORT_STX:
	case FORT_ATOMIC:
	case FORT_STREL:
		fort_text_add(text, "[%%r%u %+d], r%u", insn->dst, insn->off, insn->src);
		break;
	case FORT_LDIMM:
		if (insn->op == FORT_OP_CONST)
			fort_text_add(text, "r%u, 0x%llX", insn->dst,
				      (unsigned long long)insn->imm);
		else
			fort_text_add(text, "r%u, %s %+d, %d", insn->dst, info->symbol,
				      (int32_t)insn->imm, (int32_t)(insn->imm >> 32));
		break;
	case FORT_LDABS: fort_text_add(text, "%d", (int32_t)insn->imm); break;
	case FORT_LDIND: fort_text_add(text, "r%u, %d", insn->src, (int32_t)insn->imm); break;
	case FORT_JA:
	case FORT_MAY_GOTO: fort_text_add(text, "%+d", (int)(fort_insn_target(insn, 0) - 1)); break;
	case FORT_JCC_K:
		fort_text_add(text, "r%u, %d, %+d", insn->dst, (int32_t)insn->imm, insn->off);
		break;
	case FORT_JCC_X:
		fort_text_add(text, "r%u, r%u, %+d", insn->dst, insn->src, insn->off);
		break;
	case FORT_CALL:
		fort_text_add(text, "%+d", (int32_t)insn->imm);
		if (insn->op == FORT_OP_KFUNC)
			fort_text_add(text, ", %d", insn->off);
		break;
	default: break;
	}
}

static struct fort_insn sample(enum fort_row row, int16_t off, int64_t imm)
{
	struct fort_insn insn = fort_insn_make(row, 0, 0, 0, 0);

	if (fort_insn_uses(&insn, 'D') || fort_insn_uses(&insn, 'd') || fort_insn_uses(&insn, 'b'))
		insn.dst = 3;
	if (fort_insn_uses(&insn, 'S') || fort_insn_uses(&insn, 's') || fort_insn_uses(&insn, '0'))
		insn.src = 9;
	if (fort_insn_uses(&insn, 'O'))
		insn.off = off;
	if (insn.kind == FORT_LDIMM)
		insn.imm = fort_insn_uses(&insn, 'H') ? imm : (uint32_t)imm;
	else if (fort_insn_uses(&insn, 'I'))
		insn.imm = (int32_t)imm;
	return insn;
}

static void check_round_trip(const struct fort_insn *insn)
{
	const struct fort_row_info *info = fort_insn_row(insn);
	char array[120];
	struct fort_text text = fort_text_on(array, sizeof(array));
	struct fort_arena arena;
	struct fort_assembly assembly;
	struct fort_asm_error error = {0};
	struct fort_decode_error decode_error;
	struct fort_insn out[2];

	fort_text_add(&text, " \t%s ", info->name);
	put_operands(info, insn, &text);
	fort_text_add(&text, " # comment");
	assert_false(text.cut);
	fort_arena_init(&arena, ARENA_BYTES);
	if (fort_assemble(&arena, array, text.length, &assembly, &error))
		fail_msg("%s: column %u: expected %s", array, error.column, error.expected);
	assert_int_equal(assembly.n_insns, fort_insn_slots(insn));
	assert_int_equal(fort_insn_decode(assembly.insns, assembly.n_insns, out, &decode_error), 0);
	if (memcmp(&out[0], insn, sizeof(*insn)))
		fail_msg("%s: another instruction came out", array);
	fort_arena_free(&arena);
}

static void each_row_round_trips(void **state)
{
	static const int64_t imms[] = {0,         1,         -1,        INT32_MAX,
				       INT32_MIN, INT64_MIN, INT64_MAX, 0x123456789abcdef0};
	static const int16_t offs[] = {0, 1, -1, INT16_MAX, INT16_MIN};

	for (unsigned row = 0; row < FORT_ROWS; row++)
		for (unsigned i = 0; i < FORT_LEN(imms); i++)
			for (unsigned j = 0; j < FORT_LEN(offs); j++) {
				struct fort_insn insn = sample(row, offs[j], imms[i]);

				if (row != FORT_ROW_LDIMM_HIGH)
					check_round_trip(&insn);
			}
}

static void assemble_ok(struct fort_arena *arena, const char *text, struct fort_assembly *out)
{
	struct fort_asm_error error = {0};

	fort_arena_init(arena, ARENA_BYTES);
	if (fort_assemble(arena, text, strlen(text), out, &error))
		fail_msg("line %u, column %u: expected %s", error.line, error.column,
			 error.expected);
}

static void labels_are_distances(void **state)
{
	struct fort_arena arena;
	struct fort_assembly p;

	assemble_ok(&arena,
		    "start: mov r0, 0\n"            /* 0 */
		    "lddw r1, 1\n"                  /* 1, 2 */
		    "back:\n two: jeq r1, 1, end\n" /* 3 */
		    "ja32 back\n"                   /* 4 */
		    "call local f # later\n"        /* 5 */
		    "lddw r2, func f\n"             /* 6, 7 */
		    "end: exit\n"                   /* 8 */
		    "f: ja start\n"                 /* 9 */
		    "jne r1, r2, exit\n"            /* 10 */
		    "may_goto two",                 /* 11 */
		    &p);
	assert_int_equal(p.n_insns, 12);
	assert_int_equal(p.insns[3].off, 4);
	assert_int_equal(p.insns[4].imm, -2);
	assert_int_equal(p.insns[5].imm, 3);
	assert_int_equal(p.insns[6].imm, 2);
	assert_int_equal(p.insns[9].off, -10);
	assert_int_equal(p.insns[10].off, -3);
	assert_int_equal(p.insns[11].off, -9);
	fort_arena_free(&arena);
}

static void a_label_named_exit_wins(void **state)
{
	struct fort_arena arena;
	struct fort_assembly p;

	assemble_ok(&arena, "jeq r0, 0, exit\nexit\nexit: mov r0, 1\nexit\n", &p);
	assert_int_equal(p.insns[0].off, 1);
	fort_arena_free(&arena);
}

static void both_spellings_mean_the_same(void **state)
{
	static const char *const pairs[][2] = {
		{"lock fetch add [r1], r2", "lock fetch_add [%r1+0], %r2"},
		{"lock fetch xor32 [r1-4], r2", "lock  fetch_xor32 [r1 - 4],r2"},
		{"bswap32 r3", "swap32 %r3"},
		{"call r7", "callx %r7"},
		{"mov r1, 0xffffffff", "mov r1, -1"},
		{"ldxb r0, [r1]", "ldxb r0,[ %r1 + 0x0 ]"},
		{"lddw r1, 0xffffffffffffffff", "lddw r1, -1"},
		{"lddw r1, 9223372036854775808", "lddw r1, -9223372036854775808"},
		{"stb [r1+2], 0xff", "stb\t[r1+2] , 255\r"},
	};

	for (unsigned i = 0; i < FORT_LEN(pairs); i++) {
		struct fort_arena first, second;
		struct fort_assembly a, b;

		assemble_ok(&first, pairs[i][0], &a);
		assemble_ok(&second, pairs[i][1], &b);
		assert_int_equal(a.n_insns, b.n_insns);
		assert_memory_equal(a.insns, b.insns, a.n_insns * sizeof(*a.insns));
		fort_arena_free(&first);
		fort_arena_free(&second);
	}
}

static void errors_say_where_and_what(void **state)
{
	static const struct {
		const char *text;
		uint32_t line, column;
		const char *expected;
	} cases[] = {
		{"", 1, 1, "an instruction"},
		{"# nothing\n\n", 3, 1, "an instruction"},
		{"frob r1", 1, 1, "an instruction"},
		{"lock frob [r1], r2", 1, 1, "an instruction"},
		{"lock", 1, 1, "an instruction"},
		{"add32_k_very_long_mnemonic_that_no_row_has r1", 1, 1, "an instruction"},
		{"mov r0, 0\n  add 7, r1", 2, 7, "a register"},
		{"add r16, r1", 1, 5, "a register"},
		{"add r01, r1", 1, 5, "a register"},
		{"add r1 r2", 1, 8, "a comma"},
		{"add r1,", 1, 8, "a number"},
		{"add r1, 12x", 1, 9, "a number"},
		{"add r1, 0x", 1, 9, "a number"},
		{"add r1, 0xg", 1, 9, "a number"},
		{"add r1, 0x100000000", 1, 9, "a number of at most 32 bits"},
		{"add r1, -2147483649", 1, 9, "a number of at most 32 bits"},
		{"lddw r1, 0x10000000000000000", 1, 10, "a number of at most 64 bits"},
		{"lddw r1, 18446744073709551616", 1, 10, "a number of at most 64 bits"},
		{"lddw r1, -9223372036854775809", 1, 10, "a number of at most 64 bits"},
		{"ldxb r1, r2", 1, 10, "[register+offset]"},
		{"ldxb r1, [r2+32768]", 1, 13, "an offset of at most 16 bits"},
		{"ldxb r1, [r2-32769]", 1, 13, "an offset of at most 16 bits"},
		{"ldxb r1, [r2 8]", 1, 14, "+, - or ]"},
		{"stb [r1], r2", 1, 11, "a number"},
		{"exit 1", 1, 6, "the end of the line"},
		{"exit; exit", 1, 5, "the end of the line"},
		{"ja", 1, 3, "a label, +N or -N"},
		{"ja 5", 1, 4, "a label, +N or -N"},
		{"ja nowhere", 1, 4, "a label of this program"},
		{"ja exit", 1, 4, "a label of this program"},
		{"ja +32768", 1, 4, "a distance that fits the jump"},
		{"a: exit\nb: exit\na: exit", 3, 1, "a label that is not taken"},
		{"movsx832 r1, 5", 1, 14, "a register"},
	};

	for (unsigned i = 0; i < FORT_LEN(cases); i++) {
		struct fort_arena arena;
		struct fort_assembly assembly;
		struct fort_asm_error error = {0};
		const char *text = cases[i].text;

		fort_arena_init(&arena, ARENA_BYTES);
		if (fort_assemble(&arena, text, strlen(text), &assembly, &error) != -EINVAL)
			fail_msg("accepted: %s", text);
		if (error.line != cases[i].line || error.column != cases[i].column ||
		    strcmp(error.expected, cases[i].expected))
			fail_msg("'%s': line %u, column %u: expected %s", text, error.line,
				 error.column, error.expected);
		fort_arena_free(&arena);
	}
}

static void a_nul_does_not_end_the_line(void **state)
{
	static const char text[] = "exit\0exit";
	struct fort_arena arena;
	struct fort_assembly assembly;
	struct fort_asm_error error = {0};

	fort_arena_init(&arena, ARENA_BYTES);
	assert_int_equal(fort_assemble(&arena, text, sizeof(text) - 1, &assembly, &error), -EINVAL);
	assert_int_equal(error.column, 5);
	fort_arena_free(&arena);
}

static void a_far_label_needs_a_long_jump(void **state)
{
	struct fort_arena arena;
	struct fort_assembly assembly;
	struct fort_asm_error error = {0};
	struct fort_text text = fort_text_new();

	fort_text_add(&text, "ja far\n");
	for (unsigned i = 0; i < 32768; i++)
		fort_text_add(&text, "neg r0\n");
	fort_text_add(&text, "far: exit\n");
	fort_arena_init(&arena, 16 * ARENA_BYTES);
	assert_int_equal(fort_assemble(&arena, text.data, text.length, &assembly, &error), -EINVAL);
	assert_string_equal(error.expected, "a distance that fits the jump");
	fort_text_add(&text, "ja32 first\n");
	memcpy(text.data, "first:\n", 7);
	assert_int_equal(fort_assemble(&arena, text.data, text.length, &assembly, &error), 0);
	assert_int_equal(assembly.insns[assembly.n_insns - 1].imm, -(int)assembly.n_insns);
	fort_arena_free(&arena);
	fort_text_free(&text);
}

static void memory_may_run_out(void **state)
{
	struct fort_arena arena;
	struct fort_assembly assembly;
	struct fort_asm_error error = {0};

	for (uint64_t n = 1; n <= 3; n++) {
		fort_arena_init(&arena, ARENA_BYTES);
		arena.fail_at = n;
		assert_int_equal(fort_assemble(&arena, "exit", 4, &assembly, &error), -ENOMEM);
		fort_arena_free(&arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_row_round_trips),
		cmocka_unit_test(labels_are_distances),
		cmocka_unit_test(a_label_named_exit_wins),
		cmocka_unit_test(both_spellings_mean_the_same),
		cmocka_unit_test(errors_say_where_and_what),
		cmocka_unit_test(a_nul_does_not_end_the_line),
		cmocka_unit_test(a_far_label_needs_a_long_jump),
		cmocka_unit_test(memory_may_run_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
