/* Patterns of packet accesses. */
#include <inttypes.h>

#include "step/relate.h"
#include "verify/terms.h"

static bool is_bounds(const struct fort_story *s)
{
	return s->v->diag == FORT_DIAG_PACKET_BOUNDS;
}

static void put_access(struct fort_story *s)
{
	const int64_t *args = s->v->args;

	fort_story_word(s, "rw", fort_story_writes(s) ? "write" : "read");
	fort_story_word(s, "size", "%" PRId64, args[1]);
	fort_story_word(s, "proven", "%" PRId64, args[3]);
	fort_story_word(s, "want", "%" PRId64, fort_wrap_add(args[0], args[1]));
}

/* A comparison with the packet's end that proved something. */
static bool proves(const struct fort_env *env, const struct fort_past *past)
{
	return fort_past_is_packet_check(env, past) && past->proven > 0;
}

static void put_origin(struct fort_story *s, const struct fort_terms *terms)
{
	const struct fort_past *made = terms->n ? fort_story_maker(s, terms->list[0].past) : NULL;
	struct fort_text text = fort_text_new();

	if (made) {
		fort_text_add(&text, " (%s comes from ", terms->list[0].name);
		fort_story_add_place(s, made->origin.pc, &text);
		fort_text_add(&text, ")");
	}
	fort_story_pin(s, made);
	fort_story_text(s, "origin", &text);
}

bool fort_pattern_packet_far(struct fort_story *s)
{
	struct fort_text sum = fort_text_new();
	struct fort_terms terms;

	if (!is_bounds(s) || fort_value_is_near(&s->v->value))
		return false;
	put_access(s);
	fort_terms_of(s, fort_story_focus(s, 0), &terms);
	if (terms.n)
		fort_terms_text(&terms, &sum);
	fort_story_text(s, "sum", &sum);
	fort_story_word(s, "high", "%" PRIu64, fort_scalar_umax(&s->v->value.num));
	fort_story_range(s, "offset", &s->v->value.num);
	put_origin(s, &terms);
	return true;
}

/* Where the pointer was last moved by a number that varies. */
static const struct fort_past *last_move(const struct fort_story *s)
{
	const struct fort_past *past = fort_story_focus(s, 0);

	for (uint32_t i = 0; past && i < s->history->n; i++) {
		past = fort_story_maker(s, past);
		if (!past || fort_event_of(s->render->env, past) != FORT_EVENT_MOVED)
			return NULL;
		if (fort_story_insn(s, past)->kind == FORT_ALU_X)
			return past;
		past = fort_story_from(s, past);
	}
	return NULL;
}

bool fort_pattern_packet_other_pointer(struct fort_story *s)
{
	const struct fort_past *check, *moved;
	bool left;

	if (!is_bounds(s) || s->v->args[3] > 0)
		return false;
	check = fort_story_find(s, proves, false);
	moved = last_move(s);
	if (!check || !moved)
		return false;
	put_access(s);
	left = check->left.type != FORT_PACKET_END;
	fort_story_word(s, "checked", "r%u",
			left ? fort_story_insn(s, check)->dst : fort_story_insn(s, check)->src);
	fort_story_word(s, "other", "%" PRId64, check->proven);
	fort_story_place(s, "check_at", check->origin.pc);
	fort_story_place(s, "moved_at", moved->origin.pc);
	fort_story_pin(s, check);
	fort_story_pin(s, moved);
	return true;
}

bool fort_pattern_packet_short(struct fort_story *s)
{
	const int64_t *args = s->v->args;
	const struct fort_past *check;
	struct fort_text text = fort_text_new();

	if (!is_bounds(s) || args[3] <= 0)
		return false;
	check = fort_story_find(s, proves, true);
	check = check ? check : fort_story_find(s, proves, false);
	put_access(s);
	fort_story_word(s, "short", "%" PRId64, args[0] + args[1] - args[3]);
	if (check) {
		fort_text_add(&text, " at ");
		fort_story_add_place(s, check->origin.pc, &text);
	}
	fort_story_text(s, "check_at", &text);
	fort_story_pin(s, check);
	return true;
}

bool fort_pattern_packet_unchecked(struct fort_story *s)
{
	if (!is_bounds(s) || fort_story_find(s, proves, true))
		return false;
	put_access(s);
	return true;
}
