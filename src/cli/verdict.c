#include "cli/verdict.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The last line of a log, without the figures behind it, or "". */
static void last_line(const char *log, char *out, size_t room)
{
	out[0] = 0;
	while (*log) {
		size_t length = strcspn(log, "\n");

		if (!strncmp(log, "processed ", strlen("processed ")) ||
		    !strncmp(log, "verification time ", strlen("verification time ")))
			break;
		if (length)
			snprintf(out, room, "%.*s", (int)length, log);
		log += length + (log[length] == '\n');
	}
}

/* Without a diagnostic there is the log; or what is known to be missing, or what libbpf says. */
static const char *reason(const struct fort_loading *loading, const char *words, char line[256])
{
	if (loading->reached && loading->report.diag.message[0])
		return loading->report.diag.message;
	last_line(loading->reached ? loading->report.log_tail : "", line, 256);
	if (line[0])
		return line;
	if (loading->unknown[0])
		return loading->unknown;
	if (words[0])
		return words;
	return loading->err ? strerror(-loading->err) : "not loaded";
}

static json_t *place_json(const struct fort_load_place *place)
{
	if (!place->line)
		return json_null();
	return json_pack("{s:o, s:o, s:o}", "file", fort_json_text(place->file), "number",
			 fort_json_number(place->line), "text", fort_json_text(place->text));
}

static json_t *path_json(const struct fort_load_diag *diag)
{
	json_t *path = json_array();

	for (uint32_t i = 0; i < diag->n_path && i < FORT_LEN(diag->path); i++) {
		const struct fort_load_step *step = &diag->path[i];

		json_array_append_new(path,
				      json_pack("{s:o, s:o, s:b}", "insn",
						fort_json_number(step->place.insn), "line",
						place_json(&step->place), "taken", step->taken));
	}
	return path;
}

static json_t *diag_json(const struct fort_loading *loading, const char *words)
{
	const struct fort_load_diag *diag = &loading->report.diag;
	bool known = loading->reached && diag->code[0];
	char line[256];

	if (fort_loading_accepted(loading))
		return json_null();
	if (!known)
		return json_pack("{s:n, s:n, s:n, s:o, s:n, s:n, s:n}", "code", "insn", "line",
				 "message", fort_json_text(reason(loading, words, line)), "needed",
				 "known", "hint");
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "code",
			 fort_json_text(diag->code), "insn", fort_json_number(diag->place.insn),
			 "line", place_json(&diag->place), "message", fort_json_text(diag->message),
			 "needed", fort_json_text(diag->needed), "known",
			 fort_json_text(diag->known), "hint", fort_json_text(diag->hint), "path",
			 path_json(diag));
}

static json_t *kernel_json(const struct fort_vetted *vetted)
{
	const struct fort_vet_kernel *kernel = &vetted->kernel;
	double ratio = fort_vetted_ratio(vetted);

	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "verdict",
			 fort_vet_verdict_name(kernel->verdict), "message",
			 fort_json_text(kernel->words), "verify_us", fort_json_number(kernel->us),
			 "insns_processed", fort_json_number(kernel->insns_processed), "states",
			 fort_json_number(kernel->states), "peak_states",
			 fort_json_number(kernel->peak_states), "ratio",
			 ratio < 0 ? json_null() : json_real(ratio));
}

json_t *fort_verdict_json(const struct fort_vetted *vetted)
{
	const struct fort_loading *loading = &vetted->loading;
	const struct fort_load_report *report = &loading->report;
	json_t *object = json_pack(
		"{s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "name",
		fort_json_text(vetted->name), "section", fort_json_text(vetted->section), "type",
		fort_json_text(vetted->type[0] ? vetted->type : NULL), "verdict",
		fort_vet_verdict_name(vetted->verdict), "insns", fort_json_number(vetted->insns),
		"insns_processed", fort_json_number(report->insns_processed), "states",
		fort_json_number(report->states), "peak_states",
		fort_json_number(report->peak_states), "verify_us",
		fort_json_number(report->verify_ns / 1000), "check_us",
		fort_json_number(report->check_ns / 1000), "certificate_bytes",
		fort_json_number(report->certificate_bytes), "memory_bytes",
		fort_json_number(report->memory_bytes), "log_tail",
		fort_json_text(loading->reached ? report->log_tail : vetted->words), "diag",
		diag_json(loading, vetted->words));

	if (vetted->kernel.asked)
		json_object_set_new(object, "kernel", kernel_json(vetted));
	return object;
}

static void add_place(const struct fort_load_place *place, struct fort_text *out)
{
	if (place->line)
		fort_text_add(out, "%s:%u", place->file, place->line);
	else
		fort_text_add(out, "instruction %u", place->insn);
}

static void add_source(const struct fort_load_place *place, struct fort_text *out)
{
	fort_text_add(out, "  at ");
	add_place(place, out);
	if (place->line)
		fort_text_add(out, "\n\n  %6u | %s\n", place->line, place->text);
	fort_text_add(out, "\n");
}

static void add_path(const struct fort_load_diag *diag, struct fort_text *out)
{
	if (!diag->n_path)
		return;
	fort_text_add(out, "  the way there");
	if (diag->n_decisions > diag->n_path)
		fort_text_add(out, " (the last %u of %" PRIu64 " decisions)", diag->n_path,
			      diag->n_decisions);
	fort_text_add(out, ":\n");
	for (uint32_t i = 0; i < diag->n_path && i < FORT_LEN(diag->path); i++) {
		const struct fort_load_step *step = &diag->path[i];

		fort_text_add(out, "    ");
		add_place(&step->place, out);
		fort_text_add(out, ": %s", step->taken ? "jumped" : "went on without jumping");
		if (step->place.line)
			fort_text_add(out, " at instruction %u  | %s", step->place.insn,
				      step->place.text);
		fort_text_add(out, "\n");
	}
}

void fort_verdict_explain(const char *name, const struct fort_loading *loading, const char *words,
			  bool explain, struct fort_text *out)
{
	const struct fort_load_diag *diag = &loading->report.diag;
	char line[256];
	const char *why = reason(loading, words, line);
	size_t length = strlen(why);

	while (length && why[length - 1] == '\n')
		length--;
	fort_text_add(out, "%s: %s", name,
		      !loading->reached ? "not verified"
		      : diag->is_later  ? "not supported yet"
					: "rejected");
	if (!loading->reached || !diag->code[0]) {
		fort_text_add(out, ": %.*s\n", (int)length, why);
		return;
	}
	fort_text_add(out, ": %s [%s]\n", diag->title, diag->code);
	add_source(&diag->place, out);
	fort_text_add(out, "  why:    %s\n", diag->message);
	if (explain && diag->needed[0])
		fort_text_add(out, "  needed: %s\n", diag->needed);
	if (explain && diag->known[0])
		fort_text_add(out, "  known:  %s\n", diag->known);
	if (diag->hint[0])
		fort_text_add(out, "  to fix: %s\n", diag->hint);
	if (explain)
		add_path(diag, out);
}
