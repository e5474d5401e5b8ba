/* Known differences between our verdicts and the kernel's: a file with a row for each, and its
 * reason.
 *
 *   FILE <tab> PROGRAM <tab> HALF <tab> WHO <tab> KIND <tab> REASON
 *
 * FILE is an object's name without ".o" and PROGRAM one of its programs; for the kernel's lists of
 * instructions FILE is "6.12/NAME" or "6.1/NAME" and PROGRAM the test's description; for random
 * programs FILE is "random" and PROGRAM how the kernel's last line begins, numbers as #. For cases
 * FILE is the case file's name and PROGRAM the case's.
 *
 * HALF is "priv", "unpriv" (without CAP_PERFMON) or "both", in which case it must differ in one.
 * WHO is "kernel" or "us": who rejects it; "words": both do, or the log should have said more, and
 * the texts differ; "value": runs return something else.
 * KIND is one of those below, or "words" for rows of words. Lines that begin with # are comments.
 *
 * The list may only shrink. differs.most says how many rows of a kind there may be: exactly as many
 * as there are, so that whoever needs another one has to say so there, and whoever removes one
 * cannot let another in. It also bounds what has no rows because we say ourselves that it is not
 * supported yet ("later GROUP").
 *
 *   KIND <tab> COUNT
 */
#pragma once

#include "base/compiler.h"

#define DIFFERS_MAX      2048u
#define DIFFERS_MOST_MAX 64u

#define DIFFERS_KINDS(X)                                                                        \
	X("more-precise") /* more is known of numbers, or of paths that nothing takes */        \
	X("access-only")  /* pointers may be moved anywhere: their accesses are checked */      \
	X("no-limit")     /* a limit of the kernel's that we do not have */                     \
	X("guarded")      /* made safe at run time, by the window */                            \
	X("alignment")    /* x86 has byte semantics */                                          \
	X("not-global")   /* global functions are verified at their calls */                    \
	X("later")        /* not supported yet */                                               \
	X("stricter")     /* refused on purpose */                                              \
	X("kernel-fault") /* the running kernel is wrong, by its own sources or the standard */ \
	X("words")

struct differs_row {
	char file[64], program[160], half[8], who[8], kind[16];
	bool used;
};

struct differs {
	struct differs_row rows[DIFFERS_MAX];
	unsigned n;
};

/* False for a file that cannot be read or is malformed (said on standard error). */
bool differs_open(struct differs *differs, const char *path);
/* The row of this program of a file, or NULL. It counts as used. */
const struct differs_row *differs_find(struct differs *differs, const char *file,
				       const char *program, const char *half, const char *who);
/* The same for those who have no halves. */
bool differs_listed(struct differs *differs, const char *file, const char *program,
		    const char *who);
/* Is there a row of this file with which `line` begins? */
bool differs_explain(struct differs *differs, const char *file, const char *line);

/* differs.most. */
struct differs_most {
	struct {
		char kind[32];
		unsigned count;
	} rows[DIFFERS_MOST_MAX];
	unsigned n;
};

bool differs_most_open(struct differs_most *most, const char *path);
/* What is allowed of a kind, or 0. */
unsigned differs_most_of(const struct differs_most *most, const char *kind);
/* Does every kind have as many rows as it may? Prints those that have not. */
bool differs_count(const struct differs *differs, const struct differs_most *most);
