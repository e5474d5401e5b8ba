/* An engine turns a program into something that runs, and runs it. Engines know nothing of maps,
 * helpers' meaning or attachment; isolation modes are orthogonal (an engine lists those it has).
 */
#pragma once

#include "engine/run.h"
#include "isa/graph.h"

enum fort_isolation {
	FORT_ISOLATION_NONE, /* no check at run time: only for programs with a certificate */
	FORT_ISOLATION_SFI,  /* every access confined to the window */
	FORT_ISOLATIONS
};

struct fort_code; /* what compile made; each engine has its own */

/* The function behind helper `number`, or NULL: the call then aborts the run. */
typedef fort_helper_fn *fort_helper_lookup(uint32_t number);

struct fort_compile {
	const struct fort_program *program;
	const struct fort_domain *domain;
	enum fort_isolation isolation;
	fort_helper_lookup *helper;
	bool callx; /* allow calls by register: a helper's number in a register (isa profile) */
};

struct fort_engine {
	const char *name;
	uint32_t isolations; /* bits 1 << enum fort_isolation */
	/* Returns 0, -ENOMEM, or -EOPNOTSUPP for an isolation it does not have. */
	int (*compile)(const struct fort_compile *request, struct fort_code **out);
	void (*free)(struct fort_code *code);
	/* Runs to the end; r0, or whatever r0 held when run->abort.code is set. Does not release
	 * what the run holds. */
	uint64_t (*run)(const struct fort_code *code, struct fort_run *run);
};

extern const struct fort_engine fort_engine_interp;

/* All engines built in, NULL-terminated; and by name ("interp"), NULL if unknown. */
extern const struct fort_engine *const fort_engines[];
const struct fort_engine *fort_engine_by_name(const char *name);
/* "none", "sfi"; -EINVAL for unknown names. */
FORT_CHECKED int fort_isolation_by_name(const char *name, enum fort_isolation *out);
const char *fort_isolation_name(enum fort_isolation isolation);
