/* Writing claims. Not trusted: whatever is written here is checked when it is read. */
#include "proof/claim.h"

#include <errno.h>
#include <string.h>

#include "proof/claim_format.h"

static uint64_t zigzag(int64_t value)
{
	return (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
}

/* All words of so many bits, and nothing less? 64 for no. */
static unsigned width_of(const struct fort_scalar *num)
{
	unsigned bits = (unsigned)__builtin_popcountll(num->arc.size);
	struct fort_scalar all = fort_scalar_of_width(bits);

	return !num->arc.base && !memcmp(num, &all, sizeof(all)) ? bits : 64;
}

static void put_number(struct fort_buf *buf, const struct fort_scalar *num)
{
	unsigned width = width_of(num);
	uint8_t views = 0;

	if (fort_scalar_is_const(num)) {
		fort_buf_u8(buf, FORT_VIEW_CONST);
		fort_buf_varint(buf, num->arc.base);
		return;
	}
	if (width < 64) {
		fort_buf_u8(buf, FORT_VIEW_WIDTH);
		fort_buf_varint(buf, width);
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

static bool is_any(const struct fort_scalar *num)
{
	return num->arc.size == UINT64_MAX && num->bits.mask == UINT64_MAX &&
	       num->low.size == UINT32_MAX;
}

static bool is_zero(const struct fort_scalar *num)
{
	return fort_scalar_is_const(num) && !num->arc.base;
}

static void put_value(struct fort_buf *buf, const struct fort_value *value)
{
	bool number = value->type == FORT_NUM;
	uint8_t parts = 0;

	parts |= value->object ? FORT_PART_OBJECT : 0;
	parts |= value->frame ? FORT_PART_FRAME : 0;
	parts |= value->flags ? FORT_PART_FLAGS : 0;
	parts |= value->id ? FORT_PART_ID : 0;
	parts |= value->ref ? FORT_PART_REF : 0;
	parts |= value->base ? FORT_PART_BASE : 0;
	parts |= value->sym ? FORT_PART_RELATED : 0;
	parts |= (number ? !is_any(&value->num) : !is_zero(&value->num)) ? FORT_PART_NUM : 0;
	fort_buf_u8(buf, value->type);
	fort_buf_u8(buf, parts);
	if (parts & FORT_PART_OBJECT)
		fort_buf_varint(buf, value->object);
	if (parts & FORT_PART_FRAME)
		fort_buf_varint(buf, value->frame);
	if (parts & FORT_PART_FLAGS)
		fort_buf_varint(buf, value->flags);
	if (parts & FORT_PART_ID)
		fort_buf_varint(buf, value->id);
	if (parts & FORT_PART_REF)
		fort_buf_varint(buf, value->ref);
	if (parts & FORT_PART_BASE)
		fort_buf_varint(buf, value->base);
	if (parts & FORT_PART_RELATED) {
		fort_buf_varint(buf, value->sym);
		fort_buf_varint(buf, zigzag(value->delta));
	}
	if (parts & FORT_PART_NUM)
		put_number(buf, &value->num);
}

/* Those that have a value. */
static uint32_t registers_of(const struct fort_frame *frame)
{
	uint32_t mask = 0;

	for (unsigned r = 0; r < FORT_R10; r++)
		mask |= frame->regs[r].type ? 1u << r : 0;
	return mask;
}

static void put_registers(struct fort_buf *buf, const struct fort_frame *frame)
{
	uint32_t mask = registers_of(frame);

	fort_buf_varint(buf, mask);
	for (unsigned r = 0; r < FORT_R10; r++)
		if (mask >> r & 1)
			put_value(buf, &frame->regs[r]);
}

static bool is_blank(const struct fort_slot *slot)
{
	return !fort_slot_marks(slot);
}

/* Bytes of one kind, and no value? */
static bool is_plain(const struct fort_slot *slot)
{
	return slot->bytes[0] < FORT_BYTE_SPILL &&
	       fort_slot_marks(slot) == fort_marks_of(slot->bytes[0]);
}

/* How many slots above this one have the same bytes. */
static uint32_t run_of(const struct fort_frame *frame, uint32_t s)
{
	uint64_t marks = fort_slot_marks(&frame->slots[s]);
	uint32_t run = 0;

	while (run < s && fort_slot_marks(&frame->slots[s - run - 1]) == marks)
		run++;
	return run;
}

static void put_slot(struct fort_buf *buf, const struct fort_slot *slot)
{
	uint32_t each = 0;

	if (fort_slot_marks(slot) == fort_marks_of(slot->bytes[0])) {
		fort_buf_u8(buf, slot->bytes[0]);
	} else {
		for (unsigned i = 0; i < 8; i++)
			each |= (uint32_t)slot->bytes[i] << (3 * i);
		fort_buf_u8(buf, FORT_MARKS_EACH);
		fort_buf_varint(buf, each);
	}
	if (fort_slot_has_value(slot))
		put_value(buf, &slot->spill);
}

/* One slot, or as many as have the same bytes and no value: how many above it. */
static uint32_t put_slots_at(struct fort_buf *buf, const struct fort_frame *frame, uint32_t s)
{
	const struct fort_slot *slot = &frame->slots[s];
	uint32_t run;

	fort_buf_varint(buf, s);
	if (!is_plain(slot)) {
		put_slot(buf, slot);
		return 0;
	}
	run = run_of(frame, s);
	fort_buf_u8(buf, slot->bytes[0]);
	fort_buf_varint(buf, run);
	return run;
}

static uint32_t count_runs(const struct fort_frame *frame)
{
	uint32_t n = 0;

	for (uint32_t s = frame->n_slots; s-- > 0;) {
		const struct fort_slot *slot = &frame->slots[s];

		n += !is_blank(slot);
		if (!is_blank(slot) && is_plain(slot))
			s -= run_of(frame, s);
	}
	return n;
}

static void put_slots(struct fort_buf *buf, const struct fort_frame *frame)
{
	fort_buf_varint(buf, count_runs(frame));
	for (uint32_t s = frame->n_slots; s-- > 0;)
		if (!is_blank(&frame->slots[s]))
			s -= put_slots_at(buf, frame, s);
}

/* --- facts, about cells --- */

/* The first cell with each symbol. */
struct places {
	struct fort_cell cell[FORT_CLAIM_IDS_MAX + 1];
	bool known[FORT_CLAIM_IDS_MAX + 1];
};

static void place(struct places *places, const struct fort_value *value, struct fort_cell cell)
{
	if (!value->type || !value->sym || fort_scalar_is_const(&value->num) ||
	    places->known[value->sym])
		return;
	places->known[value->sym] = true;
	places->cell[value->sym] = cell;
}

static void find_places(struct places *places, const struct fort_state *state)
{
	memset(places->known, 0, state->next_id * sizeof(places->known[0]));
	for (uint32_t f = 0; f < state->n_frames; f++) {
		const struct fort_frame *frame = state->frames[f];

		for (unsigned r = 0; r < FORT_R10; r++)
			place(places, &frame->regs[r],
			      (struct fort_cell){FORT_CELL_REG, (uint8_t)f, (uint8_t)r});
		for (uint32_t s = 0; s < frame->n_slots; s++)
			if (fort_slot_has_value(&frame->slots[s]))
				place(places, &frame->slots[s].spill,
				      (struct fort_cell){FORT_CELL_SLOT, (uint8_t)f, (uint8_t)s});
		place(places, &frame->turns, (struct fort_cell){FORT_CELL_TURNS, (uint8_t)f, 0});
		place(places, &frame->goes, (struct fort_cell){FORT_CELL_GOES, (uint8_t)f, 0});
	}
	place(places, &state->packet, (struct fort_cell){.kind = FORT_CELL_PACKET});
	place(places, &state->meta, (struct fort_cell){.kind = FORT_CELL_META});
}

/* A fact as it is written. */
struct sentence {
	uint32_t codes[3];
	int64_t most;
	unsigned n_self; /* terms that only the ghost has */
	bool good;
};

/* A term S(sym) with this sign, through a cell: S(cell) - delta. */
static void put_term(struct sentence *out, unsigned at, uint32_t sym, int sign,
		     const struct fort_state *state, const struct places *places,
		     const struct fort_ghost *self)
{
	const struct fort_value *value;

	if (!sym)
		return;
	if (places->known[sym]) {
		value = fort_state_cell(state, places->cell[sym]);
		out->codes[at] = fort_cell_code(places->cell[sym]);
	} else if (self && self->value.sym == sym) {
		value = &self->value;
		out->codes[at] = FORT_CODE_SELF;
		out->n_self++;
	} else {
		out->good = false;
		return;
	}
	out->good &= !(sign > 0 ? __builtin_add_overflow(out->most, value->delta, &out->most)
				: __builtin_sub_overflow(out->most, value->delta, &out->most));
}

/* With the cells that have the symbols; those of `self` count too, NULL for none. */
static struct sentence say(const struct fort_fact *fact, const struct fort_state *state,
			   const struct places *places, const struct fort_ghost *self)
{
	struct sentence out = {.most = fact->most, .good = true};

	put_term(&out, 0, fact->a, 1, state, places, self);
	put_term(&out, 1, fact->b, 1, state, places, self);
	put_term(&out, 2, fact->c, -1, state, places, self);
	return out;
}

static void put_facts(struct fort_buf *buf, const struct fort_state *state,
		      const struct places *places, const struct fort_ghost *self)
{
	struct sentence list[FORT_FACTS_MAX];
	uint32_t n = 0;

	for (uint32_t i = 0; i < state->n_facts; i++) {
		list[n] = say(&state->facts[i], state, places, self);
		n += list[n].good && (!self || list[n].n_self);
	}
	fort_buf_varint(buf, n);
	for (uint32_t i = 0; i < n; i++) {
		for (unsigned k = 0; k < 3; k++)
			fort_buf_varint(buf, list[i].codes[k]);
		fort_buf_varint(buf, zigzag(list[i].most));
	}
}

/* A rate through the cells that have its symbols: factor * (S(cell) - delta), and so on. NULL buf:
 * only whether that can be said. */
static bool put_rate(struct fort_buf *buf, const struct fort_state *state,
		     const struct places *places, const struct fort_rate *rate)
{
	int64_t most = rate->most, moved;

	for (unsigned k = 0; k < FORT_RATE_TERMS; k++) {
		const struct fort_value *value;

		if (!rate->sym[k])
			continue;
		if (!places->known[rate->sym[k]])
			return false;
		value = fort_state_cell(state, places->cell[rate->sym[k]]);
		if (__builtin_mul_overflow(rate->factor[k], value->delta, &moved) ||
		    __builtin_add_overflow(most, moved, &most))
			return false;
	}
	for (unsigned k = 0; buf && k < FORT_RATE_TERMS; k++) {
		fort_buf_varint(buf, zigzag(rate->factor[k]));
		if (rate->factor[k])
			fort_buf_varint(buf, fort_cell_code(places->cell[rate->sym[k]]));
	}
	if (buf)
		fort_buf_varint(buf, zigzag(most));
	return true;
}

static uint32_t count_rates(const struct fort_state *state, const struct places *places)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < state->n_rates; i++)
		n += put_rate(NULL, state, places, &state->rates[i]);
	return n;
}

static void put_rates(struct fort_buf *buf, const struct fort_state *state,
		      const struct places *places)
{
	uint32_t n = count_rates(state, places);

	if (!n)
		return;
	fort_buf_varint(buf, n);
	for (uint32_t i = 0; i < state->n_rates; i++)
		(void)put_rate(buf, state, places, &state->rates[i]);
}

static void put_ghosts(struct fort_buf *out, const struct fort_state *state,
		       const struct places *places)
{
	for (uint32_t i = 0; i < state->n_ghosts; i++) {
		uint32_t bytes;
		size_t at;

		fort_buf_u32(out, state->ghosts[i].owner);
		fort_buf_u32(out, 0); /* the length, when it is known */
		at = out->bytes;
		put_value(out, &state->ghosts[i].value);
		put_facts(out, state, places, &state->ghosts[i]);
		if (out->err)
			return;
		bytes = (uint32_t)(out->bytes - at);
		memcpy(out->data + at - sizeof(bytes), &bytes, sizeof(bytes));
	}
}

/* A packet's length is between 0 and 2^32 - 1 without words. */
static bool says_nothing(const struct fort_value *length)
{
	struct fort_scalar any = fort_scalar_of_width(32);

	return !length->sym && fort_scalar_covers(&length->num, &any);
}

static void put_rest(struct fort_buf *buf, const struct fort_state *state,
		     const struct places *places)
{
	uint8_t which = 0;

	which |= says_nothing(&state->packet) ? 0 : FORT_SAID_PACKET;
	which |= says_nothing(&state->meta) ? 0 : FORT_SAID_META;
	which |= state->lock.type ? FORT_SAID_LOCK : 0;
	which |= count_rates(state, places) ? FORT_SAID_RATES : 0;
	fort_buf_u8(buf, which);
	if (which & FORT_SAID_PACKET)
		put_value(buf, &state->packet);
	if (which & FORT_SAID_META)
		put_value(buf, &state->meta);
	if (which & FORT_SAID_LOCK)
		put_value(buf, &state->lock);
}

static bool is_uncounted(const struct fort_value *counter)
{
	struct fort_value any = fort_value_counter();

	return !counter->sym && fort_scalar_covers(&counter->num, &any.num);
}

static void put_counters(struct fort_buf *buf, const struct fort_frame *frame)
{
	uint8_t which = 0;

	which |= is_zero(&frame->turns.num) ? 0 : FORT_SAID_TURNS;
	which |= is_uncounted(&frame->goes) ? 0 : FORT_SAID_GOES;
	fort_buf_u8(buf, which);
	if (which & FORT_SAID_TURNS)
		put_value(buf, &frame->turns);
	if (which & FORT_SAID_GOES)
		put_value(buf, &frame->goes);
}

void fort_claim_write(struct fort_buf *body, struct fort_buf *ghosts,
		      const struct fort_state *state)
{
	struct places places;

	if (state->next_id > FORT_CLAIM_IDS_MAX) {
		body->err = body->err ? body->err : -EFBIG;
		return;
	}
	if (state->n_facts || state->n_rates) /* only they name places */
		find_places(&places, state);
	fort_buf_u8(body, FORT_CLAIM_SAID);
	fort_buf_varint(body, state->next_id - 1);
	fort_buf_varint(body, state->n_refs);
	for (uint32_t i = 0; i < state->n_refs; i++)
		fort_buf_varint(body, state->refs[i].id);
	fort_buf_varint(body, state->n_frames);
	for (uint32_t f = 0; f < state->n_frames; f++) {
		const struct fort_frame *frame = state->frames[f];

		fort_buf_u8(body, frame->kind);
		fort_buf_varint(body, frame->subprog);
		fort_buf_varint(body, frame->return_pc);
		put_registers(body, frame);
		put_slots(body, frame);
		put_counters(body, frame);
	}
	put_rest(body, state, &places);
	put_facts(body, state, &places, NULL);
	put_rates(body, state, &places);
	put_ghosts(ghosts, state, &places);
}

void fort_claim_write_kept(struct fort_buf *out, const struct fort_state *state)
{
	fort_buf_u8(out, FORT_CLAIM_KEPT);
	fort_buf_varint(out, state->n_frames);
	for (uint32_t f = 0; f < state->n_frames; f++) {
		const struct fort_frame *frame = state->frames[f];
		uint64_t slots = 0;

		for (uint32_t s = 0; s < frame->n_slots; s++)
			slots |= (uint64_t)!is_blank(&frame->slots[s]) << s;
		fort_buf_varint(out, registers_of(frame));
		fort_buf_varint(out, slots);
		fort_buf_varint(out, !is_uncounted(&frame->goes));
	}
}
