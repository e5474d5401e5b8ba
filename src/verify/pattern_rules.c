/* Patterns of rules: registers that hold nothing, alignment, stacks, loops without end, references,
 * and what a type of program may do. */
#include <inttypes.h>

#include "step/step.h"
#include "verify/reach.h"
#include "verify/story.h"
#include "verify/words.h"

/* So many of a list are named. */
#define NAMED 6u

static bool is_diag(const struct fort_story *s, enum fort_diag diag)
{
	return s->v->diag == diag;
}

static const struct fort_env *env_of(const struct fort_story *s)
{
	return s->render->env;
}

/* A list that grows: "a", "a, b", "a, b and 3 more". */
struct listing {
	struct fort_text text;
	uint32_t n;
};

/* The text to add one more to; NULL: it is only counted. */
static struct fort_text *list_next(struct listing *list)
{
	if (list->n++ >= NAMED)
		return NULL;
	if (list->n > 1)
		fort_text_add(&list->text, ", ");
	return &list->text;
}

static void list_end(struct fort_story *s, const char *name, struct listing *list)
{
	if (list->n > NAMED)
		fort_text_add(&list->text, " and %u more", list->n - NAMED);
	fort_story_text(s, name, &list->text);
}

/* --- registers that hold nothing --- */

static const struct fort_past *find_flow(const struct fort_story *s, enum fort_event_id event)
{
	for (uint32_t i = s->history->n; i > 0; i--) {
		const struct fort_past *past = &s->history->items[i - 1];

		if (past->flows && fort_event_of(env_of(s), past) == event)
			return past;
	}
	return NULL;
}

bool fort_pattern_unset_by_call(struct fort_story *s)
{
	const struct fort_past *end = is_diag(s, FORT_DIAG_NOT_READABLE)
					      ? find_flow(s, FORT_EVENT_CLOBBERED)
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
	const struct fort_program *program = &env_of(s)->graph->program;
	struct listing list = {.text = fort_text_new()};
	struct fort_writers writers = {0};

	if (is_diag(s, FORT_DIAG_NOT_READABLE) && s->v->reg < FORT_REGS &&
	    fort_writers_find(s->arena, program, s->v->pc, s->v->reg, &writers))
		s->failed = true;
	for (uint32_t i = 0; i < writers.n; i++) {
		const struct fort_insn *insn = &program->insns[writers.list[i]];
		struct fort_text *text;

		/* A call ends r1 to r5. */
		if (insn->kind == FORT_CALL && s->v->reg != FORT_R0)
			continue;
		text = list_next(&list);
		if (text)
			fort_story_add_place(s, writers.list[i], text);
	}
	if (!list.n) {
		fort_text_free(&list.text);
		return false;
	}
	list_end(s, "setters", &list);
	return true;
}

/* --- alignment --- */

bool fort_pattern_misaligned(struct fort_story *s)
{
	const int64_t *args = s->v->args;
	struct fort_text kind = fort_text_new();

	if ((!is_diag(s, FORT_DIAG_MISALIGNED_ATOMIC) && !is_diag(s, FORT_DIAG_ARG_MISALIGNED)) ||
	    !fort_scalar_is_const(&s->v->value.num) || args[2] <= 0) {
		fort_text_free(&kind);
		return false;
	}
	fort_words_kind(&s->v->value, &kind);
	fort_story_text(s, "kind", &kind);
	fort_story_word(s, "offset", "%" PRId64, args[0] + args[1]);
	fort_story_word(s, "over", "%" PRId64,
			((args[0] + args[1]) % args[2] + args[2]) % args[2]);
	fort_story_pin(s, fort_story_focus(s, 0));
	return true;
}

/* --- stacks --- */

static const char *function_name(const struct fort_env *env, uint32_t subprog)
{
	return env->words ? env->words[subprog].name : NULL;
}

static void add_function(struct fort_story *s, uint32_t subprog, struct fort_text *out)
{
	const char *name = function_name(env_of(s), subprog);

	if (name) {
		fort_text_add(out, "%s", name);
	} else {
		fort_text_add(out, "the function at ");
		fort_story_add_place(s, env_of(s)->graph->program.subprogs[subprog].start, out);
	}
	fort_text_add(out, " %u", env_of(s)->stacks[subprog]);
}

/* The function that uses most stack of those that use less than `below`, or as much and come
 * later; n for none. */
static uint32_t next_by_stack(const struct fort_env *env, uint32_t last)
{
	uint32_t n = env->graph->program.n_subprogs, best = n;

	for (uint32_t i = 0; i < n; i++) {
		bool behind = last == n || env->stacks[i] < env->stacks[last] ||
			      (env->stacks[i] == env->stacks[last] && i > last);

		if (behind && env->stacks[i] && (best == n || env->stacks[i] > env->stacks[best]))
			best = i;
	}
	return best;
}

