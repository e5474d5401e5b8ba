#include "trial.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/uapi.h"
#include "words.h"

bool trials_open(struct trials *trials, const char *differs, const char *most)
{
	trials->verbose = getenv("BPFORT_TEST_VERBOSE") != NULL;
	if (!differs_open(&trials->differs, differs) || !differs_most_open(&trials->most, most)) {
		printf("Bail out! the list of differences cannot be read\n");
		return false;
	}
	trials->kernel = kernel_side_open();
	trials->ours = our_side_open();
	if (trials->kernel && trials->ours)
		return true;
	printf("1..0 # SKIP the kernel loads no programs: %s\n", strerror(errno));
	return false;
}

void trials_close(struct trials *trials)
{
	if (trials->kernel)
		kernel_side_close(trials->kernel);
	our_side_close(trials->ours);
}

/* --- complaints --- */

/* One program in one half. */
struct judged {
	struct trials *trials;
	const struct trial *trial;
	const struct notes_half *notes;
	enum half half;
	struct side theirs, mine;
	struct score_cell *cell;
};

static const char *words_of(const struct side *side)
{
	switch (side->verdict) {
	case VERDICT_ACCEPTS: return "accepts";
	case VERDICT_REJECTS: return side->line;
	default: return side->reason;
	}
}

static void say(const struct judged *judged, const char *what)
{
	printf("#   %s: %s %s: %s kernel: %s | ours: %s\n", what, judged->trial->program,
	       half_name(judged->half), judged->mine.code, words_of(&judged->theirs),
	       words_of(&judged->mine));
}

static void complain(const struct judged *judged, const char *who, const char *text)
{
	judged->trials->wrong++;
	printf("# + %s\t%s\t%s\t%s\t?\t%s\n", judged->trial->file, judged->trial->program,
	       half_name(judged->half), who, text);
}

static bool is_listed(const struct judged *judged, const char *who)
{
	return differs_find(&judged->trials->differs, judged->trial->file, judged->trial->program,
			    half_name(judged->half), who) != NULL;
}

/* --- comparisons --- */

static void compare_verdicts(struct judged *judged)
{
	struct trials *trials = judged->trials;
	enum outcome outcome =
		score_compare(&trials->differs, judged->trial->file, judged->trial->program,
			      judged->half, &judged->theirs, &judged->mine);

	judged->cell->outcomes[outcome]++;
	score_reason(&trials->score, outcome, &judged->theirs, &judged->mine);
	if (outcome == OUTCOME_LOOSER)
		complain(judged, "kernel", judged->theirs.line);
	else if (outcome == OUTCOME_STRICTER)
		complain(judged, "us", judged->mine.line);
	else if (trials->verbose && outcome > OUTCOME_AGREE_REJECT)
		say(judged, "differs");
	else if (trials->verbose && outcome == OUTCOME_AGREE_REJECT &&
		 strcmp(judged->theirs.line, judged->mine.line))
		say(judged, "other words");
	trials->accepted += judged->mine.verdict == VERDICT_ACCEPTS;
	if (!judged->mine.fault[0])
		return;
	if (!is_listed(judged, "value"))
		complain(judged, "value", judged->mine.fault);
}

/* Does the running kernel do what a test of another version expects? */
static bool as_expected(const struct judged *judged)
{
	bool success = judged->notes->expectation == EXPECT_SUCCESS;

	if (judged->theirs.verdict == VERDICT_CANNOT ||
	    judged->notes->expectation == EXPECT_NOTHING)
		return false;
	judged->cell->notes++;
	if (success == (judged->theirs.verdict == VERDICT_ACCEPTS))
		return true;
	judged->cell->notes_stale++;
	printf("#   %s %s %s: the test expects %s, the running kernel: %s\n", judged->trial->file,
	       judged->trial->program, half_name(judged->half), success ? "success" : "failure",
	       words_of(&judged->theirs));
	return false;
}

static void compare_words(const struct judged *judged)
{
	const struct notes_half *notes = judged->notes;
	struct score_cell *cell = judged->cell;
	const char *missing;
	bool listed;

	if (!notes->n_messages || !judged->theirs.log || !judged->mine.log ||
	    judged->theirs.verdict != judged->mine.verdict)
		return;
	cell->messages++;
	missing = words_missing(judged->theirs.log, judged->mine.log, notes->messages,
				notes->n_messages, &cell->messages_stale, &cell->messages_excused);
	if (!missing)
		return;
	cell->messages_missing++;
	listed = is_listed(judged, "words");
	if (!listed)
		complain(judged, "words", missing);
	if (judged->trials->verbose)
		say(judged, missing);
}

