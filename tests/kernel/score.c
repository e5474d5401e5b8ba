#include "score.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REASONS_PRINTED 60u

struct score_cell *score_cell(struct score *score, const char *group, enum half half)
{
	unsigned i = 0;

	while (i < score->n_groups && strcmp(score->groups[i], group))
		i++;
	if (i == score->n_groups && i < SCORE_GROUPS_MAX)
		score->groups[score->n_groups++] = group;
	if (i == SCORE_GROUPS_MAX)
		abort(); /* more groups than there are */
	return &score->cells[i][half];
}

enum outcome score_compare(struct differs *differs, const char *file, const char *program,
			   enum half half, const struct side *kernel, const struct side *ours)
{
	bool accept = kernel->verdict == VERDICT_ACCEPTS;
	const char *name = half_name(half);

	if (kernel->verdict == VERDICT_CANNOT || kernel->verdict == VERDICT_NONE)
		return OUTCOME_UNVERIFIED;
	if (ours->verdict == VERDICT_CANNOT || ours->verdict == VERDICT_NONE)
		return OUTCOME_CANNOT;
	if (ours->verdict == VERDICT_LATER)
		return OUTCOME_LATER;
	if (kernel->verdict == ours->verdict)
		return accept ? OUTCOME_AGREE_ACCEPT : OUTCOME_AGREE_REJECT;
	if (accept)
		return differs_find(differs, file, program, name, "us") ? OUTCOME_LISTED_STRICTER
									: OUTCOME_STRICTER;
	return differs_find(differs, file, program, name, "kernel") ? OUTCOME_LISTED_LOOSER
								    : OUTCOME_LOOSER;
}

/* --- reasons --- */

static void count_reason(struct score *score, enum outcome outcome, const char *text)
{
	struct score_reason *reason = score->reasons;

	for (unsigned i = 0; i < score->n_reasons; i++, reason++)
		if (reason->outcome == outcome && !strcmp(reason->text, text)) {
			reason->count++;
			return;
		}
	if (score->n_reasons == SCORE_REASONS_MAX)
		return;
	snprintf(reason->text, sizeof(reason->text), "%s", text);
	reason->outcome = outcome;
	reason->count = 1;
	score->n_reasons++;
}

/* Numbers as #, so that lines of one kind are counted together. */
static void without_numbers(const char *line, char *out, size_t room)
{
	size_t n = 0;

	while (*line && n + 2 < room) {
		if (*line >= '0' && *line <= '9') {
			out[n++] = '#';
			line += strspn(line, "0123456789abcdefx");
		} else {
			out[n++] = *line++;
		}
	}
	out[n] = 0;
}

void score_reason(struct score *score, enum outcome outcome, const struct side *kernel,
		  const struct side *ours)
{
	char text[ORACLE_REASON_BYTES] = "";

	switch (outcome) {
	case OUTCOME_LATER:
	case OUTCOME_CANNOT: snprintf(text, sizeof(text), "%s", ours->reason); break;
	case OUTCOME_UNVERIFIED: without_numbers(kernel->reason, text, sizeof(text)); break;
	case OUTCOME_STRICTER: without_numbers(ours->line, text, sizeof(text)); break;
	case OUTCOME_LOOSER: without_numbers(kernel->line, text, sizeof(text)); break;
	default: return;
	}
	count_reason(score, outcome, text);
}

static int by_outcome_and_count(const void *a, const void *b)
{
	const struct score_reason *x = a, *y = b;

	if (x->outcome != y->outcome)
		return x->outcome < y->outcome ? -1 : 1;
	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	return strcmp(x->text, y->text);
}

static void print_reasons(struct score *score)
{
	static const char *const titles[OUTCOMES] = {
		[OUTCOME_LATER] = "not supported yet",
		[OUTCOME_LOOSER] = "only the kernel rejects, not listed",
		[OUTCOME_STRICTER] = "only we reject, not listed",
		[OUTCOME_UNVERIFIED] = "not verified by the running kernel",
		[OUTCOME_CANNOT] = "not verified by us",
	};
	unsigned printed = 0;

	qsort(score->reasons, score->n_reasons, sizeof(score->reasons[0]), by_outcome_and_count);
	for (unsigned i = 0; i < score->n_reasons; i++) {
		const struct score_reason *reason = &score->reasons[i];

		if (!i || reason->outcome != reason[-1].outcome) {
			printf("#\n# %s:\n", titles[reason->outcome]);
			printed = 0;
		}
		if (printed++ < REASONS_PRINTED)
			printf("# %5u  %s\n", reason->count, reason->text);
	}
}

