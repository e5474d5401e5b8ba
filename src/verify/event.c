#include "verify/event.h"

#include <inttypes.h>

#include "domain/compare.h"
#include "verify/words.h"

static const struct fort_event_info rows[FORT_EVENTS] = {
#define FORT_EVENT(id, role_, weight_, text_) \
	[FORT_EVENT_##id] = {.role = role_, .text = text_, .weight = weight_},
#include "verify/events.def"
};

const struct fort_event_info *fort_event_info(enum fort_event_id event)
{
	return &rows[event < FORT_EVENTS ? event : FORT_EVENT_NONE];
}

static const struct fort_insn *insn_of(const struct fort_env *env, const struct fort_past *past)
{
	return &env->graph->program.insns[past->origin.pc];
}

/* --- which it is --- */

static bool is_jcc(const struct fort_insn *insn)
{
	return insn->kind == FORT_JCC_K || insn->kind == FORT_JCC_X;
}

bool fort_past_is_packet_check(const struct fort_env *env, const struct fort_past *past)
{
	uint8_t a = past->left.type, b = past->right.type;

	return past->origin.kind == FORT_ORIGIN_LEARNED && insn_of(env, past)->kind == FORT_JCC_X &&
	       ((a == FORT_PACKET && b == FORT_PACKET_END) ||
		(a == FORT_PACKET_END && b == FORT_PACKET) ||
		(a == FORT_PACKET_META && b == FORT_PACKET) ||
		(a == FORT_PACKET && b == FORT_PACKET_META));
}

bool fort_past_is_null_test(const struct fort_env *env, const struct fort_past *past)
{
	const struct fort_insn *insn = insn_of(env, past);

	return past->origin.kind == FORT_ORIGIN_LEARNED && insn->kind == FORT_JCC_K && !insn->imm &&
	       (insn->op == FORT_OP_JEQ || insn->op == FORT_OP_JNE);
}

bool fort_past_is_cut(const struct fort_env *env, const struct fort_past *past)
{
	const struct fort_insn *insn = insn_of(env, past);

	return past->origin.kind == FORT_ORIGIN_MADE &&
	       (insn->kind == FORT_MOV_X || insn->kind == FORT_MOVSX) &&
	       fort_value_is_pointer(&past->right) && past->after.type == FORT_NUM;
}

/* A range that can be an index or a length. */
static bool is_bounded(const struct fort_value *value)
{
	const int64_t far = 1ll << 32;

	return value->type != FORT_NONE && fort_scalar_smin(&value->num) >= -far &&
	       fort_scalar_smax(&value->num) <= far;
}

static enum fort_event_id of_load(const struct fort_past *past)
{
	if (past->right.type == FORT_CTX)
		return FORT_EVENT_READ_CTX;
	if (past->origin.from)
		return FORT_EVENT_LOADED;
	return fort_value_is_pointer(&past->after) ? FORT_EVENT_READ_POINTER
						   : FORT_EVENT_READ_NUMBER;
}

static enum fort_event_id of_arithmetic(const struct fort_past *past)
{
	if (fort_value_is_pointer(&past->after))
		return FORT_EVENT_MOVED;
	if (past->left.type == FORT_NUM && is_bounded(&past->left) && !is_bounded(&past->after))
		return FORT_EVENT_LOST_BOUND;
	return FORT_EVENT_COMPUTED;
}

static enum fort_event_id of_store(const struct fort_insn *insn, const struct fort_past *past)
{
	if (insn->kind == FORT_ST)
		return FORT_EVENT_STORED_NUMBER;
	return past->after.type == FORT_NONE ? FORT_EVENT_STORED_PART : FORT_EVENT_STORED;
}

static enum fort_event_id of_copy(const struct fort_env *env, const struct fort_insn *insn,
				  const struct fort_past *past)
{
	if (fort_past_is_cut(env, past))
		return FORT_EVENT_CUT;
	if (!fort_value_differs(&past->right, &past->after))
		return FORT_EVENT_COPY;
	return insn->kind == FORT_MOVSX ? FORT_EVENT_EXTENDED : FORT_EVENT_NARROWED;
}

static enum fort_event_id of_result(const struct fort_env *env, const struct fort_past *past)
{
	const struct fort_insn *insn = insn_of(env, past);

	switch (insn->kind) {
	case FORT_LDX:
	case FORT_LDACQ: return of_load(past);
	case FORT_MOV_K: return FORT_EVENT_CONSTANT;
	case FORT_LDIMM:
		return insn->op == FORT_OP_CONST ? FORT_EVENT_CONSTANT : FORT_EVENT_ADDRESS;
	case FORT_MOV_X:
	case FORT_MOVSX: return of_copy(env, insn, past);
	case FORT_ALU_K:
	case FORT_ALU_X: return of_arithmetic(past);
	case FORT_ST:
	case FORT_STX:
	case FORT_STREL: return of_store(insn, past);
	case FORT_ATOMIC: return FORT_EVENT_ATOMIC;
	case FORT_CALL:
		return past->origin.cell.kind == FORT_CELL_REG && past->origin.cell.index == FORT_R0
			       ? FORT_EVENT_RESULT
			       : FORT_EVENT_WRITTEN;
	default: return FORT_EVENT_CHANGED;
	}
}

static enum fort_event_id of_comparison(const struct fort_env *env, const struct fort_past *past)
{
	const struct fort_value *was = &past->before, *now = &past->after;

	if (!is_jcc(insn_of(env, past)))
		return FORT_EVENT_NONE;
	if (was->flags & FORT_MAYBE_NULL && now->type == FORT_NUM)
		return FORT_EVENT_IS_NULL;
	if (was->flags & ~now->flags & FORT_MAYBE_NULL)
		return FORT_EVENT_NOT_NULL;
	if (fort_past_is_packet_check(env, past))
		return past->proven > 0 ? FORT_EVENT_PROVEN : FORT_EVENT_NOT_PROVEN;
	if (now->type == FORT_NONE)
		return FORT_EVENT_NONE;
	return fort_value_differs(was, now) ? FORT_EVENT_BOUNDED : FORT_EVENT_COMPARED;
}

static enum fort_event_id of_end(const struct fort_env *env, const struct fort_past *past)
{
	struct fort_cell cell = past->origin.cell;

	if (insn_of(env, past)->kind != FORT_CALL)
		return FORT_EVENT_LEFT;
	return cell.kind == FORT_CELL_REG && cell.index <= FORT_R5 && past->after.type == FORT_NONE
		       ? FORT_EVENT_CLOBBERED
		       : FORT_EVENT_ENDED;
}

enum fort_event_id fort_event_of(const struct fort_env *env, const struct fort_past *past)
{
	switch (past->origin.kind) {
	case FORT_ORIGIN_START: return FORT_EVENT_ARGUMENT;
	case FORT_ORIGIN_MADE: return of_result(env, past);
	case FORT_ORIGIN_LEARNED: return of_comparison(env, past);
	case FORT_ORIGIN_GONE: return of_end(env, past);
	case FORT_ORIGIN_PASSED:
		return insn_of(env, past)->kind == FORT_CALL ? FORT_EVENT_PASSED
							     : FORT_EVENT_RETURNED;
	case FORT_ORIGIN_JOINED: return FORT_EVENT_JOINED;
	default: return FORT_EVENT_NONE;
	}
}

/* --- its words --- */

#define WORDS_MAX 18u

struct words {
	const struct fort_render *render;
	const struct fort_past *past;
	const struct fort_insn *insn;
	struct fort_text texts[WORDS_MAX];
	struct fort_word list[WORDS_MAX];
	uint32_t n;
};

static struct fort_text *word(struct words *w, const char *name)
{
	w->list[w->n].name = name;
	w->texts[w->n] = fort_text_new();
	return &w->texts[w->n++];
}

static void put_value(const struct words *w, const struct fort_value *value, struct fort_text *out)
{
	fort_words_value(w->render->env, w->render->names, value, out);
}

static void put_memory(const struct words *w, struct fort_text *out)
{
	struct fort_value address = w->past->right;

	/* Where it points to, not how far. */
	address.num = fort_scalar_const(0);
	if (address.type == FORT_STACK)
		fort_text_add(out, "the stack");
	else if (address.type == FORT_PACKET)
		fort_text_add(out, "the packet");
	else
		put_value(w, &address, out);
}

static void put_operand(const struct words *w, struct fort_text *out)
{
	if (w->insn->kind == FORT_ALU_X || w->insn->kind == FORT_STX)
		fort_text_add(out, "r%u", w->insn->src);
	else
		fort_text_add(out, "%" PRId64, w->insn->imm);
}

static unsigned width_of(const struct fort_insn *insn)
{
	switch (insn->op) {
	case FORT_OP_MOVSX8: return 8;
	case FORT_OP_MOVSX16: return 16;
	case FORT_OP_MOVSX32: return 32;
	default: return insn->bits;
	}
}

static void put_field(const struct words *w, struct fort_text *out)
{
	const struct fort_prog_info *prog = w->render->env->hook.prog;
	const struct fort_ctx_field *field = fort_ctx_field_at(prog, w->insn->off);

	if (field)
		fort_text_add(out, "%s", fort_ctx_field_name(prog, field));
	else
		fort_text_add(out, "%d", w->insn->off);
}

static void find_words(struct words *w)
{
	const struct fort_past *past = w->past;
	const struct fort_insn *insn = w->insn;
	struct fort_text *range;

	fort_words_cell(past->origin.cell, word(w, "cell"));
	put_value(w, &past->after, word(w, "now"));
	put_value(w, &past->before, word(w, "was"));
	range = word(w, "bounds");
	if (past->after.type != FORT_NONE)
		fort_words_range(&past->after.num, range);
	fort_text_add(word(w, "src"), "r%u", insn->src);
	fort_words_kind(&past->right, word(w, "holds"));
	fort_text_add(word(w, "op"), "%s", fort_insn_row(insn)->symbol);
	put_operand(w, word(w, "operand"));
	fort_text_add(word(w, "bits"), "%u", width_of(insn));
	fort_text_add(word(w, "proven"), "%" PRId64, past->proven);
	put_memory(w, word(w, "memory"));
	if (insn->kind == FORT_CALL)
		fort_words_callee(insn, word(w, "callee"));
	if (is_jcc(insn))
		fort_words_condition(insn, past->taken, word(w, "condition"));
	if (past->right.type == FORT_CTX)
		put_field(w, word(w, "field"));
}

void fort_event_text(const struct fort_render *render, const struct fort_past *past,
		     struct fort_text *out)
{
	struct words w = {.render = render, .past = past, .insn = insn_of(render->env, past)};
	struct fort_render with = *render;

	find_words(&w);
	for (uint32_t i = 0; i < w.n; i++)
		w.list[i].text = w.texts[i].data ? w.texts[i].data : "";
	with.words = w.list;
	with.n_words = w.n;
	fort_render_text(&with, rows[fort_event_of(render->env, past)].text, out);
	for (uint32_t i = 0; i < w.n; i++)
		fort_text_free(&w.texts[i]);
}
