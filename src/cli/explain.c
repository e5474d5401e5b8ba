/* bpfort explain: what the codes of diagnostics mean, from the tables that the verifier itself
 * uses.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/json.h"
#include "cli/table.h"
#include "cli/verb.h"
#include "verify/explain.h"

struct request {
	const char *code;
	bool json;
};

#define COLUMNS 3u
#define WIDTH   78u

/* Upper or lower case, and without the F: 401 is F0401. */
static bool is_code(const char *code, const char *asked)
{
	char *end;
	unsigned long number =
		strtoul(toupper((unsigned char)*asked) == 'F' ? asked + 1 : asked, &end, 10);

	return end != asked && !*end && number == strtoul(code + 1, NULL, 10);
}

/* FORT_DIAG_NONE: there is no such code. */
static enum fort_diag find(const char *asked)
{
	for (unsigned i = 1; i < FORT_DIAGS; i++)
		if (is_code(fort_diag_info((enum fort_diag)i)->code, asked))
			return (enum fort_diag)i;
	return FORT_DIAG_NONE;
}

static const char *class_of(enum fort_diag diag)
{
	return fort_cause_name((enum fort_cause)fort_explain_info(diag)->cause);
}

static json_t *diag_json(enum fort_diag diag)
{
	const struct fort_diag_info *info = fort_diag_info(diag);

	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "code", fort_json_text(info->code),
			 "title", fort_json_text(info->title), "class",
			 fort_json_text(class_of(diag)), "errno",
			 fort_json_number((uint64_t)info->errno_value), "why",
			 fort_json_text(fort_explain_info(diag)->why), "hint",
			 fort_json_text(info->hint), "kernel_line", fort_json_text(info->kernel));
}

static json_t *all_json(void)
{
	json_t *list = json_array();

	for (unsigned i = 1; i < FORT_DIAGS; i++)
		json_array_append_new(list, diag_json((enum fort_diag)i));
	return json_pack("{s:o}", "diagnostics", list);
}

static void print_all(void)
{
	static const struct fort_column columns[COLUMNS] = {{"CODE"}, {"CLASS"}, {"TITLE"}};
	const char *cells[FORT_DIAGS * COLUMNS];
	size_t n = 0;

	for (unsigned i = 1; i < FORT_DIAGS; i++) {
		const struct fort_diag_info *info = fort_diag_info((enum fort_diag)i);

		cells[n++] = info->code;
		cells[n++] = class_of((enum fort_diag)i);
		cells[n++] = info->title;
	}
	fort_table_print(columns, COLUMNS, cells, n / COLUMNS);
}

static void print_wrapped(const char *text)
{
	size_t column = 0;

	while (*text) {
		size_t word = strcspn(text, " ");

		if (column && column + 1 + word > WIDTH) {
			printf("\n");
			column = 0;
		}
		printf("%s%.*s", column ? " " : "", (int)word, text);
		column += word + (column ? 1 : 0);
		text += word;
		text += strspn(text, " ");
	}
	printf("\n");
}

static void print_one(enum fort_diag diag)
{
	const struct fort_diag_info *info = fort_diag_info(diag);

	printf("%s: %s\n\n", info->code, info->title);
	print_wrapped(fort_explain_info(diag)->why);
	printf("\nto fix: %s\nclass:  %s\nerrno:  %s\n", info->hint, class_of(diag),
	       strerrorname_np(info->errno_value));
}

static int run(const struct fort_verb *verb, int argc, char **argv)
{
	struct request request = {0};
	int status = fort_verb_start(verb, argc, argv, &request);
	enum fort_diag diag;

	if (status >= 0)
		return status;
	diag = request.code ? find(request.code) : FORT_DIAG_NONE;
	if (request.code && !diag)
		return fort_verb_fail(request.json, "%s is no code; `bpfort explain` lists them",
				      request.code);
	if (request.json)
		fort_json_print(diag ? diag_json(diag) : all_json());
	else if (diag)
		print_one(diag);
	else
		print_all();
	return FORT_EXIT_YES;
}

static const struct fort_option options[] = {
	{"--json", NULL,
	 "print {\"code\", \"title\", \"why\", ...}, or all: {\"diagnostics\": [...]}",
	 FORT_OPTION_FLAG, offsetof(struct request, json)},
};

const struct fort_verb fort_verb_explain = {
	.words = {"explain"},
	.summary = "Say what the code of a rejection means, why it is one, and what helps.",
	.operand = "CODE",
	.operand_at = offsetof(struct request, code),
	.optional = true,
	.options = options,
	.n_options = FORT_LEN(options),
	.notes = "Without a code: lists all.\nExit status: 0, or 2 for a code that there is not.\n",
	.run = run,
};
