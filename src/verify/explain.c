#include "verify/explain.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "verify/cost.h"
#include "verify/example.h"
#include "verify/story.h"
#include "verify/words.h"

/* --- tables --- */

static const char *const causes[FORT_CAUSES] = {
	[FORT_CAUSE_SOURCE_BUG] = "source_bug",
	[FORT_CAUSE_LOWERING] = "lowering",
	[FORT_CAUSE_ENVIRONMENT] = "environment",
	[FORT_CAUSE_FALSE_REJECTION] = "false_rejection",
	[FORT_CAUSE_LIMIT] = "limit",
};

const char *fort_cause_name(enum fort_cause cause)
{
	return causes[cause];
}

static const struct fort_explain_info infos[FORT_DIAGS] = {
#define FORT_EXPLAIN(id, cause_, focus_, why_) \
	[FORT_DIAG_##                          \
		id] = {.why = why_, .cause = FORT_CAUSE_##cause_, .focus = FORT_FOCUS_##focus_},
#include "verify/explain.def"
};

/* A new diagnostic is not forgotten. */
enum {
#define FORT_EXPLAIN(...) +1
	N_INFOS = 0
#include "verify/explain.def"
};
_Static_assert(N_INFOS == FORT_DIAGS - 1, "every row of diag.def has one in explain.def");

const struct fort_explain_info *fort_explain_info(enum fort_diag diag)
{
	return &infos[diag < FORT_DIAGS ? diag : FORT_DIAG_NONE];
}

/* One row of patterns.def. NULL: as the diagnostic has it. */
struct pattern {
	const char *name;
	fort_pattern_test *is;
	uint8_t cause;
	const char *message, *required, *known, *fix;
};

static const struct pattern patterns[] = {
#define FORT_PATTERN(id, cause_, message_, required_, known_, fix_) \
	{.name = #id,                                               \
	 .is = fort_pattern_##id,                                   \
	 .cause = FORT_CAUSE_##cause_,                              \
	 .message = message_,                                       \
	 .required = required_,                                     \
	 .known = known_,                                           \
	 .fix = fix_},
#include "verify/patterns.def"
};

/* --- what patterns use --- */

const char *fort_story_keep(struct fort_story *s, struct fort_text *text)
{
	char *copy = fort_arena_copy(s->arena, text->data ? text->data : "", text->length + 1);

	fort_text_free(text);
	s->failed |= !copy;
	return copy ? copy : "";
}

void fort_story_text(struct fort_story *s, const char *name, struct fort_text *text)
{
	const char *kept = fort_story_keep(s, text);

	if (s->n_words < FORT_STORY_WORDS)
		s->words[s->n_words++] = (struct fort_word){name, kept};
}

void fort_story_word(struct fort_story *s, const char *name, const char *fmt, ...)
{
	struct fort_text text = fort_text_new();
	va_list args;

	va_start(args, fmt);
	fort_text_addv(&text, fmt, args);
	va_end(args);
	fort_story_text(s, name, &text);
}

void fort_story_add_place(const struct fort_story *s, uint32_t pc, struct fort_text *out)
{
	struct fort_source_line line;

	if (s->source && s->source->line(s->source->context, pc, &line))
		fort_text_add(out, "line %u", line.line);
	else
		fort_text_add(out, "instruction %u", pc);
}

void fort_story_place(struct fort_story *s, const char *name, uint32_t pc)
{
	struct fort_text text = fort_text_new();

	fort_story_add_place(s, pc, &text);
	fort_story_text(s, name, &text);
}

void fort_story_kind(struct fort_story *s, const char *name, const struct fort_value *value)
{
	struct fort_text kind = fort_text_new(), text = fort_text_new();

	fort_words_kind(value, &kind);
	fort_words_article(kind.data ? kind.data : "", &text);
	fort_text_free(&kind);
	fort_story_text(s, name, &text);
}

void fort_story_range(struct fort_story *s, const char *name, const struct fort_scalar *num)
{
	struct fort_text text = fort_text_new();

	fort_words_range(num, &text);
	fort_story_text(s, name, &text);
}

void fort_story_callee(struct fort_story *s, const char *name, const struct fort_past *call)
{
	struct fort_text text = fort_text_new();

	fort_words_callee(fort_story_insn(s, call), &text);
	fort_story_text(s, name, &text);
}

bool fort_story_writes(const struct fort_story *s)
{
	return s->insn->kind == FORT_ST || s->insn->kind == FORT_STX ||
	       s->insn->kind == FORT_STREL || s->insn->kind == FORT_ATOMIC ||
	       (s->insn->kind == FORT_CALL && s->v->args[2]);
}

void fort_story_pin(struct fort_story *s, const struct fort_past *past)
{
	if (past && s->n_pinned < FORT_EVENTS_MAX)
		s->pinned[s->n_pinned++] = past;
}

const struct fort_insn *fort_story_insn(const struct fort_story *s, const struct fort_past *past)
{
	return &s->render->env->graph->program.insns[past->origin.pc];
}

/* An event of the same kind stands for those that were left out: loops repeat them. */
static const struct fort_past *past_of(const struct fort_story *s, uint32_t id)
{
	const struct fort_past *past = fort_history_find(s->history, id);
	const struct fort_origin *origin;

	if (past || !s->history->origins)
		return past;
	origin = fort_origins_at(s->history->origins, id);
	for (uint32_t i = 0; origin && i < s->history->n; i++) {
		const struct fort_origin *other = &s->history->items[i].origin;

		if (other->pc == origin->pc && other->kind == origin->kind &&
		    !memcmp(&other->cell, &origin->cell, sizeof(origin->cell)))
			return &s->history->items[i];
	}
	return NULL;
}

const struct fort_past *fort_story_focus(const struct fort_story *s, uint32_t nth)
{
	return nth < s->history->n_focus ? past_of(s, s->history->focus[nth]) : NULL;
}

const struct fort_past *fort_story_from(const struct fort_story *s, const struct fort_past *past)
{
	return past_of(s, past->origin.from);
}

const struct fort_past *fort_story_with(const struct fort_story *s, const struct fort_past *past)
{
	return past_of(s, past->origin.with);
}

bool fort_story_descends(const struct fort_story *s, const struct fort_past *past, uint32_t from)
{
	uint32_t id = past->id;

	for (uint32_t i = 0; id > from && i < FORT_ORIGINS_MAX; i++) {
		const struct fort_origin *origin = fort_origins_at(s->history->origins, id);

		id = origin ? origin->from : 0;
	}
	return id == from;
}

/* Does the value go on through this, as it is? */
static bool is_passage(const struct fort_story *s, const struct fort_past *past)
{
	switch (fort_event_of(s->render->env, past)) {
	case FORT_EVENT_COPY:
	case FORT_EVENT_STORED:
	case FORT_EVENT_LOADED:
	case FORT_EVENT_PASSED:
	case FORT_EVENT_RETURNED:
	case FORT_EVENT_NOT_NULL:
	case FORT_EVENT_PROVEN:
	case FORT_EVENT_NOT_PROVEN:
	case FORT_EVENT_BOUNDED:
	case FORT_EVENT_COMPARED:
	case FORT_EVENT_JOINED: return true;
	default: return false;
	}
}

const struct fort_past *fort_story_maker(const struct fort_story *s, const struct fort_past *past)
{
	/* A loop's events may stand for each other: no more steps than there are. */
	for (uint32_t i = 0; past && i < s->history->n && is_passage(s, past); i++)
		past = fort_story_from(s, past);
	return past;
}

const struct fort_past *fort_story_find(const struct fort_story *s, fort_past_test *is, bool flows)
{
	for (uint32_t i = s->history->n; i > 0; i--) {
		const struct fort_past *past = &s->history->items[i - 1];

		if ((past->flows || !flows) && is(s->render->env, past))
			return past;
	}
	return NULL;
}

const struct fort_past *fort_story_flow(const struct fort_story *s, enum fort_event_id event)
{
	for (uint32_t i = s->history->n; i > 0; i--) {
		const struct fort_past *past = &s->history->items[i - 1];

		if (past->flows && fort_event_of(s->render->env, past) == event)
			return past;
	}
	return NULL;
}

/* --- events --- */

struct choice {
	const struct fort_past *past;
	uint32_t score;
	bool pinned;
};

static bool is_pinned(const struct fort_story *s, const struct fort_past *past)
{
	for (uint32_t i = 0; i < s->n_pinned; i++)
		if (s->pinned[i] == past)
			return true;
	return false;
}

/* That the stack has a top needs no telling. */
static bool is_told(const struct fort_story *s, const struct fort_past *past)
{
	enum fort_event_id event = fort_event_of(s->render->env, past);
	bool frame = past->origin.cell.kind == FORT_CELL_REG && past->origin.cell.index == FORT_R10;

	return event != FORT_EVENT_NONE && !frame && (past->flows || is_pinned(s, past));
}

/* Puts one more into the list of the best, which is in the order of scores. */
static void rank(struct choice *list, uint32_t *n, struct choice choice)
{
	uint32_t at = *n;

	while (at && list[at - 1].score < choice.score)
		at--;
	if (at == FORT_EVENTS_MAX)
		return;
	if (*n < FORT_EVENTS_MAX)
		(*n)++;
	for (uint32_t i = *n - 1; i > at; i--)
		list[i] = list[i - 1];
	list[at] = choice;
}

/* Those that weigh little are told where there is nothing better. */
#define ENOUGH  3u
#define WEIGHTY 40u

static uint32_t choose_events(const struct fort_story *s, struct choice *list)
{
	uint32_t n = 0, kept = 0;

	for (uint32_t i = s->history->n; i > 0; i--) {
		const struct fort_past *past = &s->history->items[i - 1];
		struct choice choice = {past, 0, is_pinned(s, past)};

		if (!is_told(s, past))
			continue;
		choice.score = fort_event_info(fort_event_of(s->render->env, past))->weight +
			       (choice.pinned ? 1000u : 0u);
		rank(list, &n, choice);
	}
	for (uint32_t i = 0; i < n; i++)
		if (i < ENOUGH || list[i].score >= WEIGHTY)
			list[kept++] = list[i];
	for (uint32_t i = 1; i < kept; i++)
		for (uint32_t k = i; k && list[k - 1].past->id > list[k].past->id; k--) {
			struct choice swap = list[k];

			list[k] = list[k - 1];
			list[k - 1] = swap;
		}
	return kept;
}

static void tell_events(struct fort_story *s, const struct choice *list, uint32_t n,
			struct fort_explanation *out)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct fort_past *past = list[i].past;
		struct fort_told_event *event = &out->events[out->n_events];
		struct fort_text text = fort_text_new();

		fort_event_text(s->render, past, &text);
		*event = (struct fort_told_event){
			.pc = past->origin.pc,
			.role = fort_event_info(fort_event_of(s->render->env, past))->role,
			.text = fort_story_keep(s, &text)};
		if (out->n_events && event[-1].pc == event->pc &&
		    !strcmp(event[-1].text, event->text))
			continue;
		out->n_events++;
	}
}

