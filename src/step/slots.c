/* Objects that live in stack slots: dynptrs and iterators. Each of an object's slots holds a value
 * that says which object it is, and which of its slots. (K: stack_slot_obj_get_spi,
 * destroy_if_dynptr_stack_slot)
 */
#include "step/slots.h"

#include <string.h>

static bool is_object(const struct fort_slot *slot)
{
	return slot->bytes[0] == FORT_BYTE_OBJECT;
}

static void clear(struct fort_slot *slot)
{
	memset(slot, 0, sizeof(*slot));
}

/* --- places --- */

enum fort_place_fault fort_place_find(struct fort_rule *rule, unsigned reg, uint32_t n,
				      struct fort_place *out)
{
	const struct fort_value *base = fort_rule_reg(rule, reg);
	int64_t off = fort_scalar_smin(&base->num);

	if (!fort_scalar_is_const(&base->num))
		return FORT_PLACE_VARIABLE;
	if (off % 8 || off > -8 * (int64_t)n)
		return FORT_PLACE_OFFSET;
	if (off < -(int64_t)FORT_STACK_BYTES)
		return FORT_PLACE_BELOW;
	*out = (struct fort_place){.frame = rule->state->frames[base->frame],
				   .low = (uint32_t)(-off / 8 - 1),
				   .n = n};
	return FORT_PLACE_GOOD;
}

const struct fort_value *fort_place_object(const struct fort_place *place, enum fort_type type)
{
	const struct fort_value *first;

	if (place->low >= place->frame->n_slots)
		return NULL;
	first = &place->frame->slots[place->low].spill;
	for (uint32_t i = 0; i < place->n; i++) {
		const struct fort_slot *slot = &place->frame->slots[place->low - i];
		const struct fort_value *part = &slot->spill;

		if (!is_object(slot) || part->type != type || part->frame != i ||
		    part->object != first->object || part->base != first->base ||
		    part->ref != first->ref)
			return NULL;
	}
	return first;
}

bool fort_place_touches(const struct fort_place *place, enum fort_type type)
{
	for (uint32_t i = 0; i < place->n && place->low < place->frame->n_slots; i++) {
		const struct fort_slot *slot = &place->frame->slots[place->low - i];

		if (is_object(slot) && slot->spill.type == type)
			return true;
	}
	return false;
}

void fort_place_put(const struct fort_place *place, const struct fort_value *value)
{
	for (uint32_t i = 0; i < place->n; i++) {
		struct fort_slot *slot = &place->frame->slots[place->low - i];

		memset(slot->bytes, FORT_BYTE_OBJECT, sizeof(slot->bytes));
		slot->spill = *value;
		slot->spill.frame = (uint8_t)i;
	}
}

void fort_place_clear(const struct fort_place *place)
{
	for (uint32_t i = 0; i < place->n; i++)
		clear(&place->frame->slots[place->low - i]);
}

/* --- what writes do to objects --- */

struct slices {
	uint32_t base;
};

static bool is_slice(const struct fort_value *value, const void *context)
{
	const struct slices *of = context;

	return value->type == FORT_MEM && value->base == of->base;
}

/* A dynptr of which a part is overwritten is none any more; nor is what was got from it. */
static bool end_dynptr(struct fort_rule *rule, struct fort_frame *frame, uint32_t index)
{
	const struct fort_value remains = fort_rule_remains(rule);
	struct fort_value value = frame->slots[index].spill;
	struct slices of = {value.base};
	uint32_t other = value.frame ? index + 1 : index - 1;

	if (value.ref)
		return fort_rule_bad(rule, FORT_DIAG_DYNPTR_OVERWRITE, FORT_REGS, 0, 0, 0, 0);
	clear(&frame->slots[index]);
	if (other < frame->n_slots && is_object(&frame->slots[other]) &&
	    frame->slots[other].spill.type == FORT_DYNPTR &&
	    frame->slots[other].spill.base == value.base)
		clear(&frame->slots[other]);
	if (of.base)
		fort_state_forget(rule->state, is_slice, &of, &remains);
	return true;
}

/* Of an iterator, the other slots stay what they are: parts of none. */
static void end_iterator(struct fort_slot *slot)
{
	clear(slot);
	memset(slot->bytes, FORT_BYTE_MISC, sizeof(slot->bytes));
}

bool fort_slots_overwrite(struct fort_rule *rule, const struct fort_stack_reach *where)
{
	for (int32_t off = where->low; off < where->high; off = (off | 7) + 1) {
		uint32_t index = (uint32_t)(-off - 1) / 8;
		struct fort_slot *slot = &where->frame->slots[index];

		if (!is_object(slot))
			continue;
		if (slot->spill.type == FORT_ITER)
			end_iterator(slot);
		else if (!end_dynptr(rule, where->frame, index))
			return false;
	}
	return true;
}

int32_t fort_slots_dynptr_in(const struct fort_stack_reach *where)
{
	for (int32_t off = where->low; off < where->high; off = (off | 7) + 1) {
		const struct fort_slot *slot = &where->frame->slots[(uint32_t)(-off - 1) / 8];

		if (is_object(slot) && slot->spill.type == FORT_DYNPTR)
			return off;
	}
	return 0;
}

void fort_slots_release(struct fort_state *state, uint32_t ref)
{
	for (uint32_t f = 0; f < state->n_frames; f++)
		for (uint32_t s = 0; s < state->frames[f]->n_slots; s++) {
			struct fort_slot *slot = &state->frames[f]->slots[s];

			if (is_object(slot) && slot->spill.ref == ref)
				clear(slot);
		}
}
