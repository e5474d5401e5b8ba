#include "store/report.h"

#include <inttypes.h>
#include <string.h>

#include "abi/uapi.h"
#include "isa/explain.h"
#include "verify/remarks.h"

static bool line_of(void *context, uint32_t pc, struct fort_source_line *out)
{
	struct fort_place place;

	if (!fort_info_place(context, pc, &place))
		return false;
	*out = (struct fort_source_line){place.file, place.line, place.column, place.text};
	return true;
}

struct fort_source fort_report_source(const struct fort_info *info)
{
	/* cast: only read, but the narrator's contexts may be anything */
	return (struct fort_source){line_of, (void *)(uintptr_t)info};
}

static void copy(char *to, size_t room, const char *from)
{
	struct fort_text text = fort_text_on(to, room);

	fort_text_put(&text, from, strlen(from));
}

static void put_place(const struct fort_info *info, uint32_t insn, struct fort_load_place *out)
{
	struct fort_place place;

	*out = (struct fort_load_place){.insn = insn};
	if (!fort_info_place(info, insn, &place))
		return;
	out->line = place.line;
	out->column = place.column;
	out->caret = place.caret;
	copy(out->file, sizeof(out->file), place.file);
	copy(out->text, sizeof(out->text), place.text);
}

/* The newest decisions. */
static void put_path(const struct fort_info *info, const struct fort_explanation *told,
		     struct fort_load_diag *diag)
{
	uint32_t n = told->n_path,
		 first = n > FORT_REPORT_STEPS_MAX ? n - FORT_REPORT_STEPS_MAX : 0;

	diag->n_decisions = n;
	for (uint32_t i = first; i < n; i++) {
		struct fort_load_step *step = &diag->path[diag->n_path++];

		put_place(info, told->path[i].pc, &step->place);
		step->taken = told->path[i].taken;
		step->matters = told->path[i].matters;
	}
}

_Static_assert(FORT_LOAD_EVENTS >= FORT_EVENTS_MAX && FORT_LOAD_REGISTERS >= FORT_INVOLVED_MAX &&
		       FORT_LOAD_FIXES >= FORT_FIXES_MAX && FORT_LOAD_EXAMPLE >= FORT_EXAMPLE_TOLD && FORT_LOAD_COSTS >= FORT_COSTS_MAX,
	       "all that is told has room in a report");

static void put_events(const struct fort_info *info, const struct fort_explanation *told,
		       struct fort_load_diag *diag)
{
	for (uint32_t i = 0; i < told->n_events; i++) {
		struct fort_load_event *event = &diag->events[diag->n_events++];

		put_place(info, told->events[i].pc, &event->place);
		copy(event->role, sizeof(event->role), told->events[i].role);
		copy(event->text, sizeof(event->text), told->events[i].text);
	}
	for (uint32_t i = 0; i < told->n_registers; i++) {
		struct fort_load_register *reg = &diag->registers[diag->n_registers++];

		copy(reg->name, sizeof(reg->name), told->registers[i].name);
		copy(reg->value, sizeof(reg->value), told->registers[i].value);
	}
	for (uint32_t i = 0; i < told->n_example; i++) {
		struct fort_load_example *item = &diag->example[diag->n_example++];

		copy(item->name, sizeof(item->name), told->example[i].name);
		item->is_offset = told->example[i].is_offset;
		item->number = told->example[i].number;
	}
}

static void put_costs(const struct fort_info *info, const struct fort_explanation *told,
		      struct fort_load_diag *diag)
{
	for (uint32_t i = 0; i < told->n_costs; i++) {
		const struct fort_told_cost *from = &told->costs[i];
		struct fort_load_cost *cost = &diag->costs[diag->n_costs++];

		*cost = (struct fort_load_cost){.percent = from->percent,
						.states = from->states,
						.turns = from->turns,
						.insns = from->insns};
		put_place(info, from->pc, &cost->place);
		copy(cost->kind, sizeof(cost->kind), from->kind);
		for (uint32_t k = 0; k < from->n_apart && k < FORT_LEN(cost->apart); k++)
			copy(cost->apart[cost->n_apart++], sizeof(cost->apart[0]), from->apart[k]);
	}
	if (!told->doubt.code)
		return;
	put_place(info, told->doubt.pc, &diag->doubt.place);
	copy(diag->doubt.code, sizeof(diag->doubt.code), told->doubt.code);
	copy(diag->doubt.message, sizeof(diag->doubt.message), told->doubt.message);
}

