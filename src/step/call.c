/* Calls of helpers: arguments against the prototype, then what the call leaves. */
#include "step/rules.h"

#include "abi/uapi.h"

/* One call being checked. */
struct call {
	const struct fort_helper_info *helper;
	const struct fort_map_shape *map; /* arg1 of map helpers */
	uint32_t map_index;
	uint32_t const_size;                               /* CONST_SIZE */
	uint64_t most;                                     /* the last SIZE argument at most */
	bool found;                                        /* the key is surely in the map */
	uint32_t released;                                 /* reference given back; 0 for none */
	struct fort_stack_reach written[FORT_HELPER_ARGS]; /* stack memory the helper fills */
	unsigned n_written;
};

static bool arg_bad(struct fort_rule *rule, enum fort_diag diag, unsigned reg,
		    const struct call *call, int64_t extra)
{
	return fort_rule_bad(rule, diag, reg, reg, call->helper->number,
			     call->helper->args[reg - 1], extra);
}

/* --- memory arguments --- */

/* [pointer, pointer + bytes) is the program's and may be used this way. */
static bool memory_arg(struct fort_rule *rule, struct call *call, unsigned reg, uint32_t bytes,
		       bool write)
{
	const struct fort_value *value = fort_rule_reg(rule, reg);
	struct fort_reach reach = {.reg = reg, .bytes = bytes, .write = write, .helper = true};
	struct fort_stack_reach where;

	if (value->flags & FORT_MAYBE_NULL)
		return arg_bad(rule, FORT_DIAG_ARG_TYPE, reg, call, 0);
	switch (value->type) {
	case FORT_MAP_VALUE: return fort_rule_in_value(rule, &reach);
	case FORT_RING_MEM:
		return fort_rule_in_object(rule, &reach, value->object, FORT_DIAG_RING_BOUNDS);
	case FORT_PACKET:
	case FORT_PACKET_META:
		if (!(call->helper->flags & FORT_HELPER_PACKET))
			return arg_bad(rule, FORT_DIAG_HELPER_PACKET, reg, call, 0);
		return fort_rule_in_packet(rule, &reach);
	case FORT_STACK:
		if (!fort_rule_in_stack(rule, &reach, &where))
			return false;
		/* A variable place cannot count as written. */
		if ((!write || !where.fixed) && !fort_stack_readable(rule, &reach, &where))
			return false;
		if (write)
			call->written[call->n_written++] = where;
		return true;
	default: return arg_bad(rule, FORT_DIAG_ARG_TYPE, reg, call, 0);
	}
}

/* The size argument of the memory in the register before it. */
static bool size_arg(struct fort_rule *rule, struct call *call, unsigned reg, bool zero_allowed)
{
	const struct fort_value *size = fort_rule_reg(rule, reg);
	bool write = call->helper->args[reg - 2] == FORT_ARG_MEM_OUT;
	uint64_t low, high;

	if (size->type != FORT_NUM)
		return arg_bad(rule, FORT_DIAG_ARG_TYPE, reg, call, 0);
	low = fort_scalar_umin(&size->num);
	high = fort_scalar_umax(&size->num);
	if (fort_scalar_smin(&size->num) < 0)
		return fort_rule_bad(rule, FORT_DIAG_SIZE_NEGATIVE, reg,
				     fort_scalar_smin(&size->num), 0, 0, 0);
	if (!low && !zero_allowed)
		return fort_rule_bad(rule, FORT_DIAG_SIZE_ZERO, reg, (int64_t)low, (int64_t)high, 0,
				     0);
	if (high >= FORT_ACCESS_BYTES_MAX)
		return fort_rule_bad(rule, FORT_DIAG_SIZE_UNBOUNDED, reg, (int64_t)high, 0, 0, 0);
	call->most = high;
	if (!memory_arg(rule, call, reg - 1, (uint32_t)high, write))
		return false;
	/* Of a buffer that may be filled in part, nothing is surely written. */
	if (write && low != high && call->n_written)
		call->written[call->n_written - 1].fixed = false;
	return true;
}

/* --- other arguments --- */

static bool map_arg(struct fort_rule *rule, struct call *call, unsigned reg)
{
	const struct fort_value *value = fort_rule_reg(rule, reg);
	const struct fort_hook hook = {.prog = rule->env->hook.prog};
	const struct fort_map_info *info;

	if (value->type != FORT_MAP)
		return arg_bad(rule, FORT_DIAG_ARG_TYPE, reg, call, 0);
	call->map_index = value->object;
	call->map = &rule->env->maps[value->object];
	info = fort_map_runs(call->map->type);
	if (!info || !fort_helper_takes_map(call->helper, info, &hook))
		return fort_rule_bad(rule, FORT_DIAG_MAP_KIND, reg, call->map->type,
				     call->helper->number, 0, 0);
	if (call->helper->flags & FORT_HELPER_CHANGES && (call->map->flags & BPF_F_RDONLY_PROG))
		return fort_rule_bad(rule, FORT_DIAG_MAP_READONLY, reg, 0, 0, 0, 0);
	return true;
}