/* --- the path --- */

/* Where it goes on: the next decision's instruction is somewhere behind. */
static uint32_t next_pc(const struct fort_env *env, const struct fort_path_step *step)
{
	return step->taken
		       ? (uint32_t)fort_insn_target(&env->graph->program.insns[step->pc], step->pc)
		       : step->pc + 1;
}

/* Decisions that an event is about; behind an acquisition all. */
static bool matters(const struct fort_story *s, const struct fort_path_step *step,
		    const struct choice *list, uint32_t n)
{
	const struct fort_past *focus = fort_story_focus(s, 0);

	for (uint32_t i = 0; i < n; i++)
		if (list[i].past->origin.number == step->number &&
		    list[i].past->origin.pc == step->pc)
			return true;
	return focus && fort_explain_info(s->v->diag)->focus == FORT_FOCUS_ACQUIRED &&
	       step->number > focus->origin.number;
}

static void tell_path(struct fort_story *s, const struct choice *list, uint32_t n,
		      struct fort_explanation *out)
{
	uint32_t n_path = s->result ? s->result->n_path : 0;
	struct fort_told_step *path = FORT_ARENA_ARRAY(s->arena, n_path, struct fort_told_step);

	if (!path) {
		s->failed |= n_path > 0;
		return;
	}
	for (uint32_t i = 0; i < n_path; i++) {
		const struct fort_path_step *step = &s->result->path[i];

		path[i] = (struct fort_told_step){.pc = step->pc,
						  .next_pc = next_pc(s->render->env, step),
						  .taken = step->taken,
						  .matters = matters(s, step, list, n)};
	}
	out->path = path;
	out->n_path = n_path;
}

