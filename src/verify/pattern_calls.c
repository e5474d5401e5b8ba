/* Patterns of calls: who may call what, what there is in its place, and prototypes beside what is
 * passed. */
#include "abi/since.h"
#include "step/kernel.h"
#include "verify/listing.h"
#include "verify/words.h"

/* --- what a type of program may do --- */

/* The function of the kernel that the instruction calls, or NULL. */
static const struct fort_kfunc_ref *kfunc_of(const struct fort_story *s)
{
	const struct fort_kfunc_ref *ref = fort_env_kfunc(fort_story_env(s), s->insn);

	return ref && !ref->diag ? ref : NULL;
}

static void set_since(struct fort_story *s, const char *version)
{
	fort_story_word(s, "since", "%s%s", version ? "; it is there since Linux " : "",
			version ? version : "");
}

/* What it takes besides the type of program. */
static void set_license(struct fort_story *s, bool gpl)
{
	fort_story_word(s, "license", "%s", gpl ? "; only with a GPL-compatible license" : "");
}

bool fort_pattern_helper_types(struct fort_story *s)
{
	uint32_t number = (uint32_t)s->v->args[0];
	const struct fort_helper_info *helper = fort_helper_by_number(number);
	struct fort_listing list = FORT_LISTING_NEW;

	for (unsigned i = 0; fort_story_is(s, FORT_DIAG_HELPER_TYPE) && i < FORT_PROGS; i++) {
		struct fort_hook hook = {.prog = &fort_progs[i],
					 .attach = fort_hook_attach(&fort_progs[i], 0)};
		struct fort_text *text;

		if (fort_helper_for((uint32_t)s->v->args[0], &hook) &&
		    (text = fort_listing_next(&list)))
			fort_text_add(text, "%s", fort_progs[i].name);
	}
	if (!list.n) {
		fort_text_free(&list.text);
		return false;
	}
	fort_listing_end(s, "types", &list);
	set_since(s, fort_since_helper(number));
	set_license(s, helper && helper->license == FORT_LICENSE_GPL);
	return true;
}

bool fort_pattern_kfunc_types(struct fort_story *s)
{
	const struct fort_kfunc_ref *ref =
		fort_story_is(s, FORT_DIAG_KFUNC_TYPE) ? kfunc_of(s) : NULL;
	struct fort_listing list = FORT_LISTING_NEW;

	for (unsigned i = 0; ref && i < FORT_PROGS; i++) {
		struct fort_text *text;

		if (fort_kfuncs[ref->id].progs & fort_progs[i].bit &&
		    (text = fort_listing_next(&list)))
			fort_text_add(text, "%s", fort_progs[i].name);
	}
	if (!list.n) {
		fort_text_free(&list.text);
		return false;
	}
	fort_listing_end(s, "types", &list);
	set_since(s, fort_since_kfunc(fort_kfuncs[ref->id].name));
	return true;
}

/* Types of programs that may sleep, and call it. */
bool fort_pattern_sleeps(struct fort_story *s)
{
	const struct fort_kfunc_ref *ref = NULL;
	struct fort_listing list = FORT_LISTING_NEW;
	bool helper = fort_story_is(s, FORT_DIAG_HELPER_SLEEPS);

	if (fort_story_is(s, FORT_DIAG_KFUNC_SLEEPS))
		ref = kfunc_of(s);
	for (unsigned i = 0; (ref || helper) && i < FORT_PROGS; i++) {
		const struct fort_prog_info *prog = &fort_progs[i];
		struct fort_hook hook = {.prog = prog, .attach = fort_hook_attach(prog, 0)};
		bool may = helper ? fort_helper_for((uint32_t)s->v->args[0], &hook) != NULL
				  : fort_kfuncs[ref->id].progs & prog->bit;
		struct fort_text *text;

		if (may && prog->sleepable != FORT_SLEEP_NEVER && (text = fort_listing_next(&list)))
			fort_text_add(text, "%s", prog->name);
	}
	if (!list.n) {
		fort_text_free(&list.text);
		return false;
	}
	fort_story_word(s, "callee", "%s",
			helper ? fort_helper_kernel_name((uint32_t)s->v->args[0])
			       : fort_kfuncs[ref->id].name);
	set_since(s, helper ? fort_since_helper((uint32_t)s->v->args[0])
			    : fort_since_kfunc(fort_kfuncs[ref->id].name));
	fort_listing_end(s, "types", &list);
	return true;
}

