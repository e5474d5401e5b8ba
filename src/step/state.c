#include "step/state.h"

#include <string.h>

/* Slot arrays come in sizes of 4, 8, 16, 32 and 64. */
#define SLOTS_MIN_SHIFT 2
_Static_assert(FORT_STACK_SLOTS == 64, "five size classes reach the largest stack");

/* A slot is blank when its marks are, and its value has no type: nobody looks at the rest. */
#define BLANK_BYTES (offsetof(struct fort_slot, spill) + offsetof(struct fort_value, id))

struct fort_pool_item {
	struct fort_pool_item *next;
};

void fort_pool_init(struct fort_pool *pool, struct fort_arena *arena)
{
	*pool = (struct fort_pool){.arena = arena};
}

static void *take(struct fort_pool *pool, struct fort_pool_item **list, size_t bytes)
{
	struct fort_pool_item *item = *list;

	if (!item) /* dirty, as what was given back is */
		return fort_arena_room(pool->arena, bytes);
	*list = item->next;
	return item;
}

static void give(struct fort_pool_item **list, void *memory)
{
	struct fort_pool_item *item = memory;

	item->next = *list;
	*list = item;
}

void *fort_pool_scratch(struct fort_pool *pool, size_t bytes)
{
	if (bytes > pool->scratch_bytes) {
		size_t room = pool->scratch_bytes ? pool->scratch_bytes : 4096;

		while (room < bytes)
			room *= 2;
		pool->scratch = fort_arena_room(pool->arena, room);
		pool->scratch_bytes = pool->scratch ? room : 0;
	}
	return pool->scratch;
}

static unsigned slot_class(uint32_t n_slots)
{
	unsigned class = 0;

	while ((1u << (SLOTS_MIN_SHIFT + class)) < n_slots)
		class ++;
	return class;
}

static void free_frame(struct fort_pool *pool, struct fort_frame *frame)
{
	if (frame->room)
		give(&pool->free_slots[slot_class(frame->room)], frame->slots);
	give(&pool->free_frames, frame);
}

static struct fort_slot *new_slots(struct fort_pool *pool, uint32_t n_slots, uint32_t *room)
{
	unsigned class = slot_class(n_slots);

	*room = 1u << (SLOTS_MIN_SHIFT + class);
	return take(pool, &pool->free_slots[class], *room * sizeof(struct fort_slot));
}

bool fort_frame_touch(struct fort_pool *pool, struct fort_frame *frame, uint32_t n_slots)
{
	if (n_slots <= frame->n_slots)
		return true;
	if (n_slots > frame->room) {
		uint32_t room;
		struct fort_slot *slots = new_slots(pool, n_slots, &room);

		if (!slots)
			return false;
		if (frame->room) {
			memcpy(slots, frame->slots, frame->n_slots * sizeof(*slots));
			give(&pool->free_slots[slot_class(frame->room)], frame->slots);
		}
		frame->slots = slots;
		frame->room = room;
	}
	for (uint32_t s = frame->n_slots; s < n_slots; s++)
		memset(&frame->slots[s], 0, BLANK_BYTES);
	frame->n_slots = n_slots;
	return true;
}

static struct fort_frame *clone_frame(struct fort_pool *pool, const struct fort_frame *frame)
{
	struct fort_frame *copy = take(pool, &pool->free_frames, sizeof(*copy));

	if (!copy)
		return NULL;
	*copy = *frame;
	copy->slots = NULL;
	copy->room = 0;
	if (!frame->n_slots)
		return copy;
	copy->slots = new_slots(pool, frame->n_slots, &copy->room);
	if (!copy->slots) {
		copy->room = 0;
		free_frame(pool, copy);
		return NULL;
	}
	memcpy(copy->slots, frame->slots, frame->n_slots * sizeof(frame->slots[0]));
	return copy;
}

struct fort_state *fort_state_new(struct fort_pool *pool)
{
	struct fort_state *state = take(pool, &pool->free_states, sizeof(*state));

	if (!state)
		return NULL;
	/* Lists are empty, and may hold anything behind their ends. */
	memset(state, 0, offsetof(struct fort_state, refs));
	state->ghosts = NULL;
	state->next_id = 1;
	if (++pool->live_states > pool->peak_states)
		pool->peak_states = pool->live_states;
	return state;
}

