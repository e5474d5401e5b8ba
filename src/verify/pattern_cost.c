/* Patterns of searches that came to their limit. */
#include "verify/cost.h"
#include "verify/story.h"
#include "verify/words.h"

/* So many cells are named. */
#define NAMED 3u

static const struct fort_cost_place *worst_of(const struct fort_story *s)
{
	const struct fort_cost *cost = s->result ? s->result->cost : NULL;

	return cost && cost->worst < cost->n_places ? &cost->places[cost->worst] : NULL;
}

static void set_apart(struct fort_story *s, const struct fort_cost_place *place)
{
	uint32_t n = place->aparts.n < NAMED ? place->aparts.n : NAMED;
	struct fort_text text = fort_text_new();

	for (uint32_t i = 0; i < n; i++) {
		fort_text_add(&text, i == 0 ? "" : i + 1 == n ? " and " : ", ");
		fort_words_apart(&place->aparts.items[i], &text);
	}
	fort_story_text(s, "apart", &text);
}

/* Why they were not joined: what the search found when it did. */
static void set_doubt(struct fort_story *s)
{
	const struct fort_violation *doubt = &s->result->cost->doubt;
	struct fort_text text = fort_text_new();

	if (doubt->diag == FORT_DIAG_INFINITE_LOOP) {
		fort_text_add(&text,
			      ", and nothing that only rises or falls shows that the loop at ");
		fort_story_add_place(s, doubt->pc, &text);
		fort_text_add(&text, " ends");
	} else if (doubt->diag) {
		fort_text_add(&text, ", and what all have in common does not show that ");
		fort_story_add_place(s, doubt->pc, &text);
		fort_text_add(&text, " is safe (%s)", fort_diag_info(doubt->diag)->title);
	}
	fort_story_text(s, "doubt", &text);
}

/* What to do about the doubt; or else `otherwise`. */
static void set_advice(struct fort_story *s, const char *otherwise)
{
	const struct fort_violation *doubt = &s->result->cost->doubt;
	struct fort_text text = fort_text_new();

	if (doubt->diag == FORT_DIAG_INFINITE_LOOP) {
		fort_text_add(&text,
			      "end the loop by a counter: for (i = 0; i < N; i++), with a constant"
			      " N and an i that changes nowhere else");
	} else if (doubt->diag) {
		fort_text_add(&text, "compare what is used at ");
		fort_story_add_place(s, doubt->pc, &text);
		fort_text_add(&text, " with its bound right before, so that it holds however one"
				     " came there");
	} else {
		fort_text_add(&text, "%s", otherwise);
	}
	fort_story_text(s, "advice", &text);
}

static void set_words(struct fort_story *s, const struct fort_cost_place *place)
{
	fort_story_word(s, "percent", "%u", place->percent);
	fort_story_place(s, "place", place->pc);
	fort_story_word(s, "where", "%s",
			place->kind == FORT_COST_LOOP ? "in the loop at" : "behind the branch at");
	fort_story_word(s, "turns", "%u", place->turns);
	fort_story_word(s, "states", "%u", place->states);
	set_apart(s, place);
	set_doubt(s);
}

bool fort_pattern_turns_apart(struct fort_story *s)
{
	const struct fort_cost_place *place = worst_of(s);

	if (!place || !place->turns)
		return false;
	set_words(s, place);
	set_advice(s, "end the loop by a counter that is compared with a constant");
	return true;
}

bool fort_pattern_states_apart(struct fort_story *s)
{
	const struct fort_cost_place *place = worst_of(s);

	if (!place)
		return false;
	set_words(s, place);
	set_advice(
		s,
		"test the condition again where it is needed, instead of remembering its outcome");
	return true;
}
