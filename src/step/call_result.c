/* What a helper returns. */
#include "step/call.h"

#include "abi/uapi.h"
#include "step/kernel.h"

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

/* Memory of a dynptr ends with it; of each processor's variable, there is one for each. */
static bool memory_result(struct fort_rule *rule, const struct fort_call *call,
			  struct fort_value *out)
{
	if (call->helper->returns != FORT_RET_DYNPTR_MEM)
		return fort_call_percpu_result(rule, call, out);
	out->object = call->const_size;
	out->base = call->old.value.base;
	out->ref = call->old.value.ref;
	out->flags |= out->ref ? FORT_LENT : 0;
	return true;
}

static bool object_result(struct fort_rule *rule, const struct fort_call *call,
			  struct fort_value *out)
{
	const struct fort_kernel *kernel = fort_rule_kernel(rule);

	if (!kernel)
		return false;
	out->object = kernel->rets[call->helper->returns];
	return out->object || fort_rule_bad(rule, FORT_DIAG_TYPES_LATER, FORT_REGS, 0, 0, 0, 0);
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
	case FORT_MEM:
		if (!memory_result(rule, call, out))
			return false;
		break;
	case FORT_BTF:
		if (!object_result(rule, call, out))
			return false;
		break;
	default: break;
	}
	if (info->null_ok)
		make_nullable(rule, out);
	return hold(rule, call, call->helper->flags & FORT_HELPER_ACQUIRES, out);
}
