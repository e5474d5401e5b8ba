/* bpfort prog run file: a test run of one program of an object, as BPF_PROG_TEST_RUN does it. */
#include <stdio.h>

#include "cli/json.h"
#include "cli/tryout.h"
#include "cli/verb.h"

struct request {
	struct fort_tryout_request trial;
	bool json;
};

/* --- results --- */

static json_t *abort_json(const struct fort_abort *abort)
{
	json_t *object;

	if (!abort->code)
		return json_null();
	object = json_pack("{s:s, s:o}", "reason", fort_abort_name(abort->code), "insn",
			   fort_json_number(abort->pc));
	if (abort->code == FORT_ABORT_MEMORY) {
		json_object_set_new(object, "address", fort_json_number(abort->address));
		json_object_set_new(object, "bytes", fort_json_number(abort->bytes));
	}
	if (abort->detail)
		json_object_set_new(object, "detail", fort_json_number(abort->detail));
	return object;
}

static void print_json(const struct fort_tryout *s)
{
	const struct fort_store *store = fort_front_store(s->front);
	const struct fort_test_result *result = &s->result;

	fort_json_print(json_pack("{s:o, s:o, s:o, s:s, s:s, s:o}", "retval",
				  fort_json_number(result->retval), "ns_per_run",
				  fort_json_number(result->duration_ns), "repeat",
				  fort_json_number(s->request->repeat), "engine",
				  fort_store_engine(store)->name, "isolation",
				  fort_isolation_name(fort_store_isolation(store)), "aborted",
				  abort_json(&result->abort)));
}

static void print_text(const struct fort_tryout *s)
{
	const struct fort_test_result *result = &s->result;

	if (result->abort.code)
		printf("aborted at instruction %u (%s) in run %u\n", result->abort.pc,
		       fort_abort_name(result->abort.code), result->runs);
	else
		printf("Return value: %u, duration%s: %uns\n", result->retval,
		       s->request->repeat > 1 ? " (average)" : "", result->duration_ns);
}

static int run(const struct fort_verb *verb, int argc, char **argv)
{
	struct request request = {.trial.repeat = 1};
	struct fort_text why = fort_text_new();
	struct fort_tryout s = {.request = &request.trial, .file.fd = -1, .why = &why};
	int status = fort_verb_start(verb, argc, argv, &request);

	if (status < 0) {
		status = fort_tryout_run(&s) ? fort_verb_fail(request.json, "%s", why.data)
					     : FORT_EXIT_YES;
		if (s.rejected)
			status = FORT_EXIT_NO;
		if (status == FORT_EXIT_YES) {
			(request.json ? print_json : print_text)(&s);
			status = s.result.abort.code ? FORT_EXIT_NO : FORT_EXIT_YES;
		}
	}
	fort_tryout_end(&s);
	fort_text_free(&why);
	return status;
}

#define AT(member) offsetof(struct request, trial.member)
static const struct fort_option options[] = {
	FORT_TRYOUT_INPUTS(AT),
	{"data_out", "FILE", "where to write the packet as the program left it", FORT_OPTION_TEXT,
	 AT(data_out)},
	{"ctx_out", "FILE", "where to write the context as the program left it", FORT_OPTION_TEXT,
	 AT(ctx_out)},
	{"repeat", "N", "run N times, and print the average", FORT_OPTION_NUMBER, AT(repeat), 1,
	 FORT_TEST_REPEAT_MAX},
	{"--json", NULL, "print {\"retval\", \"ns_per_run\", \"repeat\", \"engine\", ...}",
	 FORT_OPTION_FLAG, offsetof(struct request, json)},
};

const struct fort_verb fort_verb_prog_run = {
	.words = {"prog", "run", "file"},
	.summary = "Run a program of an object on data from files.",
	.operand = "FILE.o",
	.operand_at = AT(file),
	.options = options,
	.n_options = FORT_LEN(options),
	.notes = "Exit status: 0 it ran, 1 it was rejected or aborted, 2 it could not be tried.\n",
	.run = run,
};
