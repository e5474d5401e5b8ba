/* Pointers to objects of the kernel, as its BTF describes them: what may be read and written
 * through them, and what is loaded. Addresses that nobody vouches for may be read all the same:
 * loads through them are such that a fault gives 0. (K: check_ptr_to_btf_access,
 * check_ptr_to_map_access)
 */
#include "btf/trust.h"
#include "step/kernel.h"
#include "step/rules.h"

/* --- the kernel's types --- */

const struct fort_kernel *fort_rule_kernel(struct fort_rule *rule)
{
	if (!rule->env->kernel)
		fort_rule_bad(rule, FORT_DIAG_TYPES_LATER, FORT_REGS, 0, 0, 0, 0);
	else
		rule->env->uses_kernel = true;
	return rule->env->kernel;
}

bool fort_rule_bad_type(struct fort_rule *rule, unsigned reg, const struct fort_btf_remark *remark,
			int64_t a0, int64_t a1)
{
	static const uint16_t rows[FORT_REMARKS] = {
		[FORT_REMARK_NOT_A_STRUCT] = FORT_DIAG_BTF_NO_STRUCT,
		[FORT_REMARK_BEYOND_STRUCT] = FORT_DIAG_BTF_BEYOND,
		[FORT_REMARK_MEMBER_WITHOUT_SIZE] = FORT_DIAG_BTF_SIZELESS,
		[FORT_REMARK_PART_OF_POINTER] = FORT_DIAG_BTF_PART,
		[FORT_REMARK_BEYOND_MEMBER] = FORT_DIAG_BTF_BEYOND_MEMBER,
		[FORT_REMARK_NO_MEMBER] = FORT_DIAG_BTF_NO_MEMBER,
		[FORT_REMARK_NESTED_TOO_DEEP] = FORT_DIAG_BTF_NESTED,
		[FORT_REMARK_CTX_OFFSET] = FORT_DIAG_CTX_TYPED_OFFSET,
		[FORT_REMARK_CTX_NO_ARGUMENT] = FORT_DIAG_CTX_TYPED_COUNT,
		[FORT_REMARK_CTX_RESULT] = FORT_DIAG_CTX_TYPED_RESULT,
		[FORT_REMARK_CTX_NO_POINTER] = FORT_DIAG_CTX_TYPED_KIND,
		[FORT_REMARK_CTX_SIZE] = FORT_DIAG_CTX_TYPED_SIZE,
		[FORT_REMARK_CTX_NO_STRUCT] = FORT_DIAG_CTX_TYPED_STRUCT,
	};
	enum fort_diag row = rows[remark->id] ? rows[remark->id] : FORT_DIAG_BTF_NO_STRUCT;

	fort_rule_bad(rule, row, reg, a0, a1, 0, 0);
	rule->out->violation.remark = *remark;
	return false;
}

bool fort_value_is_trusted(const struct fort_value *value)
{
	const uint16_t good = FORT_ALLOC | FORT_TRUSTED | FORT_NON_OWN;
	const uint16_t marks =
		FORT_MAYBE_NULL | FORT_RDONLY | FORT_UNTRUSTED | FORT_RCU | FORT_PERCPU | FORT_USER;

	if (value->ref)
		return true;
	if (value->flags & marks)
		return false;
	switch (value->type) {
	case FORT_SOCKET:
	case FORT_SOCK_COMMON:
	case FORT_TCP_SOCK:
	case FORT_MAP: return true;
	default: return value->flags & good;
	}
}

bool fort_rule_in_rcu(const struct fort_rule *rule)
{
	return !fort_rule_may_sleep(rule);
}

/* --- where and how --- */

/* K: pointers to such objects move by constants. */
static bool is_placed(struct fort_rule *rule, const struct fort_reach *reach)
{
	const struct fort_value *base = fort_rule_reg(rule, reach->reg);
	struct fort_scalar at = fort_scalar_plus(&base->num, reach->off);

	if (!fort_scalar_is_const(&at))
		return fort_rule_bad(rule, FORT_DIAG_BTF_VARIABLE, reach->reg, reach->off,
				     reach->bytes, reach->write, 0);
	if (fort_scalar_smin(&at) < 0)
		return fort_rule_bad(rule, FORT_DIAG_BTF_NEGATIVE, reach->reg,
				     fort_scalar_smin(&at), reach->bytes, reach->write, 0);
	if (fort_scalar_smin(&at) > (int64_t)FORT_PTR_OFFSET_MAX)
		return fort_rule_bad(rule, FORT_DIAG_BTF_FAR, reach->reg, fort_scalar_smin(&at),
				     reach->bytes, reach->write, 0);
	return true;
}

