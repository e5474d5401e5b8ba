#include "verify_table.h"

#include <math.h>
#include <stdio.h>

#define RATIO_US_MIN 20 /* the kernel's clock counts whole microseconds */

/* --- JSON --- */

static void put_string(const char *key, const char *text)
{
	printf("\"%s\":\"", key);
	for (; *text; text++)
		if (*text == '"' || *text == '\\')
			printf("\\%c", *text);
		else if ((unsigned char)*text < ' ')
			printf("\\u%04x", *text);
		else
			putchar(*text);
	putchar('"');
}

static const char *verdict_name(enum verdict verdict)
{
	static const char *const names[] = {[VERDICT_NONE] = "unseen",
					    [VERDICT_ACCEPTS] = "accept",
					    [VERDICT_REJECTS] = "reject",
					    [VERDICT_LATER] = "later",
					    [VERDICT_CANNOT] = "not verified"};

	return names[verdict];
}

static const char *why(const struct side *side)
{
	return side->verdict == VERDICT_REJECTS ? side->line : side->reason;
}

static void open_row(struct verify_table *table, const char *group, const char *name)
{
	printf("%s\n{", table->rows++ ? "," : "");
	put_string("file", group);
	putchar(',');
	put_string("program", name);
}

static void json_row(struct verify_table *table, const char *group, const char *name,
		     const struct measured *m)
{
	const struct our_cost *ours = &m->our_cost;

	open_row(table, group, name);
	printf(",\"insns\":%u,\"rounds\":%u,\"kernel\":{", m->insns, m->rounds);
	put_string("verdict", verdict_name(m->kernel.verdict));
	putchar(',');
	put_string("why", why(&m->kernel));
	printf(",\"us\":%.0f,\"processed\":%lu,\"states\":%lu,\"peak\":%lu},\"ours\":{",
	       m->kernel_us, m->kernel.processed, m->kernel_cost.states,
	       m->kernel_cost.peak_states);
	put_string("verdict", verdict_name(m->ours.verdict));
	putchar(',');
	put_string("why", why(&m->ours));
	printf(",\"search_us\":%.1f,\"check_us\":%.1f,\"processed\":%lu,\"states\":%lu,"
	       "\"peak\":%lu,\"memory\":%lu,\"certificate\":%lu}}",
	       m->search_us, m->check_us, m->ours.processed, ours->states, ours->peak_states,
	       ours->memory_bytes, ours->certificate_bytes);
}

/* --- text --- */

static void text_head(void)
{
	printf("%-26s %-26s %7s | %9s %9s | %8s %9s %9s %7s %6s %8s %8s | %6s\n", "file", "program",
	       "insns", "kernel's", "us", "walked", "search us", "check us", "states", "peak",
	       "memory K", "cert. B", "ratio");
}

/* The reason of the side that is in the way. */
static void text_refused(const struct measured *m)
{
	const struct side *ours = &m->ours, *kernel = &m->kernel;

	if (kernel->verdict != VERDICT_ACCEPTS)
		printf(" kernel, %s: %.60s", verdict_name(kernel->verdict), why(kernel));
	if (ours->verdict != VERDICT_ACCEPTS)
		printf(" ours, %s: %.60s", verdict_name(ours->verdict), why(ours));
	printf("\n");
}

static void text_row(const char *group, const char *name, const struct measured *m)
{
	const struct our_cost *ours = &m->our_cost;

	printf("%-26.26s %-26.26s %7u |", group, name, m->insns);
	if (m->kernel.processed)
		printf(" %9lu %9.0f |", m->kernel.processed, m->kernel_us);
	else
		printf(" %9s %9s |", "-", "-");
	if (!measured_both(m)) {
		text_refused(m);
		return;
	}
	printf(" %8lu %9.0f %9.1f %7lu %6lu %8lu %8lu |", m->ours.processed, m->search_us,
	       m->check_us, ours->states, ours->peak_states, ours->memory_bytes >> 10,
	       ours->certificate_bytes);
	if (m->kernel_us < RATIO_US_MIN)
		printf("      -\n");
	else
		printf(" %6.2f\n", (m->search_us + m->check_us) / m->kernel_us);
}

