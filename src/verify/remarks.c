#include "verify/remarks.h"

#include <string.h>

struct remarks {
	struct fort_log *log;
	const struct fort_source *source;
};

/* One remark. Where its text has several lines, each is marked. */
static void put(const struct remarks *r, struct fort_text *text)
{
	const char *at = text->data ? text->data : "";

	while (*at) {
		size_t length = strcspn(at, "\n");

		fort_log_put(r->log, "; ", 2);
		fort_log_put(r->log, at, length);
		fort_log_put(r->log, "\n", 1);
		at += length + (at[length] == '\n');
	}
	fort_text_free(text);
}

/* Without folders: lines are long enough. */
static void add_place(const struct remarks *r, uint32_t pc, struct fort_text *out)
{
	struct fort_source_line line;
	const char *slash;

	if (!r->source || !r->source->line(r->source->context, pc, &line)) {
		fort_text_add(out, "instruction %u", pc);
		return;
	}
	slash = strrchr(line.file, '/');
	fort_text_add(out, "%s:%u (instruction %u)", slash ? slash + 1 : line.file, line.line, pc);
}

static void put_words(const struct remarks *r, const char *what, const char *words)
{
	struct fort_text text = fort_text_new();

	if (!words || !*words)
		return;
	fort_text_add(&text, "  %s %s", what, words);
	put(r, &text);
}

static void put_title(const struct remarks *r, const struct fort_explanation *told)
{
	struct fort_text text = fort_text_new();

	fort_text_add(&text, "error[%s]: %s, at ", told->diag->code, told->diag->title);
	add_place(r, told->pc, &text);
	put(r, &text);
}

static void put_event(const struct remarks *r, const struct fort_told_event *event)
{
	struct fort_text text = fort_text_new();

	fort_text_add(&text, "  before: ");
	add_place(r, event->pc, &text);
	fort_text_add(&text, ": %s", event->text);
	put(r, &text);
}

static void put_cost(const struct remarks *r, const struct fort_told_cost *cost)
{
	struct fort_text text = fort_text_new();

	fort_text_add(&text, "  %u %%: %s at ", cost->percent, cost->kind);
	add_place(r, cost->pc, &text);
	fort_text_add(&text, ": %u states", cost->states);
	for (uint32_t i = 0; i < cost->n_apart; i++)
		fort_text_add(&text, "%s%s", i ? ", " : " that differ in ", cost->apart[i]);
	put(r, &text);
}

void fort_remarks_put(struct fort_log *log, const struct fort_explanation *told,
		      const struct fort_source *source)
{
	const struct remarks r = {log, source};

	put_title(&r, told);
	put_words(&r, "why:", told->message);
	put_words(&r, "required:", told->required);
	put_words(&r, "known:", told->known);
	for (uint32_t i = 0; i < told->n_events; i++)
		put_event(&r, &told->events[i]);
	for (uint32_t i = 0; i < told->n_costs; i++)
		put_cost(&r, &told->costs[i]);
	for (uint32_t i = 0; i < told->n_fixes; i++)
		put_words(&r, i ? "or:" : "to fix:", told->fixes[i]);
}
