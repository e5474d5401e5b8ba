#include "verify/terms.h"

#include <inttypes.h>

#include "verify/words.h"

/* A number on its way into the sum. */
struct part {
	const struct fort_past *past; /* NULL: where it comes from is not known */
	struct fort_value value;
	unsigned reg;
	int64_t scale;
};

struct sum {
	const struct fort_story *s;
	struct fort_terms *out;
	struct part parts[FORT_TERMS_MAX];
	uint32_t n;
};

static bool adds(const struct fort_insn *insn)
{
	return (insn->kind == FORT_ALU_K || insn->kind == FORT_ALU_X) && insn->bits == 64 &&
	       insn->op == FORT_OP_ADD;
}

static bool put_part(struct sum *sum, const struct fort_past *past, const struct fort_value *value,
		     unsigned reg, int64_t scale)
{
	uint64_t number;

	if (fort_value_known(value, &number)) {
		sum->out->fixed = fort_wrap_add(sum->out->fixed, (int64_t)number * scale);
		return true;
	}
	if (sum->n == FORT_TERMS_MAX)
		return false;
	sum->parts[sum->n++] = (struct part){past, *value, reg, scale};
	return true;
}

/* Back through copies and comparisons, which leave the value what it is. */
static const struct fort_past *maker(const struct sum *sum, const struct fort_past *past)
{
	return past ? fort_story_maker(sum->s, past) : NULL;
}

/* --- numbers --- */

#define SCALE_MAX (1ll << 32)

static int64_t scale_of(const struct fort_insn *insn)
{
	if (insn->kind != FORT_ALU_K)
		return 0;
	if (insn->op == FORT_OP_LSH && insn->imm >= 0 && insn->imm < 32)
		return 1ll << insn->imm;
	return insn->op == FORT_OP_MUL && insn->imm > 0 && insn->imm < SCALE_MAX ? insn->imm : 0;
}

/* Small enough that products and sums of it do not wrap. */
static bool is_small(const struct fort_value *value, int64_t scale)
{
	const int64_t most = (1ll << 50) / scale;

	return fort_scalar_smin(&value->num) >= -most && fort_scalar_smax(&value->num) <= most;
}

static bool put_term(struct sum *sum, const struct part *part)
{
	struct fort_terms *out = sum->out;
	struct fort_term *term = &out->list[out->n];
	struct fort_text name = fort_text_on(term->name, sizeof(term->name));

	if (out->n == FORT_TERMS_MAX)
		return false;
	if (!is_small(&part->value, part->scale))
		out->complete = false;
	*term = (struct fort_term){.past = part->past, .value = part->value, .scale = part->scale};
	fort_text_add(&name, "r%u", part->reg);
	if (is_small(&part->value, part->scale)) {
		term->low = fort_scalar_smin(&part->value.num) * part->scale;
		term->high = fort_scalar_smax(&part->value.num) * part->scale;
		out->low += term->low;
		out->high += term->high;
	}
	out->n++;
	return true;
}

/* Is as little known of the whole as of its parts? If it was compared since, it is told as one. */
static bool is_plain(const struct part *part, int64_t low, int64_t high)
{
	return low >= fort_scalar_smin(&part->value.num) &&
	       high <= fort_scalar_smax(&part->value.num);
}

static bool is_multiple(const struct part *part, const struct fort_value *of, int64_t scale)
{
	return scale && scale * part->scale < SCALE_MAX && is_small(of, scale * part->scale) &&
	       is_plain(part, fort_scalar_smin(&of->num) * scale,
			fort_scalar_smax(&of->num) * scale);
}

static bool is_sum(const struct part *part, const struct fort_value *a, const struct fort_value *b)
{
	return is_small(a, part->scale) && is_small(b, part->scale) &&
	       is_plain(part, fort_scalar_smin(&a->num) + fort_scalar_smin(&b->num),
			fort_scalar_smax(&a->num) + fort_scalar_smax(&b->num));
}

