/* Accesses to objects: is what they touch inside, and may it be touched? */
#include "step/rules.h"

#include <string.h>

#include "abi/uapi.h"

/* --- objects of known size --- */

/* Is the end of a sized access known to be inside, whatever is known of its parts alone? */
static bool sum_fits(const struct fort_rule *rule, const struct fort_reach *reach, int64_t limit)
{
	const struct fort_value *base = fort_rule_reg(rule, reach->reg);

	return reach->size && fort_relate_most(rule->state, base, reach->size, NULL) <= limit;
}

bool fort_rule_in_object(struct fort_rule *rule, const struct fort_reach *reach, int64_t limit,
			 enum fort_diag bounds)
{
	const struct fort_value *base = fort_rule_reg(rule, reach->reg);
	struct fort_scalar at = fort_scalar_plus(&base->num, reach->off);
	int64_t low = fort_scalar_smin(&at), high = fort_scalar_smax(&at);
	int64_t bytes = reach->bytes;
	bool some = bytes || reach->zero_ok;

	if (low >= 0 && some &&
	    ((high <= limit && bytes <= limit - high) || sum_fits(rule, reach, limit)))
		return true;
	if (fort_scalar_is_const(&at))
		return fort_rule_bad(rule, bounds, reach->reg, low, bytes, reach->write, limit);
	if (low < 0 && high >= 0 && low == INT64_MIN)
		return fort_rule_bad(rule, FORT_DIAG_MEM_MIN_NEGATIVE, reach->reg, low, bytes,
				     reach->write, limit);
	if (low < 0)
		return fort_rule_bad(rule,
				     fort_scalar_smin(&base->num) < 0 ? FORT_DIAG_MEM_MIN_NEGATIVE
								      : FORT_DIAG_MEM_MIN,
				     reach->reg, low, bytes, reach->write, limit);
	if (low > limit || bytes > limit - low || !some)
		return fort_rule_bad(rule, FORT_DIAG_MEM_MIN, reach->reg, low, bytes, reach->write,
				     limit);
	if (high >= FORT_PTR_OFFSET_MAX)
		return fort_rule_bad(rule, FORT_DIAG_MEM_UNBOUNDED, reach->reg, high, bytes,
				     reach->write, limit);
	return fort_rule_bad(rule, FORT_DIAG_MEM_MAX, reach->reg, high, bytes, reach->write, limit);
}

bool fort_rule_in_memory(struct fort_rule *rule, const struct fort_reach *reach)
{
	const struct fort_value *base = fort_rule_reg(rule, reach->reg);
	enum fort_diag bounds =
		base->type == FORT_RING_MEM ? FORT_DIAG_RING_BOUNDS : FORT_DIAG_MEM_BOUNDS;

	if (reach->write && (base->flags & FORT_RDONLY))
		return fort_rule_bad(rule, FORT_DIAG_MEM_WRITE, reach->reg,
				     fort_scalar_smin(&base->num), reach->bytes, 1, base->object);
	return fort_rule_in_object(rule, reach, base->object, bounds);
}

/* --- keys and values of maps --- */

bool fort_map_is_fixed(const struct fort_map_shape *map)
{
	const struct fort_map_info *info = fort_map_info_of(map);

	return map->flags & BPF_F_RDONLY_PROG || (info && info->traits & FORT_TRAIT_FIXED);
}

/* Fields that are more than bytes are for the helpers that know them. */
static bool spares_fields(struct fort_rule *rule, const struct fort_reach *reach)
{
	const struct fort_value *base = fort_rule_reg(rule, reach->reg);
	const struct fort_btf_record *record = fort_env_record(rule->env, base->object);
	int64_t low = fort_scalar_smin(&base->num) + reach->off;
	int64_t end = fort_scalar_smax(&base->num) + reach->off + reach->bytes;

	for (uint32_t i = 0; record && i < record->count; i++) {
		const struct fort_btf_field *field = &record->fields[i];
		bool touched = low < (int64_t)field->offset + field->bytes && field->offset < end;
		bool pointer = field->kind == FORT_FIELD_KPTR ||
			       field->kind == FORT_FIELD_KPTR_UNTRUSTED ||
			       field->kind == FORT_FIELD_KPTR_PERCPU ||
			       field->kind == FORT_FIELD_UPTR;

		if (touched)
			return fort_rule_bad(rule,
					     pointer ? FORT_DIAG_KPTR_LATER : FORT_DIAG_VALUE_FIELD,
					     reach->reg, low, reach->bytes, reach->write,
					     field->kind);
	}
	return true;
}

