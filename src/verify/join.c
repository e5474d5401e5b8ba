#include "verify/join.h"

#include <errno.h>
#include <string.h>

#include "step/integers.h"
#include "step/types.h"
#include "verify/join_parts.h"

/* --- what matters --- */

/* Bounds of the symbols of a state's rates, while values that have them are still there. */
struct bounds {
	int64_t low[FORT_RATES_MAX][FORT_RATE_TERMS], high[FORT_RATES_MAX][FORT_RATE_TERMS];
};

static void note_bounds(const struct fort_state *state, struct bounds *bounds)
{
	for (uint32_t i = 0; i < state->n_rates; i++)
		for (unsigned k = 0; k < FORT_RATE_TERMS; k++) {
			bounds->low[i][k] = fort_sym_low(state, state->rates[i].sym[k]);
			bounds->high[i][k] = fort_sym_high(state, state->rates[i].sym[k]);
		}
}

/* Takes the k-th symbol out of a rate: it counts as the number that is least. */
static bool take_out(struct fort_rate *rate, unsigned k, int64_t low, int64_t high)
{
	int64_t least = rate->factor[k] > 0 ? low : high;
	unsigned last = FORT_RATE_TERMS - 1;

	if (least == INT64_MIN || least == INT64_MAX ||
	    __builtin_mul_overflow(rate->factor[k], least, &least) ||
	    __builtin_sub_overflow(rate->most, least, &rate->most) || !rate->sym[last])
		return false;
	rate->sym[k] = rate->sym[last];
	rate->factor[k] = rate->factor[last];
	rate->sym[last] = 0;
	rate->factor[last] = 0;
	return true;
}

/* What rates say of the others still holds when one of the symbols is forgotten. */
static void keep_rates(struct fort_state *state, const struct bounds *bounds)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < state->n_rates; i++) {
		struct fort_rate rate = state->rates[i];
		unsigned gone = 0, at = 0;

		for (unsigned k = 0; k < FORT_RATE_TERMS; k++)
			if (rate.sym[k] && !fort_sym_is_held(state, rate.sym[k])) {
				gone++;
				at = k;
			}
		if (!gone ||
		    (gone == 1 && take_out(&rate, at, bounds->low[i][at], bounds->high[i][at])))
			state->rates[n++] = rate;
	}
	state->n_rates = n;
}

static void forget_slots(struct fort_frame *frame, uint64_t live)
{
	uint32_t n = 0;

	for (uint32_t s = 0; s < frame->n_slots; s++) {
		struct fort_slot *slot = &frame->slots[s];

		if (live >> s & 1)
			n = s + 1;
		else if (fort_slot_marks(slot))
			memset(slot, 0, sizeof(*slot));
	}
	frame->n_slots = n; /* what nobody reads was never touched */
}

void fort_state_forget_dead(struct fort_state *state, const struct fort_live *live, uint32_t pc)
{
	struct bounds bounds;

	note_bounds(state, &bounds);
	for (uint32_t f = 0; f < state->n_frames; f++) {
		struct fort_frame *frame = state->frames[f];
		bool top = f + 1 == state->n_frames;
		const struct fort_live *at = &live[top ? pc : state->frames[f + 1]->return_pc];

		for (unsigned r = 0; r < FORT_R10; r++)
			if (frame->regs[r].type != FORT_NONE &&
			    (!(at->regs >> r & 1) || (!top && r == FORT_R0)))
				frame->regs[r] = (struct fort_value){0};
		forget_slots(frame, at->slots);
		if (!(at->regs & FORT_LIVE_GOES))
			frame->goes = fort_value_counter();
	}
	keep_rates(state, &bounds);
}

/* --- hashes --- */

static uint64_t mix(uint64_t hash, uint64_t word)
{
	return (hash ^ word) * 0x9e3779b97f4a7c15ull + (hash >> 29);
}

/* The place of a reference in the list, from 1. */
static uint32_t ref_place(const struct fort_state *state, uint32_t ref)
{
	for (uint32_t i = 0; ref && i < state->n_refs; i++)
		if (state->refs[i].id == ref)
			return i + 1;
	return 0;
}

