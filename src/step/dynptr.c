/* Dynptrs: memory whose size is known when the program runs. In two slots of the stack, made and
 * changed by helpers and functions of the kernel only; or a constant one, to which a register
 * points. (K: process_dynptr_func, mark_stack_slots_dynptr)
 */
#include "step/dynptr.h"

/* Where it cannot be; the kernel says first what is wrong with the place. */
static bool bad_place(struct fort_rule *rule, unsigned reg, enum fort_place_fault fault, bool makes)
{
	int64_t off = fort_scalar_smin(&fort_rule_reg(rule, reg)->num);
	enum fort_diag diag;

	if (fault == FORT_PLACE_VARIABLE)
		diag = makes ? FORT_DIAG_DYNPTR_VARIABLE_NEW : FORT_DIAG_DYNPTR_VARIABLE;
	else
		diag = makes ? FORT_DIAG_DYNPTR_OFFSET_NEW : FORT_DIAG_DYNPTR_OFFSET;
	return fort_rule_bad(rule, diag, reg, off, reg - FORT_R1, 0, 0);
}

static bool check_new(struct fort_rule *rule, unsigned reg, struct fort_dynptr_arg *arg)
{
	/* K: words are written one by one */
	struct fort_reach reach = {.reg = reg, .bytes = 8, .write = true, .helper = true};
	struct fort_stack_reach where;
	enum fort_place_fault fault;

	if (fort_rule_reg(rule, reg)->type == FORT_DYNPTR)
		return fort_rule_bad(rule, FORT_DIAG_DYNPTR_NOT_NEW, reg, 0, reg - FORT_R1, 0, 0);
	fault = fort_place_find(rule, reg, FORT_DYNPTR_SLOTS, &arg->place);
	if (fault == FORT_PLACE_VARIABLE || fault == FORT_PLACE_OFFSET)
		return bad_place(rule, reg, fault, true);
	return fort_rule_in_stack(rule, &reach, &where) &&
	       fort_stack_breakable(rule, &reach, &where);
}

static bool find_old(struct fort_rule *rule, unsigned reg, struct fort_dynptr_arg *arg)
{
	const struct fort_value *value = fort_rule_reg(rule, reg), *object;
	enum fort_place_fault fault;

	if (value->type == FORT_DYNPTR) {
		arg->is_constant = true;
		arg->value = *value;
		return !arg->changes ||
		       fort_rule_bad(rule, FORT_DIAG_DYNPTR_CONSTANT, reg, 0, reg - FORT_R1, 0, 0);
	}
	fault = fort_place_find(rule, reg, FORT_DYNPTR_SLOTS, &arg->place);
	if (fault == FORT_PLACE_VARIABLE || fault == FORT_PLACE_OFFSET)
		return bad_place(rule, reg, fault, false);
	object = fault ? NULL : fort_place_object(&arg->place, FORT_DYNPTR);
	if (!object)
		return fort_rule_bad(rule, FORT_DIAG_DYNPTR_NONE, reg, 0, reg - FORT_R1, 0, 0);
	arg->value = *object;
	return true;
}

bool fort_dynptr_check(struct fort_rule *rule, unsigned reg, struct fort_dynptr_arg *arg)
{
	const struct fort_value *value = fort_rule_reg(rule, reg);

	arg->given = true;
	if (value->type != FORT_STACK && value->type != FORT_DYNPTR)
		return fort_rule_bad(rule, FORT_DIAG_DYNPTR_TYPE, reg, 0, reg - FORT_R1, 0, 0);
	if (arg->makes)
		return check_new(rule, reg, arg);
	if (!find_old(rule, reg, arg))
		return false;
	if (arg->kind != FORT_DYNPTR_ANY && arg->value.object != arg->kind)
		return fort_rule_bad(rule, FORT_DIAG_DYNPTR_KIND, reg, arg->kind, reg - FORT_R1,
				     arg->value.object, 0);
	return true;
}

bool fort_dynptr_make(struct fort_rule *rule, const struct fort_dynptr_arg *arg, uint32_t ref)
{
	struct fort_value value = fort_value_pointer(FORT_DYNPTR, arg->kind);
	int32_t low = -8 * (int32_t)(arg->place.low + 1);
	struct fort_stack_reach where = {.frame = arg->place.frame,
					 .low = low,
					 .high = low + 8 * (int32_t)arg->place.n,
					 .fixed = true};

	if (!fort_slots_overwrite(rule, &where))
		return false;
	value.base = fort_rule_fresh(rule);
	value.ref = ref;
	fort_place_put(&arg->place, &value);
	return true;
}

bool fort_dynptr_is_packet(uint8_t kind)
{
	return kind == FORT_DYNPTR_SKB || kind == FORT_DYNPTR_XDP || kind == FORT_DYNPTR_SKB_META;
}
