/* Memory arguments: of a size that another argument says, that the kind fixes, or that the map has.
 * (K: check_helper_mem_access, check_mem_size_reg)
 */
#include "step/call.h"

#include "abi/uapi.h"

/* Stack memory that is only to be written need not be initialised, if it is known which it is. */
static bool stack_memory(struct fort_rule *rule, struct fort_call *call,
			 const struct fort_reach *reach, const struct fort_arg_info *info)
{
	bool filled = info->flags & FORT_ARG_UNINIT && !reach->size;
	struct fort_stack_reach where;

	if (!fort_rule_in_stack(rule, reach, &where))
		return false;
	if ((!filled || !where.fixed) && !fort_stack_readable(rule, reach, &where))
		return false;
	if (!reach->write)
		return true;
	if (!fort_stack_breakable(rule, reach, &where))
		return false;
	/* Of a buffer that may be filled in part, nothing is surely written. */
	if (!filled)
		where.fixed = false;
	call->written[call->n_written++] = where;
	return true;
}

static bool is_nothing(const struct fort_reach *reach, const struct fort_value *value)
{
	uint64_t number;

	return reach->zero_ok && !reach->bytes && fort_value_known(value, &number) && !number;
}

/* [pointer, pointer + bytes) is the program's and may be used this way. */
static bool is_memory(struct fort_rule *rule, struct fort_call *call,
		      const struct fort_reach *reach, const struct fort_arg_info *info)
{
	const struct fort_value *value = fort_rule_reg(rule, reach->reg);

	/* Some helpers take NULL, but not in place of bytes. */
	if (value->flags & FORT_MAYBE_NULL && reach->bytes && info->base == FORT_BASE_MEM)
		return fort_call_bad(rule, call, reach->reg, FORT_DIAG_ARG_NULL_BYTES);
	switch (value->type) {
	case FORT_MAP_VALUE: return fort_rule_in_value(rule, reach);
	case FORT_MAP_KEY: return fort_rule_in_key(rule, reach);
	case FORT_MEM:
	case FORT_RING_MEM: return fort_rule_in_memory(rule, reach);
	case FORT_BUF: return fort_rule_in_buffer(rule, reach);
	case FORT_PACKET:
	case FORT_PACKET_META: return fort_rule_in_packet(rule, reach);
	case FORT_STACK: return stack_memory(rule, call, reach, info);
	case FORT_BTF: return fort_call_bad(rule, call, reach->reg, FORT_DIAG_BTF_LATER);
	default:
		return is_nothing(reach, value) ||
		       fort_call_bad(rule, call, reach->reg, FORT_DIAG_ARG_NULL_BYTES);
	}
}

static struct fort_reach helper_reach(unsigned reg, uint32_t bytes,
				      const struct fort_arg_info *info)
{
	return (struct fort_reach){
		.reg = reg, .bytes = bytes, .write = info->flags & FORT_ARG_WRITE, .helper = true};
}

/* --- sizes --- */

/* Memory of a size that is not in the next argument; what is, is looked at there. */
bool fort_call_memory(struct fort_rule *rule, struct fort_call *call, unsigned reg,
		      const struct fort_arg_info *info)
{
	const struct fort_value *value = fort_rule_reg(rule, reg);
	struct fort_reach reach = helper_reach(reg, info->bytes, info);
	uint64_t low = info->bytes - 1;

	if (!info->bytes)
		return true;
	if (!is_memory(rule, call, &reach, info))
		return false;
	if (info->flags & FORT_ARG_ALIGNED &&
	    ((value->num.bits.value | value->num.bits.mask) & low))
		return fort_rule_bad(rule, FORT_DIAG_ARG_MISALIGNED, reg,
				     fort_scalar_smin(&value->num), 0, info->bytes,
				     call->helper->number);
	return true;
}

