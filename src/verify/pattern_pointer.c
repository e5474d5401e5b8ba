/* Patterns of pointers that are not there, not tested, or not pointers any more. */
#include <inttypes.h>

#include "abi/uapi.h"
#include "verify/reach.h"
#include "verify/story.h"
#include "verify/words.h"

static enum fort_event_id event_of(const struct fort_story *s, const struct fort_past *past)
{
	return fort_event_of(s->render->env, past);
}

/* --- NULL --- */

/* The call whose result may be NULL, if that is what is wrong. */
static const struct fort_past *untested_result(const struct fort_story *s)
{
	const struct fort_past *made;

	if (!(s->v->value.flags & FORT_MAYBE_NULL) || s->v->reg >= FORT_REGS)
		return NULL;
	made = fort_story_focus(s, 0);
	made = made ? fort_story_maker(s, made) : NULL;
	return made && event_of(s, made) == FORT_EVENT_RESULT ? made : NULL;
}

static void put_result(struct fort_story *s, const struct fort_past *made)
{
	fort_story_callee(s, "callee", made);
	fort_story_place(s, "made_at", made->origin.pc);
	fort_story_pin(s, made);
}

static void put_check(struct fort_story *s, const struct fort_past *check)
{
	fort_story_place(s, "check_at", check->origin.pc);
	fort_story_word(s, "checked", "r%u", fort_story_insn(s, check)->dst);
	fort_story_pin(s, check);
}

bool fort_pattern_null_low_half(struct fort_story *s)
{
	const struct fort_past *made = untested_result(s);

	for (uint32_t i = s->history->n; made && i > 0; i--) {
		const struct fort_past *check = &s->history->items[i - 1];

		if (!fort_past_is_null_test(s->render->env, check) ||
		    !fort_story_descends(s, check, made->id) ||
		    (fort_story_insn(s, check)->bits == 64 && check->left.type != FORT_NUM))
			continue;
		put_result(s, made);
		put_check(s, check);
		return true;
	}
	return false;
}

bool fort_pattern_null_other_result(struct fort_story *s)
{
	const struct fort_past *made = untested_result(s);

	for (uint32_t i = s->history->n; made && i > 0; i--) {
		const struct fort_past *check = &s->history->items[i - 1];

		if (!fort_past_is_null_test(s->render->env, check) ||
		    !(check->left.flags & FORT_MAYBE_NULL))
			continue;
		put_result(s, made);
		put_check(s, check);
		return true;
	}
	return false;
}

bool fort_pattern_null_untested(struct fort_story *s)
{
	const struct fort_past *made = untested_result(s);

	if (!made)
		return false;
	put_result(s, made);
	return true;
}

/* --- numbers that were pointers --- */

/* A number is used as an address. */
static bool is_number(const struct fort_story *s)
{
	return (s->v->diag == FORT_DIAG_MEM_SCALAR || s->v->diag == FORT_DIAG_ARG_TYPE) &&
	       s->v->value.type == FORT_NUM;
}

/* The newest event of this kind that flows into what is used. */
static const struct fort_past *find_event(const struct fort_story *s, enum fort_event_id event)
{
	for (uint32_t i = s->history->n; i > 0; i--) {
		const struct fort_past *past = &s->history->items[i - 1];

		if (past->flows && event_of(s, past) == event)
			return past;
	}
	return NULL;
}

bool fort_pattern_null_path(struct fort_story *s)
{
	const struct fort_past *test = is_number(s) ? find_event(s, FORT_EVENT_IS_NULL) : NULL;

	if (!test)
		return false;
	fort_story_place(s, "test_at", test->origin.pc);
	fort_story_pin(s, test);
	return true;
}

bool fort_pattern_pointer_cut(struct fort_story *s)
{
	const struct fort_past *cut = is_number(s) ? find_event(s, FORT_EVENT_CUT) : NULL;
	const struct fort_insn *insn;
	struct fort_text kind = fort_text_new();

	if (!cut)
		return false;
	insn = fort_story_insn(s, cut);
	fort_words_kind(&cut->right, &kind);
	fort_story_text(s, "kind", &kind);
	fort_story_word(s, "src", "r%u", insn->src);
	fort_story_word(s, "bits", "%u",
			insn->op == FORT_OP_MOVSX8    ? 8u
			: insn->op == FORT_OP_MOVSX16 ? 16u
						      : 32u);
	fort_story_place(s, "cut_at", cut->origin.pc);
	fort_story_pin(s, cut);
	return true;
}

bool fort_pattern_pointer_ended(struct fort_story *s)
{
	const struct fort_past *end = is_number(s) ? find_event(s, FORT_EVENT_ENDED) : NULL;
	bool packet;

	if (!end)
		return false;
	packet = end->before.type == FORT_PACKET || end->before.type == FORT_PACKET_META ||
		 end->before.type == FORT_PACKET_END;
	fort_story_kind(s, "kind", &end->before);
	fort_story_place(s, "ended_at", end->origin.pc);
	fort_story_callee(s, "callee", end);
	fort_story_word(s, "why", "%s",
			packet            ? ": it may move or resize the packet"
			: end->before.ref ? ": it was given back there"
					  : "");
	fort_story_word(s, "advice", "%s",
			packet ? "load data and data_end again behind the call, and compare again"
			       : "use it before it is given back");
	fort_story_pin(s, end);
	return true;
}