/* A number that is a sum or a multiple is taken apart. */
static bool split(struct sum *sum, const struct part *part)
{
	const struct fort_past *made = maker(sum, part->past);
	const struct fort_insn *insn = made ? fort_story_insn(sum->s, made) : NULL;
	struct fort_value right;
	int64_t scale;

	if (!made || made->origin.kind != FORT_ORIGIN_MADE || made->after.type != FORT_NUM ||
	    made->left.type != FORT_NUM || !is_small(&made->left, part->scale))
		return put_term(sum, part);
	scale = scale_of(insn);
	if (is_multiple(part, &made->left, scale))
		return put_part(sum, fort_story_from(sum->s, made), &made->left, insn->dst,
				scale * part->scale);
	right = insn->kind == FORT_ALU_K ? fort_value_const((uint64_t)insn->imm) : made->right;
	if (!adds(insn) || right.type != FORT_NUM || !is_sum(part, &made->left, &right))
		return put_term(sum, part);
	return put_part(sum, fort_story_from(sum->s, made), &made->left, insn->dst, part->scale) &&
	       put_part(sum, fort_story_with(sum->s, made), &right, insn->src, part->scale);
}

/* --- addresses --- */

/* One addition to an address; false at its start, or where it is no simple sum. */
static const struct fort_past *step_back(struct sum *sum, const struct fort_past *made, bool *whole)
{
	const struct fort_insn *insn = fort_story_insn(sum->s, made);
	bool left = fort_value_is_pointer(&made->left);

	*whole = true;
	if (made->origin.kind != FORT_ORIGIN_MADE || !fort_value_is_pointer(&made->after) ||
	    (insn->kind != FORT_ALU_K && insn->kind != FORT_ALU_X))
		return NULL;
	*whole = adds(insn);
	if (!*whole)
		return NULL;
	if (insn->kind == FORT_ALU_K) {
		sum->out->fixed += insn->imm;
		return fort_story_from(sum->s, made);
	}
	*whole = left ? put_part(sum, fort_story_with(sum->s, made), &made->right, insn->src, 1)
		      : put_part(sum, fort_story_from(sum->s, made), &made->left, insn->dst, 1);
	if (!*whole)
		return NULL;
	return left ? fort_story_from(sum->s, made) : fort_story_with(sum->s, made);
}

static void sum_address(struct sum *sum, const struct fort_past *past)
{
	bool whole = true;

	for (uint32_t i = 0; past && i < sum->s->history->n; i++) {
		const struct fort_past *made = maker(sum, past);

		if (!made)
			break;
		past = step_back(sum, made, &whole);
		if (past)
			continue;
		sum->out->start = made;
		sum->out->complete = whole;
		return;
	}
	sum->out->complete = false;
}

void fort_terms_of(const struct fort_story *s, const struct fort_past *past, struct fort_terms *out)
{
	struct sum sum = {.s = s, .out = out};

	*out = (struct fort_terms){.complete = true};
	if (!past) {
		out->complete = false;
		return;
	}
	if (fort_value_is_pointer(&past->after))
		sum_address(&sum, past);
	else if (!put_part(&sum, past, &past->after, past->origin.cell.index, 1))
		out->complete = false;
	/* Parts may be added while they are taken apart, up to the room that there is. */
	for (uint32_t i = 0; i < sum.n; i++) {
		struct part part = sum.parts[i];

		if (!split(&sum, &part))
			out->complete = false;
	}
	out->low += out->fixed;
	out->high += out->fixed;
}

/* --- words --- */

void fort_terms_text(const struct fort_terms *terms, struct fort_text *out)
{
	const char *plus = "";

	if (terms->fixed || !terms->n) {
		fort_text_add(out, "%" PRId64, terms->fixed);
		plus = " + ";
	}
	for (uint32_t i = 0; i < terms->n; i++) {
		const struct fort_term *term = &terms->list[i];

		fort_text_add(out, "%s", plus);
		if (term->scale > 1)
			fort_text_add(out, "%" PRId64 " * ", term->scale);
		fort_text_add(out, "%s", term->name);
		plus = " + ";
	}
}

void fort_terms_known(const struct fort_terms *terms, struct fort_text *out)
{
	for (uint32_t i = 0; i < terms->n; i++) {
		fort_text_add(out, "%s%s ", i ? ", " : "", terms->list[i].name);
		fort_words_range(&terms->list[i].value.num, out);
	}
}
