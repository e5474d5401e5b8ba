/* The verifier's case files beside the running kernel: the verdict, and the line that says why.
 *
 * Differences are rows of differs.tsv: FILE is the case file's name, PROGRAM the case's; WHO may
 * also be "words": both reject, and say it differently. A case that says itself what the kernel
 * does, or is the unsafe twin of one, is held to that instead. Cases of programs with some rights
 * and not others, or a smaller budget, are left out.
 *
 * usage: kernel_cases DIFFERS CASES...
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "case.h"
#include "differs.h"
#include "kernel_lab.h"
#include "verify/render.h"

static struct lab lab;
static struct kernel_lab kernel;
static struct differs differs;
static char file[64]; /* being read */
static unsigned count, agree, as_said, listed, left_out, wrong;

/* Maps are called as kernel_maps.c calls them. */
static const char *map_name(void *context, uint32_t index)
{
	(void)context;
	(void)index;
	return "lab";
}

/* Our last line. False when we accept. */
static bool rejected(const struct lab_case *want, bool built, char *line, size_t room)
{
	const struct fort_violation *v = built ? &lab.result.violation : &lab.form;
	const struct fort_print_names names = {.map = map_name};
	struct fort_render render = {.env = built ? &lab.env : NULL,
				     .violation = v,
				     .names = &names};
	struct fort_text text = fort_text_on(line, room);
	const char *last;

	line[0] = 0;
	if (built) {
		struct fort_verify_options options = {.budget_insns = want->budget};

		if (fort_verify_search(&lab.env, &lab.arena, &options, &lab.result))
			return true;
		if (lab.result.verdict == FORT_ACCEPT)
			return false;
		render.state = lab.result.state;
	} else {
		render.isa = lab.error;
	}
	fort_render_text(&render, fort_diag_info(v->diag)->kernel, &text);
	last = strrchr(line, '\n');
	if (last)
		memmove(line, last + 1, strlen(last));
	return true;
}

/* What the kernel does is part of the case; of one that is unsafe for any cause, that it says so.
 */
static bool is_said(const struct lab_case *want)
{
	bool any_cause = !want->accept && !want->code[0];

	return want->kernel != LAB_KERNEL_SAME || want->twin || want->later[0] || any_cause;
}

static void judge_said(const struct lab_case *want)
{
	bool accepts = want->kernel == LAB_KERNEL_ACCEPTS ||
		       (want->kernel == LAB_KERNEL_SAME && want->accept);

	if (kernel_lab_accepts(&kernel, &lab) == (accepts && !want->twin)) {
		as_said++;
		return;
	}
	wrong++;
	printf("# %s: %s: the kernel %s it\n", file, want->name,
	       accepts && !want->twin ? "rejects" : "accepts");
}

static void judge(const struct lab_case *want, bool built)
{
	struct kernel_verdict verdict;
	char line[1024];
	bool ours = rejected(want, built, line, sizeof(line)), theirs;
	const char *who = NULL;

	kernel_lab_load(&kernel, &lab, &verdict);
	if (verdict.fd == -ENODATA ||
	    (verdict.fd == -EPERM && !verdict.line[0])) { /* it did not look at the program */
		left_out++;
		return;
	}
	theirs = verdict.fd < 0;
	if (!theirs)
		close(verdict.fd);
	if (ours != theirs)
		who = ours ? "us" : "kernel";
	else if (ours && strcmp(line, verdict.line))
		who = "words";
	if (!who) {
		agree++;
	} else if (differs_listed(&differs, file, want->name, who)) {
		listed++;
	} else {
		wrong++;
		printf("# %s: %s: not listed (%s)\n#   kernel: %s\n#   ours:   %s\n", file,
		       want->name, who, theirs ? verdict.line : "accepts", ours ? line : "accepts");
	}
}

static void one_case(const struct lab_case *want, void *context)
{
	bool built = lab_case_open(&lab, want);

	(void)context;
	if ((want->rights && want->rights != LAB_ALL_RIGHTS) || want->budget < FORT_BUDGET_INSNS ||
	    (!built && !lab.form.diag))
		left_out++;
	else if (is_said(want))
		judge_said(want);
	else
		judge(want, built);
	lab_free(&lab);
}

static void one_file(const char *path)
{
	const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	unsigned before = wrong;

	snprintf(file, sizeof(file), "%s", name);
	if (!lab_cases_read(path, one_case, NULL))
		wrong++;
	printf("%s %u - %s\n", wrong == before ? "ok" : "not ok", ++count, file);
}

/* Rows of case files that do not differ. */
static void report_rows(void)
{
	unsigned before = wrong;

	for (unsigned i = 0; i < differs.n; i++) {
		const struct differs_row *row = &differs.rows[i];

		if (row->used || !strstr(row->file, ".test"))
			continue;
		printf("# %s: %s: does not differ (%s)\n", row->file, row->program, row->who);
		wrong++;
	}
	printf("%s %u - every listed difference is one\n", wrong == before ? "ok" : "not ok",
	       ++count);
}

int main(int argc, char **argv)
{
	int err;

	if (argc < 3 || !differs_open(&differs, argv[1])) {
		printf("Bail out! usage: kernel_cases DIFFERS CASES...\n");
		return 1;
	}
	err = kernel_lab_open(&kernel);
	if (err) {
		printf("1..0 # SKIP the kernel makes no maps: %s\n", strerror(-err));
		return 0;
	}
	for (int i = 2; i < argc; i++)
		one_file(argv[i]);
	report_rows();
	printf("# %u verdicts and lines agree, %u are what the case says of the kernel, %u "
	       "differences are listed, %u cases left out\n1..%u\n",
	       agree, as_said, listed, left_out, count);
	kernel_lab_close(&kernel);
	return wrong ? 1 : 0;
}
