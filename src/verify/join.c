#include "verify/join.h"

#include <errno.h>
#include <string.h>

#include "step/relate.h"
#include "step/types.h"

/* --- what matters --- */

static void forget_slots(struct fort_frame *frame, uint64_t live)
{
	uint32_t n = 0;

	for (uint32_t s = 0; s < frame->n_slots; s++) {
		struct fort_slot *slot = &frame->slots[s];

		if (!fort_slot_marks(slot))
			continue;
		if (live >> s & 1)
			n = s + 1;
		else
			memset(slot, 0, sizeof(*slot));
	}
	frame->n_slots = n; /* what nobody reads was never touched */
}

void fort_state_forget_dead(struct fort_state *state, const struct fort_live *live, uint32_t pc)
{
	for (uint32_t f = 0; f < state->n_frames; f++) {
		struct fort_frame *frame = state->frames[f];
		bool top = f + 1 == state->n_frames;
		const struct fort_live *at = &live[top ? pc : state->frames[f + 1]->return_pc];

		for (unsigned r = 0; r < FORT_R10; r++)
			if (!(at->regs >> r & 1) || (!top && r == FORT_R0))
				frame->regs[r] = (struct fort_value){0};
		forget_slots(frame, at->slots);
		if (!(at->regs & FORT_LIVE_GOES))
			frame->goes = fort_value_counter();
	}
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

/* The top bit of each byte that is INVALID. */
#define ALL_INVALID 0x8080808080808080u

static uint64_t slot_shape(const struct fort_state *state, const struct fort_slot *slot)
{
	const uint64_t low = ~ALL_INVALID;
	uint64_t marks = fort_slot_marks(slot);

	if (fort_slot_has_value(slot) && slot->spill.type != FORT_NUM)
		return mix(slot->bytes[0], value_shape(state, &slot->spill));
	return ~(((marks & low) + low) | marks | low);
}

uint64_t fort_state_shape(const struct fort_state *state)
{
	uint64_t hash = mix(mix(state->n_frames, state->n_refs), value_shape(state, &state->lock));

	for (uint32_t f = 0; f < state->n_frames; f++) {
		const struct fort_frame *frame = state->frames[f];

		for (unsigned r = 0; r < FORT_R10; r++)
			hash = mix(hash, value_shape(state, &frame->regs[r]));
		for (uint32_t s = 0; s < frame->n_slots; s++) {
			uint64_t shape = slot_shape(state, &frame->slots[s]);

			if (shape != ALL_INVALID) /* an untouched slot is like none */
				hash = mix(hash, shape + s);
		}
	}
	return hash;
}

struct constants {
	uint64_t hash, place;
};

static inline bool add_constant(struct fort_value *value, void *context)
{
	struct constants *constants = context;

	constants->place++;
	if (value->type == FORT_NUM && fort_scalar_is_const(&value->num))
		constants->hash = mix(constants->hash, value->num.arc.base + constants->place);
	return true;
}

uint64_t fort_state_constants(const struct fort_state *state)
{
	struct constants constants = {0};

	/* cast: this visitor changes nothing */
	(void)fort_state_each((struct fort_state *)(uintptr_t)state, add_constant, &constants);
	return constants.hash;
}

/* --- the join --- */

#define PAIRS_MAX 128u
#define NO_ID     0u
#define IS_NULL   UINT32_MAX
#define NOT_NULL  (UINT32_MAX - 1)

/* Two ids that become one; symbols only where their distance is the same. */
struct pair {
	uint32_t a, b, now;
	int64_t shift; /* symbols: delta in a minus delta in b */
	int64_t first; /* symbols: delta in a of the value that became the symbol */
};

struct join {
	const struct fort_state *a, *b;
	struct fort_state *out;
	const struct fort_widening *widening;
	struct pair symbols[PAIRS_MAX], ids[PAIRS_MAX];
	uint32_t n_symbols, n_ids;
};

static uint32_t join_ids(struct join *join, uint32_t a, uint32_t b)
{
	for (uint32_t i = 0; i < join->n_ids; i++)
		if (join->ids[i].a == a && join->ids[i].b == b)
			return join->ids[i].now;
	if (join->n_ids < PAIRS_MAX)
		join->ids[join->n_ids++] = (struct pair){a, b, join->out->next_id, 0, 0};
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

/* What both values share with others stays shared: x = symbol + delta with one symbol for all that
 * are as far from each other in both states. */
static void join_symbols(struct join *join, const struct fort_value *a, const struct fort_value *b,
			 struct fort_value *out)
{
	struct pair *pair = join->symbols;
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
		if (pair->a == sa && pair->b == sb && pair->shift == shift)
			break;
	if (pair == join->symbols + join->n_symbols) {
		if (join->n_symbols == PAIRS_MAX)
			return;
		*pair = (struct pair){sa, sb, join->out->next_id++, shift, da};
		join->n_symbols++;
	}
	out->sym = pair->now;
	out->delta = fort_wrap_sub(da, pair->first);
}

static struct fort_scalar join_numbers(const struct join *join, const struct fort_scalar *a,
				       const struct fort_scalar *b)
{
	struct fort_scalar both;

	if (fort_scalar_covers(a, b))
		return *a;
	both = fort_scalar_join(a, b);
	if (!join->widening)
		return both;
	return fort_scalar_widen(a, &both, join->widening->thresholds, join->widening->n);
}

static bool is_null(const struct fort_value *value)
{
	return value->type == FORT_NUM && fort_scalar_is_const(&value->num) && !value->num.arc.base;
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

static void join_nullable(struct join *join, const struct fort_value *a, const struct fort_value *b,
			  struct fort_value *out)
{
	const struct fort_value *pointer = is_null(a) ? b : a;

	*out = *pointer;
	out->flags |= FORT_MAYBE_NULL;
	out->id = join_ids(join, null_id(a), null_id(b));
	out->base = a->base && b->base ? join_ids(join, a->base, b->base) : 0;
	out->sym = 0;
	out->delta = 0;
}

static bool same_kind(const struct join *join, const struct fort_value *a,
		      const struct fort_value *b)
{
	return a->type == b->type && a->object == b->object && a->frame == b->frame &&
	       kind_flags(a) == kind_flags(b) &&
	       ref_place(join->a, a->ref) == ref_place(join->b, b->ref);
}

static void join_value(struct join *join, const struct fort_value *a, const struct fort_value *b,
		       struct fort_value *out)
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
static void join_object(struct join *join, const struct fort_slot *a, const struct fort_slot *b,
			struct fort_slot *out)
{
	if (a->bytes[0] != b->bytes[0])
		return;
	join_value(join, &a->spill, &b->spill, &out->spill);
	if (out->spill.type)
		memset(out->bytes, FORT_BYTE_OBJECT, sizeof(out->bytes));
}

static void join_slot(struct join *join, const struct fort_slot *a, const struct fort_slot *b,
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

static void join_frame(struct join *join, uint32_t f)
{
	const struct fort_frame *a = join->a->frames[f], *b = join->b->frames[f];
	struct fort_frame *out = join->out->frames[f];
	static const struct fort_slot blank;

	for (unsigned r = 0; r < FORT_R10; r++)
		join_value(join, &a->regs[r], &b->regs[r], &out->regs[r]);
	join_value(join, &a->turns, &b->turns, &out->turns);
	join_value(join, &a->goes, &b->goes, &out->goes);
	for (uint32_t s = 0; s < a->n_slots; s++)
		join_slot(join, &a->slots[s], s < b->n_slots ? &b->slots[s] : &blank,
			  &out->slots[s]);
}

/* --- ghosts and facts --- */

static const struct fort_ghost *ghost_of(const struct fort_state *state, uint32_t owner)
{
	for (uint32_t i = 0; i < state->n_ghosts; i++)
		if (state->ghosts[i].owner == owner)
			return &state->ghosts[i];
	return NULL;
}

/* A ghost that one of the two never set is as the other has it. */
static void join_ghosts(struct join *join)
{
	/* Both lists are of the same loops, so what is in one is in the other, or was never set. */
	join->out->n_ghosts = 0;
	for (uint32_t i = 0; i < join->a->n_ghosts; i++) {
		const struct fort_ghost *a = &join->a->ghosts[i];
		const struct fort_ghost *b = ghost_of(join->b, a->owner);
		struct fort_ghost *out = &join->out->ghosts[join->out->n_ghosts++];

		out->owner = a->owner;
		join_value(join, &a->value, b ? &b->value : &a->value, &out->value);
	}
}

struct cells {
	struct fort_cell
		list[FORT_FRAMES_MAX * (FORT_REGS + FORT_STACK_SLOTS + 2) + 2 + FORT_GHOSTS_MAX];
	uint32_t n;
};

/* Cells that have a value in all three states. */
static void list_cells(struct cells *cells, const struct join *join)
{
	const struct fort_state *out = join->out;

	cells->n = 0;
	for (uint32_t f = 0; f < out->n_frames; f++) {
		for (unsigned r = 0; r < FORT_R10; r++)
			if (out->frames[f]->regs[r].type)
				cells->list[cells->n++] =
					(struct fort_cell){FORT_CELL_REG, (uint8_t)f, (uint8_t)r};
		for (uint32_t s = 0; s < out->frames[f]->n_slots; s++)
			if (fort_slot_has_value(&out->frames[f]->slots[s]))
				cells->list[cells->n++] =
					(struct fort_cell){FORT_CELL_SLOT, (uint8_t)f, (uint8_t)s};
	}
	for (uint32_t f = 0; f < out->n_frames; f++) {
		cells->list[cells->n++] = (struct fort_cell){FORT_CELL_TURNS, (uint8_t)f, 0};
		cells->list[cells->n++] = (struct fort_cell){FORT_CELL_GOES, (uint8_t)f, 0};
	}
	cells->list[cells->n++] = (struct fort_cell){.kind = FORT_CELL_PACKET};
	cells->list[cells->n++] = (struct fort_cell){.kind = FORT_CELL_META};
	for (uint32_t i = 0; i < out->n_ghosts; i++)
		cells->list[cells->n++] =
			(struct fort_cell){.kind = FORT_CELL_GHOST, .index = (uint8_t)i};
}

/* Is as much of the slot a value in `state` as in the result? */
static bool same_width(const struct join *join, const struct fort_state *state,
		       struct fort_cell cell)
{
	const struct fort_frame *frame = state->frames[cell.frame];

	return cell.index < frame->n_slots &&
	       fort_slot_spilled(&frame->slots[cell.index]) ==
		       fort_slot_spilled(&join->out->frames[cell.frame]->slots[cell.index]);
}

/* The value of a cell of the result in one of the two. A slot that was all zeroes has none. */
static const struct fort_value *value_in(const struct join *join, const struct fort_state *state,
					 struct fort_cell cell)
{
	const struct fort_ghost *ghost;

	if (cell.kind == FORT_CELL_SLOT && !same_width(join, state, cell))
		return NULL;
	if (cell.kind != FORT_CELL_GHOST)
		return fort_state_cell(state, cell);
	ghost = ghost_of(state, join->out->ghosts[cell.index].owner);
	return ghost ? &ghost->value : NULL;
}

/* The first cell whose value in `state` has this symbol, or -1. */
static int carrier_of(const struct join *join, const struct cells *cells,
		      const struct fort_state *state, uint32_t sym)
{
	for (uint32_t i = 0; i < cells->n; i++) {
		const struct fort_value *value = value_in(join, state, cells->list[i]);

		if (value && value->type && value->sym == sym && !fort_scalar_is_const(&value->num))
			return (int)i;
	}
	return -1;
}

/* What holds in both of the values at three cells, -1 for none. */
static void keep_order(struct join *join, const struct cells *cells, const int at[3])
{
	const struct fort_value *in_a[3] = {NULL}, *in_b[3] = {NULL};
	struct fort_value now[3];
	int64_t most_a, most_b;

	for (unsigned k = 0; k < 3; k++) {
		struct fort_value *cell;

		if (at[k] < 0)
			continue;
		in_a[k] = value_in(join, join->a, cells->list[at[k]]);
		in_b[k] = value_in(join, join->b, cells->list[at[k]]);
		cell = fort_state_cell(join->out, cells->list[at[k]]);
		if (!in_a[k] || !in_b[k] || !cell)
			return;
		if (!cell->sym)
			cell->sym = join->out->next_id++;
		now[k] = *cell;
	}
	most_a = fort_relate_most(join->a, in_a[0], in_a[1], in_a[2]);
	most_b = fort_relate_most(join->b, in_b[0], in_b[1], in_b[2]);
	if (most_a == INT64_MAX || most_b == INT64_MAX || (join->widening && most_b > most_a))
		return;
	fort_relate_note(join->out, &now[0], at[1] < 0 ? NULL : &now[1], at[2] < 0 ? NULL : &now[2],
			 most_a > most_b ? most_a : most_b);
}

static void keep_facts(struct join *join, const struct cells *cells, const struct fort_state *of)
{
	for (uint32_t i = 0; i < of->n_facts; i++) {
		const struct fort_fact *fact = &of->facts[i];
		int at[3] = {carrier_of(join, cells, of, fact->a),
			     fact->b ? carrier_of(join, cells, of, fact->b) : -1,
			     fact->c ? carrier_of(join, cells, of, fact->c) : -1};

		if (at[0] < 0 || (fact->b && at[1] < 0) || (fact->c && at[2] < 0))
			continue;
		keep_order(join, cells, at);
	}
}

/* A number that is as far from a ghost as before in one state, and farther in the other, is at
 * least somewhere: that is what shows progress. */
static void keep_progress(struct join *join, const struct cells *cells)
{
	for (uint32_t g = 0; g < cells->n; g++) {
		const struct fort_value *ghost;

		if (cells->list[g].kind != FORT_CELL_GHOST)
			continue;
		ghost = value_in(join, join->a, cells->list[g]);
		for (uint32_t i = 0; ghost && ghost->sym && i < cells->n; i++) {
			const struct fort_value *value = value_in(join, join->a, cells->list[i]);

			if (i == g || cells->list[i].kind == FORT_CELL_GHOST || !value ||
			    value->sym != ghost->sym)
				continue;
			keep_order(join, cells, (int[]){(int)g, -1, (int)i});
			keep_order(join, cells, (int[]){(int)i, -1, (int)g});
		}
	}
}

/* Of so many numbers the order is looked for. */
#define ORDERED_MAX 10u

/* A number of the running function in both, not a known one; *moves: the loop moves it out of where
 * it was. */
static bool is_number(const struct join *join, struct fort_cell cell, bool *moves)
{
	const struct fort_value *a = value_in(join, join->a, cell);
	const struct fort_value *b = value_in(join, join->b, cell);

	if (cell.kind != FORT_CELL_REG || cell.frame + 1u != join->out->n_frames || !a || !b ||
	    a->type != FORT_NUM || b->type != FORT_NUM ||
	    fort_scalar_is_const(&fort_state_cell(join->out, cell)->num))
		return false;
	*moves = !fort_scalar_covers(&a->num, &b->num);
	return true;
}

/* What numbers say before they are given up: when a loop is entered both of two counters are 0, and
 * after a round one is not more than the other. As a fact, that holds however far they come. */
static void find_orders(struct join *join, const struct cells *cells)
{
	int at[ORDERED_MAX];
	bool moves[ORDERED_MAX];
	uint32_t n = 0;

	for (uint32_t i = 0; i < cells->n && n < ORDERED_MAX; i++)
		if (is_number(join, cells->list[i], &moves[n]))
			at[n++] = (int)i;
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < n; j++)
			if (i != j && (moves[i] || moves[j]))
				keep_order(join, cells, (int[]){at[i], -1, at[j]});
}

static void join_relations(struct join *join)
{
	struct cells cells;

	join->out->n_facts = 0;
	if (!join->a->n_facts && !join->b->n_facts && !join->out->n_ghosts && !join->widening)
		return;
	list_cells(&cells, join);
	if (join->widening)
		find_orders(join, &cells);
	keep_progress(join, &cells);
	keep_facts(join, &cells, join->a);
	if (!join->widening)
		keep_facts(join, &cells, join->b);
}

int fort_state_join(struct fort_pool *pool, struct fort_state *into, const struct fort_state *other,
		    const struct fort_widening *widening)
{
	struct fort_state *before = fort_state_clone(pool, into);
	struct join join;

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
	join_relations(&join);
	fort_state_free(pool, before);
	return fort_state_settle(pool, into) ? 0 : -ENOMEM;
}
