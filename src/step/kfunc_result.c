/* What functions of the kernel return. (K: the end of check_kfunc_call) */
#include "step/kfunc.h"

static bool bad(struct fort_rule *rule, const struct fort_kcall *call, enum fort_diag diag)
{
	return fort_rule_bad(rule, diag, FORT_REGS, call->ref->imm, (int64_t)call->constant, 0, 0);
}

static struct fort_value object(uint32_t type, uint16_t flags)
{
	struct fort_value value = fort_value_pointer(FORT_BTF, type);

	value.flags = flags;
	return value;
}

static struct fort_value memory(uint64_t bytes, bool rdonly)
{
	struct fort_value value = fort_value_pointer(FORT_MEM, (uint32_t)bytes);

	value.flags = rdonly ? FORT_RDONLY : 0;
	return value;
}

/* --- functions with rules of their own --- */

static bool cast_to_kernel(struct fort_rule *rule, const struct fort_kcall *call,
			   struct fort_value *out)
{
	uint32_t type = rule->env->kernel->contexts[rule->env->hook.prog - fort_progs];

	if (!type)
		return bad(rule, call, FORT_DIAG_KFUNC_NO_CONTEXT);
	*out = object(type, FORT_TRUSTED);
	return true;
}

static bool cast_to_type(struct fort_rule *rule, const struct fort_kcall *call,
			 struct fort_value *out)
{
	uint32_t id = call->constant <= UINT32_MAX ? (uint32_t)call->constant : UINT32_MAX;
	struct fort_btf_type type = fort_btf_type(rule->env->kernel->btf, id);

	if (type.kind == FORT_BTF_NONE)
		return bad(rule, call, FORT_DIAG_KFUNC_CAST_UNKNOWN);
	if (type.kind == FORT_BTF_VOID) {
		*out = memory(0, true);
		out->flags |= FORT_UNTRUSTED;
		return true;
	}
	if (!fort_btf_is_struct(type.kind))
		return bad(rule, call, FORT_DIAG_KFUNC_CAST_KIND);
	*out = object(id, FORT_UNTRUSTED);
	return true;
}

/* The memory of a dynptr, as long as the dynptr is held and the packet does not move. */
static bool slice(struct fort_rule *rule, const struct fort_kcall *call, bool rdonly,
		  struct fort_value *out)
{
	if (!rdonly && rule->env->hook.prog->packet < FORT_PACKET_RW)
		return bad(rule, call, FORT_DIAG_KFUNC_SLICE_WRITE);
	*out = memory(call->constant, rdonly);
	out->base = call->old.value.base;
	out->ref = call->old.value.ref;
	if (out->ref)
		out->flags |= FORT_LENT;
	if (fort_dynptr_is_packet((uint8_t)call->old.value.object))
		out->flags |= FORT_OF_PACKET;
	return true;
}

/* --- by type --- */

static bool to_memory(struct fort_rule *rule, const struct fort_kcall *call, struct fort_value *out)
{
	const struct fort_btf_value *result = &call->ref->proto.result;
	bool cookie = call->rule == FORT_KFUNC_RULE_COOKIE;
	uint64_t bytes = result->target_bytes;

	if (call->sizes_result)
		bytes = call->result_bytes;
	if (!bytes)
		return bad(rule, call, FORT_DIAG_KFUNC_RESULT);
	*out = memory(bytes, call->sizes_result ? call->rdonly_result : !cookie);
	/* It ends with what it belongs to. */
	out->ref = call->held;
	if (out->ref && fort_kcall_is(call, FORT_KFUNC_RET_NULL))
		out->flags |= FORT_LENT;
	return true;
}

static uint16_t flags_of_object(const struct fort_kcall *call)
{
	if (call->rule == FORT_KFUNC_RULE_UNTRUSTED)
		return FORT_UNTRUSTED;
	if (fort_kcall_is(call, FORT_KFUNC_ITER_NEXT))
		return call->iter.value.flags & FORT_RCU ? FORT_RCU : FORT_TRUSTED;
	return fort_kcall_is(call, FORT_KFUNC_RCU_PROTECTED) ? FORT_RCU : 0;
}

static bool to_pointer(struct fort_rule *rule, const struct fort_kcall *call,
		       struct fort_value *out)
{
	const struct fort_btf_value *result = &call->ref->proto.result;

	switch (call->rule) {
	case FORT_KFUNC_RULE_CAST_TO_KERNEL: return cast_to_kernel(rule, call, out);
	case FORT_KFUNC_RULE_CAST_TO_TYPE: return cast_to_type(rule, call, out);
	case FORT_KFUNC_RULE_SLICE: return slice(rule, call, true, out);
	case FORT_KFUNC_RULE_SLICE_RDWR: return slice(rule, call, false, out);
	default: break;
	}
	if (result->target == FORT_BTF_VOID) {
		*out = fort_value_unknown();
		return true;
	}
	if (result->target != FORT_BTF_STRUCT)
		return to_memory(rule, call, out);
	*out = object(result->type, flags_of_object(call));
	return true;
}

bool fort_kcall_result(struct fort_rule *rule, const struct fort_kcall *call,
		       struct fort_value *out)
{
	const struct fort_btf_value *result = &call->ref->proto.result;

	if (result->kind == FORT_BTF_VOID) {
		*out = (struct fort_value){0};
		return true;
	}
	if (result->kind != FORT_BTF_PTR) {
		*out = fort_value_unknown();
		return true;
	}
	if (!to_pointer(rule, call, out))
		return false;
	if (out->type == FORT_NUM || fort_kcall_is(call, FORT_KFUNC_ITER_NEXT))
		return true;
	if (fort_kcall_is(call, FORT_KFUNC_RET_NULL)) {
		out->flags |= FORT_MAYBE_NULL;
		out->id = fort_rule_fresh(rule);
	}
	return !fort_kcall_is(call, FORT_KFUNC_ACQUIRE) || fort_ref_acquire(rule, &out->ref);
}
