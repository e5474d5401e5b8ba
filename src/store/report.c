#include "store/report.h"

#include <inttypes.h>
#include <string.h>

#include "abi/uapi.h"
#include "isa/explain.h"
#include "verify/render.h"

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
	copy(out->file, sizeof(out->file), place.file);
	copy(out->text, sizeof(out->text), place.text);
}

static void put_path(const struct fort_info *info, const struct fort_verify_result *result,
		     struct fort_load_diag *diag)
{
	uint32_t n = result->n_path,
		 first = n > FORT_REPORT_STEPS_MAX ? n - FORT_REPORT_STEPS_MAX : 0;

	diag->n_decisions = n;
	for (uint32_t i = first; i < n; i++) {
		struct fort_load_step *step = &diag->path[diag->n_path++];

		put_place(info, result->path[i].pc, &step->place);
		step->taken = result->path[i].taken;
	}
}

static void put_text(const struct fort_render *render, const char *row, char *to, size_t room)
{
	struct fort_text text = fort_text_on(to, room);

	fort_render_text(render, row, &text);
}

/* Fills the diagnostic and ends the log with the kernel's words for it. */
static int tell(const struct fort_road_request *request, const struct fort_render *render,
		struct fort_load_report *report)
{
	const struct fort_violation *violation = render->violation;
	const struct fort_diag_info *info = fort_diag_info(violation->diag);
	struct fort_load_diag *diag = &report->diag;
	struct fort_text line = fort_text_new();

	report->verdict = FORT_LOAD_REJECTED;
	copy(diag->code, sizeof(diag->code), info->code);
	diag->is_later = info->class == FORT_CLASS_LATER;
	copy(diag->title, sizeof(diag->title), info->title);
	put_text(render, info->message, diag->message, sizeof(diag->message));
	put_text(render, info->needed, diag->needed, sizeof(diag->needed));
	put_text(render, info->known, diag->known, sizeof(diag->known));
	put_text(render, info->hint, diag->hint, sizeof(diag->hint));
	put_place(request->info, violation->pc, &diag->place);
	fort_render_text(render, info->kernel, &line);
	if (line.length) {
		fort_log_put(request->log, line.data, line.length);
		fort_log_add(request->log, "\n");
	}
	fort_text_free(&line);
	return -info->errno_value;
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
	err = tell(request, &render, report);
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
	int err = tell(request, &render, report);

	put_path(request->info, result, &report->diag);
	return err;
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
