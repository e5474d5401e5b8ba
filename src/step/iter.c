/* Iterators: objects in the stack that functions of the kernel make, ask for one element after the
 * other, and end. One that has no more elements stays so. How many it gave is counted in its first
 * slot: nothing else keeps a loop over it from being endless. (K: process_iter_arg,
 * process_iter_next_call)
 */
#include "step/kfunc.h"

/* As many slots as an iterator may have: each has its number in a value. */
#define SLOTS_MAX 8u

static bool bad_place(struct fort_rule *rule, const struct fort_kcall *call, unsigned i,
		      enum fort_place_fault fault, bool makes)
{
	int64_t off = fort_scalar_smin(&fort_rule_reg(rule, FORT_R1 + i)->num);
	enum fort_diag diag = makes ? FORT_DIAG_ITER_NOT_NEW : FORT_DIAG_ITER_NONE;

	if (fault == FORT_PLACE_VARIABLE)
		diag = makes ? FORT_DIAG_ITER_VARIABLE_NEW : FORT_DIAG_ITER_VARIABLE;
	else if (fault == FORT_PLACE_OFFSET)
		diag = makes ? FORT_DIAG_ITER_OFFSET_NEW : FORT_DIAG_ITER_OFFSET;
	return fort_kcall_bad(rule, diag, i, off, call->iter.type);
}

static bool check_new(struct fort_rule *rule, struct fort_kcall *call, unsigned i, uint32_t n)
{
	/* K: words are written one by one */
	struct fort_reach reach = {.reg = FORT_R1 + i, .bytes = 8, .write = true, .helper = true};
	struct fort_stack_reach where;
	enum fort_place_fault fault = fort_place_find(rule, reach.reg, n, &call->iter.place);

	if (fault == FORT_PLACE_VARIABLE || fault == FORT_PLACE_OFFSET)
		return bad_place(rule, call, i, fault, true);
	if (!fort_rule_in_stack(rule, &reach, &where) ||
	    !fort_stack_breakable(rule, &reach, &where))
		return false;
	return !fort_place_touches(&call->iter.place, FORT_ITER) ||
	       bad_place(rule, call, i, FORT_PLACE_GOOD, true);
}

static bool find_old(struct fort_rule *rule, struct fort_kcall *call, unsigned i, uint32_t n)
{
	enum fort_place_fault fault = fort_place_find(rule, FORT_R1 + i, n, &call->iter.place);
	const struct fort_value *object =
		fault ? NULL : fort_place_object(&call->iter.place, FORT_ITER);

	if (!object || object->object != call->iter.type || !object->ref)
		return bad_place(rule, call, i, fault, false);
	call->iter.value = *object;
	call->held = object->ref;
	return true;
}

bool fort_kcall_iter(struct fort_rule *rule, struct fort_kcall *call, unsigned i)
{
	const struct fort_btf_value *wanted = &call->ref->proto.params[i].value;
	uint32_t n = wanted->target_bytes / 8;

	call->iter = (struct fort_iter_arg){.given = true, .type = wanted->type};
	if (fort_rule_reg(rule, FORT_R1 + i)->type != FORT_STACK)
		return fort_kcall_bad(rule, FORT_DIAG_ITER_TYPE, i, 0, wanted->type);
	if (wanted->pointee != FORT_POINTEE_ITERATOR || wanted->target_bytes % 8 || !n ||
	    n > SLOTS_MAX)
		return fort_kcall_bad(rule, FORT_DIAG_ITER_ODD, i, 0, wanted->type);
	if (fort_kcall_is(call, FORT_KFUNC_ITER_NEW))
		return check_new(rule, call, i, n);
	return find_old(rule, call, i, n);
}

/* --- what calls do --- */

static bool make(struct fort_rule *rule, const struct fort_kcall *call)
{
	const struct fort_place *place = &call->iter.place;
	struct fort_value value = fort_value_pointer(FORT_ITER, call->iter.type);
	int32_t low = -8 * (int32_t)(place->low + 1);
	struct fort_stack_reach where = {.frame = place->frame,
					 .low = low,
					 .high = low + 8 * (int32_t)place->n,
					 .fixed = true};

	if (!fort_slots_overwrite(rule, &where) || !fort_ref_acquire(rule, &value.ref))
		return false;
	if (fort_kcall_is(call, FORT_KFUNC_RCU_PROTECTED))
		value.flags = FORT_RCU;
	fort_place_put(place, &value);
	return true;
}

bool fort_iter_apply(struct fort_rule *rule, const struct fort_kcall *call)
{
	const struct fort_value remains = fort_rule_remains(rule);

	if (fort_kcall_is(call, FORT_KFUNC_ITER_NEW))
		return make(rule, call);
	if (fort_kcall_is(call, FORT_KFUNC_ITER_DESTROY)) {
		fort_place_clear(&call->iter.place);
		fort_ref_release(rule->state, call->iter.value.ref, &remains);
	}
	return true;
}

static struct fort_value *first_slot(struct fort_state *state, const struct fort_rule *rule,
				     const struct fort_place *place)
{
	for (uint32_t f = 0; f < state->n_frames; f++)
		if (rule->state->frames[f] == place->frame)
			return &state->frames[f]->slots[place->low].spill;
	return NULL;
}

bool fort_iter_next(struct fort_rule *rule, const struct fort_kcall *call,
		    const struct fort_value *element)
{
	const struct fort_place *place = &call->iter.place;
	struct fort_value *here = &place->frame->slots[place->low].spill, *there;
	struct fort_state *more;
	bool drained = here->flags & FORT_DRAINED;

	*fort_rule_reg(rule, FORT_R0) = fort_value_const(0);
	if (drained)
		return true;
	more = fort_state_clone(rule->pool, rule->state);
	if (!more)
		return fort_rule_no_memory(rule);
	here->flags |= FORT_DRAINED;
	there = first_slot(more, rule, place);
	if (!there || !fort_value_count(there)) {
		fort_state_free(rule->pool, more);
		return true;
	}
	*fort_state_reg(more, FORT_R0) = *element;
	rule->out->outcome = FORT_STEP_FORK;
	rule->out->other = more;
	rule->out->other_pc = rule->pc + 1;
	return true;
}