/* --- both --- */

static void add(struct verify_table *table, const struct measured *m)
{
	double ratio = (m->search_us + m->check_us) / m->kernel_us;

	table->both++;
	table->kernel_us += m->kernel_us;
	table->search_us += m->search_us;
	table->check_us += m->check_us;
	table->kernel_processed += m->kernel.processed;
	table->processed += m->ours.processed;
	table->certificate_bytes += m->our_cost.certificate_bytes;
	if (m->our_cost.memory_bytes > table->memory_bytes)
		table->memory_bytes = m->our_cost.memory_bytes;
	if (m->kernel_us < RATIO_US_MIN)
		return;
	table->ratios++;
	table->log_ratios += log(ratio);
	table->worst_ratio = ratio > table->worst_ratio ? ratio : table->worst_ratio;
}

void verify_table_start(struct verify_table *table, bool json)
{
	*table = (struct verify_table){.json = json};
	if (json)
		printf("{\"programs\":[");
	else
		text_head();
}

void verify_table_row(struct verify_table *table, const char *group, const char *name,
		      const struct measured *m)
{
	bool kernel = m->kernel.verdict == VERDICT_ACCEPTS;
	bool ours = m->ours.verdict == VERDICT_ACCEPTS;

	if (table->json)
		json_row(table, group, name, m);
	else
		text_row(group, name, m);
	if (kernel && ours)
		add(table, m);
	else if (m->ours.verdict == VERDICT_LATER)
		table->later++;
	else if (kernel)
		table->only_kernel++;
	else if (ours)
		table->only_ours++;
	else
		table->neither++;
}

void verify_table_unseen(struct verify_table *table, const char *group, const char *name,
			 const char *reason)
{
	table->unseen++;
	if (table->json) {
		open_row(table, group, name);
		putchar(',');
		put_string("unseen", reason);
		putchar('}');
	} else {
		printf("%-26.26s %-26.26s %7s | libbpf: %.80s\n", group, name, "-", reason);
	}
}

static void json_end(const struct verify_table *t)
{
	printf("\n],\"totals\":{\"both\":%u,\"only_kernel\":%u,\"only_ours\":%u,\"neither\":%u,"
	       "\"later\":%u,\"unseen\":%u,\"kernel_us\":%.0f,\"search_us\":%.0f,"
	       "\"check_us\":%.0f,\"kernel_processed\":%lu,\"processed\":%lu,"
	       "\"certificate\":%lu,\"memory\":%lu,\"ratio\":%.3f,\"worst_ratio\":%.3f}}\n",
	       t->both, t->only_kernel, t->only_ours, t->neither, t->later, t->unseen, t->kernel_us,
	       t->search_us, t->check_us, t->kernel_processed, t->processed, t->certificate_bytes,
	       t->memory_bytes, t->ratios ? exp(t->log_ratios / t->ratios) : 0, t->worst_ratio);
}

void verify_table_end(struct verify_table *t)
{
	if (t->json) {
		json_end(t);
		return;
	}
	printf("\naccepted by both %u; only by the kernel %u, only by us %u, by neither %u; needs "
	       "what is not supported yet %u; not loaded by libbpf %u\n",
	       t->both, t->only_kernel, t->only_ours, t->neither, t->later, t->unseen);
	printf("of both, in all: kernel %.0f us for %lu instructions; search %.0f us for %lu; "
	       "check %.0f us, %.2f of the search; certificates %lu bytes; most memory %lu K\n",
	       t->kernel_us, t->kernel_processed, t->search_us, t->processed, t->check_us,
	       t->search_us > 0 ? t->check_us / t->search_us : 0, t->certificate_bytes,
	       t->memory_bytes >> 10);
	if (t->ratios)
		printf("search and check to the kernel's time: geometric mean of %u ratios %.2f, "
		       "worst %.2f; of the sums %.2f\n",
		       t->ratios, exp(t->log_ratios / t->ratios), t->worst_ratio,
		       (t->search_us + t->check_us) / t->kernel_us);
}
