#include "load/describe.h"

#include <errno.h>
#include <linux/btf.h>

#include "btf/index.h"

static enum fort_linkage linkage_of(const struct fort_btf_type *func)
{
	return fort_btf_linkage(func) == BTF_FUNC_GLOBAL ? FORT_LINKAGE_GLOBAL
							 : FORT_LINKAGE_STATIC;
}

static void take_params(const struct fort_func_args *args, struct fort_prototype *out)
{
	out->n_params = (uint8_t)args->count;
	for (uint32_t i = 0; i < args->count; i++)
		out->params[i] = (struct fort_param){.kind = args->args[i].kind,
						     .may_be_null = args->args[i].may_be_null,
						     .is_untrusted = args->args[i].is_untrusted,
						     .bytes = args->args[i].bytes,
						     .type = args->args[i].type};
}

/* Static functions are not bound to their prototypes. */
static void describe(const struct fort_btf *btf, uint32_t id, const struct fort_func_owner *owner,
		     struct fort_prototype *out, struct fort_prototype_words *words)
{
	struct fort_btf_type func = fort_btf_type(btf, id);
	struct fort_func_args args = {0};
	int err = 0;

	out->linkage = (uint8_t)linkage_of(&func);
	out->is_void = !fort_btf_func_returns_number(btf, id);
	words->name = fort_btf_string(btf, func.name);
	if (out->linkage == FORT_LINKAGE_GLOBAL)
		err = fort_btf_func_args(btf, id, true, owner, &args, &words->why);
	out->err = (uint8_t)-err;
	if (!err)
		take_params(&args, out);
}

int fort_describe(struct fort_arena *arena, const struct fort_info *info,
		  const struct fort_func_owner *owner, struct fort_description *out)
{
	struct fort_prototype_words *words;
	struct fort_prototype *functions;

	*out = (struct fort_description){0};
	if (!info->n_funcs)
		return 0;
	functions = FORT_ARENA_ARRAY(arena, info->n_funcs, struct fort_prototype);
	words = FORT_ARENA_ARRAY(arena, info->n_funcs, struct fort_prototype_words);
	if (!functions || !words)
		return -ENOMEM;
	for (uint32_t i = 0; i < info->n_funcs; i++)
		describe(info->btf, info->funcs[i].type, owner, &functions[i], &words[i]);
	*out = (struct fort_description){
		.prototypes = functions,
		.words = words,
		.n_prototypes = info->n_funcs,
		.has_exceptions = fort_btf_next_tag(info->btf, info->funcs[0].type, -1,
						    "exception_callback:", 0) != 0,
	};
	return 0;
}