bool fort_pattern_stack_table(struct fort_story *s)
{
	const struct fort_env *env = env_of(s);
	uint32_t n = env->graph->program.n_subprogs;
	struct listing list = {.text = fort_text_new()};
	struct fort_text what = fort_text_new();

	if ((!is_diag(s, FORT_DIAG_STACK_COMBINED) && !is_diag(s, FORT_DIAG_TAIL_STACK)) ||
	    !env->stacks) {
		fort_text_free(&list.text);
		fort_text_free(&what);
		return false;
	}
	for (uint32_t at = next_by_stack(env, n); at < n; at = next_by_stack(env, at)) {
		struct fort_text *text = list_next(&list);

		if (text)
			add_function(s, at, text);
	}
	fort_render_text(s->render, fort_diag_info((enum fort_diag)s->v->diag)->message, &what);
	fort_story_text(s, "what", &what);
	list_end(s, "table", &list);
	return true;
}

/* --- loops without end --- */

bool fort_pattern_loop_unchanged(struct fort_story *s)
{
	const struct fort_past *test = is_diag(s, FORT_DIAG_INFINITE_LOOP) ? fort_story_focus(s, 0)
									   : NULL;
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
	fort_story_pin(s, test);
	return true;
}

/* --- references --- */

/* Decisions between the acquisition and the end. */
bool fort_pattern_leak_path(struct fort_story *s)
{
	const struct fort_past *made = is_diag(s, FORT_DIAG_REF_LEAK) ? fort_story_focus(s, 0)
								      : NULL;
	struct listing list = {.text = fort_text_new()};

	for (uint32_t i = 0; made && s->result && i < s->result->n_path; i++) {
		const struct fort_path_step *step = &s->result->path[i];
		struct fort_text *text;

		if (step->number <= made->origin.number || !(text = list_next(&list)))
			continue;
		fort_words_condition(&env_of(s)->graph->program.insns[step->pc], step->taken, text);
		fort_text_add(text, " at ");
		fort_story_add_place(s, step->pc, text);
	}
	if (!list.n) {
		fort_text_free(&list.text);
		return false;
	}
	fort_story_callee(s, "callee", made);
	fort_story_place(s, "made_at", made->origin.pc);
	list_end(s, "branches", &list);
	fort_story_pin(s, made);
	return true;
}

/* --- what a type of program may do --- */

bool fort_pattern_helper_types(struct fort_story *s)
{
	struct listing list = {.text = fort_text_new()};

	for (unsigned i = 0; is_diag(s, FORT_DIAG_HELPER_TYPE) && i < FORT_PROGS; i++) {
		struct fort_hook hook = {.prog = &fort_progs[i],
					 .attach = fort_hook_attach(&fort_progs[i], 0)};
		struct fort_text *text;

		if (fort_helper_for((uint32_t)s->v->args[0], &hook) && (text = list_next(&list)))
			fort_text_add(text, "%s", fort_progs[i].name);
	}
	if (!list.n) {
		fort_text_free(&list.text);
		return false;
	}
	list_end(s, "types", &list);
	return true;
}

/* What libbpf puts in place of a call, or of an instruction, whose relocation failed: numbers that
 * no helper has (its spec_poison and poison_... functions). */
#define POISON_CORE  195896080
#define POISON_MAP   2001000000
#define POISON_KFUNC 2002000000
#define POISON_ROOM  1000000

bool fort_pattern_not_relocated(struct fort_story *s)
{
	int64_t number = s->v->args[0];
	const char *what = NULL;

	if (!is_diag(s, FORT_DIAG_HELPER_UNKNOWN))
		return false;
	if (number == POISON_CORE)
		what = "a type, a field or a value of an enum, which the types of the kernel do not"
		       " have";
	else if (number >= POISON_MAP && number < POISON_MAP + POISON_ROOM)
		what = "a map that was not created";
	else if (number >= POISON_KFUNC && number < POISON_KFUNC + POISON_ROOM)
		what = "a function of the kernel (a weak __ksym) that this kernel does not have";
	if (!what)
		return false;
	fort_story_word(s, "what", "%s", what);
	fort_story_word(s, "advice", "%s",
			number == POISON_CORE
				? "ask first: bpf_core_field_exists(), bpf_core_type_exists()\nread the"
				  " field under the name that it has there (struct NAME___other)"
			: number < POISON_KFUNC ? "ask for the map's being there before it is used"
						: "ask first: bpf_ksym_exists()");
	return true;
}

/* --- contexts --- */

static void add_sizes(const struct fort_story *s, const struct fort_ctx_field *field, bool write,
		      struct fort_text *out)
{
	bool any = false;

	for (uint32_t bytes = 1; bytes <= 8; bytes *= 2) {
		if (!fort_ctx_access(&env_of(s)->hook, field->offset, bytes, write, false))
			continue;
		fort_text_add(out, any ? ", %u" : write ? "written by %u" : "read by %u", bytes);
		any = true;
	}
	fort_text_add(out, any ? " bytes" : write ? "not written" : "not read");
}