/* --- tables --- */

static void add_cell(struct score_cell *sum, const struct score_cell *cell)
{
	const unsigned *from = (const unsigned *)cell;
	unsigned *to = (unsigned *)sum;

	for (size_t i = 0; i < sizeof(*cell) / sizeof(unsigned); i++)
		to[i] += from[i];
}

static double percent(unsigned part, unsigned whole)
{
	return whole ? 100.0 * part / whole : 0.0;
}

static void print_row(const char *group, const char *half, const struct score_cell *cell)
{
	const unsigned *o = cell->outcomes;
	unsigned agree = o[OUTCOME_AGREE_ACCEPT] + o[OUTCOME_AGREE_REJECT], verified = agree;

	for (unsigned i = OUTCOME_LISTED_LOOSER; i < OUTCOMES; i++)
		verified += i == OUTCOME_UNVERIFIED ? 0 : o[i];
	if (!verified && !o[OUTCOME_UNVERIFIED])
		return;
	printf("# %-10s %-6s %8u %6u %6u %7u %7u %6u %8u %8u %7u %7.1f %% %7.1f %%\n", group, half, verified,
	       o[OUTCOME_AGREE_ACCEPT], o[OUTCOME_AGREE_REJECT], o[OUTCOME_LISTED_LOOSER],
	       o[OUTCOME_LISTED_STRICTER], o[OUTCOME_LATER],
	       o[OUTCOME_LOOSER] + o[OUTCOME_STRICTER], o[OUTCOME_CANNOT], o[OUTCOME_UNVERIFIED],
	       percent(agree, verified), percent(agree, verified - o[OUTCOME_LATER]));
}

static void print_extras(const char *group, const char *half, const struct score_cell *cell)
{
	if (!cell->notes && !cell->values)
		return;
	printf("# %-10s %-6s %8u %8u %8u %8u %8u %8u %8u %8u\n", group, half, cell->notes,
	       cell->notes_stale, cell->messages, cell->messages_missing, cell->messages_excused,
	       cell->messages_stale, cell->values, cell->values_wrong);
}

void score_print(struct score *score)
{
	struct score_cell sum = {0};

	printf("#\n# programs that the running kernel verifies, and what we say:\n");
	printf("# %-10s %-6s %8s %6s %6s %7s %7s %6s %8s %8s %7s %9s %9s\n", "group", "half",
	       "verified", "accept", "reject", "looser", "strict.", "later", "unlisted", "cannot",
	       "kernel-", "agreement", "of those");
	for (unsigned g = 0; g < score->n_groups; g++)
		for (enum half half = 0; half < HALVES; half++) {
			print_row(score->groups[g], half_name(half), &score->cells[g][half]);
			add_cell(&sum, &score->cells[g][half]);
		}
	print_row("all", "", &sum);
	printf("# (kernel-: not verified by the running kernel, not part of the others; of those: "
	       "the agreement among\n#  programs that need nothing that is not supported yet)\n");
	printf("#\n# expectations of the kernel's tests:\n");
	printf("# %-10s %-6s %8s %8s %8s %8s %8s %8s %8s %8s\n", "group", "half", "verdicts",
	       "stale", "texts of", "missing", "excused", "stale", "values", "wrong");
	for (unsigned g = 0; g < score->n_groups; g++)
		for (enum half half = 0; half < HALVES; half++)
			print_extras(score->groups[g], half_name(half), &score->cells[g][half]);
	printf("# (verdicts, of which the running kernel does not share \"stale\"; programs with "
	       "texts, of which some miss one;\n#  texts that a rule excuses, or that the running "
	       "kernel does not say; results of runs)\n");
	print_reasons(score);
}

bool score_later(const struct score *score, const struct differs_most *most)
{
	bool good = true;

	for (unsigned g = 0; g < score->n_groups; g++)
		for (enum half half = 0; half < HALVES; half++) {
			unsigned count = score->cells[g][half].outcomes[OUTCOME_LATER], allowed;
			char kind[64];

			snprintf(kind, sizeof(kind), "later %s %s", score->groups[g],
				 half_name(half));
			allowed = differs_most_of(most, kind);
			if (count == allowed)
				continue;
			printf("# %s: %u, differs.most says %u%s\n", kind, count, allowed,
			       count > allowed ? ": it may only shrink" : ": lower it");
			good &= count < allowed;
		}
	return good;
}
