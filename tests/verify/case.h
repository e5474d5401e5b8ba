/* Cases of the verifier's text corpora: a program and what is expected of it.
 *
 *   == name in words            starts a case
 *   type: xdp                   program type; default socket_filter
 *   attach: CGROUP_INET_EGRESS  what it attaches to (attach.def); default 0
 *   target: bpf_iter_task       function or struct of the kernel; default none
 *   sleepable                   loaded so; programs that must sleep are anyway
 *   with: A, B: 1, x | 2, y     the case stands for several: $A is 1 and $B is x, then 2 and y;
 *                               two such lines give every combination
 *   rights: perf uninit leak    of the program; default all three; `none`
 *   license: none               not GPL-compatible
 *   functions: TEXT             what the program's functions are (lab_describe)
 *   depth: any                  without the kernel's rules on stacks
 *   budget: N                   instructions the search may process
 *   accept                      the search accepts and the checker agrees; or
 *   reject: F0502 [at N]        this cause, at this instruction
 *   reject                      any cause but limits and what is not supported
 *   bound: 64, 65               the case stands for two: with $B the first it is accepted; with the
 *                               second, a bound that is wrong by one, it is rejected as unsafe
 *   kernel: accepts | rejects   what the running kernel does on purpose or for want of knowledge
 *                               (tests/kernel); without it the two verdicts are to be the same
 *   expect-later: REASON        we do not do so yet. Once we do, the line must go
 *   says: TEXT                  the kernel-shaped line contains TEXT
 *   message:, needed:, known:   these parts of the diagnostic, in full
 *   pattern: NAME               the explanation is that row of verify/patterns.def, all filled in
 *   tells: TEXT                 its message, or an event that it tells, contains TEXT
 *   example: TEXT               the numbers with which it happens: "r1 at 64, r3 = 65, packet = 14"
 *   cost: loop 15: r8, r7       a search came to its limit, and this is among the places where the
 *                               work went: the loop with this head, or `branch` and the jump; and
 *                               the cells that kept states apart there
 *   ...assembly...              up to the next case; maps are those of lab.h
 *
 * Lines between the `== name` and the assembly that start with # are comments.
 */
#pragma once

#include "lab.h"

#define LAB_CASE_BYTES 65536

enum lab_kernel { LAB_KERNEL_SAME, LAB_KERNEL_ACCEPTS, LAB_KERNEL_REJECTS };

struct lab_case {
	char name[256], type[32];
	bool any_depth;
	bool given, accept; /* an expectation was found; which */
	char code[8];       /* REJECT; "": any cause but limits and what is not supported */
	long at;            /* -1: anywhere */
	char says[512], message[256], needed[256], known[256];
	char pattern[32], tells[256], cost[64], example[128];
	char later[160]; /* expect-later, or "" */
	bool twin;       /* the second of a bound */
	uint8_t kernel;  /* enum lab_kernel */
	uint64_t budget;
	char functions[512]; /* "" for none */
	uint32_t rights;     /* enum fort_verifier_right */
	uint32_t attach;     /* enum fort_attach */
	char target[64];     /* "" for none */
	bool gpl, sleepable;
	char assembly[LAB_CASE_BYTES];
};

typedef void lab_case_visitor(const struct lab_case *want, void *context);

/* Prepares the case's program with all that the case says of it. As lab_open; the case stays. */
bool lab_case_open(struct lab *lab, const struct lab_case *want);

/* Calls `visitor` for each case of a file. False when it cannot be read or is malformed (said on
 * standard error). */
FORT_CHECKED bool lab_cases_read(const char *path, lab_case_visitor *visitor, void *context);