/* --- registers --- */

static void tell_register(struct fort_story *s, unsigned reg, struct fort_explanation *out)
{
	const struct fort_state *state = s->result->state;
	const struct fort_value *value = fort_state_reg(state, reg);
	struct fort_told_register *told = &out->registers[out->n_registers];
	struct fort_text name = fort_text_on(told->name, sizeof(told->name));
	struct fort_text text = fort_text_new();

	fort_text_add(&name, "r%u", reg);
	fort_value_text(s->render->env, s->render->names, state, value, state->n_frames - 1, &text);
	told->value = fort_story_keep(s, &text);
	out->n_registers++;
}

/* Those that the instruction uses. */
static void tell_registers(struct fort_story *s, struct fort_explanation *out)
{
	struct fort_effect_room room;
	struct fort_effect effect;
	uint16_t regs;

	if (!s->result || !s->result->state || !s->result->retraced)
		return;
	fort_effect_before(s->render->env, s->result->state, s->v->pc, &room, &effect);
	regs = effect.uses;
	if (s->v->reg < FORT_REGS)
		regs |= (uint16_t)(1u << s->v->reg);
	for (unsigned r = 0; r < FORT_REGS && out->n_registers < FORT_INVOLVED_MAX; r++)
		if (regs >> r & 1)
			tell_register(s, r, out);
}