bool fort_rule_in_value(struct fort_rule *rule, const struct fort_reach *reach)
{
	const struct fort_value *base = fort_rule_reg(rule, reach->reg);
	const struct fort_map_shape *map = &rule->env->maps[base->object];
	int64_t off = fort_wrap_add(fort_scalar_smin(&base->num), reach->off);

	if (reach->write && fort_map_is_fixed(map))
		return fort_rule_bad(rule, FORT_DIAG_VALUE_WRITE, reach->reg, off, reach->bytes, 1,
				     map->value_bytes);
	if (!reach->write && (map->flags & BPF_F_WRONLY_PROG))
		return fort_rule_bad(rule, FORT_DIAG_VALUE_READ, reach->reg, off, reach->bytes, 0,
				     map->value_bytes);
	return fort_rule_in_object(rule, reach, map->value_bytes, FORT_DIAG_VALUE_BOUNDS) &&
	       spares_fields(rule, reach);
}

struct fort_value fort_rule_value_load(const struct fort_rule *rule, const struct fort_reach *reach)
{
	const struct fort_value *base = fort_rule_reg(rule, reach->reg);
	const uint8_t *constant = fort_env_constant(rule->env, base->object);
	struct fort_scalar at = fort_scalar_plus(&base->num, reach->off);
	uint64_t word = 0;

	if (!constant || !fort_scalar_is_const(&at))
		return fort_value_number(fort_scalar_of_width(reach->bytes * 8));
	memcpy(&word, constant + fort_scalar_umin(&at), reach->bytes);
	return fort_value_const(word);
}

bool fort_rule_in_key(struct fort_rule *rule, const struct fort_reach *reach)
{
	const struct fort_value *base = fort_rule_reg(rule, reach->reg);

	if (reach->write)
		return fort_rule_bad(rule,
				     reach->helper ? FORT_DIAG_MEM_WRITE : FORT_DIAG_KEY_WRITE,
				     reach->reg, 0, 0, 0, 0);
	return fort_rule_in_object(rule, reach, rule->env->maps[base->object].key_bytes,
				   FORT_DIAG_KEY_BOUNDS);
}

/* --- objects that the kernel's tables describe --- */

/* K: check_sock_access, check_flow_keys_access. They stay where they are, or move by constants. */
bool fort_rule_behind(struct fort_rule *rule, const struct fort_reach *reach)
{
	const struct fort_value *base = fort_rule_reg(rule, reach->reg);
	bool keys = base->type == FORT_FLOW_KEYS;
	struct fort_scalar at = fort_scalar_plus(&base->num, reach->off);
	int64_t off = fort_scalar_smin(&at);

	if (reach->write && !keys)
		return fort_rule_bad(rule, FORT_DIAG_MEM_WRITE, reach->reg, off, reach->bytes, 1,
				     0);
	if (fort_scalar_is_const(&at) &&
	    fort_behind_access(fort_value_regtype(base), off, reach->bytes, reach->write))
		return true;
	return fort_rule_bad(rule, keys ? FORT_DIAG_FLOW_KEYS : FORT_DIAG_SOCK_ACCESS, reach->reg,
			     off, reach->bytes, reach->write, 0);
}

/* Buffers whose size is known where the program is attached: at a constant offset. */
bool fort_rule_in_buffer(struct fort_rule *rule, const struct fort_reach *reach)
{
	const struct fort_value *base = fort_rule_reg(rule, reach->reg);
	struct fort_scalar at = fort_scalar_plus(&base->num, reach->off);
	int64_t off = fort_scalar_smin(&at);

	if (reach->write && (base->flags & FORT_RDONLY))
		return fort_rule_bad(rule, FORT_DIAG_MEM_WRITE, reach->reg, off, reach->bytes, 1,
				     0);
	if (!fort_scalar_is_const(&at))
		return fort_rule_bad(rule, FORT_DIAG_BUFFER_VARIABLE, reach->reg, reach->off,
				     reach->bytes, reach->write, 0);
	if (off < 0 || off > (int64_t)FORT_ACCESS_BYTES_MAX)
		return fort_rule_bad(rule, FORT_DIAG_BUFFER_BOUNDS, reach->reg, off, reach->bytes,
				     reach->write, 0);
	return true;
}