/* Flags that make values of different kinds. */
static uint16_t kind_flags(const struct fort_value *value)
{
	uint16_t others = FORT_MAYBE_NULL;

	if (value->type == FORT_ITER)
		others |= FORT_DRAINED;
	return value->flags & (uint16_t)~others;
}

static uint64_t value_shape(const struct fort_state *state, const struct fort_value *value)
{
	uint16_t flags = kind_flags(value) | (value->flags & FORT_MAYBE_NULL);

	return value->type | (uint64_t)flags << 8 | (uint64_t)value->frame << 24 |
	       (uint64_t)value->object << 28 | (uint64_t)ref_place(state, value->ref) << 60;
}

/* Of a slot without pointer: the top bit of each byte that is INVALID; others are odd. */
#define ALL_INVALID 0x8080808080808080u

static uint64_t slot_shape(const struct fort_state *state, const struct fort_slot *slot)
{
	const uint64_t low = ~ALL_INVALID;
	uint64_t marks = fort_slot_marks(slot);

	if (fort_slot_has_value(slot) && slot->spill.type != FORT_NUM)
		return mix(slot->bytes[0], value_shape(state, &slot->spill)) | 1;
	return ~(((marks & low) + low) | marks | low);
}

uint64_t fort_state_shape(const struct fort_state *state, bool reads_all)
{
	uint64_t hash = mix(mix(state->n_frames, state->n_refs), value_shape(state, &state->lock));

	for (uint32_t f = 0; f < state->n_frames; f++) {
		const struct fort_frame *frame = state->frames[f];

		for (unsigned r = 0; r < FORT_R10; r++)
			hash = mix(hash, value_shape(state, &frame->regs[r]));
		for (uint32_t s = 0; s < frame->n_slots; s++) {
			uint64_t shape = slot_shape(state, &frame->slots[s]);

			if (shape != ALL_INVALID &&
			    (!reads_all || shape & 1)) /* a slot like none */
				hash = mix(hash, shape + ((uint64_t)s << 32));
		}
	}
	return hash;
}

static bool is_null(const struct fort_value *value)
{
	return value->type == FORT_NUM && fort_scalar_is_const(&value->num) && !value->num.arc.base;
}

static uint64_t add_constant(uint64_t hash, const struct fort_value *value, uint64_t place)
{
	if (value->type != FORT_NUM || !fort_scalar_is_const(&value->num))
		return hash;
	return mix(hash, value->num.arc.base + (place << 32));
}

uint64_t fort_state_constants(const struct fort_state *state, const uint64_t *loaded)
{
	uint64_t hash = 0;

	for (uint32_t f = 0; f < state->n_frames; f++) {
		const struct fort_frame *frame = state->frames[f];
		uint64_t first = (uint64_t)f * (FORT_REGS + FORT_STACK_SLOTS) + 1;

		for (unsigned r = 0; r < FORT_R10; r++)
			hash = add_constant(hash, &frame->regs[r], first + r);
		for (uint32_t s = 0; s < frame->n_slots; s++)
			if ((loaded[frame->subprog] >> s & 1) &&
			    fort_slot_has_value(&frame->slots[s]) &&
			    !is_null(&frame->slots[s].spill))
				hash = add_constant(hash, &frame->slots[s].spill,
						    first + FORT_REGS + s);
		hash = add_constant(hash, &frame->turns, first);
	}
	return hash;
}

/* --- the join --- */

#define NO_ID    0u
#define IS_NULL  UINT32_MAX
#define NOT_NULL (UINT32_MAX - 1)

static uint32_t join_ids(struct fort_join *join, uint32_t a, uint32_t b)
{
	for (uint32_t i = 0; i < join->n_ids; i++)
		if (join->ids[i].a == a && join->ids[i].b == b)
			return join->ids[i].now;
	if (join->n_ids < FORT_JOIN_PAIRS_MAX)
		join->ids[join->n_ids++] =
			(struct fort_join_pair){.a = a, .b = b, .now = join->out->next_id};
	return join->out->next_id++;
}

