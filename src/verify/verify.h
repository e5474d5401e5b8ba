/* The search: explores a program with the abstract semantics and, if all paths are safe, leaves a
 * certificate that the checker can follow.
 *
 * States that meet are joined where nothing is lost by it, or where there are too many; loops are
 * given an invariant and something that counts them, or are unrolled. This is tried with few states
 * first, and again with more where that was not enough. Nothing here is trusted.
 */
#pragma once

#include "proof/check.h"

struct fort_narrator;
struct fort_cost;
struct fort_example;
struct fort_history;

enum fort_verdict { FORT_ACCEPT, FORT_REJECT };

/* One step of the way to a rejection, oldest first. */
struct fort_path_step {
	uint32_t pc, number; /* number: instructions before it on the way */
	bool branch, taken;  /* a conditional jump, and which way it went */
};

/* What of the search's work must be wrong for a test of the checker. */
enum fort_sabotage {
	FORT_SABOTAGE_NONE,
	FORT_SABOTAGE_PRUNE,     /* end paths at states that do not cover them */
	FORT_SABOTAGE_LIVENESS,  /* forget registers that are needed */
	FORT_SABOTAGE_PRECISION, /* take numbers for the same that are not */
	FORT_SABOTAGE_WIDENING,  /* take a loop's first states for its invariant */
	FORT_SABOTAGES
};

struct fort_verify_options {
	uint64_t budget_insns;          /* FORT_BUDGET_INSNS unless said otherwise */
	bool any_depth;                 /* without the kernel's rules on stacks (depth.h) */
	struct fort_narrator *narrator; /* or NULL */
	bool explains;                  /* a rejection is to be explained: it gets a history */
	enum fort_sabotage sabotage;
};

struct fort_verify_result {
	enum fort_verdict verdict;
	struct fort_violation violation; /* REJECT */
	struct fort_state *state;        /* REJECT: before the instruction; the arena's */
	struct fort_path_step *path;     /* REJECT: decisions on the way, in the arena */
	uint32_t n_path;
	const struct fort_history *history; /* REJECT: events on the way (history.h), or NULL */
	const struct fort_example *example; /* REJECT: numbers that break it (example.h), or NULL */
	const struct fort_cost *cost;       /* out of budget: where the work went, or NULL */
	bool retraced; /* REJECT: the path was walked again, and ends so. False where there is none
			*/
	struct fort_buf certificate; /* ACCEPT; the caller frees it */
	uint64_t insns_processed;
	uint32_t total_states, peak_states, max_states_per_insn;
};

/* Verifies the program of `env`. Working memory is the arena's. Returns 0 with a verdict, or
 * -ENOMEM. The result's certificate buffer is initialised in any case.
 */
FORT_CHECKED int fort_verify_search(struct fort_env *env, struct fort_arena *arena,
				    const struct fort_verify_options *options,
				    struct fort_verify_result *result);
