/* What the kernel's tests expect of a program: annotations in their objects, as BTF declaration
 * tags of its function. tools/testing/selftests/bpf/test_loader.c reads the same: a tag is
 * "comment:test_" and a name; those that may stand more than once are numbered ("=4=" before the
 * text), because compilers drop repeated tags.
 */
#pragma once

#include <bpf/btf.h>

#include "oracle.h"

#define NOTES_MESSAGES_MAX 64u

enum expectation { EXPECT_NOTHING, EXPECT_SUCCESS, EXPECT_FAILURE };

struct notes_half {
	enum expectation expectation;
	const char *messages[NOTES_MESSAGES_MAX]; /* strings of the BTF */
	unsigned n_messages;
	unsigned n_values; /* what its runs return */
	uint32_t values[ORACLE_RUNS_MAX];
};

struct notes {
	struct notes_half half[HALVES];
	uint32_t log_level;                /* of FORT_LOG_* */
	uint32_t set_flags, cleared_flags; /* BPF_F_* of PROG_LOAD */
	bool auxiliary;                    /* for others, no test of its own */
	bool foreign;                      /* a test of other processors only */
	bool strange;                      /* something was not understood */
};

void notes_read(const struct btf *btf, const char *program, struct notes *out);