struct fort_state *fort_state_clone(struct fort_pool *pool, const struct fort_state *state)
{
	struct fort_state *copy = fort_state_new(pool);

	if (!copy)
		return NULL;
	copy->next_id = state->next_id;
	copy->unset_below = state->unset_below;
	copy->packet = state->packet;
	copy->meta = state->meta;
	copy->lock = state->lock;
	copy->n_refs = state->n_refs;
	copy->n_facts = state->n_facts;
	copy->n_rates = state->n_rates;
	copy->n_ghosts = state->n_ghosts;
	memcpy(copy->refs, state->refs, state->n_refs * sizeof(copy->refs[0]));
	memcpy(copy->facts, state->facts, state->n_facts * sizeof(copy->facts[0]));
	memcpy(copy->rates, state->rates, state->n_rates * sizeof(copy->rates[0]));
	if (state->n_ghosts) {
		copy->n_ghosts = 0;
		if (!fort_state_haunt(pool, copy)) {
			fort_state_free(pool, copy);
			return NULL;
		}
		copy->n_ghosts = state->n_ghosts;
		memcpy(copy->ghosts, state->ghosts, state->n_ghosts * sizeof(copy->ghosts[0]));
	}
	for (uint32_t i = 0; i < state->n_frames; i++) {
		copy->frames[i] = clone_frame(pool, state->frames[i]);
		if (!copy->frames[i]) {
			fort_state_free(pool, copy);
			return NULL;
		}
		copy->n_frames++;
	}
	return copy;
}

void fort_state_free(struct fort_pool *pool, struct fort_state *state)
{
	if (!state)
		return;
	while (state->n_frames)
		fort_state_pop_frame(pool, state);
	if (state->ghosts)
		give(&pool->free_ghosts, state->ghosts);
	pool->live_states--;
	give(&pool->free_states, state);
}

bool fort_state_push_frame(struct fort_pool *pool, struct fort_state *state, uint32_t subprog,
			   uint32_t return_pc)
{
	struct fort_frame *frame = take(pool, &pool->free_frames, sizeof(*frame));
	struct fort_value *fp;

	if (!frame)
		return false;
	memset(frame, 0, sizeof(*frame));
	frame->subprog = subprog;
	frame->return_pc = return_pc;
	frame->turns = frame->goes = fort_value_const(0);
	fp = &frame->regs[FORT_R10];
	*fp = fort_value_pointer(FORT_STACK, 0);
	fp->frame = (uint8_t)state->n_frames;
	state->frames[state->n_frames++] = frame;
	return true;
}

void fort_state_pop_frame(struct fort_pool *pool, struct fort_state *state)
{
	free_frame(pool, state->frames[--state->n_frames]);
}

struct fort_value fort_value_unknown(void)
{
	return fort_value_number(fort_scalar_unknown());
}

struct fort_value fort_value_pointer(enum fort_type type, uint32_t object)
{
	return (struct fort_value){.type = (uint8_t)type,
				   .object = object,
				   .num = fort_scalar_const(0)};
}

struct fort_value fort_value_counter(void)
{
	const uint64_t most = 1ull << 62;

	return (struct fort_value){.type = FORT_NUM,
				   .num = {{0, most}, {0, 2 * most - 1}, {0, UINT32_MAX}}};
}

bool fort_value_count(struct fort_value *counter)
{
	struct fort_value any = fort_value_counter();

	counter->num = fort_scalar_plus(&counter->num, 1);
	counter->delta = counter->sym ? fort_wrap_add(counter->delta, 1) : 0;
	return fort_scalar_meet(&counter->num, &any.num);
}

bool fort_slot_low(const struct fort_slot *slot, unsigned n, struct fort_value *out)
{
	unsigned spilled = fort_slot_spilled(slot);

	if (spilled >= n && (spilled == n || slot->spill.type == FORT_NUM)) {
		*out = slot->spill;
		if (spilled > n && fort_scalar_umax(&out->num) >= 1ull << (8 * n))
			*out = fort_value_number(fort_scalar_truncate(&out->num, 8 * n));
		return true;
	}
	for (unsigned i = 0; i < n; i++)
		if (slot->bytes[i] != FORT_BYTE_ZERO)
			return false;
	*out = fort_value_const(0);
	return true;
}