/* A value as symbol + delta; constants as nothing + delta. False when it is neither. */
static bool as_sum(const struct fort_value *value, uint32_t *sym, int64_t *delta)
{
	bool known = fort_scalar_is_const(&value->num);

	*sym = known ? 0 : value->sym;
	*delta = known ? (int64_t)value->num.arc.base : value->delta;
	return known || value->sym;
}

/* Two numbers that were constants in both states moved as far from one to the other, by chance or
 * in lockstep: then they are widened alike, too. */
static bool in_lockstep(const struct fort_join *join, const struct fort_join_pair *pair,
			const struct fort_value *out, int64_t delta)
{
	struct fort_scalar moved;

	if (!join->widening || pair->a || pair->b || out->type != FORT_NUM)
		return true;
	moved = fort_scalar_plus(&pair->num, fort_wrap_sub(delta, pair->first));
	return fort_scalar_covers(&moved, &out->num) && fort_scalar_covers(&out->num, &moved);
}

/* What both values share with others stays shared: x = symbol + delta with one symbol for all that
 * are as far from each other in both states. */
static void join_symbols(struct fort_join *join, const struct fort_value *a,
			 const struct fort_value *b, struct fort_value *out)
{
	struct fort_join_pair *pair = join->symbols;
	uint32_t sa, sb;
	int64_t da, db, shift;

	out->sym = 0;
	out->delta = 0;
	if (fort_scalar_is_const(&out->num))
		return;
	if (!as_sum(a, &sa, &da) || !as_sum(b, &sb, &db)) {
		out->sym = join->out->next_id++; /* a fact may be about it */
		return;
	}
	shift = fort_wrap_sub(da, db);
	for (; pair < join->symbols + join->n_symbols; pair++)
		if (pair->a == sa && pair->b == sb && pair->shift == shift &&
		    in_lockstep(join, pair, out, da))
			break;
	if (pair == join->symbols + join->n_symbols) {
		if (join->n_symbols == FORT_JOIN_PAIRS_MAX)
			return;
		*pair = (struct fort_join_pair){sa, sb, join->out->next_id++, shift, da, out->num};
		join->n_symbols++;
	}
	out->sym = pair->now;
	out->delta = fort_wrap_sub(da, pair->first);
}

/* Where the bounds of what is being joined may stop, if it is a counter: at the limits that it
 * moves to, and beside them. */
static uint32_t limits_of(const struct fort_join *join, const struct fort_scalar *a,
			  const struct fort_scalar *b, int64_t limits[3 * FORT_COUNTERS_MAX])
{
	const struct fort_counters *counters = join->widening->counters;
	int64_t low = fort_scalar_smin(b), high = fort_scalar_smax(b);
	bool rises = low > fort_scalar_smin(a) && high > fort_scalar_smax(a);
	bool falls = low < fort_scalar_smin(a) && high < fort_scalar_smax(a);
	uint32_t n = 0;

	for (uint32_t i = 0; counters && i < counters->n; i++) {
		const struct fort_counter *counter = &counters->list[i];

		if (!counter->limited || !fort_same_cell(counter->cell, join->at) ||
		    !((rises && counter->limit >= high) || (falls && counter->limit <= low)))
			continue;
		for (int by = -1; by <= 1; by++)
			limits[n++] = fort_wrap_add(counter->limit, by);
	}
	return n;
}

static struct fort_scalar join_numbers(const struct fort_join *join, const struct fort_scalar *a,
				       const struct fort_scalar *b)
{
	int64_t limits[3 * FORT_COUNTERS_MAX];
	struct fort_scalar both;
	uint32_t n;

	if (fort_scalar_covers(a, b))
		return *a;
	both = fort_scalar_join(a, b);
	if (!join->widening)
		return both;
	n = limits_of(join, a, b, limits);
	if (n)
		return fort_scalar_widen(a, &both, limits, n);
	return fort_scalar_widen(a, &both, join->widening->thresholds, join->widening->n);
}