static bool const_size_arg(struct fort_rule *rule, struct call *call, unsigned reg)
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

/* Arrays have a value for each index. (K 6.14: the same, for a constant on the stack.) */
static bool key_arg(struct fort_rule *rule, struct call *call, unsigned reg)
{
	const struct fort_value *value = fort_rule_reg(rule, reg);
	struct fort_reach reach = {
		.reg = reg, .bytes = call->map->key_bytes, .write = false, .helper = true};
	bool array = call->map->type == BPF_MAP_TYPE_ARRAY ||
		     call->map->type == BPF_MAP_TYPE_PERCPU_ARRAY;
	struct fort_stack_reach where;
	uint64_t index;

	if (!memory_arg(rule, call, reg, reach.bytes, false))
		return false;
	if (!array || value->type != FORT_STACK)
		return true;
	if (!fort_rule_in_stack(rule, &reach, &where))
		return false;
	call->found = fort_stack_known(&reach, &where, &index) && index < call->map->max_entries;
	return true;
}

/* What a reserve call returned, unchanged and still held. */
static bool ring_mem_arg(struct fort_rule *rule, struct call *call, unsigned reg)
{
	const struct fort_value *value = fort_rule_reg(rule, reg);

	if (value->type != FORT_RING_MEM || (value->flags & FORT_MAYBE_NULL))
		return arg_bad(rule, FORT_DIAG_ARG_TYPE, reg, call, 0);
	if (!fort_scalar_is_const(&value->num) || value->num.arc.base)
		return arg_bad(rule, FORT_DIAG_ARG_MODIFIED, reg, call, 0);
	if (!value->ref)
		return arg_bad(rule, FORT_DIAG_REF_NONE, reg, call, 0);
	call->released = value->ref;
	return true;
}

static bool ctx_arg(struct fort_rule *rule, struct call *call, unsigned reg)
{
	const struct fort_value *value = fort_rule_reg(rule, reg);

	if (value->type != FORT_CTX)
		return arg_bad(rule, FORT_DIAG_ARG_TYPE, reg, call, 0);
	if (!fort_scalar_is_const(&value->num) || value->num.arc.base)
		return fort_rule_bad(rule, FORT_DIAG_CTX_MODIFIED, reg,
				     fort_scalar_smin(&value->num), 0, 0, 0);
	return true;
}

/* A function of the program, as ld_imm64 gave it. */
static bool func_arg(struct fort_rule *rule, struct call *call, unsigned reg)
{
	const struct fort_value *value = fort_rule_reg(rule, reg);

	if (value->type != FORT_FUNC || !fort_scalar_is_const(&value->num) || value->num.arc.base)
		return arg_bad(rule, FORT_DIAG_ARG_TYPE, reg, call, 0);
	return true;
}

/* What a function that is called back gets from the caller: an address in its stack, or NULL. */
static bool stack_arg(struct fort_rule *rule, struct call *call, unsigned reg)
{
	const struct fort_value *value = fort_rule_reg(rule, reg);
	uint64_t number;

	if (value->type != FORT_STACK && (!fort_value_known(value, &number) || number))
		return arg_bad(rule, FORT_DIAG_ARG_TYPE, reg, call, 0);
	return true;
}

/* Something in the value of a map. */
static bool field_arg(struct fort_rule *rule, struct call *call, unsigned reg)
{
	const struct fort_value *value = fort_rule_reg(rule, reg);

	if (value->type != FORT_MAP_VALUE || (value->flags & FORT_MAYBE_NULL))
		return arg_bad(rule, FORT_DIAG_ARG_TYPE, reg, call, 0);
	return call->helper->args[reg - 1] == FORT_ARG_TIMER ? fort_rule_arg_timer(rule, reg)
							     : fort_rule_arg_lock(rule, reg);
}

static bool check_arg(struct fort_rule *rule, struct call *call, unsigned reg)
{
	enum fort_arg kind = call->helper->args[reg - 1];

	if (kind == FORT_ARG_NONE)
		return true;
	if (kind == FORT_ARG_ANY_OPT && fort_rule_reg(rule, reg)->type == FORT_NONE)
		return true; /* the format decides at run time how many are read */
	if (!fort_rule_readable(rule, reg))
		return false;
	switch (kind) {
	case FORT_ARG_MAP: return map_arg(rule, call, reg);
	case FORT_ARG_KEY: return key_arg(rule, call, reg);
	case FORT_ARG_VALUE: return memory_arg(rule, call, reg, call->map->value_bytes, false);
	case FORT_ARG_SIZE: return size_arg(rule, call, reg, false);
	case FORT_ARG_SIZE_OR_ZERO: return size_arg(rule, call, reg, true);
	case FORT_ARG_CONST_SIZE: return const_size_arg(rule, call, reg);
	case FORT_ARG_RING_MEM: return ring_mem_arg(rule, call, reg);
	case FORT_ARG_CTX: return ctx_arg(rule, call, reg);
	case FORT_ARG_FUNC: return func_arg(rule, call, reg);
	case FORT_ARG_STACK_OPT: return stack_arg(rule, call, reg);
	case FORT_ARG_SPIN_LOCK:
	case FORT_ARG_TIMER: return field_arg(rule, call, reg);
	default: return true; /* memory is checked with its size */
	}
}