/* --- the example --- */

_Static_assert(FORT_EXAMPLE_TOLD >= FORT_EXAMPLE_MAX, "all of it is told");

static void tell_example(const struct fort_story *s, struct fort_explanation *out)
{
	const struct fort_example *example = s->result ? s->result->example : NULL;

	for (uint32_t i = 0; example && i < example->n; i++) {
		const struct fort_example_item *item = &example->items[i];
		struct fort_told_example *told = &out->example[out->n_example++];
		struct fort_text name = fort_text_on(told->name, sizeof(told->name));

		if (item->kind == FORT_EXAMPLE_PACKET)
			fort_text_add(&name, "packet");
		else
			fort_text_add(&name, "r%u", item->reg);
		told->is_offset = item->kind == FORT_EXAMPLE_OFFSET;
		told->number = item->number;
	}
}

/* --- where the work went --- */

static void tell_place(struct fort_story *s, const struct fort_cost_place *place,
		       struct fort_told_cost *out)
{
	*out = (struct fort_told_cost){.kind = place->kind == FORT_COST_LOOP ? "loop" : "branch",
				       .pc = place->pc,
				       .percent = place->percent,
				       .states = place->states,
				       .turns = place->turns,
				       .insns = place->insns};
	for (uint32_t i = 0; i < place->aparts.n && out->n_apart < FORT_APART_TOLD; i++) {
		struct fort_text text = fort_text_new();

		fort_words_apart(&place->aparts.items[i], &text);
		out->apart[out->n_apart++] = fort_story_keep(s, &text);
	}
}

static void tell_doubt(struct fort_story *s, const struct fort_violation *v,
		       struct fort_told_doubt *out)
{
	struct fort_render with = *s->render;
	struct fort_text text = fort_text_new();

