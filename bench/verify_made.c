#include "verify_made.h"

#include <linux/bpf.h>

static void straight(struct fort_text *text)
{
	fort_text_add(text, "ldxw r2, [r1+0]\nmov r0, 0\n");
	for (unsigned i = 0; i < 2000; i++)
		fort_text_add(text, "add r0, r2\nxor r0, %u\n", i);
	fort_text_add(text, "mov r0, 0\nexit\n");
}

static void diamonds(struct fort_text *text)
{
	fort_text_add(text, "mov r0, 0\n");
	for (unsigned i = 0; i < 1000; i++)
		fort_text_add(text, "ldxw r2, [r1+0]\njset r2, %u, +1\nadd r0, 1\n", 1u << i % 16);
	fort_text_add(text, "mov r0, 0\nexit\n");
}

static void loop(struct fort_text *text)
{
	fort_text_add(text, "mov r0, 0\nmov r1, 0\ntop: add r0, r1\nadd r1, 1\n"
			    "jlt r1, 50000, top\nmov r0, 0\nexit\n");
}

static void nested_loops(struct fort_text *text)
{
	fort_text_add(text, "mov r0, 0\nmov r1, 0\nouter: mov r2, 0\ninner: add r0, 1\nadd r2, 1\n"
			    "jlt r2, 200, inner\nadd r1, 1\njlt r1, 200, outer\nmov r0, 0\nexit\n");
}

static void spills(struct fort_text *text)
{
	fort_text_add(text, "ldxw r2, [r1+0]\nand r2, 0xff\n");
	for (unsigned i = 0; i < 1500; i++)
		fort_text_add(text, "stxdw [r10-%u], r2\nldxdw r2, [r10-%u]\n", 8 + 8 * (i % 32),
			      8 + 8 * (i % 32));
	fort_text_add(text, "mov r0, 0\nexit\n");
}

static void packets(struct fort_text *text)
{
	fort_text_add(text, "ldxw r2, [r1+0]\nldxw r3, [r1+4]\nmov r0, 0\n");
	for (unsigned i = 0; i < 400; i++)
		fort_text_add(text,
			      "mov r4, r2\nadd r4, %u\njgt r4, r3, out\nldxb r5, [r2+%u]\n"
			      "add r0, r5\n",
			      i + 1, i);
	fort_text_add(text, "out: mov r0, 2\nexit\n");
}

static void lookups(struct fort_text *text)
{
	for (unsigned i = 0; i < 400; i++)
		fort_text_add(text,
			      "stdw [r10-8], %u\nlddw r1, map_idx 1\nmov r2, r10\nadd r2, -8\n"
			      "call 1\njeq r0, 0, +3\nldxdw r1, [r0+0]\nadd r1, 1\n"
			      "stxdw [r0+0], r1\n",
			      i);
	fort_text_add(text, "mov r0, 0\nexit\n");
}

static void variable_index(struct fort_text *text)
{
	fort_text_add(text, "mov r6, r1\n");
	for (unsigned i = 0; i < 400; i++)
		fort_text_add(text, "ldxw r7, [r6+0]\nand r7, 7\nstdw [r10-8], 0\nmov r2, r10\n"
				    "add r2, -8\nadd r2, r7\nldxb r0, [r2+0]\n");
	fort_text_add(text, "mov r0, 0\nexit\n");
}

const struct verify_made verify_made[] = {
	{"4,000 instructions in a row", BPF_PROG_TYPE_SCHED_CLS, straight},
	{"1,000 branches that join", BPF_PROG_TYPE_SCHED_CLS, diamonds},
	{"a loop of 50,000 rounds", BPF_PROG_TYPE_SCHED_CLS, loop},
	{"200 x 200 rounds of two loops", BPF_PROG_TYPE_SCHED_CLS, nested_loops},
	{"1,500 spills and fills", BPF_PROG_TYPE_SCHED_CLS, spills},
	{"400 checked packet reads", BPF_PROG_TYPE_XDP, packets},
	{"400 map lookups", BPF_PROG_TYPE_SCHED_CLS, lookups},
	{"400 reads at variable offsets", BPF_PROG_TYPE_SCHED_CLS, variable_index},
};
const unsigned n_verify_made = FORT_LEN(verify_made);
