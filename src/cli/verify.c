/* bpfort verify: each program of each object alone, as veristat does; nothing is loaded to run. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/uapi.h"
#include "cli/filter.h"
#include "cli/guess.h"
#include "cli/jobs.h"
#include "cli/verb.h"
#include "cli/verdict.h"

#define WORKERS     2u
#define WORKERS_MAX 256u

struct request {
	struct fort_words files, filters;
	const char *prog, *type, *btf, *sort, *compare;
	uint64_t log_level, workers;
	bool explain, json, csv, quiet;
};

struct session {
	const struct request *request;
	struct fort_kernel_types types;
	struct fort_job *jobs;
	size_t n_jobs;
	struct fort_vet_row *rows;
	size_t n_rows;
	/* By verdict, and of files. */
	uint32_t counts[FORT_VET_ERROR + 1], n_bad_files;
	/* With --compare: of those that both judged. */
	uint32_t n_compared, n_agreed;
	double ours_us, kernel_us;
};

/* --- doing it --- */

static bool wants(void *owner, const char *path, const char *prog)
{
	const struct request *request = owner;

	return fort_filter_wants(&request->filters, path, prog);
}

static int check_request(const struct request *request, struct fort_text *why)
{
	struct fort_text words = fort_text_new();
	int err = 0;

	if (request->compare && strcmp(request->compare, "kernel") != 0)
		fort_text_add(why, "--compare %s: there is only kernel to compare with",
			      request->compare);
	else if (request->type && !fort_guess_knows(request->type))
		fort_text_add(why,
			      "--type %s: neither a program type (xdp, sched_cls) nor the "
			      "name of a section (cgroup/bind4)",
			      request->type);
	else if (request->json + request->csv + request->quiet > 1)
		fort_text_add(why, "--json, --csv and --quiet do not go together");
	else if (request->sort && fort_columns_sort(NULL, 0, request->sort, &words))
		fort_text_add(why, "%s", words.data);
	err = why->length ? -1 : 0;
	fort_text_free(&words);
	return err;
}

static int make_jobs(struct session *s)
{
	const struct request *request = s->request;

	s->jobs = calloc(request->files.n, sizeof(*s->jobs));
	if (!s->jobs)
		return -1;
	for (size_t i = 0; i < request->files.n; i++)
		if (fort_filter_wants(&request->filters, request->files.at[i], NULL))
			s->jobs[s->n_jobs++].path = request->files.at[i];
	return 0;
}

static void count(struct session *s, const struct fort_vetted *p)
{
	s->counts[p->verdict]++;
	if (!p->kernel.asked || p->kernel.verdict == FORT_VET_ERROR || p->verdict > FORT_VET_REJECT)
		return;
	s->n_compared++;
	s->n_agreed += p->verdict == p->kernel.verdict;
	s->ours_us += (double)fort_vetted_ns(p) / 1000;
	s->kernel_us += (double)p->kernel.us;
}

static int make_rows(struct session *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_jobs; i++) {
		n += s->jobs[i].n_programs;
		s->n_bad_files += s->jobs[i].error != NULL;
	}
	s->rows = calloc(n ? n : 1, sizeof(*s->rows));
	if (!s->rows)
		return -1;
	for (size_t i = 0; i < s->n_jobs; i++)
		for (size_t j = 0; j < s->jobs[i].n_programs; j++) {
			s->rows[s->n_rows++] =
				(struct fort_vet_row){s->jobs[i].path, s->jobs[i].programs[j]};
			count(s, s->jobs[i].programs[j]);
		}
	return 0;
}

static int do_all(struct session *s, struct fort_text *why)
{
	const struct request *request = s->request;
	const struct fort_vet_request vet = {
		.prog = request->prog,
		.type = request->type,
		.wants = wants,
		.owner = (void *)(uintptr_t)request, /* only read */
		.log_level = (uint32_t)request->log_level,
		.kernel = request->compare != NULL,
		.types = &s->types,
	};
	uint32_t n_workers = request->workers ? (uint32_t)request->workers : WORKERS;
	int err = fort_kernel_types_open(request->btf, &s->types, why);

	if (err)
		return err;
	if (!make_jobs(s))
		err = fort_jobs_run(&vet, s->jobs, s->n_jobs, n_workers,
				    !request->quiet && isatty(STDERR_FILENO));
	if (err || !s->jobs || make_rows(s)) {
		fort_text_add(why, "%s", err ? strerror(-err) : "out of memory");
		return -1;
	}
	return request->sort ? fort_columns_sort(s->rows, s->n_rows, request->sort, why) : 0;
}

