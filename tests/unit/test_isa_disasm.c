/* The disassembler's text, shape by shape; test_isa_kernel.c compares every row with the kernel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "isa/asm.h"
#include "isa/disasm.h"

static char known[] = "bpf_map_lookup_elem";

static const char *call_name(void *context, const struct fort_insn *insn)
{
	return insn->imm == 1 ? context : NULL;
}

static const char *imm_name(void *context, const struct fort_insn *insn)
{
	return insn->op == FORT_OP_MAP_FD ? "map[id:5]" : NULL;
}

static const struct fort_disasm_names names = {
	.call = call_name,
	.imm = imm_name,
	.context = known,
};

static void disassemble(const char *source, const struct fort_disasm_names *with, char *out,
			size_t room)
{
	struct fort_arena arena;
	struct fort_assembly assembly;
	struct fort_asm_error error = {0};
	struct fort_decode_error decode_error;
	struct fort_insn insns[2];
	struct fort_text text = fort_text_on(out, room);

	fort_arena_init(&arena, 1u << 20);
	if (fort_assemble(&arena, source, strlen(source), &assembly, &error))
		fail_msg("%s: column %u: expected %s", source, error.column, error.expected);
	assert_int_equal(fort_insn_decode(assembly.insns, assembly.n_insns, insns, &decode_error),
			 0);
	for (uint32_t i = 0; i < assembly.n_insns; i++)
		fort_insn_text(&insns[i], with, &text);
	assert_false(text.cut);
	fort_arena_free(&arena);
}

static const struct {
	const char *source, *text;
} shapes[] = {
	{"add r1, -8", "(07) r1 += -8"},
	{"arsh32 r1, r2", "(cc) w1 s>>= w2"},
	{"smod r9, 3", "(97) r9 s%= 3"},
	{"neg32 r3", "(84) w3 = -w3"},
	{"mov32 r1, -1", "(b4) w1 = -1"},
	{"movsx832 r0, r1", "(bc) w0 = (s8)w1"},
	{"movsx3264 r0, r1", "(bf) r0 = (s32)r1"},
	{"be16 r0", "(dc) r0 = be16 r0"},
	{"swap64 r0", "(d7) r0 = bswap64 r0"},
	{"ldxsh r0, [r1-2]", "(89) r0 = *(s16 *)(r1 -2)"},
	{"stdw [r10-8], -2", "(7a) *(u64 *)(r10 -8) = -2"},
	{"stxb [r1], r2", "(73) *(u8 *)(r1 +0) = r2"},
	{"lock add [r10-8], r1", "(db) lock *(u64 *)(r10 -8) += r1"},
	{"lock xor32 [r10-8], r1", "(c3) lock *(u32 *)(r10 -8) ^= r1"},
	{"lock fetch_add [r10-8], r1", "(db) r1 = atomic64_fetch_add((u64 *)(r10 -8), r1)"},
	{"lock xchg32 [r10-8], r1", "(c3) r1 = atomic_xchg((u32 *)(r10 -8), r1)"},
	{"lock cmpxchg [r10-8], r1", "(db) r0 = atomic64_cmpxchg((u64 *)(r10 -8), r0, r1)"},
	{"load_acquire r0, [r1]", "(db) r0 = load_acquire((u64 *)(r1 +0))"},
	{"store_release8 [r1+1], r2", "(d3) store_release((u8 *)(r1 +1), r2)"},
	{"lddw r1, 0x1122334455667788", "(18) r1 = 0x1122334455667788"},
	{"lddw r1, -1", "(18) r1 = 0xffffffffffffffff"},
	{"lddw r1, map_fd 3", "(18) r1 = map[id:5]"},
	{"lddw r1, map_value 3, 16", "(18) r1 = 0x1000000003"},
	{"ldabsb 4", "(30) r0 = *(u8 *)skb[4]"},
	{"ldindh r3, -4", "(48) r0 = *(u16 *)skb[r3 + -4]"},
	{"ja +2", "(05) goto pc+2"},
	{"ja32 -3", "(06) gotol pc-3"},
	{"ja32 +2147483647", "(06) gotol pc+2147483647"},
	{"ja32 -2147483648", "(06) gotol pc-2147483648"},
	{"may_goto +1", "(e5) may_goto pc+1"},
	{"jsgt32 r1, 5, +2", "(66) if w1 s> 0x5 goto pc+2"},
	{"jset r1, -1, -2", "(45) if r1 & 0xffffffff goto pc-2"},
	{"jne r1, r2, +0", "(5d) if r1 != r2 goto pc+0"},
	{"call 1", "(85) call bpf_map_lookup_elem#1"},
	{"call 77", "(85) call unknown#77"},
	{"call local +5", "(85) call pc+5"},
	{"call kfunc 9", "(85) call kernel-function#9"},
	{"callx r3", "(8d) callx r3"},
	{"exit", "(95) exit"},
};

static void each_shape_has_the_kernels_text(void **state)
{
	char text[100];

	for (unsigned i = 0; i < FORT_LEN(shapes); i++) {
		disassemble(shapes[i].source, &names, text, sizeof(text));
		assert_string_equal(text, shapes[i].text);
	}
}

static void names_may_be_missing(void **state)
{
	static const struct fort_disasm_names none;
	char text[100];

	disassemble("call 1", NULL, text, sizeof(text));
	assert_string_equal(text, "(85) call unknown#1");
	disassemble("lddw r1, map_fd 3", &none, text, sizeof(text));
	assert_string_equal(text, "(18) r1 = 0x3");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_shape_has_the_kernels_text),
		cmocka_unit_test(names_may_be_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