static void put_texts(const struct fort_explanation *told, struct fort_load_diag *diag)
{
	copy(diag->code, sizeof(diag->code), told->diag->code);
	diag->errno_value = told->diag->errno_value;
	diag->is_later = told->diag->class == FORT_CLASS_LATER;
	copy(diag->title, sizeof(diag->title), told->diag->title);
	copy(diag->message, sizeof(diag->message), told->message);
	copy(diag->needed, sizeof(diag->needed), told->required);
	copy(diag->known, sizeof(diag->known), told->known);
	copy(diag->kernel_line, sizeof(diag->kernel_line), told->kernel_line);
	copy(diag->class, sizeof(diag->class), told->cause);
	copy(diag->pattern, sizeof(diag->pattern), told->pattern ? told->pattern : "");
	copy(diag->hint, sizeof(diag->hint), told->n_fixes ? told->fixes[0] : "");
	for (uint32_t i = 0; i < told->n_fixes; i++)
		copy(diag->fixes[diag->n_fixes++], sizeof(diag->fixes[0]), told->fixes[i]);
}

/* Does the log have the explanation, too? Not where loaders look for the line before the last:
 * libbpf has something better to say of helpers that stand for relocations that failed. */
static bool is_told(const struct fort_road_request *request, const struct fort_diag_info *diag)
{
	return request->log_level & (FORT_LOG_PATH | FORT_LOG_STATES) &&
	       diag != fort_diag_info(FORT_DIAG_HELPER_UNKNOWN);
}

/* Fills the diagnostic and ends the log with the kernel's words for it. */
static int tell(const struct fort_road_request *request, const struct fort_render *render,
		const struct fort_verify_result *result, struct fort_load_report *report)
{
	struct fort_source source = fort_report_source(request->info);
	struct fort_load_diag *diag = &report->diag;
	struct fort_explanation told;
	struct fort_arena arena;
	int err;

	fort_arena_init(&arena, FORT_SEARCH_BYTES_MAX);
	err = fort_explain(render, result, &source, &arena, &told);
	if (!err) {
		report->verdict = FORT_LOAD_REJECTED;
		put_texts(&told, diag);
		put_place(request->info, told.pc, &diag->place);
		diag->subprog = told.subprog;
		put_events(request->info, &told, diag);
		put_path(request->info, &told, diag);
		put_costs(request->info, &told, diag);
		if (is_told(request, told.diag))
			fort_remarks_put(request->log, &told, &source);
		if (told.kernel_line[0]) {
			fort_log_put(request->log, told.kernel_line, strlen(told.kernel_line));
			fort_log_add(request->log, "\n");
		}
		err = render->violation->err ? -render->violation->err : -told.diag->errno_value;
	}
	fort_arena_free(&arena);
	return err;
}

int fort_report_unit(const struct fort_road_request *request, const struct fort_unit_error *error,
		     struct fort_load_report *report)
{
	struct fort_violation violation = error->decoding ? fort_decode_violation(&error->decode)
							  : fort_graph_violation(&error->graph);
	struct fort_text words = fort_text_new();
	struct fort_render render = {.names = &request->names, .violation = &violation};
	int err;

	if (error->decoding)
		fort_decode_error_text(&error->decode, &words);
	else
		fort_graph_error_text(&error->graph, &words);
	render.isa = words.length ? words.data : "";
	err = tell(request, &render, NULL, report);
	fort_text_free(&words);
	return err;
}

int fort_report_rejection(const struct fort_road_request *request, const struct fort_env *env,
			  const struct fort_verify_result *result, const char *fault,
			  struct fort_load_report *report)
{
	struct fort_render render = {.env = env,
				     .names = &request->names,
				     .violation = &result->violation,
				     .state = result->state,
				     .fault = fault};

	return tell(request, &render, result, report);
}

void fort_report_statistics(const struct fort_road_request *request,
			    const struct fort_verify_result *result,
			    const struct fort_load_report *report)
{
	if (request->log_level & FORT_LOG_STATS)
		fort_log_add(request->log, "verification time %" PRIu64 " usec\n",
			     (report->verify_ns + report->check_ns) / 1000);
	fort_log_add(request->log,
		     "processed %" PRIu64 " insns (limit %u) max_states_per_insn %u"
		     " total_states %u peak_states %u mark_read 0\n",
		     result->insns_processed, FORT_BUDGET_INSNS, result->max_states_per_insn,
		     result->total_states, result->peak_states);
}
