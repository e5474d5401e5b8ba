/* The verifier log in the kernel's shape: which instructions were looked at, and what was known
 * after each. Level 1 keeps the path to the end, level 2 everything.
 */
#pragma once

#include "base/log.h"
#include "verify/effect.h"
#include "verify/print.h"

/* A line of the program's source. */
struct fort_source_line {
	const char *file; /* as the debug information has it */
	uint32_t line, column;
	const char *text;
};

/* Where source lines come from; `line` gives false where there is none. */
struct fort_source {
	bool (*line)(void *context, uint32_t pc, struct fort_source_line *out);
	void *context;
};

struct fort_narrator {
	struct fort_log *log; /* NULL: silent */
	uint32_t level;       /* FORT_LOG_* of abi/uapi.h */
	const struct fort_env *env;
	const struct fort_print_names *names;
	const struct fort_source *source; /* or NULL */
	/* what the last line was about */
	uint64_t after_insn, insn_start; /* log positions behind it, and where it began */
	uint32_t pc;                     /* that instruction */
	bool state_due, all_due;         /* its state is to be printed; the whole one */
	bool resumed;                    /* the path went on elsewhere, from `from` */
	uint32_t from;
	uint16_t regs;
	uint64_t slots;
	uint32_t frame, last_line;
	const char *last_file;
};

/* Does it say anything? The functions do nothing when the narrator is NULL or has no log. */
bool fort_narrates(const struct fort_narrator *n);
/* Of every path, or only of the one that ends in a rejection? */
bool fort_narrates_all(const struct fort_narrator *n);
void fort_narrate_start(struct fort_narrator *n);
void fort_narrate_insn(struct fort_narrator *n, const struct fort_state *state, uint32_t pc);
/* The instruction was applied: its state is due before the next line. */
void fort_narrate_effect(struct fort_narrator *n, const struct fort_effect *effect,
			 const struct fort_state *state, uint32_t next_pc);
/* It is printed now: this state is about to change in a way that is no instruction's. */
void fort_narrate_now(struct fort_narrator *n, const struct fort_state *state);
/* The state was joined with so many others. */
void fort_narrate_joined(struct fort_narrator *n, uint32_t others);
void fort_narrate_pruned(struct fort_narrator *n, uint32_t from, uint32_t pc);
/* Where a path that waits can go on: positions, taken when it was put aside. */
uint64_t fort_narrate_position(const struct fort_narrator *n);
void fort_narrate_resume(struct fort_narrator *n, uint64_t position, uint32_t from);
/* An accepted program's path is not worth keeping at level 1. */
void fort_narrate_accepted(struct fort_narrator *n);