/* --- the call --- */

/* Helpers that no engine runs, and whose effects the semantics know. */
static bool is_modelled(const struct fort_helper_info *helper)
{
	return (helper->flags & FORT_HELPER_CALLS) || helper->args[0] == FORT_ARG_SPIN_LOCK ||
	       helper->args[0] == FORT_ARG_TIMER;
}

static const struct fort_helper_info *allowed_helper(struct fort_rule *rule)
{
	uint32_t number = (uint32_t)rule->insn->imm;
	const struct fort_helper_info *helper = fort_helper_for(number, &rule->env->hook);
	enum fort_diag diag = FORT_DIAG_NONE;

	if (!helper)
		diag = fort_helper_by_number(number) ? FORT_DIAG_HELPER_TYPE
						     : FORT_DIAG_HELPER_UNKNOWN;
	else if (!helper->runs && !is_modelled(helper))
		diag = FORT_DIAG_HELPER_LATER;
	else if (helper->right == FORT_RIGHT_PERF &&
		 !(rule->env->rights & FORT_MAY_USE_PERF_HELPERS))
		diag = FORT_DIAG_HELPER_RIGHT;
	else if (helper->license == FORT_LICENSE_GPL && !rule->env->gpl)
		diag = FORT_DIAG_HELPER_GPL;
	if (diag == FORT_DIAG_NONE)
		return helper;
	fort_rule_bad(rule, diag, FORT_REGS, number, number, 0, 0);
	return NULL;
}

static bool returned_value(struct fort_rule *rule, const struct call *call, struct fort_value *out)
{
	uint32_t id;

	switch (call->helper->returns) {
	case FORT_RET_VOID: *out = (struct fort_value){0}; return true;
	case FORT_RET_MAP_VALUE:
		*out = fort_env_map_value(rule->env, rule->state, call->map_index);
		if (call->found && call->helper->number == BPF_FUNC_map_lookup_elem)
			return true;
		out->id = out->base;
		out->flags |= FORT_MAYBE_NULL;
		return true;
	case FORT_RET_RING_MEM:
		if (!fort_ref_acquire(rule, &id))
			return false;
		*out = fort_value_pointer(FORT_RING_MEM, call->const_size);
		out->id = id;
		out->ref = id;
		out->flags = FORT_MAYBE_NULL;
		return true;
	case FORT_RET_LENGTH:
		*out = fort_value_number(
			fort_scalar_signed_range(-FORT_ERRNO_MAX, (int64_t)call->most));
		return true;
	default: *out = fort_value_unknown(); return true;
	}
}

/* Effects of helpers of their own. */
static bool own_effect(struct fort_rule *rule, const struct call *call)
{
	switch (call->helper->number) {
	case BPF_FUNC_spin_lock: fort_rule_lock(rule, FORT_R1); return true;
	case BPF_FUNC_spin_unlock: return fort_rule_unlock(rule, FORT_R1);
	case BPF_FUNC_timer_init: return fort_rule_timer_map(rule, FORT_R1, FORT_R2);
	case BPF_FUNC_timer_set_callback: return fort_rule_call_later(rule, FORT_R1, FORT_R2);
	default: return true;
	}
}

bool fort_rule_call(struct fort_rule *rule)
{
	struct call call = {.helper = allowed_helper(rule)};
	struct fort_value result;

	if (!call.helper)
		return false;
	for (unsigned reg = FORT_R1; reg <= FORT_R5; reg++)
		if (!check_arg(rule, &call, reg))
			return false;
	if (!own_effect(rule, &call))
		return false;
	for (unsigned i = 0; i < call.n_written; i++)
		fort_stack_clobber(&call.written[i]);
	if (call.released)
		fort_ref_release(rule->state, call.released);
	if (call.helper->flags & FORT_HELPER_CALLS) {
		if (!fort_rule_call_back(rule, call.helper, call.map_index))
			return false;
		result = fort_rule_called_back(rule, call.helper);
	} else if (!returned_value(rule, &call, &result)) {
		return false;
	}
	for (unsigned reg = FORT_R1; reg <= FORT_R5; reg++)
		*fort_rule_reg(rule, reg) = (struct fort_value){0};
	*fort_rule_reg(rule, FORT_R0) = result;
	return true;
}