	if (!v->diag)
		return;
	with.violation = v;
	with.state = NULL;
	if (v->diag == FORT_DIAG_INFINITE_LOOP) /* of joined states it means no more than that */
		fort_text_add(&text, "nothing that only rises or falls shows that this loop ends");
	else
		fort_render_text(&with, fort_diag_info(v->diag)->message, &text);
	*out = (struct fort_told_doubt){fort_diag_info(v->diag)->code, fort_story_keep(s, &text),
					v->pc};
}

_Static_assert(FORT_COSTS_MAX >= FORT_COST_PLACES_MAX, "all places are told");

static void tell_costs(struct fort_story *s, struct fort_explanation *out)
{
	const struct fort_cost *cost = s->result ? s->result->cost : NULL;

	if (!cost)
		return;
	for (uint32_t i = 0; i < cost->n_places; i++)
		tell_place(s, &cost->places[i], &out->costs[out->n_costs++]);
	tell_doubt(s, &cost->doubt, &out->doubt);
}

/* --- texts --- */

static const char *render(struct fort_story *s, const char *text)
{
	struct fort_render with = *s->render;
	struct fort_text out = fort_text_new();

	with.words = s->words;
	with.n_words = s->n_words;
	fort_render_text(&with, text, &out);
	return fort_story_keep(s, &out);
}

/* One a line. */
static void tell_fixes(struct fort_story *s, const char *text, struct fort_explanation *out)
{
	while (*text && out->n_fixes < FORT_FIXES_MAX) {
		size_t bytes = strcspn(text, "\n");
		char *line = fort_arena_alloc(s->arena, bytes + 1);

		if (!line) {
			s->failed = true;
			return;
		}
		memcpy(line, text, bytes);
		out->fixes[out->n_fixes++] = line;
		text += bytes + (text[bytes] == '\n');
	}
}

static const struct pattern *find_pattern(struct fort_story *s)
{
	for (size_t i = 0; i < FORT_LEN(patterns); i++) {
		s->n_words = s->n_pinned = 0;
		if (patterns[i].is(s))
			return &patterns[i];
	}
	s->n_words = s->n_pinned = 0;
	return NULL;
}

static void tell_texts(struct fort_story *s, const struct pattern *pattern,
		       struct fort_explanation *out)
{
	const struct fort_diag_info *diag = out->diag;
	bool has = pattern != NULL;

	out->pattern = has ? pattern->name : NULL;
	out->cause = fort_cause_name(has ? pattern->cause : fort_explain_info(s->v->diag)->cause);
	out->message = render(s, has && pattern->message ? pattern->message : diag->message);
	out->required = render(s, has && pattern->required ? pattern->required : diag->needed);
	out->known = render(s, has && pattern->known ? pattern->known : diag->known);
	out->kernel_line = render(s, diag->kernel);
	tell_fixes(s, render(s, has && pattern->fix ? pattern->fix : diag->hint), out);
}

int fort_explain(const struct fort_render *render, const struct fort_verify_result *result,
		 const struct fort_source *source, struct fort_arena *arena,
		 struct fort_explanation *out)
{
	static const struct fort_history nothing = {0};
	const struct fort_violation *v = render->violation;
	struct fort_story s = {.render = render,
			       .result = result,
			       .history = result && result->history ? result->history : &nothing,
			       .source = source,
			       .v = v,
			       .arena = arena};
	struct choice choices[FORT_EVENTS_MAX];
	const struct pattern *pattern = NULL;
	uint32_t n;

	*out = (struct fort_explanation){.diag = fort_diag_info(v->diag), .pc = v->pc};
	if (render->env && render->env->graph) {
		s.insn = &render->env->graph->program.insns[v->pc];
		out->subprog = fort_subprog_of(&render->env->graph->program, v->pc);
		pattern = find_pattern(&s);
	}
	tell_texts(&s, pattern, out);
	n = choose_events(&s, choices);
	tell_events(&s, choices, n, out);
	tell_path(&s, choices, n, out);
	tell_registers(&s, out);
	tell_example(&s, out);
	tell_costs(&s, out);
	return s.failed ? -ENOMEM : 0;
}