bool fort_pattern_map_types(struct fort_story *s)
{
	const struct fort_map_info *map = NULL;
	const struct fort_helper_info *helper = NULL;
	struct fort_listing list = FORT_LISTING_NEW;
	const char *version;

	if (fort_story_is(s, FORT_DIAG_MAP_KIND)) {
		map = fort_map_by_number((uint32_t)s->v->args[0]);
		helper = fort_helper_for((uint32_t)s->v->args[1], &fort_story_env(s)->hook);
	}
	for (unsigned i = 0; map && helper && i < FORT_MAPS; i++) {
		struct fort_text *text;

		if (!fort_helper_takes_map(helper, &fort_maps[i], &fort_story_env(s)->hook) ||
		    !(text = fort_listing_next(&list)))
			continue;
		version = fort_since_map(fort_maps[i].number);
		fort_text_add(text, "%s", fort_maps[i].name);
		if (version)
			fort_text_add(text, " (since Linux %s)", version);
	}
	if (!list.n) {
		fort_text_free(&list.text);
		return false;
	}
	fort_listing_end(s, "types", &list);
	fort_story_word(s, "kind", "%s", map->name);
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

	if (!fort_story_is(s, FORT_DIAG_HELPER_UNKNOWN))
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
	fort_story_word(
		s, "advice", "%s",
		number == POISON_CORE
			? "ask first: bpf_core_field_exists(), bpf_core_type_exists()\nread the"
			  " field under the name that it has there (struct NAME___other)"
		: number < POISON_KFUNC ? "ask for the map's being there before it is used"
					: "ask first: bpf_ksym_exists()");
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
		fort_story_is(s, FORT_DIAG_ARG_TYPE) && s->insn->kind == FORT_CALL &&
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
		fort_text_add(&given, FORT_R1 + i == s->v->reg + 1u   ? ", ..."
				      : FORT_R1 + i <= s->v->reg && i ? ", "
								      : "");
		if (FORT_R1 + i > s->v->reg)
			continue;
		fort_words_value(fort_story_env(s), s->render->names,
				 fort_state_reg(state, FORT_R1 + i), &given);
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

/* The type of a parameter as C writes it. */
static void add_type(const struct fort_btf *btf, uint32_t id, struct fort_text *out)
{
	uint32_t stars = 0;
	bool is_const = false;
	struct fort_btf_type type = fort_btf_type(btf, id);
	const char *name, *word;

	for (uint32_t i = 0; i < FORT_BTF_DEPTH_MAX; i++) {
		if (type.kind != FORT_BTF_PTR &&
		    (!fort_btf_is_modifier(type.kind) || type.kind == FORT_BTF_TYPEDEF))
			break;
		stars += type.kind == FORT_BTF_PTR;
		is_const = type.kind == FORT_BTF_CONST || (is_const && type.kind != FORT_BTF_PTR);
		type = fort_btf_type(btf, type.ref);
	}
	name = fort_btf_string(btf, type.name);
	word = type.kind == FORT_BTF_STRUCT                                 ? "struct "
	       : type.kind == FORT_BTF_UNION                                ? "union "
	       : type.kind == FORT_BTF_ENUM || type.kind == FORT_BTF_ENUM64 ? "enum "
									    : "";
	fort_text_add(out, "%s%s%s%s", is_const ? "const " : "", word,
		      name && *name                ? name
		      : type.kind == FORT_BTF_VOID ? "void"
						   : "?",
		      stars ? " " : "");
	for (uint32_t i = 0; i < stars; i++)
		fort_text_add(out, "*");
}

static void add_parameters(const struct fort_btf *btf, int64_t function, struct fort_text *out)
{
	struct fort_btf_type type = fort_btf_type(btf, (uint32_t)function);

	type = fort_btf_type(btf, type.ref);
	for (uint32_t i = 0; type.kind == FORT_BTF_FUNC_PROTO && i < type.vlen; i++) {
		struct fort_btf_param param = fort_btf_param(&type, i);
		const char *name = fort_btf_string(btf, param.name);
		size_t length;

		fort_text_add(out, i ? ", " : "");
		length = out->length;
		add_type(btf, param.type, out);
		if (name && *name)
			fort_text_add(out, "%s%s",
				      out->length > length && out->data &&
						      out->data[out->length - 1] == '*'
					      ? ""
					      : " ",
				      name);
	}
}

/* What is said of one argument of a function of the kernel: these diagnostics name its register. */
static bool is_of_argument(const struct fort_story *s)
{
	unsigned diag = s->v->diag;

	return s->insn->kind == FORT_CALL && s->insn->op == FORT_OP_KFUNC && s->v->reg >= FORT_R1 &&
	       s->v->reg <= FORT_R5 &&
	       ((diag >= FORT_DIAG_ITER_TYPE && diag <= FORT_DIAG_DYNPTR_FROM) ||
		(diag >= FORT_DIAG_KFUNC_NO_NUMBER && diag <= FORT_DIAG_KFUNC_RELEASES_NONE));
}

bool fort_pattern_kfunc_arguments(struct fort_story *s)
{
	const struct fort_state *state = s->result && s->result->retraced ? s->result->state : NULL;
	const struct fort_kfunc_ref *ref = is_of_argument(s) ? kfunc_of(s) : NULL;
	const struct fort_env *env = fort_story_env(s);
	struct fort_text wanted = fort_text_new(), given = fort_text_new(), what = fort_text_new();

	if (!ref || !state) {
		fort_text_free(&wanted);
		fort_text_free(&given);
		fort_text_free(&what);
		return false;
	}
	add_parameters(env->kernel->btf, ref->imm, &wanted);
	for (unsigned reg = FORT_R1; reg <= s->v->reg; reg++) {
		fort_text_add(&given, reg > FORT_R1 ? ", " : "");
		fort_words_value(env, s->render->names, fort_state_reg(state, reg), &given);
	}
	fort_text_add(&given, s->v->reg < FORT_R1 + ref->proto.n_params - 1 ? ", ..." : "");
	fort_render_text(s->render, fort_diag_info((enum fort_diag)s->v->diag)->message, &what);
	fort_story_text(s, "what", &what);
	fort_story_text(s, "wanted", &wanted);
	fort_story_text(s, "given", &given);
	return true;
}
