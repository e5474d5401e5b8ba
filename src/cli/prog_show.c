/* bpfort prog show file: what the programs of an object become when they are loaded. */
#include <bpf/libbpf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/choose.h"
#include "cli/look.h"
#include "cli/object.h"
#include "cli/table.h"
#include "cli/verb.h"

struct request {
	const char *file, *name, *engine, *isolation;
	bool json;
};

static const struct fort_column columns[] = {{"NAME"},        {"TYPE"},        {"TAG"},
					     {"INSNS", true}, {"ENGINE"},      {"ISOLATION"},
					     {"CODE", true},  {"STACK", true}, {"COMPILED", true},
					     {"MAPS"}};
struct row {
	char cells[FORT_LEN(columns)][96];
};

struct session {
	const struct request *request;
	struct fort_file file;
	struct fort_front *front;
	struct fort_log_room log;
	json_t *programs;
	struct row *rows;
	size_t n_rows;
	uint32_t n_rejected;
	struct fort_text *why;
};

static void add_json(struct session *s, const struct bpf_program *prog,
		     const struct fort_look *look, const char *tag, uint64_t compile_ns)
{
	const struct fort_loaded *loaded = look->program.loaded;
	json_t *maps = json_array();

	for (uint32_t i = 0; i < look->program.n_maps; i++)
		json_array_append_new(maps, fort_json_text(look->program.maps[i]));
	json_array_append_new(
		s->programs,
		json_pack("{s:o, s:o, s:s, s:o, s:o, s:s, s:s, s:o, s:o, s:o, s:o}", "name",
			  fort_json_text(bpf_program__name(prog)), "type",
			  fort_json_text(libbpf_bpf_prog_type_str(bpf_program__type(prog))), "tag",
			  tag, "insns", fort_json_number(look->code->n_insns), "verified_insns",
			  fort_json_number(look->program.verified_insns), "engine",
			  loaded->engine->name, "isolation", fort_isolation_name(loaded->isolation),
			  "machine_bytes", fort_json_number(look->machine.n_bytes), "stack_bytes",
			  fort_json_number(loaded->stack_bytes), "compile_ns",
			  fort_json_number(compile_ns), "maps", maps));
}

static void fill_row(struct row *row, const struct bpf_program *prog, const struct fort_look *look,
		     const char *tag, uint64_t compile_ns)
{
	const struct fort_loaded *loaded = look->program.loaded;
	struct fort_text maps = fort_text_on(row->cells[9], sizeof(row->cells[9]));

#define CELL(i, ...) snprintf(row->cells[i], sizeof(row->cells[i]), __VA_ARGS__)
	CELL(0, "%s", bpf_program__name(prog));
	CELL(1, "%s", libbpf_bpf_prog_type_str(bpf_program__type(prog)));
	CELL(2, "%s", tag);
	CELL(3, "%u", look->code->n_insns);
	CELL(4, "%s", loaded->engine->name);
	CELL(5, "%s", fort_isolation_name(loaded->isolation));
	CELL(6, "%u", look->machine.n_bytes);
	CELL(7, "%u", loaded->stack_bytes);
	CELL(8, "%" PRIu64 " us", compile_ns / 1000);
	for (uint32_t i = 0; i < look->program.n_maps; i++)
		fort_text_add(&maps, "%s%s", i ? " " : "", look->program.maps[i]);
#undef CELL
}

static int add(struct session *s, const struct bpf_program *prog, const struct fort_look *look,
	       uint64_t compile_ns)
{
	struct row *rows;
	char tag[17] = "";

	for (unsigned i = 0; i < 8; i++)
		snprintf(tag + 2 * i, 3, "%02x", look->program.tag[i]);
	if (s->request->json) {
		add_json(s, prog, look, tag, compile_ns);
		return 0;
	}
	rows = realloc(s->rows, (s->n_rows + 1) * sizeof(*rows));
	if (!rows)
		return -1;
	s->rows = rows;
	fill_row(&s->rows[s->n_rows++], prog, look, tag, compile_ns);
	return 0;
}

static int visit(void *owner, struct bpf_object *object, struct bpf_program *prog)
{
	struct session *s = owner;
	struct fort_loading loading;
	struct fort_look look;
	int err;

	fort_program_load(s->front, object, prog, &loading);
	if (loading.err) {
		s->n_rejected++;
		fprintf(stderr, "%s: not loaded; `bpfort verify %s` says why\n",
			bpf_program__name(prog), s->request->file);
		return 0;
	}
	err = fort_look_open(&look, s->front, bpf_program__fd(prog));
	return err ? err : add(s, prog, &look, loading.report.compile_ns);
}

static int run_session(struct session *s)
{
	const struct request *request = s->request;
	int err = fort_file_read(request->file, &s->file, s->why);

	if (err)
		return err;
	err = fort_front_open(&s->front);
	err = err ? err : fort_log_room_open(&s->log, FORT_LOG_STATS);
	if (err) {
		fort_text_add(s->why, "%s", strerror(-err));
		return err;
	}
	err = fort_choose_engine(s->front, request->engine, request->isolation, s->why);
	if (err)
		return err;
	return fort_file_visit(&s->file, s->front, &s->log, request->name, visit, s, s->why);
}

static void print_rows(const struct session *s)
{
	const char **cells = calloc(s->n_rows + 1, FORT_LEN(columns) * sizeof(*cells));

	for (size_t i = 0; cells && i < s->n_rows * FORT_LEN(columns); i++)
		cells[i] = s->rows[i / FORT_LEN(columns)].cells[i % FORT_LEN(columns)];
	if (cells)
		fort_table_print(columns, FORT_LEN(columns), cells, s->n_rows);
	free(cells);
}

static int run(const struct fort_verb *verb, int argc, char **argv)
{
	struct request request = {0};
	struct fort_text why = fort_text_new();
	struct session s = {
		.request = &request, .file.fd = -1, .programs = json_array(), .why = &why};
	int status = fort_verb_start(verb, argc, argv, &request);

	if (status < 0) {
		status = run_session(&s) ? fort_verb_fail(request.json, "%s", why.data)
			 : s.n_rejected  ? FORT_EXIT_NO
					 : FORT_EXIT_YES;
		if (status != FORT_EXIT_ERROR && request.json)
			fort_json_print(json_pack("{s:o, s:O}", "file",
						  fort_json_text(request.file), "programs",
						  s.programs));
		else if (status != FORT_EXIT_ERROR)
			print_rows(&s);
	}
	fort_front_close(s.front);
	fort_log_room_close(&s.log);
	fort_file_close(&s.file);
	json_decref(s.programs);
	free(s.rows);
	fort_text_free(&why);
	return status;
}

#define AT(member) offsetof(struct request, member)
static const struct fort_option options[] = {
	{"name", "PROG", "only this program", FORT_OPTION_TEXT, AT(name)},
	FORT_OPTION_ENGINE(AT(engine)),
	FORT_OPTION_ISOLATION(AT(isolation)),
	{"--json", NULL, "print {\"file\", \"programs\": [{\"name\", \"engine\", ...}]}",
	 FORT_OPTION_FLAG, AT(json)},
};

const struct fort_verb fort_verb_prog_show = {
	.words = {"prog", "show", "file"},
	.summary = "Load the programs of an object, and say what runs them and what confines them.",
	.operand = "FILE.o",
	.operand_at = AT(file),
	.options = options,
	.n_options = FORT_LEN(options),
	.notes = "Exit status: 0 all are loaded, 1 some are rejected, 2 it could not be done.\n",
	.run = run,
};