bool fort_state_visit(struct fort_state *state, fort_value_visitor *visitor, void *context)
{
	return fort_state_each(state, visitor, context);
}

struct fort_value *fort_state_cell(const struct fort_state *state, struct fort_cell cell)
{
	struct fort_state *of = (struct fort_state *)(uintptr_t)state; /* the caller's constness */
	struct fort_frame *frame = cell.frame < state->n_frames ? of->frames[cell.frame] : NULL;

	switch (cell.kind) {
	case FORT_CELL_REG:
		return frame && cell.index < FORT_REGS ? &frame->regs[cell.index] : NULL;
	case FORT_CELL_SLOT:
		if (!frame || cell.index >= frame->n_slots ||
		    !fort_slot_has_value(&frame->slots[cell.index]))
			return NULL;
		return &frame->slots[cell.index].spill;
	case FORT_CELL_TURNS: return frame ? &frame->turns : NULL;
	case FORT_CELL_GOES: return frame ? &frame->goes : NULL;
	case FORT_CELL_PACKET: return &of->packet;
	case FORT_CELL_META: return &of->meta;
	case FORT_CELL_GHOST:
		return cell.index < state->n_ghosts ? &of->ghosts[cell.index].value : NULL;
	default: return NULL;
	}
}

bool fort_state_haunt(struct fort_pool *pool, struct fort_state *state)
{
	if (!state->ghosts)
		state->ghosts =
			take(pool, &pool->free_ghosts, FORT_GHOSTS_MAX * sizeof(state->ghosts[0]));
	return state->ghosts;
}

bool fort_state_remember(struct fort_pool *pool, struct fort_state *state, uint32_t owner,
			 struct fort_value *value)
{
	if (state->n_ghosts == FORT_GHOSTS_MAX || !fort_state_haunt(pool, state))
		return false;
	if (!value->sym && !fort_scalar_is_const(&value->num)) {
		value->sym = state->next_id++;
		value->delta = 0;
	}
	state->ghosts[state->n_ghosts++] = (struct fort_ghost){.owner = owner,
							       .value = {.type = FORT_NUM,
									 .sym = value->sym,
									 .delta = value->delta,
									 .num = value->num}};
	return true;
}

static bool holds_ref(const struct fort_state *state, uint32_t id)
{
	for (uint32_t i = 0; i < state->n_refs; i++)
		if (state->refs[i].id == id)
			return true;
	return false;
}

/* A value of frame `holder`: no pointer leads to the stack of a frame that ends before. */
static bool formed_value(const struct fort_state *state, const struct fort_value *value,
			 uint32_t holder)
{
	if (value->type >= FORT_TYPES)
		return false;
	if (value->type == FORT_NONE)
		return true;
	if (value->type == FORT_STACK && value->frame > holder)
		return false;
	if (value->id >= state->next_id || value->ref >= state->next_id ||
	    value->sym >= state->next_id || value->base >= state->next_id)
		return false;
	if (value->type == FORT_NUM && (value->flags || value->id || value->ref || value->base))
		return false;
	return (!(value->flags & FORT_MAYBE_NULL) || value->id) &&
	       (!value->ref || holds_ref(state, value->ref));
}

static bool is_object(const struct fort_value *value)
{
	return value->type == FORT_DYNPTR || value->type == FORT_ITER;
}

/* Marks there are; those of an object in all bytes, those of a spill in the first. */
static bool formed_marks(const struct fort_slot *slot, unsigned spilled)
{
	uint8_t first = slot->bytes[0];

	if (first < FORT_BYTES && fort_slot_marks(slot) == fort_marks_of(first))
		return true;
	for (unsigned i = 0; i < 8; i++)
		if (slot->bytes[i] >= FORT_BYTES || slot->bytes[i] == FORT_BYTE_OBJECT ||
		    (i >= spilled && slot->bytes[i] == FORT_BYTE_SPILL))
			return false;
	return true;
}

