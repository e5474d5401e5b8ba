/* A program before two judges: the running kernel's verifier and ours.
 *
 * What is judged is a PROG_LOAD as libbpf (or a test) would issue it. Each judge fills a `side`; it
 * is judged twice, once with all rights and once without CAP_PERFMON and CAP_SYS_ADMIN.
 */
#pragma once

#include <linux/bpf.h>
#include <time.h>

#include "base/compiler.h"

#define ORACLE_LINE_BYTES   1024u
#define ORACLE_REASON_BYTES 160u
#define ORACLE_DATA_BYTES   64u /* of a test run's packet, as the kernel's own tests take */
#define ORACLE_RUNS_MAX     8u

enum half {
	HALF_PRIV,
	HALF_UNPRIV, /* no CAP_PERFMON, no CAP_SYS_ADMIN; CAP_BPF and CAP_NET_ADMIN stay */
	HALVES
};

enum verdict {
	VERDICT_NONE, /* nobody asked */
	VERDICT_ACCEPTS,
	VERDICT_REJECTS,
	VERDICT_LATER, /* ours: needs what is not supported yet; `reason` says what */
	VERDICT_CANNOT /* it was not verified; `reason` says why */
};

struct side {
	enum verdict verdict;
	int err;                      /* errno of a refused load */
	char line[ORACLE_LINE_BYTES]; /* REJECTS: the last line of the log before its statistics */
	char code[8];                 /* ours: of the diagnostic */
	char reason[ORACLE_REASON_BYTES];
	uint64_t processed;
	const char *log; /* or NULL; until the judge is asked again */
	/* What its runs returned; n_values 0: it was not run, or a run failed. */
	unsigned n_values;
	uint32_t values[ORACLE_RUNS_MAX];
	char fault[512]; /* ours: a run did what was not claimed */
};

/* What to do besides judging. */
struct oracle_wants {
	uint32_t log_level; /* of FORT_LOG_*; 0: no log */
	unsigned n_runs;    /* if it is accepted, with these packets */
	uint8_t data[ORACLE_RUNS_MAX][ORACLE_DATA_BYTES];
};

static inline uint64_t oracle_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline const char *half_name(enum half half)
{
	return half == HALF_PRIV ? "priv" : "unpriv";
}