/* The kernel's own run says what is right: where it does not run it, neither does the test. */
static void compare_values(const struct judged *judged)
{
	const struct side *theirs = &judged->theirs, *mine = &judged->mine;
	const struct notes_half *notes = judged->notes;
	char text[128];

	if (!notes->n_values || mine->n_values != notes->n_values ||
	    theirs->n_values != notes->n_values)
		return;
	judged->cell->values++;
	for (unsigned i = 0; i < notes->n_values; i++) {
		if (mine->values[i] == theirs->values[i])
			continue;
		judged->cell->values_wrong++;
		snprintf(text, sizeof(text), "run %u returns %d; the kernel's %d", i,
			 (int)mine->values[i], (int)theirs->values[i]);
		if (!is_listed(judged, "value"))
			complain(judged, "value", text);
		return;
	}
}

/* --- the trial --- */

/* Without texts to look for, no log. */
static uint32_t log_level(const struct notes *notes, const struct notes_half *half)
{
	uint32_t level = notes->log_level & (FORT_LOG_PATH | FORT_LOG_STATES);

	return !half->n_messages ? 0 : level ? level : FORT_LOG_PATH;
}

int trial_run(struct trials *trials, const struct trial *trial, const union bpf_attr *attr,
	      uint32_t bytes)
{
	static struct judged judged;
	int first = -1;

	for (enum half half = 0; half < HALVES; half++) {
		const struct notes_half *notes = &trial->notes->half[half];
		struct oracle_wants wants = {.log_level = log_level(trial->notes, notes),
					     .n_runs = notes->n_values};
		int fd;

		for (unsigned i = 0; trial->data && i < notes->n_values; i++)
			memcpy(wants.data[i], trial->data[i], sizeof(wants.data[i]));
		judged = (struct judged){
			.trials = trials, .trial = trial, .notes = notes, .half = half};
		judged.cell = score_cell(&trials->score, trial->group, half);
		our_side_judge(trials->ours, attr, half, &wants, &judged.mine);
		fd = kernel_side_judge(trials->kernel, attr, bytes, half, &wants, &judged.theirs);
		compare_verdicts(&judged);
		if (as_expected(&judged)) {
			compare_words(&judged);
			compare_values(&judged);
		}
		if (half == HALF_PRIV)
			first = fd;
		else if (fd >= 0)
			close(fd);
	}
	return first;
}

void trial_missed(struct trials *trials, const struct trial *trial, const char *why)
{
	struct judged judged = {.trials = trials,
				.trial = trial,
				.half = HALF_PRIV,
				.theirs = {.verdict = VERDICT_CANNOT}};

	judged.cell = score_cell(&trials->score, trial->group, HALF_PRIV);
	snprintf(judged.theirs.reason, sizeof(judged.theirs.reason), "%s", why);
	compare_verdicts(&judged);
}

/* --- in the end --- */

/* Rows of the caller's files that do not differ. */
static bool all_rows_used(const struct trials *trials, bool (*mine)(const char *file))
{
	bool good = true;

	for (unsigned i = 0; i < trials->differs.n; i++) {
		const struct differs_row *row = &trials->differs.rows[i];

		if (row->used || !mine(row->file))
			continue;
		printf("# - %s\t%s\t%s\t%s\n", row->file, row->program, row->half, row->who);
		good = false;
	}
	return good;
}

static void verdict(bool good, unsigned number, const char *what)
{
	printf("%s %u - %s\n", good ? "ok" : "not ok", number, what);
}

unsigned trials_conclude(struct trials *trials, unsigned first, bool (*mine)(const char *file))
{
	unsigned number = first;

	printf("# %u times we accept; what can be run here was, as claimed\n", trials->accepted);
	score_print(&trials->score);
	verdict(all_rows_used(trials, mine), number++, "every listed difference is one");
	verdict(differs_count(&trials->differs, &trials->most), number++,
		"the list of differences has not grown");
	verdict(score_later(&trials->score, &trials->most), number++,
		"no more programs than before need what is not supported yet");
	return number - first;
}