static bool is_allowed(struct fort_rule *rule, const struct fort_reach *reach)
{
	const struct fort_value *base = fort_rule_reg(rule, reach->reg);
	int64_t off = fort_wrap_add(fort_scalar_smin(&base->num), reach->off);
	enum fort_diag diag = FORT_DIAG_NONE;

	if (!(rule->env->rights & FORT_MAY_LEAK_POINTERS))
		diag = FORT_DIAG_BTF_RIGHT;
	else if (!rule->env->gpl)
		diag = FORT_DIAG_BTF_GPL;
	else if (!is_placed(rule, reach))
		return false;
	else if (base->flags & FORT_USER)
		diag = FORT_DIAG_BTF_USER;
	else if (base->flags & FORT_PERCPU)
		diag = FORT_DIAG_BTF_PERCPU;
	else if (reach->write && base->flags & FORT_UNTRUSTED)
		diag = FORT_DIAG_BTF_WRITE;
	return !diag || fort_rule_bad(rule, diag, reach->reg, off, reach->bytes, reach->write, 0);
}

/* --- stores --- */

/* The mark of a connection, for programs of networks. (K: tc_cls_act_btf_struct_access,
 * xdp_btf_struct_access, nf_conntrack_btf_struct_access) */
static bool in_connection(struct fort_rule *rule, const struct fort_kernel *kernel,
			  const struct fort_reach *reach)
{
	const struct fort_value *base = fort_rule_reg(rule, reach->reg);
	int64_t off = fort_scalar_smin(&base->num) + reach->off;
	enum fort_diag diag = FORT_DIAG_NONE;

	if (base->object != kernel->others[FORT_KNOWN_CONNECTION] &&
	    base->object != kernel->others[FORT_KNOWN_NEW_CONNECTION])
		diag = FORT_DIAG_BTF_WRITE;
	else if (!kernel->mark_bytes || off != kernel->mark_offset)
		diag = FORT_DIAG_BTF_WRITE_MEMBER;
	else if (reach->bytes > kernel->mark_bytes)
		diag = FORT_DIAG_BTF_WRITE_END;
	return !diag || fort_rule_bad(rule, diag, reach->reg, off, reach->bytes, 1,
				      kernel->mark_offset + kernel->mark_bytes);
}

static bool store(struct fort_rule *rule, const struct fort_kernel *kernel,
		  const struct fort_reach *reach)
{
	const struct fort_value *base = fort_rule_reg(rule, reach->reg);

	if (rule->env->hook.prog->bit & (FORT_BIT_TC | FORT_BIT_ACT | FORT_BIT_XDP))
		return in_connection(rule, kernel, reach);
	return fort_rule_bad(rule, FORT_DIAG_BTF_WRITE, reach->reg,
			     fort_scalar_smin(&base->num) + reach->off, reach->bytes, 1, 0);
}

/* --- loads --- */

static uint16_t flags_of_traits(uint8_t traits)
{
	return (uint16_t)((traits & FORT_TRAIT_USER ? FORT_USER : 0) |
			  (traits & FORT_TRAIT_PERCPU ? FORT_PERCPU : 0) |
			  (traits & FORT_TRAIT_RCU ? FORT_RCU : 0) |
			  (traits & FORT_TRAIT_UNTRUSTED ? FORT_UNTRUSTED : 0));
}

/* In a critical section of RCU. `by_list`: what the kernel's lists say of the member. */
static uint16_t trust_in_rcu(uint16_t flags, enum fort_btf_trust by_list)
{
	const uint16_t found = flags & FORT_RCU || by_list == FORT_TRUST_RCU_OR_NULL;

	if (by_list == FORT_TRUST_RCU)
		return flags | FORT_RCU;
	if (found && by_list == FORT_TRUST_RCU_OR_NULL)
		flags &= (uint16_t)~FORT_UNTRUSTED;
	if (found)
		return flags | FORT_RCU | FORT_MAYBE_NULL;
	return flags;
}

