/* Writing claims. Not trusted: whatever is written here is checked when it is read. */
#include "proof/claim.h"

#include <errno.h>
#include <string.h>

#include "proof/claim_format.h"

/* Old ids in the order of their first mention. Only ids that connect something are kept: a symbol
 * with one holder says nothing. */
struct names {
	uint32_t old[FORT_CLAIM_IDS_MAX];
	uint16_t holders[FORT_CLAIM_IDS_MAX];
	uint32_t n;
	bool over;
};

static uint32_t find(const struct names *names, uint32_t id)
{
	for (uint32_t i = 0; i < names->n; i++)
		if (names->old[i] == id)
			return i;
	return names->n;
}

static void hold(struct names *names, uint32_t id)
{
	uint32_t i = id ? find(names, id) : 0;

	if (!id)
		return;
	if (i == FORT_CLAIM_IDS_MAX) {
		names->over = true;
		return;
	}
	if (i == names->n) {
		names->old[names->n] = id;
		names->holders[names->n++] = 0;
	}
	names->holders[i]++;
}

/* What is mentioned of a state, in the order of the format. */
typedef void mention(const struct fort_value *value, bool exact, void *context);

static bool wants_reg(const struct fort_need *need, uint32_t frame, unsigned reg, bool *exact)
{
	*exact = !need || (need->frames[frame].exact_regs >> reg & 1);
	return !need || (need->frames[frame].regs >> reg & 1);
}

static bool wants_slot(const struct fort_need *need, uint32_t frame, uint32_t slot, bool *exact)
{
	*exact = !need || (need->frames[frame].exact_slots >> slot & 1);
	return !need || (need->frames[frame].slots >> slot & 1);
}

static bool is_number(const struct fort_value *value)
{
	return value->type == FORT_NUM;
}

static void count_value(struct names *names, const struct fort_value *value, bool exact)
{
	hold(names, value->id);
	hold(names, value->ref);
	if (exact || !is_number(value))
		hold(names, value->sym);
}

static void count_names(struct names *names, const struct fort_state *state,
			const struct fort_need *need)
{
	bool exact;

	for (uint32_t f = 0; f < state->n_frames; f++) {
		const struct fort_frame *frame = state->frames[f];

		for (unsigned r = 0; r < FORT_R10; r++)
			if (frame->regs[r].type && wants_reg(need, f, r, &exact))
				count_value(names, &frame->regs[r], exact);
		for (uint32_t s = 0; s < frame->n_slots; s++)
			if (fort_slot_spilled(&frame->slots[s]) && wants_slot(need, f, s, &exact))
				count_value(names, &frame->slots[s].spill, exact);
	}
	for (uint32_t i = 0; i < state->n_refs; i++)
		hold(names, state->refs[i].id);
}

static void put_name(struct fort_buf *buf, const struct names *names, uint32_t id)
{
	fort_buf_varint(buf, find(names, id) + 1);
}

