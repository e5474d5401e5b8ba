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
	return json_pack("{s:o, s:o, s:o, s:o}", "file", fort_json_text(place->file), "number",
			 fort_json_number(place->line), "column", fort_json_number(place->column),
			 "text", fort_json_text(place->text));
}

static json_t *path_json(const struct fort_load_diag *diag)
{
	json_t *path = json_array();

	for (uint32_t i = 0; i < diag->n_path && i < FORT_LEN(diag->path); i++) {
		const struct fort_load_step *step = &diag->path[i];

		json_array_append_new(path, json_pack("{s:o, s:o, s:b, s:b}", "insn",
						      fort_json_number(step->place.insn), "line",
						      place_json(&step->place), "taken",
						      step->taken, "matters", step->matters));
	}
	return path;
}

static json_t *spans_json(const struct fort_load_diag *diag)
{
	json_t *spans = json_array();

	for (uint32_t i = 0; i < diag->n_events && i < FORT_LEN(diag->events); i++) {
		const struct fort_load_event *event = &diag->events[i];

		json_array_append_new(spans, json_pack("{s:o, s:o, s:o, s:o}", "insn",
						       fort_json_number(event->place.insn), "line",
						       place_json(&event->place), "role",
						       fort_json_text(event->role), "text",
						       fort_json_text(event->text)));
	}
	return spans;
}

static json_t *registers_json(const struct fort_load_diag *diag)
{
	json_t *registers = json_object();

	for (uint32_t i = 0; i < diag->n_registers && i < FORT_LEN(diag->registers); i++)
		json_object_set_new(registers, diag->registers[i].name,
				    fort_json_text(diag->registers[i].value));
	return registers;
}

static json_t *apart_json(const struct fort_load_cost *cost)
{
	json_t *apart = json_array();

	for (uint32_t i = 0; i < cost->n_apart && i < FORT_LEN(cost->apart); i++)
		json_array_append_new(apart, fort_json_text(cost->apart[i]));
	return apart;
}

static json_t *places_json(const struct fort_load_diag *diag)
{
	json_t *places = json_array();

	for (uint32_t i = 0; i < diag->n_costs && i < FORT_LEN(diag->costs); i++) {
		const struct fort_load_cost *cost = &diag->costs[i];

		json_array_append_new(places, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
							"kind", fort_json_text(cost->kind), "insn",
							fort_json_number(cost->place.insn), "line",
							place_json(&cost->place), "percent",
							fort_json_number(cost->percent),
							"processed", fort_json_number(cost->insns),
							"states", fort_json_number(cost->states),
							"rounds", fort_json_number(cost->turns),
							"apart", apart_json(cost)));
	}
	return places;
}

static json_t *doubt_json(const struct fort_load_doubt *doubt)
{
	if (!doubt->code[0])
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:o}", "code", fort_json_text(doubt->code), "insn",
			 fort_json_number(doubt->place.insn), "line", place_json(&doubt->place),
			 "message", fort_json_text(doubt->message));
}

/* What the search took, and where it went if that was too much. */
static json_t *cost_json(const struct fort_load_report *report)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "processed",
			 fort_json_number(report->insns_processed), "states",
			 fort_json_number(report->states), "peak",
			 fort_json_number(report->peak_states), "usec",
			 fort_json_number(report->verify_ns / 1000), "places",
			 places_json(&report->diag), "doubt", doubt_json(&report->diag.doubt));
}

static json_t *fixes_json(const struct fort_load_diag *diag)
{
	json_t *fixes = json_array();

	for (uint32_t i = 0; i < diag->n_fixes && i < FORT_LEN(diag->fixes); i++)
		json_array_append_new(fixes, fort_json_text(diag->fixes[i]));
	return fixes;
}

/* The code's entry; anchors are in lower case. */
static json_t *docs_json(const struct fort_load_diag *diag)
{
	char docs[48];
	struct fort_text text = fort_text_on(docs, sizeof(docs));

	fort_text_add(&text, "docs/diagnostics.md#f%s", diag->code + 1);
	return fort_json_text(docs);
}

