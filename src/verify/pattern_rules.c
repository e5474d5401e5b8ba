/* Patterns of rules: registers that hold nothing, alignment, loops without end, references, and
 * what a program returns. */
#include <inttypes.h>

#include "step/kernel.h"
#include "verify/listing.h"
#include "verify/loops.h"
#include "verify/reach.h"
#include "verify/words.h"

/* --- registers that hold nothing --- */

bool fort_pattern_unset_by_call(struct fort_story *s)
{
	const struct fort_past *end = fort_story_is(s, FORT_DIAG_NOT_READABLE)
					      ? fort_story_flow(s, FORT_EVENT_CLOBBERED)
					      : NULL;

	if (!end)
		return false;
	fort_story_callee(s, "callee", end);
	fort_story_place(s, "ended_at", end->origin.pc);
	fort_story_kind(s, "kind", &end->before);
	fort_story_pin(s, end);
	return true;
}

bool fort_pattern_unset_on_path(struct fort_story *s)
{
	const struct fort_program *program = &fort_story_env(s)->graph->program;
	struct fort_listing list = FORT_LISTING_NEW;
	struct fort_writers writers = {0};

	if (fort_story_is(s, FORT_DIAG_NOT_READABLE) && s->v->reg < FORT_REGS &&
	    fort_writers_find(s->arena, program, s->v->pc, s->v->reg, &writers))
		s->failed = true;
	for (uint32_t i = 0; i < writers.n; i++) {
		const struct fort_insn *insn = &program->insns[writers.list[i]];
		struct fort_text *text;

		/* A call ends r1 to r5. */
		if (insn->kind == FORT_CALL && s->v->reg != FORT_R0)
			continue;
		text = fort_listing_next(&list);
		if (text)
			fort_story_add_place(s, writers.list[i], text);
	}
	if (!list.n) {
		fort_text_free(&list.text);
		return false;
	}
	fort_listing_end(s, "setters", &list);
	return true;
}

/* --- alignment --- */

bool fort_pattern_misaligned(struct fort_story *s)
{
	const int64_t *args = s->v->args;
	struct fort_text kind = fort_text_new();

	if ((!fort_story_is(s, FORT_DIAG_MISALIGNED_ATOMIC) &&
	     !fort_story_is(s, FORT_DIAG_ARG_MISALIGNED)) ||
	    !fort_scalar_is_const(&s->v->value.num) || args[2] <= 0) {
		fort_text_free(&kind);
		return false;
	}
	fort_words_kind(&s->v->value, &kind);
	fort_story_text(s, "kind", &kind);
	fort_story_word(s, "offset", "%" PRId64, args[0] + args[1]);
	fort_story_word(s, "over", "%" PRId64, ((args[0] + args[1]) % args[2] + args[2]) % args[2]);
	fort_story_pin(s, fort_story_focus(s, 0));
	return true;
}

/* --- loops without end --- */

/* Registers that a round may write: what they hold at its end is what they held before, or nobody
 * reads it again. */
static void set_written(struct fort_story *s)
{
	const struct fort_program *program = &fort_story_env(s)->graph->program;
	struct fort_listing list = FORT_LISTING_NEW;
	struct fort_loops loops = {0};
	uint32_t loop;

	if (fort_loops_find(s->arena, fort_story_env(s)->graph, &loops)) {
		s->failed = true;
		fort_text_free(&list.text);
		return;
	}
	loop = loops.n_loops ? loops.loop_of[s->v->pc] : FORT_NO_LOOP;
	for (unsigned reg = 0; loop != FORT_NO_LOOP && reg < FORT_R10; reg++) {
		bool written = false;
		struct fort_text *text;

		for (uint32_t pc = 0; !written && pc < program->n_insns; pc++)
			written = fort_loop_has(&loops, loop, pc) &&
				  fort_insn_writes(&program->insns[pc], reg);
		if (written && (text = fort_listing_next(&list)))
			fort_text_add(text, "r%u", reg);
	}
	if (list.n)
		fort_text_add(&list.text, list.n > 1
						  ? ", and they are as before at its end, or"
						    " not read any more"
						  : ", and it is as before at its end, or not read"
						    " any more");
	else
		fort_text_add(&list.text, "no register");
	fort_story_text(s, "written", &list.text);
}

bool fort_pattern_loop_unchanged(struct fort_story *s)
{
	const struct fort_past *test =
		fort_story_is(s, FORT_DIAG_INFINITE_LOOP) ? fort_story_focus(s, 0) : NULL;
	struct fort_text condition = fort_text_new(), cell = fort_text_new();

	if (!test) {
		fort_text_free(&condition);
		fort_text_free(&cell);
		return false;
	}
	fort_words_condition(fort_story_insn(s, test), test->taken, &condition);
	fort_words_cell(test->origin.cell, &cell);
	fort_story_text(s, "condition", &condition);
	fort_story_text(s, "cell", &cell);
	fort_story_range(s, "range", &test->after.num);
	fort_story_place(s, "here", s->v->pc);
	fort_story_place(s, "test_at", test->origin.pc);
	set_written(s);
	fort_story_pin(s, test);
	return true;
}

/* --- references --- */

/* Decisions between the acquisition and the end. */
bool fort_pattern_leak_path(struct fort_story *s)
{
	const struct fort_past *made =
		fort_story_is(s, FORT_DIAG_REF_LEAK) ? fort_story_focus(s, 0) : NULL;
	struct fort_listing list = FORT_LISTING_NEW;

	for (uint32_t i = 0; made && s->result && i < s->result->n_path; i++) {
		const struct fort_path_step *step = &s->result->path[i];
		struct fort_text *text;

		if (step->number <= made->origin.number || !(text = fort_listing_next(&list)))
			continue;
		fort_words_condition(&fort_story_env(s)->graph->program.insns[step->pc],
				     step->taken, text);
		fort_text_add(text, " at ");
		fort_story_add_place(s, step->pc, text);
	}
	if (!list.n) {
		fort_text_free(&list.text);
		return false;
	}
	fort_story_callee(s, "callee", made);
	fort_story_place(s, "made_at", made->origin.pc);
	fort_listing_end(s, "branches", &list);
	fort_story_pin(s, made);
	return true;
}

/* --- results --- */

static void set_meaning(struct fort_story *s)
{
	const struct fort_env *env = fort_story_env(s);
	const struct fort_btf_target *target = env->target;
	bool is_void = target && target->proto && !fort_btf_type(target->btf, target->proto).ref;
	const struct fort_retval *range = fort_hook_retval(&env->hook, is_void);

	fort_story_word(s, "means", "%s", range ? range->means : "");
}

bool fort_pattern_result_made(struct fort_story *s)
{
	const struct fort_past *made = fort_story_is(s, FORT_DIAG_RESULT_RANGE) ||
						       fort_story_is(s, FORT_DIAG_RESULT_POINTER)
					       ? fort_story_focus(s, 0)
					       : NULL;
	struct fort_text value = fort_text_new();

	made = made ? fort_story_maker(s, made) : NULL;
	if (!made) {
		fort_text_free(&value);
		return false;
	}
	fort_words_value(fort_story_env(s), s->render->names, &s->v->value, &value);
	fort_story_text(s, "value", &value);
	fort_story_place(s, "made_at", made->origin.pc);
	set_meaning(s);
	fort_story_pin(s, made);
	return true;
}
