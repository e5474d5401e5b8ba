/* What a helper returns. */
#include "step/call.h"

#include "abi/uapi.h"

/* Something that may be NULL: a result of its own. */
static void make_nullable(struct fort_rule *rule, struct fort_value *value)
{
	value->flags |= FORT_MAYBE_NULL;
	value->id = fort_rule_fresh(rule);
}

/* A reference: a new one, or that of the argument it was made from. */
static bool hold(struct fort_rule *rule, const struct fort_call *call, bool acquires,
		 struct fort_value *value)
{
	if (acquires)
		return fort_ref_acquire(rule, &value->ref);
	if (call->helper->flags & FORT_HELPER_CASTS && call->ref) {
		value->ref = call->ref;
		if (value->flags & FORT_MAYBE_NULL)
			value->flags |= FORT_LENT;
	}
	return true;
}

/* An element of the map: its value, or what that stands for. (K: mark_ptr_not_null_reg) */
static struct fort_value element(struct fort_rule *rule, const struct fort_call *call,
				 bool looks_up, bool *acquires)
{
	const struct fort_map_info *info = fort_map_info_of(call->map);

	switch (looks_up && info ? info->gives : FORT_GIVES_VALUE) {
	case FORT_GIVES_MAP: return fort_value_pointer(FORT_MAP, call->map->inner - 1);
	case FORT_GIVES_SOCKET: *acquires = true; return fort_value_pointer(FORT_SOCKET, 0);
	case FORT_GIVES_XDP_SOCK: return fort_value_pointer(FORT_XDP_SOCK, 0);
	default: return fort_rule_map_value(rule, call->map_index, call->map_base);
	}
}

static bool map_result(struct fort_rule *rule, const struct fort_call *call, bool null_ok,
		       struct fort_value *out)
{
	bool looks_up = call->helper->number == BPF_FUNC_map_lookup_elem;
	bool acquires = false;

	*out = element(rule, call, looks_up, &acquires);
	if (!null_ok || (looks_up && call->found))
		return true;
	if (out->type == FORT_MAP)
		out->base = fort_rule_fresh(rule);
	make_nullable(rule, out);
	return hold(rule, call, acquires, out);
}

/* K: do_refine_retval_range */
static struct fort_value number_result(const struct fort_rule *rule, const struct fort_call *call)
{
	switch (call->helper->returns) {
	case FORT_RET_LENGTH:
		return fort_value_number(
			fort_scalar_signed_range(-FORT_ERRNO_MAX, (int64_t)call->most));
	case FORT_RET_CPU: return fort_value_number(fort_scalar_range(0, rule->env->cpus - 1));
	default: return fort_value_unknown();
	}
}

bool fort_call_result(struct fort_rule *rule, const struct fort_call *call, struct fort_value *out)
{
	const struct fort_ret_info *info = &fort_rets[call->helper->returns];

	*out = fort_value_of_type(info->regtype);
	switch (out->type) {
	case FORT_NONE: return true;
	case FORT_NUM:
		*out = call->helper->flags & FORT_HELPER_CALLS ? fort_rule_called_back(rule, call)
							       : number_result(rule, call);
		return true;
	case FORT_MAP_VALUE: return map_result(rule, call, info->null_ok, out);
	case FORT_RING_MEM: out->object = call->const_size; break;
	default: break;
	}
	if (info->null_ok)
		make_nullable(rule, out);
	return hold(rule, call, call->helper->flags & FORT_HELPER_ACQUIRES, out);
}
