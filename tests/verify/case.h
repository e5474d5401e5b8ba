/* Cases of the verifier's text corpora: a program and what is expected of it.
 *
 *   == name in words            starts a case
 *   type: xdp                   program type; default socket_filter
 *   with: A, B: 1, x | 2, y     the case stands for several: $A is 1 and $B is x, then 2 and y;
 *                               two such lines give every combination
 *   rights: perf uninit leak    of the program; default all three; `none`
 *   license: none               not GPL-compatible
 *   functions: TEXT             what the program's functions are (lab_describe)
 *   depth: any                  without the kernel's rules on stacks
 *   budget: N                   instructions the search may process
 *   accept                      the search accepts and the checker agrees; or
 *   reject: F0502 [at N]        this cause, at this instruction
 *   says: TEXT                  the kernel-shaped line contains TEXT
 *   message:, needed:, known:   these parts of the diagnostic, in full
 *   ...assembly...              up to the next case; maps are those of lab.h
 *
 * Lines between the `== name` and the assembly that start with # are comments.
 */
#pragma once

#include "base/compiler.h"

#define LAB_CASE_BYTES 65536

struct lab_case {
	char name[256], type[32];
	bool any_depth;
	bool given, accept; /* an expectation was found; which */
	char code[8];       /* REJECT */
	long at;            /* -1: anywhere */
	char says[512], message[256], needed[256], known[256];
	uint64_t budget;
	char functions[512]; /* "" for none */
	uint32_t rights;     /* enum fort_verifier_right */
	bool gpl;
	char assembly[LAB_CASE_BYTES];
};

typedef void lab_case_visitor(const struct lab_case *want, void *context);

/* Calls `visitor` for each case of a file. False when it cannot be read or is malformed (said on
 * standard error). */
FORT_CHECKED bool lab_cases_read(const char *path, lab_case_visitor *visitor, void *context);