/* The size of the memory in the register before it. */
bool fort_call_size(struct fort_rule *rule, struct fort_call *call, unsigned reg)
{
	const struct fort_arg_info *info = &fort_args[call->helper->args[reg - 2]];
	const struct fort_value *size = fort_rule_reg(rule, reg);
	struct fort_reach reach = helper_reach(reg - 1, 0, info);
	uint64_t low = fort_scalar_umin(&size->num), high = fort_scalar_umax(&size->num);

	reach.zero_ok = fort_args[call->helper->args[reg - 1]].flags & FORT_ARG_ZERO_OK;
	if (fort_scalar_smin(&size->num) < 0)
		return fort_rule_bad(rule, FORT_DIAG_SIZE_NEGATIVE, reg,
				     fort_scalar_smin(&size->num), 0, 0, 0);
	if (!low && !reach.zero_ok)
		return fort_rule_bad(rule, FORT_DIAG_SIZE_ZERO, reg, (int64_t)low, (int64_t)high, 0,
				     0);
	if (high >= FORT_ACCESS_BYTES_MAX)
		return fort_rule_bad(rule, FORT_DIAG_SIZE_UNBOUNDED, reg, (int64_t)high, 0, 0, 0);
	call->most = high;
	reach.bytes = (uint32_t)high;
	reach.size = low != high ? size : NULL;
	return is_memory(rule, call, &reach, info);
}

/* --- keys and values --- */

/* Arrays have a value for each index. In maps of maps they may have another number of them, if they
 * were made for that. (K: get_constant_map_key, can_elide_value_nullness, array_map_meta_equal) */
static void look_up(struct fort_rule *rule, struct fort_call *call, const struct fort_reach *reach)
{
	const struct fort_value *value = fort_rule_reg(rule, reach->reg);
	bool array = call->map->type == BPF_MAP_TYPE_ARRAY ||
		     call->map->type == BPF_MAP_TYPE_PERCPU_ARRAY;
	struct fort_stack_reach where;
	uint64_t index;

	if (!array || value->type != FORT_STACK ||
	    (call->map_index >= rule->env->n_maps && call->map->flags & BPF_F_INNER_MAP) ||
	    !fort_rule_in_stack(rule, reach, &where))
		return;
	call->found = fort_stack_known(reach, &where, &index) && index < call->map->max_entries;
}

bool fort_call_key(struct fort_rule *rule, struct fort_call *call, unsigned reg)
{
	const struct fort_arg_info *info = &fort_args[FORT_ARG_KEY];
	struct fort_reach reach = helper_reach(reg, call->map->key_bytes, info);

	if (!is_memory(rule, call, &reach, info))
		return false;
	look_up(rule, call, &reach);
	return true;
}

bool fort_call_value(struct fort_rule *rule, struct fort_call *call, unsigned reg,
		     const struct fort_arg_info *info)
{
	struct fort_reach reach = helper_reach(reg, call->map->value_bytes, info);
	uint64_t number;

	if (info->flags & FORT_ARG_NULL_OK && fort_value_known(fort_rule_reg(rule, reg), &number) &&
	    !number)
		return true;
	return is_memory(rule, call, &reach, info);
}

/* --- texts --- */

/* A text that is there when the program is loaded. (K: check_reg_const_str) */
bool fort_call_const_str(struct fort_rule *rule, struct fort_call *call, unsigned reg)
{
	const struct fort_value *value = fort_rule_reg(rule, reg);
	const uint8_t *constant = fort_env_constant(rule->env, value->object);
	const struct fort_map_shape *map = &rule->env->maps[value->object];
	struct fort_reach reach = {.reg = reg, .helper = true};
	uint64_t off;

	if (!constant)
		return fort_call_bad(rule, call, reg, FORT_DIAG_STR_WRITABLE);
	if (!fort_scalar_is_const(&value->num))
		return fort_call_bad(rule, call, reg, FORT_DIAG_STR_VARIABLE);
	off = fort_scalar_umin(&value->num);
	reach.bytes = off < map->value_bytes ? map->value_bytes - (uint32_t)off : 0;
	if (!fort_rule_in_value(rule, &reach))
		return false;
	for (uint32_t i = 0; i < reach.bytes; i++)
		if (!constant[off + i])
			return true;
	return fort_call_bad(rule, call, reg, FORT_DIAG_STR_ENDLESS);
}
