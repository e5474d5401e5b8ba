/* Inside explain: one rejection being told, shared by explain.c and the patterns. */
#pragma once

#include "verify/event.h"
#include "verify/explain.h"

#define FORT_STORY_WORDS 16u

struct fort_story {
	const struct fort_render *render;
	const struct fort_verify_result *result; /* or NULL */
	const struct fort_history *history;      /* empty, but never NULL */
	const struct fort_source *source;        /* or NULL */
	const struct fort_violation *v;
	const struct fort_insn *insn; /* that is rejected; NULL when there is no program */
	struct fort_arena *arena;
	/* What patterns put into their texts. */
	struct fort_word words[FORT_STORY_WORDS];
	uint32_t n_words;
	/* Events that are told before others. */
	const struct fort_past *pinned[FORT_EVENTS_MAX];
	uint32_t n_pinned;
	bool failed; /* for want of memory */
};

static inline bool fort_story_is(const struct fort_story *s, enum fort_diag diag)
{
	return s->v->diag == diag;
}

static inline const struct fort_env *fort_story_env(const struct fort_story *s)
{
	return s->render->env;
}

/* Puts the text into the arena and frees it; "" for want of memory. */
const char *fort_story_keep(struct fort_story *s, struct fort_text *text);
/* {name} in the pattern's texts. Both words() take a text of the format, or the one given. */
void fort_story_word(struct fort_story *s, const char *name, const char *fmt, ...)
	FORT_PRINTF(3, 4);
void fort_story_text(struct fort_story *s, const char *name, struct fort_text *text);
/* "line 12", or "instruction 7" where no source is known. */
void fort_story_add_place(const struct fort_story *s, uint32_t pc, struct fort_text *out);
void fort_story_place(struct fort_story *s, const char *name, uint32_t pc);
/* "a packet pointer"; "in [0, 255]"; "bpf_map_lookup_elem". */
void fort_story_kind(struct fort_story *s, const char *name, const struct fort_value *value);
void fort_story_range(struct fort_story *s, const char *name, const struct fort_scalar *num);
void fort_story_callee(struct fort_story *s, const char *name, const struct fort_past *call);
void fort_story_pin(struct fort_story *s, const struct fort_past *past);

/* Is the access that is rejected a write? */
bool fort_story_writes(const struct fort_story *s);

/* The newest event of the focus: what the register held was last changed there. NULL: nothing is
 * known. `nth` counts what the rejection is about: a pointer, then its size. */
const struct fort_past *fort_story_focus(const struct fort_story *s, uint32_t nth);
/* What flowed into an event: its first operand, its second; or NULL. */
const struct fort_past *fort_story_from(const struct fort_story *s, const struct fort_past *past);
const struct fort_past *fort_story_with(const struct fort_story *s, const struct fort_past *past);
/* From an event back along copies, stores, loads and comparisons to what made the value. */
const struct fort_past *fort_story_maker(const struct fort_story *s, const struct fort_past *past);
/* Was the event's value made, by whatever steps, of that of the origin `from`? */
bool fort_story_descends(const struct fort_story *s, const struct fort_past *past, uint32_t from);
const struct fort_insn *fort_story_insn(const struct fort_story *s, const struct fort_past *past);
/* The newest event for which `is` holds, of those that flow into the focus or of all; or NULL. */
typedef bool fort_past_test(const struct fort_env *env, const struct fort_past *past);
const struct fort_past *fort_story_find(const struct fort_story *s, fort_past_test *is, bool flows);
/* The newest event of this kind that flows into the focus, or NULL. */
const struct fort_past *fort_story_flow(const struct fort_story *s, enum fort_event_id event);

/* A pattern: true when the rejection is of this kind; the words of its texts are then set. */
typedef bool fort_pattern_test(struct fort_story *s);
#define FORT_PATTERN(id, ...) fort_pattern_test fort_pattern_##id;
#include "verify/patterns.def"