/* Numbers with which it happens; which input makes them is not found out. */
static json_t *example_json(const struct fort_load_diag *diag)
{
	json_t *registers = json_object(), *packet = json_null();

	if (!diag->n_example) {
		json_decref(registers);
		return json_null();
	}
	for (uint32_t i = 0; i < diag->n_example && i < FORT_LEN(diag->example); i++) {
		const struct fort_load_example *item = &diag->example[i];

		if (!strcmp(item->name, "packet"))
			packet = json_pack("{s:I}", "bytes", (json_int_t)item->number);
		else if (item->is_offset)
			json_object_set_new(registers, item->name,
					    json_pack("{s:I}", "offset", (json_int_t)item->number));
		else
			json_object_set_new(registers, item->name,
					    json_integer((json_int_t)item->number));
	}
	return json_pack("{s:n, s:o, s:n, s:n, s:o, s:b}", "ctx", "packet", packet, "maps",
			 "helper_results", "registers", registers, "confirmed", 0);
}

/* What stands beside the words: for tools. */
static json_t *with_details(json_t *object, const struct fort_load_report *report)
{
	const struct fort_load_diag *diag = &report->diag;

	json_object_set_new(object, "title", fort_json_text(diag->title));
	json_object_set_new(object, "class", fort_json_text(diag->class));
	json_object_set_new(object, "pattern",
			    diag->pattern[0] ? fort_json_text(diag->pattern) : json_null());
	json_object_set_new(object, "errno", fort_json_number((uint64_t)diag->errno_value));
	json_object_set_new(object, "required", fort_json_text(diag->needed));
	json_object_set_new(object, "kernel_line", fort_json_text(diag->kernel_line));
	json_object_set_new(object, "subprog", fort_json_number(diag->subprog));
	json_object_set_new(object, "spans", spans_json(diag));
	json_object_set_new(object, "registers", registers_json(diag));
	json_object_set_new(object, "counterexample", example_json(diag));
	json_object_set_new(object, "fix", fixes_json(diag));
	json_object_set_new(object, "cost", cost_json(report));
	json_object_set_new(object, "docs", docs_json(diag));
	return object;
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
	return with_details(
		json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "code",
			  fort_json_text(diag->code), "insn", fort_json_number(diag->place.insn),
			  "line", place_json(&diag->place), "message",
			  fort_json_text(diag->message), "needed", fort_json_text(diag->needed),
			  "known", fort_json_text(diag->known), "hint", fort_json_text(diag->hint),
			  "path", path_json(diag)),
		&loading->report);
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

	json_object_set_new(object, "names",
			    vetted->hint[0] ? fort_json_text(vetted->hint) : json_null());
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

/* Under the column. A tab stays one, so that both lines are as wide. */
static void add_caret(const struct fort_load_place *place, struct fort_text *out)
{
	if (!place->caret || place->caret > strlen(place->text))
		return;
	fort_text_add(out, "         | ");
	for (uint32_t i = 0; i + 1 < place->caret; i++)
		fort_text_add(out, "%s", place->text[i] == '\t' ? "\t" : " ");
	fort_text_add(out, "^\n");
}

static void add_source(const struct fort_load_place *place, struct fort_text *out)
{
	fort_text_add(out, "  at ");
	add_place(place, out);
	if (place->line) {
		fort_text_add(out, "\n\n  %6u | %s\n", place->line, place->text);
		add_caret(place, out);
	}
	fort_text_add(out, "\n");
}

/* What led to it, each with its line once. */
static void add_events(const struct fort_load_diag *diag, struct fort_text *out)
{
	uint32_t line = 0;

	if (diag->n_events)
		fort_text_add(out, "  before that:\n");
	for (uint32_t i = 0; i < diag->n_events && i < FORT_LEN(diag->events); i++) {
		const struct fort_load_event *event = &diag->events[i];

		if (event->place.line && event->place.line != line)
			fort_text_add(out, "  %6u | %s\n", event->place.line, event->place.text);
		line = event->place.line;
		fort_text_add(out, "           %4u: %s\n", event->place.insn, event->text);
	}
}

