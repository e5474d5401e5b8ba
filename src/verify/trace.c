#include "verify/trace.h"

#include <string.h>

void fort_trace_init(struct fort_trace *trace, size_t limit_bytes)
{
	memset(trace, 0, sizeof(*trace));
	fort_arena_init(&trace->arena, limit_bytes);
}

void fort_trace_free(struct fort_trace *trace)
{
	fort_arena_free(&trace->arena);
}

struct fort_trace_mark fort_trace_mark(const struct fort_trace *trace)
{
	return (struct fort_trace_mark){fort_arena_mark(&trace->arena), trace->top};
}

void fort_trace_rewind(struct fort_trace *trace, struct fort_trace_mark mark)
{
	fort_arena_rewind(&trace->arena, mark.arena);
	trace->top = mark.top;
}

static bool keep_list(struct fort_trace *trace, struct fort_cell_list *list)
{
	if (!list->n) {
		list->cells = NULL;
		return true;
	}
	list->cells = fort_arena_copy(&trace->arena, list->cells, list->n * sizeof(*list->cells));
	return list->cells;
}

struct fort_trace_entry *fort_trace_push(struct fort_trace *trace, struct fort_trace_entry *prev,
					 uint32_t pc, const struct fort_effect *effect)
{
	struct fort_trace_entry *entry = FORT_ARENA_NEW(&trace->arena, struct fort_trace_entry);

	if (!entry)
		return NULL;
	entry->below = trace->top;
	entry->prev = prev;
	entry->pc = pc;
	entry->effect = *effect;
	if (!keep_list(trace, &entry->effect.reads) || !keep_list(trace, &entry->effect.links))
		return NULL;
	trace->top = entry;
	return entry;
}

bool fort_trace_arrive(struct fort_trace *trace, struct fort_trace_entry *entry,
		       const struct fort_need *need)
{
	if (!entry->after) {
		entry->after = FORT_ARENA_NEW(&trace->arena, struct fort_need);
		if (!entry->after)
			return false;
	}
	fort_need_merge(entry->after, need);
	return true;
}

/* Needs that wait at a fork for the walk to come back to it. */
struct waiting {
	struct waiting *below;
	const struct fort_trace_entry *at;
	struct fort_need need;
};

bool fort_trace_need(struct fort_trace *trace, struct fort_trace_mark mark, struct fort_need *out)
{
	struct fort_arena_mark scratch = fort_arena_mark(&trace->arena);
	struct waiting *waiting = NULL;
	struct fort_need need = {0};

	for (struct fort_trace_entry *entry = trace->top; entry != mark.top; entry = entry->below) {
		struct waiting *fork;

		if (entry->after)
			fort_need_merge(&need, entry->after);
		for (; waiting && waiting->at == entry; waiting = waiting->below)
			fort_need_merge(&need, &waiting->need);
		fort_need_before(&entry->effect, &need);
		if (entry->prev == entry->below || !entry->prev)
			continue;
		/* This path began at a fork further down; below lies the end of another one. */
		fork = FORT_ARENA_NEW(&trace->arena, struct waiting);
		if (!fork)
			return false;
		*fork = (struct waiting){.below = waiting, .at = entry->prev, .need = need};
		waiting = fork;
		memset(&need, 0, sizeof(need));
	}
	fort_arena_rewind(&trace->arena, scratch);
	*out = need;
	return true;
}