/* At offset 0 of something that a call may return: it may be NULL as well. */
static bool may_be_null(const struct fort_value *value)
{
	return fort_type_is_nullable((enum fort_type)value->type) && !value->ref &&
	       fort_scalar_is_const(&value->num) && !value->num.arc.base;
}

static uint32_t null_id(const struct fort_value *value)
{
	return value->type == FORT_NUM          ? IS_NULL
	       : value->flags & FORT_MAYBE_NULL ? value->id
						: NOT_NULL;
}

static void join_nullable(struct fort_join *join, const struct fort_value *a,
			  const struct fort_value *b, struct fort_value *out)
{
	const struct fort_value *pointer = is_null(a) ? b : a;

	*out = *pointer;
	out->flags |= FORT_MAYBE_NULL;
	out->id = join_ids(join, null_id(a), null_id(b));
	out->base = a->base && b->base ? join_ids(join, a->base, b->base) : 0;
	out->sym = 0;
	out->delta = 0;
}

static bool same_kind(const struct fort_join *join, const struct fort_value *a,
		      const struct fort_value *b)
{
	return a->type == b->type && a->object == b->object && a->frame == b->frame &&
	       kind_flags(a) == kind_flags(b) &&
	       ref_place(join->a, a->ref) == ref_place(join->b, b->ref);
}

static void join_value(struct fort_join *join, const struct fort_value *a,
		       const struct fort_value *b, struct fort_value *out)
{
	struct fort_value joined = *a;
	bool nullable = (a->flags | b->flags) & FORT_MAYBE_NULL;

	*out = (struct fort_value){0};
	if (a->type == FORT_NONE || b->type == FORT_NONE)
		return;
	if ((is_null(a) && b->type != FORT_NUM && may_be_null(b)) ||
	    (is_null(b) && a->type != FORT_NUM && may_be_null(a))) {
		join_nullable(join, a, b, out);
		return;
	}
	if (!same_kind(join, a, b))
		return;
	if (nullable && a->flags != b->flags) {
		if (may_be_null(a) && may_be_null(b))
			join_nullable(join, a, b, out);
		return;
	}
	joined.flags = a->flags & b->flags;
	joined.num = join_numbers(join, &a->num, &b->num);
	joined.id = nullable ? join_ids(join, a->id, b->id) : 0;
	joined.base = a->base && b->base ? join_ids(join, a->base, b->base) : 0;
	joined.ref = a->ref ? ref_place(join->a, a->ref) : 0;
	join_symbols(join, a, b, &joined);
	*out = joined;
}

/* --- frames --- */

static bool is_zero_byte(const struct fort_slot *slot, unsigned i)
{
	if (slot->bytes[i] == FORT_BYTE_SPILL)
		return slot->spill.type == FORT_NUM && !fort_scalar_umax(&slot->spill.num);
	return slot->bytes[i] == FORT_BYTE_ZERO;
}

static bool is_number_byte(const struct fort_slot *slot, unsigned i)
{
	if (slot->bytes[i] == FORT_BYTE_SPILL)
		return slot->spill.type == FORT_NUM;
	return slot->bytes[i] == FORT_BYTE_MISC || slot->bytes[i] == FORT_BYTE_ZERO;
}

static uint8_t join_byte(const struct fort_slot *a, const struct fort_slot *b, unsigned i)
{
	if (is_zero_byte(a, i) && is_zero_byte(b, i))
		return FORT_BYTE_ZERO;
	return is_number_byte(a, i) && is_number_byte(b, i) ? FORT_BYTE_MISC : FORT_BYTE_INVALID;
}

/* A dynptr or iterator with another of its kind; else nothing is left. */
static void join_object(struct fort_join *join, const struct fort_slot *a,
			const struct fort_slot *b, struct fort_slot *out)
{
	if (a->bytes[0] != b->bytes[0])
		return;
	join_value(join, &a->spill, &b->spill, &out->spill);
	if (out->spill.type)
		memset(out->bytes, FORT_BYTE_OBJECT, sizeof(out->bytes));
}

