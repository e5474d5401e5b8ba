/* What values of maps hold besides bytes: locks, timers and their like, which only helpers may
 * touch, and what those helpers do. (K: check_map_access, process_spin_lock, process_timer_func.)
 */
#include "step/rules.h"

const struct fort_btf_field *fort_env_field(const struct fort_env *env, uint32_t map,
					    enum fort_btf_field_kind kind)
{
	const struct fort_btf_record *record = fort_env_record(env, map);

	for (uint32_t i = 0; record && i < record->count; i++)
		if (record->fields[i].kind == kind)
			return &record->fields[i];
	return NULL;
}

struct fort_value fort_env_map_value(const struct fort_env *env, struct fort_state *state,
				     uint32_t map, uint32_t base)
{
	struct fort_value value = fort_value_pointer(FORT_MAP_VALUE, map);

	if (fort_env_field(env, map, FORT_FIELD_SPIN_LOCK)) {
		value.base = state->next_id++;
		value.flags = FORT_LOCKABLE;
	} else if (fort_env_field(env, map, FORT_FIELD_TIMER)) {
		value.base =
			base; /* of all values of one inner map: that is what matters of them */
	}
	return value;
}

struct fort_value fort_rule_map_value(struct fort_rule *rule, uint32_t map, uint32_t base)
{
	return fort_env_map_value(rule->env, rule->state, map, base);
}

static bool is_pointer(uint8_t kind)
{
	return kind == FORT_FIELD_KPTR || kind == FORT_FIELD_KPTR_UNTRUSTED ||
	       kind == FORT_FIELD_KPTR_PERCPU || kind == FORT_FIELD_UPTR;
}

bool fort_rule_beside_fields(struct fort_rule *rule, const struct fort_reach *reach)
{
	const struct fort_value *base = fort_rule_reg(rule, reach->reg);
	const struct fort_btf_record *record = fort_env_record(rule->env, base->object);
	struct fort_scalar at = fort_scalar_plus(&base->num, reach->off);
	int64_t low = fort_scalar_smin(&at), high = fort_scalar_smax(&at) + reach->bytes;

	for (uint32_t i = 0; record && i < record->count; i++) {
		const struct fort_btf_field *field = &record->fields[i];
		enum fort_diag diag;

		if (low >= (int64_t)field->offset + field->bytes || high <= field->offset)
			continue;
		if (!is_pointer(field->kind))
			diag = FORT_DIAG_VALUE_FIELD;
		else
			diag = reach->helper ? FORT_DIAG_KPTR_HELPER : FORT_DIAG_KPTR_LATER;
		return fort_rule_bad(rule, diag, reach->reg, low, reach->bytes, reach->write,
				     field->kind);
	}
	return true;
}

/* The argument is exactly the field of this kind, in a map's value. */
static bool field_arg(struct fort_rule *rule, unsigned reg, uint8_t kind)
{
	const struct fort_value *value = fort_rule_reg(rule, reg);
	int64_t off = fort_scalar_smin(&value->num);
	const struct fort_btf_field *field;

	if (!fort_scalar_is_const(&value->num))
		return fort_rule_bad(rule, FORT_DIAG_FIELD_VARIABLE, reg, kind, 0, 0, 0);
	if (!fort_env_record(rule->env, value->object))
		return fort_rule_bad(rule, FORT_DIAG_FIELD_NO_BTF, reg, kind, 0, 0, 0);
	field = fort_env_field(rule->env, value->object, kind);
	if (!field)
		return fort_rule_bad(rule, FORT_DIAG_FIELD_NONE, reg, kind, 0, 0, 0);
	if (off != field->offset)
		return fort_rule_bad(rule, FORT_DIAG_FIELD_OFFSET, reg, kind, off, field->offset,
				     0);
	return true;
}

/* --- spin locks --- */

bool fort_rule_lock_allows(struct fort_rule *rule)
{
	const struct fort_insn *insn = rule->insn;
	const struct fort_helper_info *helper;

	if (!rule->state->lock.type || insn->op == FORT_OP_LOCAL)
		return true;
	helper = insn->op == FORT_OP_HELPER ? fort_helper_by_number((uint32_t)insn->imm) : NULL;
	if (helper && (helper->flags & FORT_HELPER_UNDER_LOCK))
		return true;
	return fort_rule_bad(rule, FORT_DIAG_LOCK_CALL, FORT_REGS, 0, 0, 0, 0);
}

bool fort_rule_arg_lock(struct fort_rule *rule, unsigned reg)
{
	return field_arg(rule, reg, FORT_FIELD_SPIN_LOCK);
}

void fort_rule_lock(struct fort_rule *rule, unsigned reg)
{
	const struct fort_value *value = fort_rule_reg(rule, reg);

	/* No other can be held: nothing but the unlocking may be called then. */
	rule->state->lock = (struct fort_value){.type = value->type,
						.flags = value->flags,
						.object = value->object,
						.base = value->base,
						.num = fort_scalar_const(0)};
}

/* Which value of a map it is does not matter where there is only one; of inner maps there may be
 * more. */
static bool is_single(const struct fort_rule *rule, uint32_t map)
{
	const struct fort_map_shape *shape = &rule->env->maps[map];
	const struct fort_map_info *info = fort_map_info_of(shape);

	return map < rule->env->n_maps && info && (info->traits & FORT_TRAIT_DIRECT) &&
	       shape->max_entries == 1;
}

bool fort_rule_unlock(struct fort_rule *rule, unsigned reg)
{
	const struct fort_value *value = fort_rule_reg(rule, reg), *held = &rule->state->lock;

	if (!held->type)
		return fort_rule_bad(rule, FORT_DIAG_UNLOCK_NONE, reg, 0, 0, 0, 0);
	if (held->type != value->type || held->object != value->object ||
	    ((!held->base || held->base != value->base) && !is_single(rule, value->object)))
		return fort_rule_bad(rule, FORT_DIAG_UNLOCK_OTHER, reg, 0, 0, 0, 0);
	rule->state->lock = (struct fort_value){0};
	return true;
}

/* --- timers --- */

bool fort_rule_arg_timer(struct fort_rule *rule, unsigned reg)
{
	return field_arg(rule, reg, FORT_FIELD_TIMER);
}

bool fort_rule_timer_map(struct fort_rule *rule, unsigned timer, unsigned map)
{
	const struct fort_value *of = fort_rule_reg(rule, map), *in = fort_rule_reg(rule, timer);

	if (in->object == of->object &&
	    (of->object < rule->env->n_maps || (of->base && of->base == in->base)))
		return true;
	return fort_rule_bad(rule, FORT_DIAG_TIMER_MAP, map, 0, 0, 0, 0);
}

bool fort_rule_call_later(struct fort_rule *rule, unsigned timer, unsigned func)
{
	const struct fort_root root = {.kind = FORT_ROOT_ASYNC,
				       .subprog = fort_rule_reg(rule, func)->object,
				       .object = fort_rule_reg(rule, timer)->object};

	return fort_rule_demand(rule, &root);
}
