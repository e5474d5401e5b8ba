/* The explanation of a rejection: one cause, told with the numbers, lines and earlier events of
 * this program. From a row of step/diag.def, what explain.def says of it, and, where the rejection
 * is one of the well-known kinds, a row of patterns.def. All texts are the arena's.
 */
#pragma once

#include "verify/history.h"
#include "verify/render.h"

/* Who has to change something: `class` in reports. */
enum fort_cause {
	FORT_CAUSE_SOURCE_BUG,  /* the program's author: the program could do harm, or breaks a rule
				 */
	FORT_CAUSE_LOWERING,    /* the same, to work around what the compiler made of it */
	FORT_CAUSE_ENVIRONMENT, /* whoever loads it: rights, license, versions, types */
	FORT_CAUSE_FALSE_REJECTION, /* us: it is safe, or may well be */
	FORT_CAUSE_LIMIT,           /* the author: it is too large or too complex */
	FORT_CAUSES
};

/* The word in reports. */
const char *fort_cause_name(enum fort_cause cause);

/* What explain.def says of a diagnostic. */
struct fort_explain_info {
	const char *why; /* NULL: there is no row */
	uint8_t cause;   /* enum fort_cause */
	uint8_t focus;   /* enum fort_focus */
};

const struct fort_explain_info *fort_explain_info(enum fort_diag diag);

#define FORT_EVENTS_MAX   8u
#define FORT_FIXES_MAX    4u
#define FORT_INVOLVED_MAX 6u
#define FORT_COSTS_MAX    5u
#define FORT_EXAMPLE_TOLD 7u
#define FORT_APART_TOLD   3u

/* An earlier event. */
struct fort_told_event {
	uint32_t pc;
	const char *role, *text;
};

/* A decision on the way, and whether it concerns what was rejected. */
struct fort_told_step {
	uint32_t pc, next_pc;
	bool taken, matters;
};

/* A place where the work went. */
struct fort_told_cost {
	const char *kind; /* "loop" or "branch" */
	uint32_t pc, percent, states, turns;
	uint64_t insns;
	const char *apart[FORT_APART_TOLD]; /* cells that keep states apart, most often first */
	uint32_t n_apart;
};

/* What was found before states were kept apart. */
struct fort_told_doubt {
	const char *code, *message; /* NULL: nothing */
	uint32_t pc;
};

/* A number with which it happens. */
struct fort_told_example {
	char name[8];   /* of a register; "packet": the length of the packet */
	bool is_offset; /* of the pointer in it; NULL is the number 0 */
	int64_t number;
};

struct fort_told_register {
	char name[8];
	const char *value; /* as the log has it */
};

struct fort_explanation {
	const struct fort_diag_info *diag;
	const char *pattern; /* its name in patterns.def, or NULL */
	const char *cause;
	const char *message, *required, *known, *kernel_line;
	const char *fixes[FORT_FIXES_MAX];
	struct fort_told_event events[FORT_EVENTS_MAX]; /* oldest first */
	struct fort_told_register registers[FORT_INVOLVED_MAX];
	struct fort_told_example example[FORT_EXAMPLE_TOLD];
	const struct fort_told_step *path;           /* oldest first */
	struct fort_told_cost costs[FORT_COSTS_MAX]; /* most first; of what is too complex */
	struct fort_told_doubt doubt;
	uint32_t n_fixes, n_events, n_registers, n_example, n_path, n_costs;
	uint32_t pc, subprog;
};

/* `result`: of a search that was asked for a history, or NULL for a program that never got there.
 * Returns 0 or -ENOMEM. */
FORT_CHECKED int fort_explain(const struct fort_render *render,
			      const struct fort_verify_result *result,
			      const struct fort_source *source, struct fort_arena *arena,
			      struct fort_explanation *out);
