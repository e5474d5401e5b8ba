/* One program on trial: both judges, in both halves, held against each other and against what a
 * test of the kernel's expects. What differs and has no row in differs.tsv is printed as one:
 *
 *   # + FILE <tab> PROGRAM <tab> HALF <tab> WHO <tab> ? <tab> what the kernel says
 *   # - FILE <tab> PROGRAM <tab> HALF <tab> WHO        (a row that does not differ)
 *
 * relist.py takes rows out, and puts those in whose reason follows from what the kernel says.
 */
#pragma once

#include "differs.h"
#include "kernel_side.h"
#include "notes.h"
#include "our_side.h"
#include "score.h"

struct trials {
	struct kernel_side *kernel;
	struct our_side *ours;
	struct differs differs;
	struct differs_most most;
	struct score score;
	unsigned accepted; /* by us, in both halves */
	unsigned wrong;    /* complaints */
	bool verbose;      /* a line per difference, listed or not */
};

/* Reads the files and opens the judges. False with a line for TAP. */
bool trials_open(struct trials *trials, const char *differs, const char *most);
void trials_close(struct trials *trials);

struct trial {
	const char *group, *file, *program; /* of the row */
	const struct notes *notes;
	const uint8_t (*data)[ORACLE_DATA_BYTES]; /* of its runs; NULL: zeros */
};

/* Judges a load. Returns the kernel's descriptor of the privileged half, the caller's, or -1. */
int trial_run(struct trials *trials, const struct trial *trial, const union bpf_attr *attr,
	      uint32_t bytes);
/* The program could not be brought before the judges. */
void trial_missed(struct trials *trials, const struct trial *trial, const char *why);

/* Tables, and four or so tests from number `first` on; `mine` says which rows belong to the
 * caller's files. Returns how many tests it were. */
unsigned trials_conclude(struct trials *trials, unsigned first, bool (*mine)(const char *file));