bool fort_pattern_pointer_partly_stored(struct fort_story *s)
{
	const struct fort_past *part = is_number(s) ? find_event(s, FORT_EVENT_STORED_PART) : NULL;
	struct fort_text slot = fort_text_new();

	if (!part || !fort_value_is_pointer(&part->before))
		return false;
	fort_words_cell(part->origin.cell, &slot);
	fort_story_text(s, "slot", &slot);
	fort_story_place(s, "part_at", part->origin.pc);
	fort_story_pin(s, part);
	return true;
}

static void put_memory(struct fort_story *s, const struct fort_past *made)
{
	const struct fort_prog_info *prog = s->render->env->hook.prog;
	const struct fort_ctx_field *field = fort_ctx_field_at(prog, fort_story_insn(s, made)->off);
	struct fort_value memory = made->right;
	struct fort_text text = fort_text_new();

	memory.num = fort_scalar_const(0);
	if (memory.type == FORT_CTX && field)
		fort_text_add(&text, "context field `%s`", fort_ctx_field_name(prog, field));
	else if (memory.type == FORT_PACKET)
		fort_text_add(&text, "the packet");
	else
		fort_words_value(s->render->env, s->render->names, &memory, &text);
	fort_story_text(s, "memory", &text);
}

bool fort_pattern_pointer_from_memory(struct fort_story *s)
{
	const struct fort_past *made = is_number(s) ? fort_story_focus(s, 0) : NULL;
	enum fort_event_id event;

	made = made ? fort_story_maker(s, made) : NULL;
	event = made ? event_of(s, made) : FORT_EVENT_NONE;
	if (event != FORT_EVENT_READ_NUMBER && event != FORT_EVENT_READ_CTX)
		return false;
	put_memory(s, made);
	fort_story_place(s, "read_at", made->origin.pc);
	fort_story_word(s, "advice", "%s",
			fort_helper_for(BPF_FUNC_probe_read_kernel, &s->render->env->hook)
				? "copy what it points to: bpf_probe_read_kernel or"
				  " bpf_probe_read_user (BPF_CORE_READ does so)"
				: "an address that was stored in memory cannot be used: store a map"
				  " key, and look it up");
	fort_story_pin(s, made);
	return true;
}

/* --- one load, two kinds --- */

/* What the program's text says of the other instruction that made the address. */
static void put_other_maker(struct fort_story *s, const struct fort_past *made)
{
	const struct fort_program *program = &s->render->env->graph->program;
	struct fort_text text = fort_text_new();
	struct fort_writers writers;

	if (fort_writers_find(s->arena, program, s->v->pc, made->origin.cell.index, &writers)) {
		s->failed = true;
		writers.n = 0;
	}
	for (uint32_t i = 0; i < writers.n; i++)
		if (writers.list[i] != made->origin.pc) {
			fort_text_add(&text, " (");
			fort_story_add_place(s, writers.list[i], &text);
			fort_text_add(&text, ")");
			break;
		}
	fort_story_text(s, "other_at", &text);
}

bool fort_pattern_two_kinds(struct fort_story *s)
{
	const struct fort_past *made = fort_story_focus(s, 0);
	const struct fort_access *other;

	if (s->v->diag != FORT_DIAG_MIXED_POINTERS || !made)
		return false;
	other = &s->render->env->access[s->v->pc];
	fort_story_kind(s, "kind", &made->after);
	if (other->kind == FORT_ACCESS_CTX_POINTER)
		fort_story_word(s, "other_kind", "the context pointer");
	else
		fort_story_word(s, "other_kind", "a pointer to other memory");
	fort_story_place(s, "here", s->v->pc);
	fort_story_place(s, "made_at", made->origin.pc);
	put_other_maker(s, made);
	fort_story_pin(s, made);
	return true;
}

/* --- pointers in the stack --- */

static void put_slot(struct fort_story *s, const struct fort_past *stored)
{
	struct fort_text slot = fort_text_new(), since = fort_text_new();

	if (stored) {
		fort_words_cell(stored->origin.cell, &slot);
		fort_text_add(&since, ", since ");
		fort_story_add_place(s, stored->origin.pc, &since);
	} else {
		fort_text_add(&slot, "fp%+" PRId64, s->v->args[0]);
	}
	fort_story_text(s, "slot", &slot);
	fort_story_text(s, "since", &since);
	fort_story_pin(s, stored);
}

/* The store that put a pointer there. */
static const struct fort_past *stored_pointer(const struct fort_story *s)
{
	for (uint32_t i = 0; i < s->history->n_focus; i++) {
		const struct fort_past *past = fort_story_focus(s, i);

		if (past && event_of(s, past) == FORT_EVENT_STORED &&
		    fort_value_is_pointer(&past->after))
			return past;
	}
	return NULL;
}

bool fort_pattern_spill_part(struct fort_story *s)
{
	const struct fort_past *focus = fort_story_focus(s, 0), *made;
	struct fort_text kind = fort_text_new();

	if (s->v->diag != FORT_DIAG_SPILL_SIZE || !focus)
		return false;
	made = fort_story_maker(s, focus);
	fort_words_kind(&s->v->value, &kind);
	fort_story_text(s, "kind", &kind);
	fort_story_place(s, "made_at", made ? made->origin.pc : focus->origin.pc);
	fort_story_pin(s, made);
	return true;
}

bool fort_pattern_fill_part(struct fort_story *s)
{
	if (s->v->diag != FORT_DIAG_FILL_SIZE)
		return false;
	fort_story_kind(s, "kind", &s->v->value);
	put_slot(s, stored_pointer(s));
	return true;
}

bool fort_pattern_spilled_pointer_read(struct fort_story *s)
{
	if (s->v->diag != FORT_DIAG_STACK_READ)
		return false;
	fort_story_kind(s, "kind", &s->v->value);
	put_slot(s, stored_pointer(s));
	return true;
}
