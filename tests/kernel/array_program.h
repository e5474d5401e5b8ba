/* One of the kernel's instruction tests, ready to be loaded: its maps are made and named, its BTF
 * is in the kernel, what it expects is read.
 */
#pragma once

#include "array_fill.h"
#include "base/arena.h"
#include "notes.h"

#define ARRAY_WORDS_BYTES 1024u
#define ARRAY_FUNCS_MAX   8u

struct array_program {
	const struct array_test *test;
	struct fort_arena arena;
	struct fort_raw_insn *insns; /* the arena's */
	uint32_t n_insns;
	int maps[ARRAY_N_MAPS]; /* -1: not used */
	int btf;                /* -1: none */
	struct bpf_func_info func_info[ARRAY_FUNCS_MAX];
	struct array_filled filled;
	struct notes notes; /* texts are in `words` */
	char words[HALVES][ARRAY_WORDS_BYTES];
	uint8_t data[ORACLE_RUNS_MAX][ORACLE_DATA_BYTES];
	char why[ORACLE_REASON_BYTES]; /* it cannot be loaded */
};

/* False with p->why. Close in any case. */
bool array_program_open(struct array_program *p, const struct array_test *test);
void array_program_close(struct array_program *p);

/* Points into the program and its test. */
union bpf_attr array_program_attr(const struct array_program *p);
