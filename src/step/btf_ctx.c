/* Contexts whose fields are typed by the kernel's BTF: arguments of the function that a program is
 * attached to, and objects of the kernel. (K: btf_ctx_access, check_ctx_access)
 */
#include "step/kernel.h"
#include "step/rules.h"

/* K: mark_btf_ld_reg, and what check_mem_access does with reg_type */
static struct fort_value typed(struct fort_rule *rule, const struct fort_btf_ctx_value *value)
{
	struct fort_value out = fort_value_pointer(FORT_BTF, value->type);

	switch (value->kind) {
	case FORT_CTX_POINTER:
		out.flags = value->is_trusted ? FORT_TRUSTED : 0;
		out.flags |= value->traits & FORT_TRAIT_USER ? FORT_USER : 0;
		out.flags |= value->traits & FORT_TRAIT_PERCPU ? FORT_PERCPU : 0;
		break;
	case FORT_CTX_BUFFER: out = fort_value_pointer(FORT_BUF, 0); break;
	case FORT_CTX_READ_BUFFER:
		out = fort_value_pointer(FORT_BUF, 0);
		out.flags = FORT_RDONLY;
		break;
	default: return fort_value_number(fort_scalar_of_width(rule->insn->bits));
	}
	if (value->may_be_null) {
		out.flags |= FORT_MAYBE_NULL;
		out.id = fort_rule_fresh(rule);
	}
	return out;
}

/* What a hook has decided so far is something that it may decide, as an int. (K: is_retval) */
static struct fort_value decided(const struct fort_rule *rule)
{
	const struct fort_retval *range = fort_hook_retval(&rule->env->hook, false);
	struct fort_scalar num = fort_scalar_unknown();

	if (range) {
		num.low = (struct fort_arc32){(uint32_t)range->low,
					      (uint32_t)(range->high - range->low)};
		if (!fort_scalar_reduce(&num))
			num = fort_scalar_unknown(); /* it has members: this is not reached */
	}
	return fort_value_number(
		rule->insn->bits == 64 ? num : fort_scalar_truncate(&num, rule->insn->bits));
}

bool fort_rule_typed_ctx(struct fort_rule *rule, const struct fort_reach *reach,
			 struct fort_value *out)
{
	struct fort_btf_ctx_value value;
	struct fort_btf_remark remark;

	if (!fort_rule_kernel(rule))
		return false;
	if (!rule->env->target)
		return fort_rule_bad(rule, FORT_DIAG_CTX_TARGET, reach->reg, reach->off,
				     reach->bytes, reach->write, 0);
	if (fort_btf_target_access(rule->env->target, (uint32_t)reach->off, reach->bytes, &value,
				   &remark)) {
		if (remark.id)
			return fort_rule_bad_type(rule, reach->reg, &remark, reach->off,
						  reach->bytes);
		return fort_rule_bad(rule, FORT_DIAG_CTX_ACCESS, reach->reg, reach->off,
				     reach->bytes, reach->write, 0);
	}
	*out = value.is_result ? decided(rule) : typed(rule, &value);
	return true;
}

bool fort_rule_object_ctx(struct fort_rule *rule, enum fort_yield yield, struct fort_value *out)
{
	const struct fort_kernel *kernel = fort_rule_kernel(rule);

	if (!kernel)
		return false;
	*out = fort_value_of_type(fort_yields[yield].regtype);
	out->object = kernel->yields[yield];
	return out->object || fort_rule_bad(rule, FORT_DIAG_TYPES_LATER, FORT_REGS, 0, 0, 0, 0);
}
