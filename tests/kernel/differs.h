/* Known differences between our verdicts and the kernel's: a file with a row for each, and its
 * reason.
 *
 *   FILE <tab> PROGRAM <tab> WHO <tab> REASON
 *
 * FILE is an object's name without ".o" and PROGRAM one of its programs; for random programs FILE
 * is "random" and PROGRAM how the kernel's last line begins, numbers as #. For cases FILE is the
 * case file's name and PROGRAM the case's. WHO is "kernel" or "us": who rejects it; or "words":
 * both do, and say it differently. Lines that begin with # are comments.
 */
#pragma once

#include "base/compiler.h"

#define DIFFERS_MAX 512u

struct differs_row {
	char file[64], program[160], who[8];
	bool used;
};

struct differs {
	struct differs_row rows[DIFFERS_MAX];
	unsigned n;
};

/* False for a file that cannot be read or is malformed (said on standard error). */
bool differs_open(struct differs *differs, const char *path);
/* Is there a row for this program of a file? It counts as used. */
bool differs_listed(struct differs *differs, const char *file, const char *program,
		    const char *who);
/* Is there a row of this file with which `line` begins? */
bool differs_explain(struct differs *differs, const char *file, const char *line);
