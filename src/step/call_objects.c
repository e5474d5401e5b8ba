/* Arguments of helpers that are objects: dynptrs, and what the kernel's BTF describes. (K:
 * process_dynptr_func, check_reg_type)
 */
#include "step/call.h"

#include "abi/uapi.h"
#include "btf/match.h"
#include "step/kernel.h"

/* --- dynptrs --- */

static uint8_t kind_of(const struct fort_arg_info *info)
{
	if (info->flags & FORT_ARG_LOCAL)
		return FORT_DYNPTR_LOCAL;
	return info->flags & FORT_ARG_RING ? FORT_DYNPTR_RING : FORT_DYNPTR_ANY;
}

/* What is given back is looked for first. */
static bool holds_reservation(struct fort_rule *rule, struct fort_call *call, unsigned reg)
{
	const struct fort_value *object;
	struct fort_place place;

	if (fort_rule_reg(rule, reg)->type == FORT_DYNPTR)
		return fort_call_bad(rule, call, reg, FORT_DIAG_DYNPTR_UNOWNED_CONST);
	object = fort_place_find(rule, reg, FORT_DYNPTR_SLOTS, &place)
			 ? NULL
			 : fort_place_object(&place, FORT_DYNPTR);
	if (!object || !object->ref)
		return fort_call_bad(rule, call, reg, FORT_DIAG_DYNPTR_UNOWNED);
	call->ref = object->ref;
	call->releases = true;
	return true;
}

bool fort_call_dynptr(struct fort_rule *rule, struct fort_call *call, unsigned reg,
		      const struct fort_arg_info *info)
{
	bool makes = info->flags & FORT_ARG_UNINIT;
	struct fort_dynptr_arg *arg = makes ? &call->made : &call->old;

	if (info->flags & FORT_ARG_RELEASE && !holds_reservation(rule, call, reg))
		return false;
	*arg = (struct fort_dynptr_arg){.kind = kind_of(info),
					.makes = makes,
					.changes = info->flags & FORT_ARG_RELEASE};
	return fort_dynptr_check(rule, reg, arg);
}

bool fort_call_make_dynptr(struct fort_rule *rule, const struct fort_call *call)
{
	uint32_t ref = 0;

	if (!call->made.given)
		return true;
	if (call->made.kind == FORT_DYNPTR_RING && !fort_ref_acquire(rule, &ref))
		return false;
	return fort_dynptr_make(rule, &call->made, ref);
}

/* --- objects of the kernel --- */

/* A struct that begins with the one that is asked for will do, but not to be given back; of sockets
 * it will. */
bool fort_call_btf(struct fort_rule *rule, struct fort_call *call, unsigned reg,
		   const struct fort_arg_info *info)
{
	const struct fort_value *value = fort_rule_reg(rule, reg);
	const struct fort_kernel *kernel;
	struct fort_btf_remark remark;
	int64_t off = fort_scalar_smin(&value->num);
	bool strict = info->flags & FORT_ARG_RELEASE && call->helper->number != BPF_FUNC_sk_release;
	uint32_t wanted;

	if (value->type != FORT_BTF)
		return true; /* a socket, or NULL */
	kernel = fort_rule_kernel(rule);
	if (!kernel)
		return false;
	wanted = kernel->args[info - fort_args];
	if (wanted && off >= 0 && off <= (int64_t)FORT_PTR_OFFSET_MAX &&
	    fort_btf_has_struct(kernel->btf, value->object, (uint32_t)off, kernel->btf, wanted,
				strict, FORT_VIEW_KERNEL, &remark))
		return true;
	return fort_rule_bad(rule, FORT_DIAG_ARG_STRUCT, reg, reg, call->helper->number, wanted, 0);
}

/* One processor's copy of it. (K: RET_PTR_TO_MEM_OR_BTF_ID) */
bool fort_call_percpu_result(struct fort_rule *rule, const struct fort_call *call,
			     struct fort_value *out)
{
	const struct fort_kernel *kernel = fort_rule_kernel(rule);
	struct fort_btf_type type;
	uint32_t bytes;

	if (!kernel)
		return false;
	type = fort_btf_strip(kernel->btf, call->variable);
	if (fort_btf_is_struct(type.kind)) {
		*out = fort_value_pointer(FORT_BTF, type.id);
		return true;
	}
	if (fort_btf_size(kernel->btf, type.id, &bytes))
		return fort_rule_bad(rule, FORT_DIAG_KSYM_SIZELESS, FORT_REGS, 0, type.id, 0, 0);
	*out = fort_value_pointer(FORT_MEM, bytes);
	out->flags = FORT_RDONLY;
	return true;
}

/* --- variables of the kernel --- */

static bool is_percpu(const struct fort_kernel *kernel, uint32_t id)
{
	struct fort_btf_type section = fort_btf_type(kernel->btf, kernel->percpu_section);

	for (uint32_t i = 0; section.kind == FORT_BTF_DATASEC && i < section.vlen; i++)
		if (fort_btf_section_var(&section, i).type == id)
			return true;
	return false;
}

/* K: __check_pseudo_btf_id */
bool fort_rule_ldimm_variable(struct fort_rule *rule, struct fort_value *dst)
{
	const struct fort_kernel *kernel = fort_rule_kernel(rule);
	uint32_t id = (uint32_t)rule->insn->imm, bytes;
	struct fort_btf_type named, type;

	if (!kernel)
		return false;
	if ((uint64_t)rule->insn->imm >> 32)
		return fort_rule_bad(rule, FORT_DIAG_KSYM_MODULE, FORT_REGS, id, 0, 0, 0);
	named = fort_btf_type(kernel->btf, id);
	if (named.kind == FORT_BTF_NONE || named.kind == FORT_BTF_VOID)
		return fort_rule_bad(rule, FORT_DIAG_KSYM_UNKNOWN, FORT_REGS, id, 0, 0, 0);
	if (named.kind != FORT_BTF_VAR && named.kind != FORT_BTF_FUNC)
		return fort_rule_bad(rule, FORT_DIAG_KSYM_KIND, FORT_REGS, id, 0, 0, 0);
	*dst = fort_value_pointer(FORT_MEM, 0);
	dst->flags = FORT_RDONLY;
	if (named.kind == FORT_BTF_FUNC)
		return true;
	type = fort_btf_strip(kernel->btf, named.ref);
	if (is_percpu(kernel, id) || fort_btf_is_struct(type.kind)) {
		*dst = fort_value_pointer(FORT_BTF, type.id);
		dst->flags = is_percpu(kernel, id) ? FORT_PERCPU : 0;
		return true;
	}
	if (fort_btf_size(kernel->btf, type.id, &bytes))
		return fort_rule_bad(rule, FORT_DIAG_KSYM_SIZELESS, FORT_REGS, 0, type.id, 0, 0);
	dst->object = bytes;
	return true;
}
