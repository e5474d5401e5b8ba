/* bpfort verify: each program of an object alone, as veristat does: an object is opened once for
 * every program in it.
 */
#include <bpf/libbpf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/uapi.h"
#include "cli/table.h"
#include "cli/verb.h"
#include "cli/verdict.h"

struct request {
	const char *file, *prog;
	uint64_t log_level;
	bool explain, json;
};

/* A row of the table, as text. */
struct row {
	char cells[8][64];
};

static const struct fort_column columns[] = {
	{"PROGRAM"},     {"SECTION"},         {"TYPE"},         {"VERDICT"},
	{"INSNS", true}, {"PROCESSED", true}, {"STATES", true}, {"TIME", true},
};

struct session {
	const struct request *request;
	struct fort_file file;
	struct fort_front *front;
	struct fort_log_room log;
	json_t *programs;
	struct row *rows;
	size_t n_rows;
	struct fort_text rejections;
	uint32_t n_rejected;
};

static void add_row(struct session *s, const struct bpf_program *prog,
		    const struct fort_loading *loading)
{
	const struct fort_load_report *report = &loading->report;
	const char *type = libbpf_bpf_prog_type_str(bpf_program__type(prog));
	struct row *rows = realloc(s->rows, (s->n_rows + 1) * sizeof(*rows));
	struct row *row;

	if (!rows)
		return;
	s->rows = rows;
	row = &rows[s->n_rows++];
	snprintf(row->cells[0], sizeof(row->cells[0]), "%s", bpf_program__name(prog));
	snprintf(row->cells[1], sizeof(row->cells[1]), "%s", bpf_program__section_name(prog));
	snprintf(row->cells[2], sizeof(row->cells[2]), "%s", type ? type : "?");
	snprintf(row->cells[3], sizeof(row->cells[3]), "%s",
		 fort_loading_accepted(loading) ? "accept" : "reject");
	snprintf(row->cells[4], sizeof(row->cells[4]), "%zu",
		 loading->reached ? (size_t)report->insns : bpf_program__insn_cnt(prog));
	snprintf(row->cells[5], sizeof(row->cells[5]), "%" PRIu64, report->insns_processed);
	snprintf(row->cells[6], sizeof(row->cells[6]), "%" PRIu64, report->states);
	snprintf(row->cells[7], sizeof(row->cells[7]), "%" PRIu64 " us",
		 (report->verify_ns + report->check_ns) / 1000);
}

static void note(struct session *s, const struct bpf_program *prog,
		 const struct fort_loading *loading)
{
	const char *words = fort_front_words(s->front);

	if (s->request->json) {
		json_array_append_new(s->programs, fort_verdict_json(prog, loading, words));
	} else {
		if (s->request->log_level && s->log.text[0])
			printf("%s:\n%s\n", bpf_program__name(prog), s->log.text);
		add_row(s, prog, loading);
	}
	if (fort_loading_accepted(loading))
		return;
	s->n_rejected++;
	fort_verdict_explain(prog, loading, words, s->request->explain, &s->rejections);
	fort_text_add(&s->rejections, "\n");
}

static int visit(void *owner, struct bpf_object *object, struct bpf_program *prog)
{
	struct session *s = owner;
	struct fort_loading loading;

	s->log.text[0] = 0;
	fort_program_load(s->front, object, prog, &loading);
	note(s, prog, &loading);
	return 0;
}

static void print_rows(const struct session *s)
{
	const char **cells = calloc(s->n_rows, FORT_LEN(columns) * sizeof(*cells));

	if (cells) {
		for (size_t i = 0; i < s->n_rows * FORT_LEN(columns); i++)
			cells[i] = s->rows[i / FORT_LEN(columns)].cells[i % FORT_LEN(columns)];
		fort_table_print(columns, FORT_LEN(columns), cells, s->n_rows);
	}
	free(cells);
	if (s->n_rejected)
		printf("\n%s", s->rejections.data ? s->rejections.data : "");
}

static int run_session(struct session *s, struct fort_text *why)
{
	const struct request *request = s->request;
	int err = fort_file_read(request->file, &s->file, why);

	if (err)
		return err;
	err = fort_front_open(&s->front);
	err = err ? err
		  : fort_log_room_open(&s->log, FORT_LOG_STATS | (uint32_t)request->log_level);
	if (err) {
		fort_text_add(why, "%s", strerror(-err));
		return err;
	}
	return fort_file_visit(&s->file, s->front, &s->log, request->prog, visit, s, why);
}

static void end_session(struct session *s)
{
	fort_front_close(s->front);
	fort_log_room_close(&s->log);
	fort_file_close(&s->file);
	fort_text_free(&s->rejections);
	free(s->rows);
}

static int run(const struct fort_verb *verb, int argc, char **argv)
{
	struct request request = {0};
	struct session s = {.request = &request,
			    .file.fd = -1,
			    .programs = json_array(),
			    .rejections = fort_text_new()};
	struct fort_text why = fort_text_new();
	int status = fort_verb_start(verb, argc, argv, &request);

	if (status < 0) {
		if (run_session(&s, &why)) {
			status = fort_verb_fail(request.json, "%s", why.data);
		} else {
			status = s.n_rejected ? FORT_EXIT_NO : FORT_EXIT_YES;
			if (request.json)
				fort_json_print(json_pack("{s:o, s:O}", "file",
							  fort_json_text(request.file), "programs",
							  s.programs));
			else
				print_rows(&s);
		}
	}
	end_session(&s);
	json_decref(s.programs);
	fort_text_free(&why);
	return status;
}

#define AT(member) offsetof(struct request, member)
static const struct fort_option options[] = {
	{"--prog", "NAME", "only this program", FORT_OPTION_TEXT, AT(prog)},
	{"--log-level", "N", "print the verifier's log: 1 the path to the end, 2 everything",
	 FORT_OPTION_NUMBER, AT(log_level), 0, 2},
	{"--explain", NULL, "say what was needed, what was known, and the way that led there",
	 FORT_OPTION_FLAG, AT(explain)},
	{"--json", NULL, "print one object: {\"file\", \"programs\": [...]}", FORT_OPTION_FLAG,
	 AT(json)},
};

const struct fort_verb fort_verb_verify = {
	.words = {"verify"},
	.summary = "Say of each program in an object whether it is safe to run, and why not.",
	.operand = "FILE.o",
	.operand_at = AT(file),
	.options = options,
	.n_options = FORT_LEN(options),
	.notes = "Needs no rights and no kernel: nothing is loaded there.\n"
		 "Exit status: 0 all are accepted, 1 some are rejected, 2 the object cannot be "
		 "read.\n",
	.run = run,
};
