/* How the time of verification grows with the program, here and in the kernel: four series of
 * programs, each with one number that grows. One line per program, tab-separated, for
 * bench/plot.py:
 *
 *   SERIES  N  INSNS  KERNEL_VERDICT  KERNEL_US  KERNEL_WALKED  OUR_VERDICT  OUR_US  OUR_WALKED
 *
 * A series ends for good where both sides reject, and for a side where it has taken SECONDS_MAX.
 */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "judges.h"

#define POINTS_MAX 12
#define US_MAX     5e6

/* What was added up is an index at the end. */
static void use_sum(struct fort_text *text)
{
	fort_text_add(text, "stdw [r10-8], 0\nmov r2, r10\nadd r2, -8\nand r0, 7\nadd r2, r0\n"
			    "ldxb r0, [r2+0]\nexit\n");
}

/* Two ways around an addition, n times; nothing depends on the sum. */
static void diamonds(struct fort_text *text, unsigned n)
{
	fort_text_add(text, "mov r0, 0\n");
	for (unsigned i = 0; i < n; i++)
		fort_text_add(text, "ldxw r2, [r1+0]\njset r2, %u, +1\nadd r0, 1\n", 1u << i % 16);
	fort_text_add(text, "mov r0, 0\nexit\n");
}

static void diamonds_used(struct fort_text *text, unsigned n)
{
	fort_text_add(text, "mov r0, 0\n");
	for (unsigned i = 0; i < n; i++)
		fort_text_add(text, "ldxw r2, [r1+0]\njset r2, %u, +1\nadd r0, 1\n", 1u << i % 16);
	use_sum(text);
}

/* The same by n bits of one word, and what is added tells all ways apart. */
static void bit_tests(struct fort_text *text, unsigned n)
{
	fort_text_add(text, "ldxw r2, [r1+0]\nmov r0, 0\n");
	for (unsigned i = 0; i < n; i++)
		fort_text_add(text, "jset r2, %d, +1\nadd r0, %u\n", (int)(1u << i), 1u << i);
	use_sum(text);
}

static void nested_loops(struct fort_text *text, unsigned n)
{
	fort_text_add(text,
		      "mov r0, 0\nmov r1, 0\nouter: mov r2, 0\ninner: add r0, 1\nadd r2, 1\n"
		      "jlt r2, %u, inner\nadd r1, 1\njlt r1, %u, outer\nmov r0, 0\nexit\n",
		      n, n);
}

static void one_loop(struct fort_text *text, unsigned n)
{
	fort_text_add(text,
		      "mov r0, 0\nmov r1, 0\ntop: add r0, r1\nadd r1, 1\njlt r1, %u, top\n"
		      "mov r0, 0\nexit\n",
		      n);
}

/* Lookup, test for NULL, addition to the value. */
static void lookups(struct fort_text *text, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		fort_text_add(text,
			      "stdw [r10-8], %u\nlddw r1, map_idx 1\nmov r2, r10\nadd r2, -8\n"
			      "call 1\njeq r0, 0, +2\nmov r1, 1\nlock add [r0+0], r1\n",
			      i);
	fort_text_add(text, "mov r0, 0\nexit\n");
}

static const struct series {
	const char *name;
	void (*write)(struct fort_text *text, unsigned n);
	unsigned points[POINTS_MAX];
} series[] = {
	{"diamonds", diamonds, {10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000}},
	{"diamonds, sum used", diamonds_used, {5, 10, 20, 50, 100, 200, 500, 1000, 2000}},
	{"bits of one word, sum used", bit_tests, {2, 4, 6, 8, 10, 12, 14, 16, 20, 24, 30}},
	{"rounds of a loop", one_loop, {10, 100, 1000, 10000, 100000, 1000000, 10000000}},
	{"nested loops", nested_loops, {4, 8, 16, 32, 64, 128, 256, 512, 1024}},
	{"lookups in a row", lookups, {10, 20, 50, 100, 200, 500, 1000, 2000}},
};

static const char *verdict_of(const struct side *side)
{
	return side->verdict == VERDICT_ACCEPTS ? "accept" : "reject";
}

static bool goes_on(const struct measured *m)
{
	bool both_reject =
		m->kernel.verdict != VERDICT_ACCEPTS && m->ours.verdict != VERDICT_ACCEPTS;

	return !both_reject && m->kernel_us < US_MAX && m->search_us + m->check_us < US_MAX;
}

static void one_series(struct judges *judges, const struct series *s)
{
	struct measured m;

	for (unsigned i = 0; i < POINTS_MAX && s->points[i]; i++) {
		struct fort_text text = fort_text_new();

		s->write(&text, s->points[i]);
		judges_measure_text(judges, BPF_PROG_TYPE_SCHED_CLS, text.data, text.length, &m);
		fort_text_free(&text);
		printf("%s\t%u\t%u\t%s\t%.0f\t%lu\t%s\t%.1f\t%lu\n", s->name, s->points[i], m.insns,
		       verdict_of(&m.kernel), m.kernel_us, m.kernel.processed, verdict_of(&m.ours),
		       m.search_us + m.check_us, m.ours.processed);
		if (!goes_on(&m))
			break;
	}
}

int main(void)
{
	struct judges judges;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!judges_open(&judges))
		return 1;
	printf("series\tn\tinsns\tkernel\tkernel_us\tkernel_walked\tours\tours_us\tours_walked\n");
	for (unsigned i = 0; i < FORT_LEN(series); i++)
		one_series(&judges, &series[i]);
	judges_close(&judges);
	return 0;
}
