/* How often two verifiers agree, by group of programs and half; and the most frequent reasons where
 * they do not.
 */
#pragma once

#include "differs.h"
#include "oracle.h"

#define SCORE_GROUPS_MAX  8u
#define SCORE_REASONS_MAX 512u

/* What became of a program in one half. */
enum outcome {
	OUTCOME_AGREE_ACCEPT,
	OUTCOME_AGREE_REJECT,
	OUTCOME_LISTED_LOOSER,   /* only the kernel rejects, with a row */
	OUTCOME_LISTED_STRICTER, /* only we reject, with a row */
	OUTCOME_LATER,           /* only we reject: not supported yet */
	OUTCOME_LOOSER,          /* only the kernel rejects, no row */
	OUTCOME_STRICTER,        /* only we reject, no row */
	OUTCOME_UNVERIFIED,      /* the running kernel did not look at it */
	OUTCOME_CANNOT,          /* we could not */
	OUTCOMES
};

struct score_cell {
	unsigned outcomes[OUTCOMES];
	unsigned notes, notes_stale; /* expectations, and those that the running kernel
					does not meet */
	unsigned messages, messages_stale, messages_excused, messages_missing; /* programs, texts,
										  texts, programs */
	unsigned values, values_wrong; /* runs with an expected result */
};

struct score_reason {
	char text[ORACLE_REASON_BYTES];
	enum outcome outcome;
	unsigned count;
};

struct score {
	const char *groups[SCORE_GROUPS_MAX];
	struct score_cell cells[SCORE_GROUPS_MAX][HALVES];
	unsigned n_groups;
	struct score_reason reasons[SCORE_REASONS_MAX];
	unsigned n_reasons;
};

/* The cell of a group, which is added when it is new; `group` must stay. */
struct score_cell *score_cell(struct score *score, const char *group, enum half half);
/* What two judgements come to; rows of `differs` are used up. */
enum outcome score_compare(struct differs *differs, const char *file, const char *program,
			   enum half half, const struct side *kernel, const struct side *ours);
/* Counts why an outcome came about. */
void score_reason(struct score *score, enum outcome outcome, const struct side *kernel,
		  const struct side *ours);

/* Tables, as TAP comments. */
void score_print(struct score *score);
/* Are no more programs LATER than differs.most allows ("later GROUP HALF")? Prints those groups. */
bool score_later(const struct score *score, const struct differs_most *most);
