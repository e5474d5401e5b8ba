/* Patterns of indices and sizes that may be too small or too large. */
#include <inttypes.h>

#include "domain/compare.h"
#include "verify/terms.h"
#include "verify/words.h"

/* The number that is wrong: a size, or a term of an address. */
struct subject {
	const struct fort_past *past;
	struct fort_value value;
	char name[24];
};

static bool is_negative(const struct fort_story *s)
{
	enum fort_diag diag = (enum fort_diag)s->v->diag;

	return diag == FORT_DIAG_MEM_MIN_NEGATIVE || diag == FORT_DIAG_PACKET_MIN_NEGATIVE ||
	       diag == FORT_DIAG_SIZE_NEGATIVE;
}

static bool is_bounds(const struct fort_story *s)
{
	switch (s->v->diag) {
	case FORT_DIAG_MEM_MIN_NEGATIVE:
	case FORT_DIAG_MEM_MIN:
	case FORT_DIAG_MEM_UNBOUNDED:
	case FORT_DIAG_MEM_MAX:
	case FORT_DIAG_STACK_VAR_BOUNDS:
	case FORT_DIAG_STACK_UNBOUNDED:
	case FORT_DIAG_PACKET_MIN_NEGATIVE:
	case FORT_DIAG_SIZE_NEGATIVE:
	case FORT_DIAG_SIZE_UNBOUNDED: return true;
	default: return false;
	}
}

static uint64_t width(const struct fort_value *value)
{
	return (uint64_t)fort_scalar_smax(&value->num) - (uint64_t)fort_scalar_smin(&value->num);
}

/* Of an address, the term of which least is known. */
static bool find_subject(const struct fort_story *s, struct subject *out)
{
	struct fort_text name = fort_text_on(out->name, sizeof(out->name));
	const struct fort_past *focus = fort_story_focus(s, 0);
	struct fort_terms terms;
	uint32_t worst = 0;

	if (!is_bounds(s) || !focus)
		return false;
	if (s->v->value.type == FORT_NUM) {
		out->past = focus;
		out->value = s->v->value;
		fort_text_add(&name, "the size in r%u", s->v->reg);
		return true;
	}
	fort_terms_of(s, focus, &terms);
	for (uint32_t i = 1; i < terms.n; i++)
		if (width(&terms.list[i].value) > width(&terms.list[worst].value))
			worst = i;
	if (!terms.n || !terms.list[worst].past)
		return false;
	out->past = terms.list[worst].past;
	out->value = terms.list[worst].value;
	fort_text_add(&name, "%s", terms.list[worst].name);
	return true;
}

static void put_needs(struct fort_story *s, const struct subject *subject)
{
	struct fort_text text = fort_text_new();

	if (is_negative(s))
		fort_text_add(&text, "%s >= 0", subject->name);
	else
		fort_render_text(s->render, fort_diag_info(s->v->diag)->needed, &text);
	fort_story_text(s, "needs", &text);
}

static void put_subject(struct fort_story *s, const struct subject *subject)
{
	fort_story_word(s, "name", "%s", subject->name);
	fort_story_word(s, "low", "%" PRId64, fort_scalar_smin(&subject->value.num));
	fort_story_range(s, "range", &subject->value.num);
	put_needs(s, subject);
}

/* --- negative numbers --- */

bool fort_pattern_negative_result(struct fort_story *s)
{
	struct subject subject;

	if (!is_negative(s) || !find_subject(s, &subject))
		return false;
	for (uint32_t i = s->history->n; i > 0; i--) {
		const struct fort_past *made = &s->history->items[i - 1];

		if (!made->flows || fort_event_of(s->render->env, made) != FORT_EVENT_RESULT ||
		    made->after.type != FORT_NUM || fort_scalar_smin(&made->after.num) >= 0 ||
		    !fort_story_descends(s, subject.past, made->id))
			continue;
		put_subject(s, &subject);
		fort_story_callee(s, "callee", made);
		fort_story_place(s, "made_at", made->origin.pc);
		fort_story_pin(s, made);
		return true;
	}
	return false;
}

static bool is_signed_test(const struct fort_env *env, const struct fort_past *past)
{
	const struct fort_insn *insn = &env->graph->program.insns[past->origin.pc];
	struct fort_comparison c = fort_comparison_of(insn->op);

	return past->origin.kind == FORT_ORIGIN_LEARNED &&
	       (insn->kind == FORT_JCC_K || insn->kind == FORT_JCC_X) &&
	       past->left.type == FORT_NUM &&
	       (c.primitive == FORT_CMP_SLT || c.primitive == FORT_CMP_SLE);
}

