/* Map arguments. */
#include "step/call.h"

#include "abi/uapi.h"

bool fort_call_map(struct fort_rule *rule, struct fort_call *call, unsigned reg)
{
	const struct fort_value *value = fort_rule_reg(rule, reg);

	call->map_index = value->object;
	call->map_base = value->base;
	call->map = &rule->env->maps[value->object];
	return true;
}

enum fort_arg fort_call_kind(const struct fort_call *call, unsigned reg)
{
	enum fort_arg kind = call->helper->args[reg - 1];
	const struct fort_map_info *info;

	if (fort_args[kind].base != FORT_BASE_VALUE || !call->map)
		return kind;
	info = fort_map_info_of(call->map);
	if (info && info->gives == FORT_GIVES_SOCKET && kind == FORT_ARG_VALUE)
		return FORT_ARG_BTF_SOCK;
	/* K: peeking at a bloom filter asks whether the value is there. */
	if (call->map->type == BPF_MAP_TYPE_BLOOM_FILTER &&
	    call->helper->number == BPF_FUNC_map_peek_elem)
		return FORT_ARG_VALUE;
	return kind;
}

/* Where a socket may be locked, it is not to be put into a map. (K: may_update_sockmap) */
static bool is_sockmap_update(const struct fort_call *call, const struct fort_map_info *info)
{
	return info && info->gives == FORT_GIVES_SOCKET &&
	       (call->helper->number == BPF_FUNC_map_update_elem ||
		call->helper->number == BPF_FUNC_map_delete_elem);
}

bool fort_call_fits_map(struct fort_rule *rule, const struct fort_call *call)
{
	const struct fort_map_info *info;

	if (!call->map)
		return true;
	info = fort_map_info_of(call->map);
	if (call->helper->flags & FORT_HELPER_CHANGES && call->map->flags & BPF_F_RDONLY_PROG)
		return fort_rule_bad(rule, FORT_DIAG_MAP_READONLY, FORT_REGS, 0, 0, 0, 0);
	if (info && fort_helper_takes_map(call->helper, info, &rule->env->hook) &&
	    (info->gives != FORT_GIVES_MAP ||
	     call->map->inner - 1u < rule->env->n_maps + rule->env->n_inner))
		return true;
	if (call->helper->flags & FORT_HELPER_LEAVES)
		return fort_rule_bad(rule, FORT_DIAG_MAP_PROGS, FORT_REGS, call->map->type, 0, 0,
				     0);
	return fort_rule_bad(rule,
			     is_sockmap_update(call, info) ? FORT_DIAG_MAP_SOCKETS
							   : FORT_DIAG_MAP_KIND,
			     FORT_REGS, call->map->type, call->helper->number, 0, 0);
}
