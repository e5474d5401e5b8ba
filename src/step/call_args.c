/* Arguments of helpers. (K: check_func_arg) */
#include "step/call.h"

#include "abi/uapi.h"

bool fort_call_bad(struct fort_rule *rule, const struct fort_call *call, unsigned reg,
		   enum fort_diag diag)
{
	return fort_rule_bad(rule, diag, reg, reg, call->helper->number, fort_call_kind(call, reg),
			     0);
}

/* --- types --- */

/* K: may_access_direct_pkt_data */
static bool takes_packet(const struct fort_rule *rule, const struct fort_call *call)
{
	switch (rule->env->hook.prog->packet) {
	case FORT_PACKET_NONE: return false;
	case FORT_PACKET_BUF: return true;
	default: return call->helper->flags & FORT_HELPER_PACKET;
	}
}

/* K: check_reg_type */
static bool has_type(struct fort_rule *rule, const struct fort_call *call, unsigned reg,
		     const struct fort_arg_info *info)
{
	const struct fort_value *value = fort_rule_reg(rule, reg);
	enum fort_regtype type = fort_value_regtype(value);

	/* What is only read may be read-only. */
	if (type == FORT_REGTYPE_RDONLY_MEM && !(info->flags & FORT_ARG_WRITE))
		type = FORT_REGTYPE_MEM;
	else if (type == FORT_REGTYPE_RDONLY_BUF && !(info->flags & FORT_ARG_WRITE))
		type = FORT_REGTYPE_BUF;
	if (!fort_fits(info->fits, type) ||
	    (value->flags & FORT_MAYBE_NULL && !(info->flags & FORT_ARG_NULL_OK)))
		return fort_call_bad(rule, call, reg, FORT_DIAG_ARG_TYPE);
	/* K: what is not said to be read only may be written. */
	if (value->type == FORT_BTF && info->fits == FORT_FITS_MEM &&
	    (info->flags & (FORT_ARG_READ | FORT_ARG_WRITE)) != FORT_ARG_READ)
		return fort_call_bad(rule, call, reg, FORT_DIAG_ARG_WRITTEN);
	return true;
}

/* K: check_func_arg_reg_off */
static bool may_be_moved(const struct fort_value *value)
{
	switch (value->type) {
	case FORT_NUM:
	case FORT_STACK:
	case FORT_PACKET:
	case FORT_PACKET_META:
	case FORT_MAP_KEY:
	case FORT_MAP_VALUE:
	case FORT_MEM:
	case FORT_RING_MEM:
	case FORT_BUF:
	case FORT_ARENA: return true;
	default: return false;
	}
}

/* Objects of the kernel have parts that are objects. */
static bool has_parts(const struct fort_value *value)
{
	const uint16_t good = FORT_TRUSTED | FORT_RCU | FORT_ALLOC | FORT_NON_OWN;

	return value->type == FORT_BTF && !(value->flags & ~good);
}

bool fort_rule_in_place(struct fort_rule *rule, unsigned reg, bool released)
{
	const struct fort_value *value = fort_rule_reg(rule, reg);
	int64_t moved = fort_scalar_smin(&value->num);
	enum fort_diag diag;

	if (may_be_moved(value) && !released)
		return true;
	if (!fort_scalar_is_const(&value->num))
		diag = FORT_DIAG_ARG_VARIABLE;
	else if (!moved || (!released && moved > 0 && has_parts(value)))
		return true;
	else if (released)
		diag = FORT_DIAG_ARG_MODIFIED;
	else
		diag = moved < 0 ? FORT_DIAG_ARG_NEGATIVE : FORT_DIAG_ARG_MOVED;
	return fort_rule_bad(rule, diag, reg, moved, 0, 0, 0);
}

/* --- by base --- */

static bool const_size_arg(struct fort_rule *rule, struct fort_call *call, unsigned reg)
{
	const struct fort_value *value = fort_rule_reg(rule, reg);
	uint64_t number;

	if (!fort_value_known(value, &number))
		return fort_rule_bad(rule, FORT_DIAG_NOT_CONST, reg, 0, 0, 0, 0);
	if (number >= FORT_ACCESS_BYTES_MAX)
		return fort_rule_bad(rule, FORT_DIAG_SIZE_UNBOUNDED, reg, (int64_t)number, 0, 0, 0);
	call->const_size = (uint32_t)number;
	return true;
}

/* The reference that an argument holds: to be given back, or to be shared by the result. */
static bool take_reference(struct fort_rule *rule, struct fort_call *call, unsigned reg,
			   const struct fort_arg_info *info)
{
	const struct fort_value *value = fort_rule_reg(rule, reg);

	if (info->base == FORT_BASE_DYNPTR)
		return true; /* it has its own */
	if (info->flags & FORT_ARG_RELEASE) {
		if (!value->ref)
			return fort_call_bad(rule, call, reg, FORT_DIAG_REF_NONE);
		call->ref = value->ref;
		call->releases = true;
	} else if (call->helper->flags & FORT_HELPER_CASTS && value->ref) {
		call->ref = value->ref;
	}
	return true;
}