bool fort_pattern_ctx_field(struct fort_story *s)
{
	const struct fort_prog_info *prog = env_of(s)->hook.prog;
	const struct fort_ctx_field *field;
	struct fort_text may = fort_text_new();

	field = is_diag(s, FORT_DIAG_CTX_ACCESS) && prog->ctx
			? fort_ctx_field_at(prog, s->v->args[0])
			: NULL;
	if (!field) {
		fort_text_free(&may);
		return false;
	}
	add_sizes(s, field, false, &may);
	fort_text_add(&may, ", ");
	add_sizes(s, field, true, &may);
	fort_story_text(s, "may", &may);
	fort_story_word(s, "field", "%s", fort_ctx_field_name(prog, field));
	fort_story_word(s, "first", "%u", field->offset);
	fort_story_word(s, "end_of", "%u", field->offset + field->bytes - 1u);
	return true;
}

bool fort_pattern_ctx_moved(struct fort_story *s)
{
	const struct fort_past *moved = is_diag(s, FORT_DIAG_CTX_MODIFIED) ||
							is_diag(s, FORT_DIAG_CTX_NEGATIVE) ||
							is_diag(s, FORT_DIAG_CTX_VARIABLE)
						? find_flow(s, FORT_EVENT_MOVED)
						: NULL;
	const char *why;

	if (!moved)
		return false;
	why = fort_scalar_is_const(&moved->after.num)
		      ? "the compiler computed the address of a field first"
		      : "by a number that is not constant";
	fort_story_place(s, "moved_at", moved->origin.pc);
	fort_story_range(s, "offset", &moved->after.num);
	fort_story_word(s, "why", "%s", why);
	fort_story_pin(s, moved);
	return true;
}

/* --- results --- */

bool fort_pattern_result_made(struct fort_story *s)
{
	const struct fort_past *made = is_diag(s, FORT_DIAG_RESULT_RANGE) ||
						       is_diag(s, FORT_DIAG_RESULT_POINTER)
					       ? fort_story_focus(s, 0)
					       : NULL;
	struct fort_text value = fort_text_new();

	made = made ? fort_story_maker(s, made) : NULL;
	if (!made) {
		fort_text_free(&value);
		return false;
	}
	fort_words_value(env_of(s), s->render->names, &s->v->value, &value);
	fort_story_text(s, "value", &value);
	fort_story_place(s, "made_at", made->origin.pc);
	fort_story_pin(s, made);
	return true;
}

/* --- arguments --- */

static void add_wanted(const struct fort_arg_info *info, struct fort_text *out)
{
	static const char *const words[] = {
		[FORT_BASE_ANY] = "anything",
		[FORT_BASE_ANY_OPT] = "anything",
		[FORT_BASE_MAP] = "a map",
		[FORT_BASE_KEY] = "a key",
		[FORT_BASE_VALUE] = "a value",
		[FORT_BASE_MEM] = "memory",
		[FORT_BASE_SIZE] = "its size",
		[FORT_BASE_CONST_SIZE] = "a constant size",
		[FORT_BASE_CTX] = "the context",
		[FORT_BASE_FUNC] = "a function",
		[FORT_BASE_STACK] = "an address on the stack",
		[FORT_BASE_CONST_STR] = "a constant text",
		[FORT_BASE_RING_MEM] = "a reserved record",
		[FORT_BASE_SPIN_LOCK] = "a lock",
		[FORT_BASE_TIMER] = "a timer",
		[FORT_BASE_KPTR] = "a pointer in a map's value",
		[FORT_BASE_DYNPTR] = "a dynptr",
		[FORT_BASE_SOCK] = "a socket",
		[FORT_BASE_BTF] = "an object of the kernel",
		[FORT_BASE_PERCPU_BTF] = "a variable of each processor",
	};

	fort_text_add(out, "%s%s", words[info->base],
		      info->flags & FORT_ARG_NULL_OK ? " or NULL" : "");
}

/* Against what is passed, up to the one that is wrong: those behind it were not looked at. */
bool fort_pattern_arguments(struct fort_story *s)
{
	const struct fort_state *state = s->result && s->result->retraced ? s->result->state : NULL;
	const struct fort_helper_info *helper =
		is_diag(s, FORT_DIAG_ARG_TYPE) && s->insn->kind == FORT_CALL &&
				s->insn->op == FORT_OP_HELPER
			? fort_helper_by_number((uint32_t)s->insn->imm)
			: NULL;
	struct fort_text wanted = fort_text_new(), given = fort_text_new();

	for (unsigned i = 0; helper && state && i < FORT_HELPER_ARGS; i++) {
		const struct fort_arg_info *info = &fort_args[helper->args[i]];

		if (info->base == FORT_BASE_NONE)
			break;
		fort_text_add(&wanted, i ? ", " : "");
		add_wanted(info, &wanted);
		fort_text_add(&given, FORT_R1 + i == s->v->reg + 1u ? ", ..."
				      : FORT_R1 + i <= s->v->reg && i ? ", "
								      : "");
		if (FORT_R1 + i > s->v->reg)
			continue;
		fort_words_value(env_of(s), s->render->names, fort_state_reg(state, FORT_R1 + i),
				 &given);
	}
	if (!wanted.length) {
		fort_text_free(&wanted);
		fort_text_free(&given);
		return false;
	}
	fort_story_text(s, "wanted", &wanted);
	fort_story_text(s, "given", &given);
	return true;
}
