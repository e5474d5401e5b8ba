/* First states: what is known where a run, or a function that is proven on its own, begins. */
#include "step/rules.h"

#include <errno.h>

static void may_be_null(struct fort_state *state, const struct fort_param *param,
			struct fort_value *out)
{
	if (!param->may_be_null)
		return;
	out->flags |= FORT_MAYBE_NULL;
	out->id = state->next_id++;
}

/* What a caller may pass for a parameter (K: do_check_common); false: nothing of this kind. */
static bool passed(const struct fort_env *env, struct fort_state *state,
		   const struct fort_param *param, struct fort_value *out)
{
	switch (param->kind) {
	case FORT_FUNC_NUMBER: *out = fort_value_unknown(); return true;
	case FORT_FUNC_CONTEXT: *out = fort_value_pointer(FORT_CTX, 0); return true;
	case FORT_FUNC_MEMORY:
		*out = fort_value_pointer(FORT_MEM, param->bytes);
		if (param->is_untrusted)
			out->flags = FORT_RDONLY | FORT_UNTRUSTED;
		may_be_null(state, param, out);
		return true;
	case FORT_FUNC_STRUCT:
		*out = fort_value_pointer(FORT_BTF, param->type);
		out->flags = param->is_untrusted ? FORT_UNTRUSTED : FORT_TRUSTED;
		may_be_null(state, param, out);
		return env->kernel != NULL;
	case FORT_FUNC_DYNPTR: /* of whatever kind it is, no more than the least is done with it */
		*out = fort_value_pointer(FORT_DYNPTR, FORT_DYNPTR_LOCAL);
		return true;
	default: return false; /* calls of such a function are refused */
	}
}

static bool enter_global(const struct fort_env *env, struct fort_state *state, uint32_t subprog)
{
	const struct fort_prototype *function = &env->prototypes[subprog];

	for (unsigned i = 0; i < function->n_params; i++)
		if (!passed(env, state, &function->params[i], fort_state_reg(state, FORT_R1 + i)))
			return false;
	return true;
}

/* A timer's function gets the map, a key and a value of it. (K: set_timer_callback_state) */
static void enter_async(const struct fort_env *env, struct fort_state *state, uint32_t map)
{
	*fort_state_reg(state, FORT_R1) = fort_value_pointer(FORT_MAP, map);
	*fort_state_reg(state, FORT_R2) = fort_value_pointer(FORT_MAP_KEY, map);
	if (map >= env->n_maps)
		fort_state_reg(state, FORT_R1)->base = state->next_id++;
	*fort_state_reg(state, FORT_R3) =
		fort_env_map_value(env, state, map, fort_state_reg(state, FORT_R1)->base);
}

/* Is it a root of this program, as far as that can be said without its arguments? */
static bool is_root(const struct fort_env *env, const struct fort_root *root)
{
	switch (root->kind) {
	case FORT_ROOT_MAIN:
		return !root->subprog && !root->object && env->hook.prog->bit != FORT_BIT_STOPS;
	case FORT_ROOT_GLOBAL:
		return root->subprog && root->subprog < env->graph->program.n_subprogs &&
		       !root->object &&
		       fort_env_linkage(env, root->subprog) == FORT_LINKAGE_GLOBAL &&
		       !env->prototypes[root->subprog].err;
	case FORT_ROOT_ASYNC:
		return root->subprog && root->subprog < env->graph->program.n_subprogs &&
		       fort_env_linkage(env, root->subprog) == FORT_LINKAGE_STATIC &&
		       root->object < env->n_maps + env->n_inner &&
		       fort_env_field(env, root->object, FORT_FIELD_TIMER);
	default: return false;
	}
}

static bool enter(const struct fort_env *env, struct fort_state *state,
		  const struct fort_root *root)
{
	/* Packets lie in a window of 4 GiB. */
	state->packet = fort_value_number(fort_scalar_of_width(32));
	state->meta = state->packet;
	if (root->kind == FORT_ROOT_GLOBAL)
		return enter_global(env, state, root->subprog);
	if (root->kind == FORT_ROOT_ASYNC) {
		enter_async(env, state, root->object);
		return true;
	}
	*fort_state_reg(state, FORT_R1) = fort_value_pointer(FORT_CTX, 0);
	return true;
}

int fort_step_enter(const struct fort_env *env, struct fort_pool *pool,
		    const struct fort_root *root, struct fort_state **out)
{
	struct fort_state *state;

	if (!is_root(env, root))
		return -EINVAL;
	state = fort_state_new(pool);
	if (!state)
		return -ENOMEM;
	if (!fort_state_push_frame(pool, state, root->subprog, 0)) {
		fort_state_free(pool, state);
		return -ENOMEM;
	}
	if (!enter(env, state, root)) {
		fort_state_free(pool, state);
		return -EINVAL;
	}
	*out = state;
	return 0;
}
