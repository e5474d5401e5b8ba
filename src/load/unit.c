#include "load/unit.h"

#include <errno.h>

static bool good_param(const struct fort_param *param)
{
	return param->kind <= FORT_FUNC_ARENA && param->may_be_null <= 1 &&
	       param->is_untrusted <= 1 && !param->reserved;
}

static bool good_prototype(const struct fort_prototype *function)
{
	if (function->linkage >= FORT_LINKAGES || function->is_void > 1 ||
	    function->n_params > FORT_BTF_FUNC_ARGS_MAX)
		return false;
	for (unsigned i = 0; i < function->n_params; i++)
		if (!good_param(&function->params[i]))
			return false;
	return true;
}

/* They may come from anybody. */
static void take_prototypes(const struct fort_unit_request *request, struct fort_unit *unit)
{
	if (!request->prototypes || request->n_prototypes != unit->graph.program.n_subprogs)
		return;
	for (uint32_t i = 0; i < request->n_prototypes; i++)
		if (!good_prototype(&request->prototypes[i]))
			return;
	unit->env.prototypes = request->prototypes;
	unit->env.words = request->words;
}

/* Inner maps come behind those that instructions name, and hold none themselves. What is said
 * otherwise, is said in vain: nothing can be looked up. */
static void check_inner(struct fort_map_shape *maps, uint32_t n_maps, uint32_t n_inner)
{
	for (uint32_t i = 0; i < n_maps + n_inner; i++)
		if (i >= n_maps || maps[i].inner <= n_maps || maps[i].inner > n_maps + n_inner)
			maps[i].inner = 0;
}

int fort_unit_build(struct fort_arena *arena, const struct fort_unit_request *request,
		    struct fort_unit *out, struct fort_unit_error *error)
{
	struct fort_insn *insns = /* all of them are written before any is read */
		fort_arena_room(arena, request->n_insns * sizeof(struct fort_insn));
	uint32_t n_maps = request->n_maps + request->n_inner;
	struct fort_map_shape *maps =
		fort_arena_copy(arena, request->maps, n_maps * sizeof(request->maps[0]));
	int err;

	*error = (struct fort_unit_error){.decoding = true};
	*out = (struct fort_unit){
		.env = {.hook = request->hook,
			.sleepable = request->sleepable,
			.n_maps = request->n_maps,
			.n_inner = request->n_inner,
			.constants = request->constants,
			.records = request->records,
			.cpus = request->cpus ? request->cpus : FORT_CPUS_MAX,
			.rights = request->rights,
			.gpl = request->gpl,
			.maps = maps,
			.access = FORT_ARENA_ARRAY(arena, request->n_insns, struct fort_access),
			.demands = FORT_ARENA_ARRAY(arena, FORT_DEMANDS_MAX, struct fort_root)},
	};
	if (!insns || !maps || !out->env.access || !out->env.demands)
		return -ENOMEM;
	check_inner(maps, request->n_maps, request->n_inner);
	err = fort_insn_decode(request->insns, request->n_insns, insns, &error->decode);
	if (err)
		return err;
	error->decoding = false;
	err = fort_graph_build(arena, insns, request->n_insns, &out->graph, &error->graph);
	if (err)
		return err;
	out->env.graph = &out->graph;
	take_prototypes(request, out);
	return fort_env_complete(&out->env, arena);
}