bool fort_pattern_negative_signed(struct fort_story *s)
{
	const struct fort_past *check;
	struct subject subject;

	if (!is_negative(s) || !find_subject(s, &subject))
		return false;
	check = fort_story_find(s, is_signed_test, true);
	if (!check)
		return false;
	put_subject(s, &subject);
	fort_story_place(s, "check_at", check->origin.pc);
	fort_story_pin(s, check);
	return true;
}

/* --- a comparison of something else --- */

static uint32_t from_of(const struct fort_story *s, uint32_t id)
{
	const struct fort_origin *origin = fort_origins_at(s->history->origins, id);

	return origin ? origin->from : 0;
}

/* The newest origin that both were made of; 0 for none. */
static uint32_t common_origin(const struct fort_story *s, uint32_t a, uint32_t b)
{
	for (uint32_t i = 0; a && b && a != b && i < FORT_ORIGINS_MAX; i++)
		if (a > b)
			a = from_of(s, a);
		else
			b = from_of(s, b);
	return a == b ? a : 0;
}

/* The load that a number comes from, unchanged or not; NULL when it is none. */
static const struct fort_origin *load_of(const struct fort_story *s, uint32_t id)
{
	const struct fort_origin *origin = fort_origins_at(s->history->origins, id);

	for (uint32_t i = 0; origin && origin->from && i < FORT_ORIGINS_MAX; i++)
		origin = fort_origins_at(s->history->origins, origin->from);
	if (!origin || origin->kind != FORT_ORIGIN_MADE ||
	    s->render->env->graph->program.insns[origin->pc].kind != FORT_LDX)
		return NULL;
	return origin;
}

/* Two loads of the same bytes. */
static bool same_memory(const struct fort_story *s, const struct fort_origin *a,
			const struct fort_origin *b)
{
	const struct fort_insn *insns = s->render->env->graph->program.insns;
	const struct fort_insn *x = &insns[a->pc], *y = &insns[b->pc];

	return a != b && x->off == y->off && x->bits == y->bits &&
	       common_origin(s, a->with, b->with);
}

/* How the number that a comparison bounded is related to the one that is used; false: not. */
static bool put_relation(struct fort_story *s, const struct fort_past *check,
			 const struct subject *subject)
{
	uint32_t common = common_origin(s, check->id, subject->past->id);
	const struct fort_origin *origin = fort_origins_at(s->history->origins, common);
	const struct fort_origin *a = load_of(s, check->id), *b = load_of(s, subject->past->id);
	struct fort_text text = fort_text_new();

	if (origin) {
		fort_text_add(&text, "made of the same number (");
		fort_story_add_place(s, origin->pc, &text);
		fort_text_add(&text, ")");
	} else if (a && b && same_memory(s, a, b)) {
		fort_text_add(&text, "which was loaded from the same memory at ");
		fort_story_add_place(s, a->pc, &text);
		fort_text_add(&text, ", before ");
		fort_story_add_place(s, b->pc, &text);
		fort_text_add(&text, " loaded it again");
	} else {
		fort_text_free(&text);
		return false;
	}
	fort_story_text(s, "relation", &text);
	return true;
}

/* Does it bound its number where nothing bounds the one that is used? */
static bool bounds_better(const struct fort_past *check, const struct subject *subject)
{
	return check->origin.kind == FORT_ORIGIN_LEARNED && check->after.type == FORT_NUM &&
	       !check->flows && width(&check->after) < width(&subject->value);
}

bool fort_pattern_bound_of_other(struct fort_story *s)
{
	struct subject subject;

	if (!find_subject(s, &subject))
		return false;
	for (uint32_t i = s->history->n; i > 0; i--) {
		const struct fort_past *check = &s->history->items[i - 1];

		if (!bounds_better(check, &subject) || !put_relation(s, check, &subject))
			continue;
		put_subject(s, &subject);
		fort_story_word(s, "checked", "r%u", check->origin.cell.index);
		fort_story_range(s, "other", &check->after.num);
		fort_story_place(s, "check_at", check->origin.pc);
		fort_story_pin(s, check);
		fort_story_pin(s, fort_story_maker(s, subject.past));
		return true;
	}
	return false;
}

/* --- sums --- */

/* Everything that counts: the terms of the address, and a size that varies. */
static bool find_sum(const struct fort_story *s, struct fort_terms *out, int64_t *size)
{
	const struct fort_past *with = fort_story_focus(s, 1);
	int64_t limit = s->v->args[3];

	if (s->v->diag != FORT_DIAG_MEM_MAX && s->v->diag != FORT_DIAG_MEM_MIN)
		return false;
	fort_terms_of(s, fort_story_focus(s, 0), out);
	*size = s->v->args[1];
	if (s->insn->kind == FORT_CALL && with && with->after.type == FORT_NUM &&
	    !fort_scalar_is_const(&with->after.num) && out->n < FORT_TERMS_MAX) {
		struct fort_term *term = &out->list[out->n++];
		struct fort_text name = fort_text_on(term->name, sizeof(term->name));

		*term = (struct fort_term){.past = with, .value = with->after, .scale = 1};
		fort_text_add(&name, "r%u", with->origin.cell.index);
		term->low = fort_scalar_smin(&with->after.num);
		term->high = fort_scalar_smax(&with->after.num);
		out->low += term->low;
		out->high += term->high;
		*size = 0;
	}
	return out->complete && out->n && out->high < INT64_MAX - *size &&
	       (out->high + *size > limit || out->low < 0);
}