static void add_registers(const struct fort_load_diag *diag, struct fort_text *out)
{
	for (uint32_t i = 0; i < diag->n_registers && i < FORT_LEN(diag->registers); i++)
		fort_text_add(out, "  %-9s %s\n", diag->registers[i].name,
			      diag->registers[i].value);
}

static void add_example(const struct fort_load_diag *diag, struct fort_text *out)
{
	for (uint32_t i = 0; i < diag->n_example && i < FORT_LEN(diag->example); i++) {
		const struct fort_load_example *item = &diag->example[i];

		fort_text_add(out, "%s", i ? ", " : "  example:  ");
		if (!strcmp(item->name, "packet"))
			fort_text_add(out, "a packet of %" PRId64 " bytes", item->number);
		else if (item->is_offset)
			fort_text_add(out, "%s at offset %" PRId64, item->name, item->number);
		else
			fort_text_add(out, "%s = %" PRId64, item->name, item->number);
	}
	fort_text_add(out, diag->n_example ? "\n" : "");
}

static void add_cost(const struct fort_load_cost *cost, struct fort_text *out)
{
	fort_text_add(out, "    %3u %%  %s at ", cost->percent, cost->kind);
	add_place(&cost->place, out);
	fort_text_add(out, ": %u states", cost->states);
	if (cost->turns)
		fort_text_add(out, " in %u rounds", cost->turns);
	for (uint32_t i = 0; i < cost->n_apart && i < FORT_LEN(cost->apart); i++)
		fort_text_add(out, "%s%s", i ? ", " : " that differ in ", cost->apart[i]);
	fort_text_add(out, "\n");
	if (cost->place.line)
		fort_text_add(out, "  %6u | %s\n", cost->place.line, cost->place.text);
}

static void add_costs(const struct fort_load_diag *diag, struct fort_text *out)
{
	if (diag->n_costs)
		fort_text_add(out, "  where the work went:\n");
	for (uint32_t i = 0; i < diag->n_costs && i < FORT_LEN(diag->costs); i++)
		add_cost(&diag->costs[i], out);
	if (!diag->doubt.code[0])
		return;
	fort_text_add(
		out,
		"  states were kept apart because of what was found when they were joined, at ");
	add_place(&diag->doubt.place, out);
	fort_text_add(out, ": %s [%s]\n", diag->doubt.message, diag->doubt.code);
}

/* A loop decides the same again and again. */
static uint32_t count_repeated(const struct fort_load_diag *diag, uint32_t first)
{
	const struct fort_load_step *step = &diag->path[first];
	uint32_t n = 1;

	while (first + n < diag->n_path && first + n < FORT_LEN(diag->path) &&
	       diag->path[first + n].place.insn == step->place.insn &&
	       diag->path[first + n].taken == step->taken)
		n++;
	return n;
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
	for (uint32_t i = 0, times; i < diag->n_path && i < FORT_LEN(diag->path); i += times) {
		const struct fort_load_step *step = &diag->path[i];

		times = count_repeated(diag, i);
		fort_text_add(out, "    ");
		add_place(&step->place, out);
		fort_text_add(out, ": %s", step->taken ? "jumped" : "went on without jumping");
		if (times > 1)
			fort_text_add(out, " %u times", times);
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
	fort_text_add(out, "  why:      %s\n", diag->message);
	if (explain && diag->needed[0])
		fort_text_add(out, "  required: %s\n", diag->needed);
	if (explain && diag->known[0])
		fort_text_add(out, "  known:    %s\n", diag->known);
	if (explain)
		add_registers(diag, out);
	if (explain)
		add_example(diag, out);
	for (uint32_t i = 0; i < diag->n_fixes && i < FORT_LEN(diag->fixes); i++)
		fort_text_add(out, "  %s %s\n", i ? "     or:" : "to fix:  ", diag->fixes[i]);
	if (!explain)
		return;
	add_events(diag, out);
	add_costs(diag, out);
	add_path(diag, out);
	if (diag->kernel_line[0])
		fort_text_add(out, "  the kernel's words: %s\n", diag->kernel_line);
	fort_text_add(out, "  more: bpfort explain %s\n", diag->code);
}