/* --- saying it --- */

static json_t *file_json(const struct fort_job *job)
{
	json_t *programs = json_array();

	for (size_t i = 0; i < job->n_programs; i++)
		json_array_append_new(programs, fort_verdict_json(job->programs[i]));
	if (job->error)
		return json_pack("{s:o, s:o, s:o}", "file", fort_json_text(job->path), "error",
				 fort_json_text(job->error), "programs", programs);
	return json_pack("{s:o, s:o}", "file", fort_json_text(job->path), "programs", programs);
}

static uint32_t n_errors(const struct session *s)
{
	return s->counts[FORT_VET_UNSUPPORTED] + s->counts[FORT_VET_ERROR] + s->n_bad_files;
}

static void print_json(const struct session *s)
{
	json_t *files;

	if (s->request->files.n == 1) {
		fort_json_print(file_json(&s->jobs[0]));
		return;
	}
	files = json_array();
	for (size_t i = 0; i < s->n_jobs; i++)
		json_array_append_new(files, file_json(&s->jobs[i]));
	fort_json_print(json_pack("{s:o, s:o, s:o, s:o}", "files", files, "accepted",
				  fort_json_number(s->counts[FORT_VET_ACCEPT]), "rejected",
				  fort_json_number(s->counts[FORT_VET_REJECT]), "errors",
				  fort_json_number(n_errors(s))));
}

static void print_logs(const struct session *s)
{
	for (size_t i = 0; i < s->n_jobs; i++)
		for (size_t j = 0; j < s->jobs[i].n_programs; j++)
			if (s->jobs[i].logs[j])
				printf("%s:\n%s\n", s->jobs[i].programs[j]->name,
				       s->jobs[i].logs[j]);
}

/* Whatever was not accepted, with the file's name if there are several. */
static void print_rejections(const struct session *s)
{
	struct fort_text text = fort_text_new();

	for (size_t i = 0; i < s->n_rows; i++) {
		const struct fort_vetted *p = s->rows[i].program;

		if (p->verdict == FORT_VET_ACCEPT)
			continue;
		if (s->n_jobs > 1)
			fort_text_add(&text, "%s: ", s->rows[i].file);
		fort_verdict_explain(p->name, &p->loading, p->words, s->request->explain, &text);
		if (p->hint[0])
			fort_text_add(&text, "  names: %s\n", p->hint);
		fort_text_add(&text, "\n");
	}
	if (text.length)
		printf("\n%s", text.data);
	fort_text_free(&text);
}

/* Why the kernel judged otherwise, or not at all. */
static void print_kernel(const struct session *s)
{
	for (size_t i = 0; i < s->n_rows; i++) {
		const struct fort_vetted *p = s->rows[i].program;

		if (p->kernel.asked && p->kernel.words[0] && p->kernel.verdict != p->verdict)
			printf("%s: kernel, %s: %s\n", p->name,
			       fort_vet_verdict_name(p->kernel.verdict), p->kernel.words);
	}
}

static void print_summary(const struct session *s)
{
	printf("%u accepted, %u rejected, %u errors", s->counts[FORT_VET_ACCEPT],
	       s->counts[FORT_VET_REJECT], n_errors(s));
	if (s->request->compare)
		printf("; the kernel agrees on %u of %u", s->n_agreed, s->n_compared);
	if (s->kernel_us > 0)
		printf(", for which it took %.0f us and bpfort %.0f us: %.3f", s->kernel_us,
		       s->ours_us, s->ours_us / s->kernel_us);
	putchar('\n');
}

static void print(const struct session *s)
{
	const struct request *request = s->request;
	bool kernel = request->compare != NULL;

	if (request->json) {
		print_json(s);
		return;
	}
	if (request->csv) {
		fort_columns_csv(s->rows, s->n_rows, kernel);
		return;
	}
	if (!request->quiet) {
		print_logs(s);
		fort_columns_print(s->rows, s->n_rows, kernel);
		print_rejections(s);
		print_kernel(s);
	}
	print_summary(s);
}

/* --- the verb --- */