static void join_slot(struct fort_join *join, const struct fort_slot *a, const struct fort_slot *b,
		      struct fort_slot *out)
{
	unsigned na = fort_slot_spilled(a), nb = fort_slot_spilled(b);
	unsigned n = na && nb ? (na < nb ? na : nb) : na + nb;
	struct fort_value va, vb, spill = {0};

	memset(out, 0, sizeof(*out));
	if (a->bytes[0] == FORT_BYTE_OBJECT || b->bytes[0] == FORT_BYTE_OBJECT) {
		join_object(join, a, b, out);
		return;
	}
	if (n && fort_slot_low(a, n, &va) && fort_slot_low(b, n, &vb))
		join_value(join, &va, &vb, &spill);
	for (unsigned i = 0; i < 8; i++)
		out->bytes[i] = spill.type && i < n ? FORT_BYTE_SPILL : join_byte(a, b, i);
	out->spill = spill;
}

static void join_frame(struct fort_join *join, uint32_t f)
{
	const struct fort_frame *a = join->a->frames[f], *b = join->b->frames[f];
	struct fort_frame *out = join->out->frames[f];
	static const struct fort_slot blank;

	for (unsigned r = 0; r < FORT_R10; r++) {
		join->at = (struct fort_cell){FORT_CELL_REG, (uint8_t)f, (uint8_t)r};
		join_value(join, &a->regs[r], &b->regs[r], &out->regs[r]);
	}
	join->at = (struct fort_cell){FORT_CELL_TURNS, (uint8_t)f, 0};
	join_value(join, &a->turns, &b->turns, &out->turns);
	join_value(join, &a->goes, &b->goes, &out->goes);
	for (uint32_t s = 0; s < a->n_slots; s++) {
		join->at = (struct fort_cell){FORT_CELL_SLOT, (uint8_t)f, (uint8_t)s};
		join_slot(join, &a->slots[s], s < b->n_slots ? &b->slots[s] : &blank,
			  &out->slots[s]);
	}
	join->at = (struct fort_cell){.kind = FORT_CELL_KINDS};
}

/* --- ghosts --- */

const struct fort_ghost *fort_join_ghost(const struct fort_state *state, uint32_t owner)
{
	for (uint32_t i = 0; i < state->n_ghosts; i++)
		if (state->ghosts[i].owner == owner)
			return &state->ghosts[i];
	return NULL;
}

/* Of a ghost that one of the two never set nothing is known. */
static void join_ghosts(struct fort_join *join)
{
	join->out->n_ghosts = 0;
	for (uint32_t i = 0; i < join->a->n_ghosts; i++) {
		const struct fort_ghost *a = &join->a->ghosts[i];
		const struct fort_ghost *b = fort_join_ghost(join->b, a->owner);
		struct fort_ghost *out;

		if (!b)
			continue;
		out = &join->out->ghosts[join->out->n_ghosts++];
		out->owner = a->owner;
		join_value(join, &a->value, &b->value, &out->value);
	}
}

int fort_state_join(struct fort_pool *pool, struct fort_state *into, const struct fort_state *other,
		    const struct fort_widening *widening)
{
	struct fort_state *before = fort_state_clone(pool, into);
	struct fort_join join;

	if (!before)
		return -ENOMEM;
	join.a = before;
	join.b = other;
	join.out = into;
	join.widening = widening;
	join.n_symbols = 0;
	join.n_ids = 0;
	into->next_id = FORT_REFS_MAX + 1; /* references are numbered by their place */
	for (uint32_t f = 0; f < into->n_frames; f++)
		join_frame(&join, f);
	join_value(&join, &before->packet, &other->packet, &into->packet);
	join_value(&join, &before->meta, &other->meta, &into->meta);
	join_value(&join, &before->lock, &other->lock, &into->lock);
	for (uint32_t i = 0; i < into->n_refs; i++)
		into->refs[i].id = i + 1;
	join_ghosts(&join);
	fort_join_relations(&join);
	fort_state_free(pool, before);
	return fort_state_settle(pool, into) ? 0 : -ENOMEM;
}