/* How good is a pointer that was found through another one? By default it is not trusted. */
static uint16_t trust(const struct fort_rule *rule, const struct fort_kernel *kernel,
		      const struct fort_value *base, const struct fort_btf_spot *spot)
{
	uint16_t flags = flags_of_traits(spot->traits);
	enum fort_btf_trust by_list;

	if (base->flags & FORT_UNTRUSTED)
		return FORT_UNTRUSTED;
	if (!fort_value_is_trusted(base) && !(base->flags & FORT_RCU))
		return flags & (uint16_t)~FORT_RCU; /* K: "old compat" */
	by_list = fort_btf_trust_of(kernel->btf, base->object, spot);
	if (by_list == FORT_TRUST_TRUSTED)
		return flags | FORT_TRUSTED;
	if (by_list == FORT_TRUST_TRUSTED_OR_NULL)
		return flags | FORT_TRUSTED | FORT_MAYBE_NULL;
	return fort_rule_in_rcu(rule) ? trust_in_rcu(flags, by_list) : FORT_UNTRUSTED;
}

static struct fort_value found(struct fort_rule *rule, const struct fort_btf_spot *spot,
			       uint16_t flags, uint32_t bytes)
{
	struct fort_value value;

	switch (spot->kind) {
	case FORT_SPOT_STRUCT_POINTER:
		value = fort_value_pointer(FORT_BTF, spot->type);
		value.flags = flags;
		if (flags & FORT_MAYBE_NULL)
			value.id = fort_rule_fresh(rule);
		return value;
	case FORT_SPOT_OTHER_POINTER:
		value = fort_value_pointer(FORT_MEM, 0);
		value.flags = FORT_RDONLY | FORT_UNTRUSTED;
		return value;
	default: return fort_value_number(fort_scalar_of_width(bytes * 8));
	}
}

bool fort_rule_in_btf(struct fort_rule *rule, const struct fort_reach *reach,
		      struct fort_value *out)
{
	const struct fort_kernel *kernel = fort_rule_kernel(rule);
	const struct fort_value *base = fort_rule_reg(rule, reach->reg);
	struct fort_btf_remark remark;
	struct fort_btf_spot spot = {0};
	int64_t off;

	if (!kernel || !is_allowed(rule, reach))
		return false;
	if (reach->write)
		return store(rule, kernel, reach);
	off = fort_scalar_smin(&base->num) + reach->off;
	if (fort_btf_access(kernel->btf, base->object, (uint32_t)off, reach->bytes,
			    FORT_VIEW_KERNEL, &spot, &remark))
		return fort_rule_bad_type(rule, reach->reg, &remark, off, reach->bytes);
	*out = found(rule, &spot, trust(rule, kernel, base, &spot), reach->bytes);
	return true;
}

/* The map itself: what the kernel has of it may be read. */
bool fort_rule_in_map(struct fort_rule *rule, const struct fort_reach *reach,
		      struct fort_value *out)
{
	const struct fort_kernel *kernel = fort_rule_kernel(rule);
	const struct fort_value *base = fort_rule_reg(rule, reach->reg);
	const struct fort_map_info *info = fort_map_info_of(&rule->env->maps[base->object]);
	uint32_t type = kernel && info ? kernel->maps[info - fort_maps] : 0;
	struct fort_btf_remark remark;
	struct fort_btf_spot spot = {0};
	enum fort_diag diag = FORT_DIAG_NONE;

	if (!kernel)
		return false;
	if (!type)
		diag = FORT_DIAG_MAP_DIRECT;
	else if (!(rule->env->rights & FORT_MAY_LEAK_POINTERS))
		diag = FORT_DIAG_MAP_RIGHT;
	else if (reach->off < 0)
		diag = FORT_DIAG_MAP_NEGATIVE;
	else if (reach->write)
		diag = FORT_DIAG_MAP_WRITE;
	if (diag)
		return fort_rule_bad(rule, diag, reach->reg, reach->off, type, reach->write,
				     rule->env->maps[base->object].type);
	if (fort_btf_access(kernel->btf, type, (uint32_t)reach->off, reach->bytes, FORT_VIEW_KERNEL,
			    &spot, &remark))
		return fort_rule_bad_type(rule, reach->reg, &remark, reach->off, reach->bytes);
	*out = found(rule, &spot, flags_of_traits(spot.traits), reach->bytes);
	return true;
}