static int conclude(const struct session *s)
{
	const struct request *request = s->request;

	for (size_t i = 0; i < s->n_jobs; i++)
		if (s->jobs[i].error && !(request->json && request->files.n == 1))
			fprintf(stderr, "bpfort: %s\n", s->jobs[i].error);
	if (s->n_bad_files && !s->n_rows && request->files.n == 1)
		return request->json ? fort_verb_fail(true, "%s", s->jobs[0].error)
				     : FORT_EXIT_ERROR;
	if (!s->n_rows && !s->n_bad_files)
		return fort_verb_fail(request->json, "there is no program to verify%s",
				      request->filters.n ? " that the filters let through" : "");
	print(s);
	if (s->n_bad_files)
		return FORT_EXIT_ERROR;
	return s->counts[FORT_VET_ACCEPT] == s->n_rows ? FORT_EXIT_YES : FORT_EXIT_NO;
}

static int run(const struct fort_verb *verb, int argc, char **argv)
{
	struct request request = {0};
	struct session s = {.request = &request, .types.fd = -1};
	struct fort_text why = fort_text_new();
	int status = fort_verb_start(verb, argc, argv, &request);

	if (status < 0) {
		if (check_request(&request, &why) || do_all(&s, &why))
			status = fort_verb_fail(request.json, "%s", why.data ? why.data : "");
		else
			status = conclude(&s);
	}
	free(s.rows);
	fort_jobs_free(s.jobs, s.n_jobs);
	fort_kernel_types_close(&s.types);
	fort_words_free(&request.files);
	fort_words_free(&request.filters);
	fort_text_free(&why);
	return status;
}

#define AT(member) offsetof(struct request, member)
static const struct fort_option options[] = {
	{"--filter", "GLOB[/PROG]",
	 "only these files, or programs in them; with ! before it, not "
	 "these (repeatable)",
	 FORT_OPTION_WORDS, AT(filters)},
	{"--prog", "NAME", "only this program", FORT_OPTION_TEXT, AT(prog)},
	{"--type", "NAME", "the type of programs whose section names none: xdp, or cgroup/bind4",
	 FORT_OPTION_TEXT, AT(type)},
	{"--btf", "FILE", "types of the kernel that the programs are for (BTF, or vmlinux)",
	 FORT_OPTION_TEXT, AT(btf)},
	{"--compare", "kernel", "ask the running kernel as well; side by side", FORT_OPTION_TEXT,
	 AT(compare)},
	{"--sort", "COLUMN[:desc]", "rows by a column of --csv", FORT_OPTION_TEXT, AT(sort)},
	{"--explain", NULL, "say what was needed, what was known, and the way that led there",
	 FORT_OPTION_FLAG, AT(explain)},
	{"--log-level", "N", "print the verifier's log: 1 the path to the end, 2 everything",
	 FORT_OPTION_NUMBER, AT(log_level), 0, 2},
	{"--json", NULL,
	 "print one object: {\"file\", \"programs\": [...]}, or of several files "
	 "{\"files\": [...]}",
	 FORT_OPTION_FLAG, AT(json)},
	{"--csv", NULL, "print all columns as CSV", FORT_OPTION_FLAG, AT(csv)},
	{"--quiet", NULL, "print only the last line, which counts", FORT_OPTION_FLAG, AT(quiet)},
	{"-j", "N", "processes at a time (2)", FORT_OPTION_NUMBER, AT(workers), 1, WORKERS_MAX},
};

const struct fort_verb fort_verb_verify = {
	.words = {"verify"},
	.summary = "Say of each program in an object whether it is safe to run, and why not.",
	.operand = "FILE.o",
	.operand_at = AT(files),
	.many = true,
	.options = options,
	.n_options = FORT_LEN(options),
	.notes = "Programs and maps of all types that the kernel has are judged, also those that "
		 "bpfort\ncannot run. It needs no rights and no kernel: nothing is loaded there, "
		 "but "
		 "with --compare.\n\n"
		 "Duration is that of the search and of the check of its certificate; the ratio is "
		 "ours to the\nkernel's. Verdicts: accept; reject; unsupported, it needs what "
		 "bpfort "
		 "does not know yet;\nerror, it could not be judged. The last two count as "
		 "errors.\n\n"
		 "Exit status: 0 all are accepted, 1 some are not, 2 usage, or a file cannot be "
		 "read.\n\n"
		 "  bpfort verify *.o --filter '!test_*' --sort duration:desc\n"
		 "  bpfort verify xdp.o --compare kernel --filter '/xdp_*'\n",
	.run = run,
};