static bool formed_slot(const struct fort_state *state, const struct fort_slot *slot,
			uint32_t holder)
{
	bool object = slot->bytes[0] == FORT_BYTE_OBJECT;
	unsigned spilled = fort_slot_spilled(slot);

	if (!formed_marks(slot, spilled))
		return false;
	if (object)
		return is_object(&slot->spill) && formed_value(state, &slot->spill, holder);
	if (!spilled)
		return true;
	if (slot->spill.type == FORT_NONE || slot->spill.type == FORT_ITER ||
	    !formed_value(state, &slot->spill, holder))
		return false;
	if (fort_value_is_pointer(&slot->spill))
		return spilled == 8;
	return fort_is_power_of_two(spilled);
}

static bool formed_frame(const struct fort_state *state, uint32_t f)
{
	const struct fort_frame *frame = state->frames[f];

	if (frame->n_slots > FORT_STACK_SLOTS || frame->n_slots > frame->room ||
	    frame->kind >= FORT_FRAMES || (!f && frame->kind != FORT_FRAME_CALLED) ||
	    frame->turns.type != FORT_NUM || frame->goes.type != FORT_NUM ||
	    !formed_value(state, &frame->turns, f) || !formed_value(state, &frame->goes, f))
		return false;
	for (unsigned r = 0; r < FORT_REGS; r++)
		if (frame->regs[r].type == FORT_ITER || !formed_value(state, &frame->regs[r], f))
			return false;
	for (uint32_t s = 0; s < frame->n_slots; s++)
		if (!formed_slot(state, &frame->slots[s], f))
			return false;
	return true;
}

/* Two symbols or three, each once. */
static bool formed_rate(const struct fort_state *state, const struct fort_rate *rate)
{
	for (unsigned k = 0; k < FORT_RATE_TERMS; k++) {
		if (!rate->sym[k] != !rate->factor[k] || rate->factor[k] == INT32_MIN ||
		    rate->sym[k] >= state->next_id)
			return false;
		for (unsigned j = 0; j < k; j++)
			if (rate->sym[k] && rate->sym[k] == rate->sym[j])
				return false;
	}
	return rate->sym[0] && rate->sym[1];
}

static bool formed_lists(const struct fort_state *state)
{
	if (state->packet.type != FORT_NUM || state->meta.type != FORT_NUM ||
	    !formed_value(state, &state->packet, 0) || !formed_value(state, &state->meta, 0) ||
	    !formed_value(state, &state->lock, state->n_frames))
		return false;
	for (uint32_t i = 0; i < state->n_refs; i++)
		if (!state->refs[i].id || state->refs[i].id >= state->next_id)
			return false;
	for (uint32_t i = 0; i < state->n_facts; i++) {
		const struct fort_fact *fact = &state->facts[i];

		if (!fact->a || fact->a >= state->next_id || fact->b >= state->next_id ||
		    fact->c >= state->next_id || (!fact->b && !fact->c))
			return false;
	}
	for (uint32_t i = 0; i < state->n_rates; i++)
		if (!formed_rate(state, &state->rates[i]))
			return false;
	for (uint32_t i = 0; i < state->n_ghosts; i++)
		if (state->ghosts[i].value.type != FORT_NUM ||
		    !formed_value(state, &state->ghosts[i].value, 0))
			return false;
	return true;
}

bool fort_state_is_formed(const struct fort_state *state)
{
	if (!state->n_frames || state->n_frames > FORT_FRAMES_MAX ||
	    state->n_refs > FORT_REFS_MAX || state->n_facts > FORT_FACTS_MAX ||
	    state->n_rates > FORT_RATES_MAX || state->n_ghosts > FORT_GHOSTS_MAX)
		return false;
	for (uint32_t i = 0; i < state->n_frames; i++)
		if (!formed_frame(state, i))
			return false;
	return formed_lists(state);
}

static bool valid_number(struct fort_value *value, void *context)
{
	(void)context;
	return value->type == FORT_NONE || fort_scalar_validate(&value->num);
}

bool fort_state_validate(const struct fort_state *state)
{
	/* cast: this visitor changes nothing */
	return fort_state_is_formed(state) &&
	       fort_state_visit((struct fort_state *)(uintptr_t)state, valid_number, NULL);
}