static uint64_t zigzag(int64_t value)
{
	return (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
}

static void put_number(struct fort_buf *buf, const struct fort_scalar *num)
{
	uint8_t views = 0;

	if (fort_scalar_is_const(num)) {
		fort_buf_u8(buf, FORT_VIEW_CONST);
		fort_buf_varint(buf, num->arc.base);
		return;
	}
	views |= num->arc.size != UINT64_MAX ? FORT_VIEW_ARC : 0;
	views |= num->bits.mask != UINT64_MAX ? FORT_VIEW_BITS : 0;
	views |= num->low.size != UINT32_MAX ? FORT_VIEW_LOW : 0;
	fort_buf_u8(buf, views);
	if (views & FORT_VIEW_ARC) {
		fort_buf_varint(buf, num->arc.base);
		fort_buf_varint(buf, num->arc.size);
	}
	if (views & FORT_VIEW_BITS) {
		fort_buf_varint(buf, num->bits.value);
		fort_buf_varint(buf, num->bits.mask);
	}
	if (views & FORT_VIEW_LOW) {
		fort_buf_varint(buf, num->low.base);
		fort_buf_varint(buf, num->low.size);
	}
}

static void put_value(struct fort_buf *buf, const struct names *names,
		      const struct fort_value *value, bool exact)
{
	bool number = is_number(value), related = false;
	uint8_t tag = value->type;

	if (value->sym && (exact || !number))
		related = names->holders[find(names, value->sym)] > 1;
	tag |= value->maybe_null ? FORT_TAG_MAYBE_NULL : 0;
	tag |= related ? FORT_TAG_RELATED : 0;
	tag |= number && !exact ? FORT_TAG_ANY : 0;
	tag |= value->ref ? FORT_TAG_REF : 0;
	fort_buf_u8(buf, tag);
	if (fort_type_has_object(value->type))
		fort_buf_varint(buf, value->object);
	if (value->type == FORT_STACK)
		fort_buf_varint(buf, value->frame);
	if (value->maybe_null)
		put_name(buf, names, value->id);
	if (value->ref)
		put_name(buf, names, value->ref);
	if (related) {
		put_name(buf, names, value->sym);
		fort_buf_varint(buf, zigzag(value->delta));
	}
	if (fort_type_has_range(value->type))
		fort_buf_varint(buf, zigzag(value->range));
	if (!(tag & FORT_TAG_ANY))
		put_number(buf, &value->num);
}

static void put_registers(struct fort_buf *buf, const struct names *names,
			  const struct fort_need *need, const struct fort_frame *frame, uint32_t f)
{
	uint32_t mask = 0;
	bool exact;

	for (unsigned r = 0; r < FORT_R10; r++)
		if (frame->regs[r].type && wants_reg(need, f, r, &exact))
			mask |= 1u << r;
	fort_buf_varint(buf, mask);
	for (unsigned r = 0; r < FORT_R10; r++)
		if (mask >> r & 1 && wants_reg(need, f, r, &exact))
			put_value(buf, names, &frame->regs[r], exact);
}

/* A slot whose numbers do not matter is any bytes; one without pointers or zeroes says nothing
 * that matters unless reading it was the point, so it is mentioned as it is. */
static void put_slot(struct fort_buf *buf, const struct names *names, const struct fort_slot *slot,
		     uint32_t index, bool exact)
{
	unsigned spilled = fort_slot_spilled(slot);
	bool plain = !exact && !(spilled && !is_number(&slot->spill));
	uint16_t bytes = 0;

	for (unsigned i = 0; i < 8; i++) {
		uint8_t byte = slot->bytes[i];

		if (plain && (byte == FORT_BYTE_SPILL || byte == FORT_BYTE_ZERO))
			byte = FORT_BYTE_MISC;
		bytes |= (uint16_t)(byte << (2 * i));
	}
	fort_buf_varint(buf, index);
	fort_buf_varint(buf, bytes);
	if (spilled && !plain)
		put_value(buf, names, &slot->spill, exact);
}

static bool is_blank(const struct fort_slot *slot)
{
	static const uint8_t blank[8];

	return !memcmp(slot->bytes, blank, sizeof(blank));
}

static void put_slots(struct fort_buf *buf, const struct names *names, const struct fort_need *need,
		      const struct fort_frame *frame, uint32_t f)
{
	uint32_t n = 0;
	bool exact;

	for (uint32_t s = 0; s < frame->n_slots; s++)
		n += !is_blank(&frame->slots[s]) && wants_slot(need, f, s, &exact);
	fort_buf_varint(buf, n);
	for (uint32_t s = 0; s < frame->n_slots; s++)
		if (!is_blank(&frame->slots[s]) && wants_slot(need, f, s, &exact))
			put_slot(buf, names, &frame->slots[s], s, exact);
}

void fort_claim_write(struct fort_buf *buf, const struct fort_state *state,
		      const struct fort_need *need)
{
	struct names names;

	names.n = 0;
	names.over = false;
	count_names(&names, state, need);
	if (names.over) {
		buf->err = buf->err ? buf->err : -EFBIG;
		return;
	}
	fort_buf_varint(buf, names.n);
	fort_buf_varint(buf, state->n_frames);
	for (uint32_t f = 0; f < state->n_frames; f++) {
		const struct fort_frame *frame = state->frames[f];

		fort_buf_varint(buf, frame->subprog);
		fort_buf_varint(buf, frame->return_pc);
		put_registers(buf, &names, need, frame, f);
		put_slots(buf, &names, need, frame, f);
	}
	fort_buf_varint(buf, state->n_refs);
	for (uint32_t i = 0; i < state->n_refs; i++)
		put_name(buf, &names, state->refs[i].id);
}
