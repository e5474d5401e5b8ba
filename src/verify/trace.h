/* The trace: what was executed since the states whose paths are still open, newest on top, and
 * what follows from it for what those states must mention.
 *
 * Paths finish in the reverse order of their beginnings, so the trace is a stack: when the last
 * path of a node ends, exactly its own entries are on top.
 */
#pragma once

#include "verify/effect.h"

struct fort_trace_entry {
	struct fort_trace_entry *below; /* executed before this one, on whichever path */
	struct fort_trace_entry *prev; /* executed before it on its path; NULL: first of its node */
	struct fort_need *after;       /* of what was arrived at behind it; NULL: of nothing */
	uint32_t pc;
	struct fort_effect effect;
};

struct fort_trace {
	struct fort_arena arena;
	struct fort_trace_entry *top;
};

/* A place to go back to. */
struct fort_trace_mark {
	struct fort_arena_mark arena;
	struct fort_trace_entry *top;
};

void fort_trace_init(struct fort_trace *trace, size_t limit_bytes);
void fort_trace_free(struct fort_trace *trace);
struct fort_trace_mark fort_trace_mark(const struct fort_trace *trace);
void fort_trace_rewind(struct fort_trace *trace, struct fort_trace_mark mark);

/* Adds an instruction behind `prev`. NULL when out of memory. */
struct fort_trace_entry *fort_trace_push(struct fort_trace *trace, struct fort_trace_entry *prev,
					 uint32_t pc, const struct fort_effect *effect);
/* The path behind this entry ended at something that needs this much. False: out of memory. */
FORT_CHECKED bool fort_trace_arrive(struct fort_trace *trace, struct fort_trace_entry *entry,
				    const struct fort_need *need);
/* What must be known where the entries above `mark` began. False: out of memory. */
FORT_CHECKED bool fort_trace_need(struct fort_trace *trace, struct fort_trace_mark mark,
				  struct fort_need *out);
