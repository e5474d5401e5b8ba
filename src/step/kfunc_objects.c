/* Pointers to objects of the kernel as arguments: of the right type, and trusted where the function
 * trusts them. (K: process_kf_arg_ptr_to_btf_id)
 */
#include "step/kfunc.h"

#include "btf/match.h"

/* The struct behind a register; 0 for none that the kernel would take for one. */
static uint32_t struct_of(const struct fort_kernel *kernel, const struct fort_value *value)
{
	struct fort_value plain = *value;

	if (value->type == FORT_BTF)
		return value->object;
	plain.flags = 0;
	return kernel->regs[fort_value_regtype(&plain)];
}

/* K: pointers without marks, trusted ones, and those under RCU */
static bool is_usable(const struct fort_value *value)
{
	const uint16_t marks = FORT_MAYBE_NULL | FORT_UNTRUSTED | FORT_PERCPU | FORT_USER;

	return value->type != FORT_BTF || !(value->flags & marks) || value->flags & FORT_RCU;
}

static bool is_trusted(struct fort_rule *rule, struct fort_kcall *call, unsigned i)
{
	const struct fort_value *value = fort_rule_reg(rule, FORT_R1 + i);
	bool rcu = fort_kcall_is(call, FORT_KFUNC_RCU);

	if (!fort_kcall_wants_trust(call) && !rcu)
		return true;
	if (fort_value_is_trusted(value) || (rcu && value->flags & FORT_RCU))
		return true;
	return fort_kcall_bad(rule, rcu ? FORT_DIAG_KFUNC_NOT_RCU : FORT_DIAG_KFUNC_NOT_TRUSTED, i,
			      0, 0);
}

/* Is it of the type that the function wants, or does it begin with one? */
static bool fits(struct fort_rule *rule, const struct fort_kcall *call, unsigned i, uint32_t type,
		 struct fort_btf_remark *remark)
{
	const struct fort_value *value = fort_rule_reg(rule, FORT_R1 + i);
	const struct fort_btf *btf = rule->env->kernel->btf;
	uint32_t has = struct_of(rule->env->kernel, value);
	const char *name = fort_btf_string(btf, fort_btf_type(btf, has).name);
	const char *wanted = fort_btf_string(btf, fort_btf_type(btf, type).name);
	bool strict = (fort_kcall_is(call, FORT_KFUNC_RELEASE) && value->ref) ||
		      (name && wanted && fort_btf_is_uncast_alias(name, wanted));
	int64_t off = fort_scalar_smin(&value->num);

	if (name && wanted && fort_btf_is_projection(wanted, name))
		return true;
	return off >= 0 && off <= (int64_t)FORT_PTR_OFFSET_MAX &&
	       fort_btf_has_struct(btf, has, (uint32_t)off, btf, type, strict, FORT_VIEW_KERNEL,
				   remark);
}

bool fort_kcall_object(struct fort_rule *rule, struct fort_kcall *call, unsigned i, uint32_t type)
{
	const struct fort_value *value = fort_rule_reg(rule, FORT_R1 + i);
	struct fort_btf_remark remark = {0};

	if (!is_trusted(rule, call, i) ||
	    !fort_rule_in_place(rule, FORT_R1 + i,
				fort_kcall_is(call, FORT_KFUNC_RELEASE) && value->ref))
		return false;
	if (!is_usable(value))
		return fort_kcall_bad(rule, FORT_DIAG_KFUNC_ARG_MARKED, i, 0, 0);
	if (fits(rule, call, i, type, &remark))
		return true;
	return fort_kcall_bad(rule, FORT_DIAG_KFUNC_ARG_STRUCT, i, type,
			      struct_of(rule->env->kernel, value));
}
