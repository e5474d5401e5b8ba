#include "cli/crash_print.h"

#include <inttypes.h>

#define ACTION_BITS 32u

bool fort_crash_is_told(const struct fort_store_crash *crash)
{
	uint32_t n = crash->event.crashes;

	return crash->event.actions || !(n & (n - 1));
}

static void print_kind(const struct fort_crash_event *event, struct fort_text *out)
{
	fort_text_add(out, " (%s", fort_abort_name(event->code));
	if (event->code == FORT_ABORT_MEMORY)
		fort_text_add(out, ": %u bytes at offset 0x%" PRIx64 " of its window", event->bytes,
			      event->address);
	else if (event->detail)
		fort_text_add(out, " %u", event->detail);
	fort_text_add(out, ") at instruction %u", event->pc);
}

void fort_crash_print(const struct fort_store_crash *crash, struct fort_text *out)
{
	const struct fort_crash_event *event = &crash->event;
	const char *between = "; it";

	fort_text_add(out, "%s crashed", *crash->prog ? crash->prog : "a program");
	print_kind(event, out);
	if (crash->line)
		fort_text_add(out, ", %s:%u `%s`,", crash->file, crash->line, crash->text);
	fort_text_add(out, " in process %u (%s, thread %u); %u %s ended early", event->pid,
		      event->comm, event->tid, event->crashes,
		      event->crashes == 1 ? "run" : "runs");
	for (uint32_t bit = 0; bit < ACTION_BITS; bit++) {
		if (!(event->actions & 1u << bit))
			continue;
		fort_text_add(out, "%s %s", between, fort_crash_action_text(1u << bit));
		between = ", and";
	}
}

static json_t *actions_json(uint32_t actions)
{
	json_t *list = json_array();

	for (uint32_t bit = 0; bit < ACTION_BITS; bit++)
		if (actions & 1u << bit)
			json_array_append_new(list, json_string(fort_crash_action_name(1u << bit)));
	return list;
}

json_t *fort_crash_json(const struct fort_store_crash *crash)
{
	const struct fort_crash_event *event = &crash->event;
	json_t *object =
		json_pack("{s:s, s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "event", "crash",
			  "prog", fort_json_text(crash->prog), "time_ns",
			  fort_json_number(event->time_ns), "kind", fort_abort_name(event->code),
			  "insn", fort_json_number(event->pc), "pid", fort_json_number(event->pid),
			  "tid", fort_json_number(event->tid), "comm", fort_json_text(event->comm),
			  "crashes", fort_json_number(event->crashes), "actions",
			  actions_json(event->actions));

	if (event->code == FORT_ABORT_MEMORY) {
		json_object_set_new(object, "address", fort_json_number(event->address));
		json_object_set_new(object, "bytes", fort_json_number(event->bytes));
	}
	if (event->detail)
		json_object_set_new(object, "detail", fort_json_number(event->detail));
	if (crash->line) {
		json_object_set_new(object, "file", fort_json_text(crash->file));
		json_object_set_new(object, "line", fort_json_number(crash->line));
		json_object_set_new(object, "text", fort_json_text(crash->text));
	}
	return object;
}
