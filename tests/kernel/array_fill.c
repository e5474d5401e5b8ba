#include "array_fill.h"

#include <bpf/bpf.h>

#include "base/text.h"
#include "random.h"

#define JUMP_REACH 32768u   /* of 16 bits */
#define JUMPS      8192u    /* as many branches as the kernel lets wait */
#define PROGRAM    1000000u /* slots */

static void repeat(struct fort_text *text, unsigned times, const char *line)
{
	for (unsigned i = 0; i < times; i++)
		fort_text_add(text, "%s\n", line);
}

/* Old packet loads among calls that change the packet: 5 x (51 x push, 51 x pop) and padding up to
 * what a jump can cross once each load has become six instructions. */
static void vlan_push_pop(struct fort_text *text, struct array_filled *out)
{
	const unsigned rounds = 5, each = 51, push = 7, pop = 5;
	unsigned length = JUMP_REACH - each * 2 * rounds * 6,
		 used = 1 + rounds * each * (push + pop);

	fort_text_add(text, "mov r6, r1\n");
	for (unsigned round = 0; round < rounds; round++) {
		for (unsigned i = 0; i < each; i++)
			fort_text_add(text,
				      "ldabsb 0\njne32 r0, 0x34, fail\nmov r1, r6\nmov r2, 1\n"
				      "mov r3, 2\ncall %u\njne r0, 0, fail\n",
				      BPF_FUNC_skb_vlan_push);
		for (unsigned i = 0; i < each; i++)
			fort_text_add(text,
				      "ldabsb 0\njne32 r0, 0x34, fail\nmov r1, r6\ncall %u\n"
				      "jne r0, 0, fail\n",
				      BPF_FUNC_skb_vlan_pop);
	}
	repeat(text, length - 3 - used, "mov r0, 0xbef");
	fort_text_add(text, "ja +1\nfail: mov32 r0, 0\nexit\n");
	out->value = 0xbef;
}

static void jump_around_ld_abs(struct fort_text *text, struct array_filled *out)
{
	unsigned length = JUMP_REACH / 7;

	fort_text_add(text, "mov r6, r1\nldabsb 0\njeq r0, 10, out\n");
	repeat(text, length - 4, "ldabsb 1");
	fort_text_add(text, "out: exit\n");
	out->value = 10;
}

/* The exclusive or of random 64-bit immediates, folded to 32 bits. */
static void rand_ld_dw(struct fort_text *text, uint32_t slots, struct array_filled *out)
{
	struct random random = random_from(slots);
	uint64_t all = 0;

	fort_text_add(text, "mov32 r0, 0\n");
	for (unsigned used = 1; used < slots; used += 3) {
		uint64_t value = random_number(&random);

		fort_text_add(text, "lddw r1, 0x%llx\nxor r0, r1\n", (unsigned long long)value);
		all ^= value;
	}
	fort_text_add(text, "mov r1, r0\nrsh r1, 32\nxor r0, r1\nexit\n");
	out->value = (uint32_t)(all ^ all >> 32);
}

/* Branches on random numbers, as many as may wait, in a program as long as may be; the second in
 * the innermost of eight frames. The kernel does not keep a state for each jump: hence four. */
static void scale(struct fort_text *text, uint32_t which, struct array_filled *out)
{
	struct random random = random_from(which);
	unsigned calls = which == 2 ? 7 : 0, slots = 64 - 4 * calls;
	unsigned used = 2 * calls + 1 + JUMPS * 4;

	repeat(text, calls, "call local +1\nexit");
	fort_text_add(text, "mov r6, r1\n");
	for (unsigned k = 1; k <= JUMPS; k++)
		fort_text_add(text, "call %u\njeq r0, %d, +2\nmov r1, r10\nstxdw [r1-%u], r6\n",
			      BPF_FUNC_get_prandom_u32, (int)random_next(&random),
			      8 * (k % slots + 1));
	repeat(text, PROGRAM - JUMPS * 4 - used, "mov r0, 42");
	fort_text_add(text, "exit\n");
	out->value = 42;
}

/* Jumps to jumps: 128 of them, each to the end. */
static void torturous_1(struct fort_text *text)
{
	const unsigned n = 128;

	fort_text_add(text, "call %u\n", BPF_FUNC_get_prandom_u32);
	for (unsigned i = 1; i <= n; i++)
		fort_text_add(text, "jeq r0, %u, +%u\n", i, n);
	for (unsigned i = 1; i <= n; i++)
		fort_text_add(text, "ja +%u\n", n - i);
	fort_text_add(text, "mov r0, 1\nexit\n");
}

/* And 2,048, in chains of up to 16. */
static void torturous_2(struct fort_text *text)
{
	const unsigned n = 2048, chain = 16;

	fort_text_add(text, "call %u\n", BPF_FUNC_get_prandom_u32);
	for (unsigned i = 1; i <= n; i++)
		fort_text_add(text, "jeq r0, %u, +%u\n", i, n);
	fort_text_add(text, "ja +%u\n", n);
	for (unsigned i = 0; i < n; i++)
		fort_text_add(text, "ja +%u\n", chain - i % chain - 1);
	fort_text_add(text, "mov r0, 2\nexit\n");
}

static void torturous(struct fort_text *text, uint32_t which, struct array_filled *out)
{
	out->value = which;
	if (which == 3)
		fort_text_add(text, "call local first\ncall local second\nstb [r10-32], 0\n"
				    "mov r0, 3\nexit\nfirst: ");
	if (which != 2)
		torturous_1(text);
	if (which == 3)
		fort_text_add(text, "second: ");
	if (which != 1)
		torturous_2(text);
}

/* A call of bpf_loop in a program that ends just before a page does. */
static void big_with_loop(struct fort_text *text, struct array_filled *out)
{
	unsigned length = FORT_PAGE_BYTES - 25, used = 6;

	fort_text_add(text, "mov r1, 1\nlddw r2, func callback\nmov r3, 0\nmov r4, 0\ncall %u\n",
		      BPF_FUNC_loop);
	repeat(text, length - 3 - used, "mov r0, 0");
	fort_text_add(text, "exit\ncallback: mov r0, 0\nexit\n");
	out->callback = length - 2;
	out->value = 0;
}

bool array_fill(const struct array_test *test, struct fort_arena *arena, struct array_filled *out)
{
	struct fort_text text = fort_text_new();
	uint32_t which = test->runs[0].value;
	struct fort_asm_error error;
	bool good;

	*out = (struct array_filled){.value = 0};
	switch (test->fill) {
	case ARRAY_bpf_fill_ld_abs_vlan_push_pop: vlan_push_pop(&text, out); break;
	case ARRAY_bpf_fill_jump_around_ld_abs: jump_around_ld_abs(&text, out); break;
	case ARRAY_bpf_fill_rand_ld_dw: rand_ld_dw(&text, which, out); break;
	case ARRAY_bpf_fill_scale: scale(&text, which, out); break;
	case ARRAY_bpf_fill_torturous_jumps: torturous(&text, which, out); break;
	case ARRAY_bpf_fill_big_prog_with_loop_1: big_with_loop(&text, out); break;
	case ARRAY_FILL_NONE: break;
	}
	good = text.length && !fort_assemble(arena, text.data, text.length, &out->code, &error);
	fort_text_free(&text);
	return good;
}