static void put_sum(struct fort_story *s, const struct fort_terms *terms, int64_t size)
{
	struct fort_text sum = fort_text_new(), bounds = fort_text_new(), worst = fort_text_new();

	fort_terms_text(terms, &sum);
	fort_terms_known(terms, &bounds);
	fort_text_add(&worst, "%" PRId64 " + %" PRId64 " = %" PRId64 " > %" PRId64, terms->high,
		      size, terms->high + size, s->v->args[3]);
	fort_story_text(s, "sum", &sum);
	fort_story_text(s, "bounds", &bounds);
	fort_story_text(s, "worst", &worst);
	fort_story_word(s, "rw", fort_story_writes(s) ? "write" : "read");
	fort_story_word(s, "size", "%" PRId64, size);
	fort_story_word(s, "high", "%" PRId64, terms->high);
	fort_story_word(s, "limit", "%" PRId64, s->v->args[3]);
	for (uint32_t i = 0; i < terms->n; i++)
		fort_story_pin(s, terms->list[i].past);
}

/* Values that break it: each as large as it may be, the last just large enough. */
static void put_example(struct fort_story *s, const struct fort_terms *terms, int64_t size)
{
	int64_t left = s->v->args[3] - size - terms->fixed + 1;
	struct fort_text text = fort_text_new();

	for (uint32_t i = 0; i < terms->n; i++) {
		const struct fort_term *term = &terms->list[i];
		int64_t by = term->high < left ? term->high : left;
		int64_t value = (by + term->scale - 1) / term->scale;

		if (value < term->low / term->scale)
			value = term->low / term->scale;
		fort_text_add(&text, "%s%s = %" PRId64, i ? ", " : "", term->name, value);
		left -= value * term->scale;
	}
	fort_story_text(s, "example", &text);
}

bool fort_pattern_sum_too_large(struct fort_story *s)
{
	struct fort_terms terms;
	int64_t size, room;

	if (!find_sum(s, &terms, &size) || terms.n < 2 || terms.low < 0)
		return false;
	room = s->v->args[3] - size - terms.fixed;
	for (uint32_t i = 0; i < terms.n; i++)
		if (terms.list[i].high > room)
			return false; /* this one alone is too large */
	put_sum(s, &terms, size);
	put_example(s, &terms, size);
	fort_story_word(s, "most", "%" PRId64, s->v->args[3] - size);
	return true;
}

static void put_tightening(struct fort_story *s, const struct fort_terms *terms, int64_t size)
{
	const struct fort_term *term = &terms->list[0];
	int64_t room = s->v->args[3] - size - terms->fixed, most = room / term->scale;
	struct fort_text text = fort_text_new();

	if (terms->n > 1 || room < 0)
		fort_text_add(&text,
			      "tighten the comparisons of the numbers, or enlarge the object");
	else if (most + 1 == fort_scalar_smax(&term->value.num))
		fort_text_add(&text,
			      "the comparison lets one value too many through: < where it is <=, or"
			      " bound %s by %" PRId64,
			      term->name, most);
	else
		fort_text_add(&text, "bound %s by %" PRId64 " on the way, or enlarge the object",
			      term->name, most);
	fort_story_text(s, "tighten", &text);
}

bool fort_pattern_worst_case(struct fort_story *s)
{
	struct fort_terms terms;
	int64_t size;

	if (!find_sum(s, &terms, &size) || terms.low < 0)
		return false;
	put_sum(s, &terms, size);
	put_tightening(s, &terms, size);
	return true;
}

bool fort_pattern_unbounded(struct fort_story *s)
{
	const struct fort_past *made;
	struct fort_text origin = fort_text_new();
	struct subject subject;

	if ((s->v->diag != FORT_DIAG_MEM_UNBOUNDED && s->v->diag != FORT_DIAG_SIZE_UNBOUNDED &&
	     s->v->diag != FORT_DIAG_STACK_UNBOUNDED && s->v->diag != FORT_DIAG_MEM_MAX) ||
	    !find_subject(s, &subject))
		return false;
	made = fort_story_maker(s, subject.past);
	put_subject(s, &subject);
	if (made) {
		fort_text_add(&origin, ", from ");
		fort_story_add_place(s, made->origin.pc, &origin);
	}
	fort_story_text(s, "origin", &origin);
	fort_story_pin(s, made);
	return true;
}