/* A dynptr in the stack is found there, whatever it holds. */
static bool is_in_place(struct fort_rule *rule, unsigned reg, const struct fort_arg_info *info)
{
	bool released = info->flags & FORT_ARG_RELEASE && info->base != FORT_BASE_DYNPTR;

	return fort_rule_in_place(rule, reg, released);
}

static bool by_base(struct fort_rule *rule, struct fort_call *call, unsigned reg,
		    const struct fort_arg_info *info)
{
	switch ((enum fort_arg_base)info->base) {
	case FORT_BASE_MAP: return fort_call_map(rule, call, reg);
	case FORT_BASE_KEY: return fort_call_key(rule, call, reg);
	case FORT_BASE_VALUE: return fort_call_value(rule, call, reg, info);
	case FORT_BASE_MEM: return fort_call_memory(rule, call, reg, info);
	case FORT_BASE_SIZE: return fort_call_size(rule, call, reg);
	case FORT_BASE_CONST_SIZE: return const_size_arg(rule, call, reg);
	case FORT_BASE_CONST_STR: return fort_rule_const_str(rule, reg);
	case FORT_BASE_DYNPTR: return fort_call_dynptr(rule, call, reg, info);
	case FORT_BASE_BTF: return fort_call_btf(rule, call, reg, info);
	case FORT_BASE_PERCPU_BTF: call->variable = fort_rule_reg(rule, reg)->object; return true;
	case FORT_BASE_SPIN_LOCK: return fort_rule_arg_lock(rule, reg);
	case FORT_BASE_TIMER: return fort_rule_arg_timer(rule, reg);
	default: return true; /* the type says all */
	}
}

static bool is_null(const struct fort_value *value)
{
	uint64_t number;

	return fort_value_known(value, &number) && !number;
}

bool fort_call_arg(struct fort_rule *rule, struct fort_call *call, unsigned reg)
{
	const struct fort_arg_info *info = &fort_args[fort_call_kind(call, reg)];
	const struct fort_value *value = fort_rule_reg(rule, reg);

	/* How many ANY_OPT are read is the format's affair, when the program runs. */
	if (info->base == FORT_BASE_NONE || info->base == FORT_BASE_ANY_OPT)
		return true;
	if (!fort_rule_readable(rule, reg))
		return false;
	if (info->base == FORT_BASE_ANY)
		return !fort_rule_is_secret(rule, value) ||
		       fort_call_bad(rule, call, reg, FORT_DIAG_LEAK_HELPER);
	if ((value->type == FORT_PACKET || value->type == FORT_PACKET_META) &&
	    !takes_packet(rule, call))
		return fort_call_bad(rule, call, reg, FORT_DIAG_HELPER_PACKET);
	if (info->flags & FORT_ARG_NULL_OK && is_null(value))
		return by_base(rule, call, reg, info);
	return has_type(rule, call, reg, info) && is_in_place(rule, reg, info) &&
	       take_reference(rule, call, reg, info) && by_base(rule, call, reg, info);
}

/* --- what is known at all --- */

static bool is_known_arg(const struct fort_arg_info *info)
{
	switch ((enum fort_arg_base)info->base) {
	case FORT_BASE_NONE:
	case FORT_BASE_ANY:
	case FORT_BASE_ANY_OPT:
	case FORT_BASE_MAP:
	case FORT_BASE_KEY:
	case FORT_BASE_VALUE:
	case FORT_BASE_MEM:
	case FORT_BASE_SIZE:
	case FORT_BASE_CONST_SIZE:
	case FORT_BASE_CTX:
	case FORT_BASE_CONST_STR:
	case FORT_BASE_RING_MEM:
	case FORT_BASE_DYNPTR:
	case FORT_BASE_PERCPU_BTF:
	case FORT_BASE_SOCK:
	case FORT_BASE_FUNC:
	case FORT_BASE_STACK:
	case FORT_BASE_SPIN_LOCK:
	case FORT_BASE_TIMER: return true;
	case FORT_BASE_BTF: return info->btf; /* else it goes into a field of a map's value */
	default: return false;
	}
}

static bool is_known_result(const struct fort_ret_info *info)
{
	switch (fort_value_of_type(info->regtype).type) {
	case FORT_NONE:
	case FORT_NUM:
	case FORT_MAP_VALUE:
	case FORT_RING_MEM:
	case FORT_MEM:
	case FORT_SOCKET:
	case FORT_SOCK_COMMON:
	case FORT_TCP_SOCK: return true;
	case FORT_BTF: return info->btf; /* else it comes from a field of a map's value */
	default: return false;
	}
}

bool fort_call_is_known(const struct fort_helper_info *helper)
{
	for (unsigned i = 0; i < FORT_HELPER_ARGS; i++)
		if (!is_known_arg(&fort_args[helper->args[i]]))
			return false;
	return is_known_result(&fort_rets[helper->returns]);
}
