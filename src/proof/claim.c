/* Reading claims: into a state, or against one. Trusted. */
#include "proof/claim.h"

#include <errno.h>
#include <string.h>

#include "proof/claim_format.h"

/* --- parts of the format --- */

static bool get(struct fort_reader *reader, uint64_t limit, uint64_t *out)
{
	return !fort_reader_varint(reader, out) && *out <= limit;
}

static bool get32(struct fort_reader *reader, uint32_t limit, uint32_t *out)
{
	uint64_t value;

	if (!get(reader, limit, &value))
		return false;
	*out = (uint32_t)value;
	return true;
}

static bool get_signed(struct fort_reader *reader, int64_t *out)
{
	uint64_t value;

	if (!get(reader, UINT64_MAX, &value))
		return false;
	*out = (int64_t)(value >> 1 ^ (0 - (value & 1)));
	return true;
}

/* An id between 1 and n. */
static bool get_name(struct fort_reader *reader, uint32_t n, uint32_t *out)
{
	return get32(reader, n, out) && *out;
}

static bool get_number(struct fort_reader *reader, struct fort_scalar *out)
{
	struct fort_scalar num = fort_scalar_unknown();
	uint8_t views;

	if (fort_reader_u8(reader, &views) || views > FORT_VIEW_CONST)
		return false;
	if (views == FORT_VIEW_CONST) {
		uint64_t number;

		if (!get(reader, UINT64_MAX, &number))
			return false;
		*out = fort_scalar_const(number);
		return true;
	}
	if ((views & FORT_VIEW_ARC) && (!get(reader, UINT64_MAX, &num.arc.base) ||
					!get(reader, UINT64_MAX - 1, &num.arc.size)))
		return false;
	if ((views & FORT_VIEW_BITS) &&
	    (!get(reader, UINT64_MAX, &num.bits.value) || !get(reader, UINT64_MAX, &num.bits.mask)))
		return false;
	if ((views & FORT_VIEW_LOW) && (!get32(reader, UINT32_MAX, &num.low.base) ||
					!get32(reader, UINT32_MAX - 1, &num.low.size)))
		return false;
	if (num.bits.value & num.bits.mask)
		return false;
	*out = num;
	return true;
}

static bool get_value(struct fort_reader *reader, uint32_t n_ids, uint32_t n_frames,
		      struct fort_value *out)
{
	struct fort_value value = fort_value_unknown();
	uint32_t frame = 0;
	uint8_t tag;

	if (fort_reader_u8(reader, &tag))
		return false;
	value.type = tag & FORT_TAG_TYPE;
	value.maybe_null = !!(tag & FORT_TAG_MAYBE_NULL);
	if (value.type == FORT_NONE || value.type >= FORT_TYPES ||
	    (value.type == FORT_NUM && (tag & (FORT_TAG_MAYBE_NULL | FORT_TAG_REF))) ||
	    (value.type != FORT_NUM && (tag & FORT_TAG_ANY)))
		return false;
	if (fort_type_has_object(value.type) && !get32(reader, UINT32_MAX, &value.object))
		return false;
	if (value.type == FORT_STACK && (!get32(reader, n_frames - 1, &frame)))
		return false;
	value.frame = (uint8_t)frame;
	if (value.maybe_null && !get_name(reader, n_ids, &value.id))
		return false;
	if ((tag & FORT_TAG_REF) && !get_name(reader, n_ids, &value.ref))
		return false;
	if ((tag & FORT_TAG_RELATED) &&
	    (!get_name(reader, n_ids, &value.sym) || !get_signed(reader, &value.delta)))
		return false;
	if (fort_type_has_range(value.type)) {
		int64_t range;

		if (!get_signed(reader, &range) || range < INT32_MIN || range > INT32_MAX)
			return false;
		value.range = (int32_t)range;
	}
	if (!(tag & FORT_TAG_ANY) && !get_number(reader, &value.num))
		return false;
	/* Tests of a maybe-NULL pointer assume that nothing was added to it. */
	if (value.maybe_null && (!fort_scalar_is_const(&value.num) || value.num.arc.base))
		return false;
	*out = value;
	return true;
}

static void unpack_bytes(uint32_t packed, uint8_t bytes[8])
{
	for (unsigned i = 0; i < 8; i++)
		bytes[i] = packed >> (2 * i) & 3;
}

/* One slot: its index must exceed `after`. */
static bool get_slot(struct fort_reader *reader, uint32_t n_ids, uint32_t n_frames, int64_t after,
		     uint32_t *index, struct fort_slot *out)
{
	struct fort_slot slot = {0};
	uint32_t packed;
	unsigned spilled;

	if (!get32(reader, FORT_STACK_SLOTS - 1, index) || *index <= after ||
	    !get32(reader, UINT16_MAX, &packed))
		return false;
	unpack_bytes(packed, slot.bytes);
	spilled = fort_slot_spilled(&slot);
	for (unsigned i = spilled; i < 8; i++)
		if (slot.bytes[i] == FORT_BYTE_SPILL)
			return false;
	if (spilled) {
		if (!fort_is_power_of_two(spilled) ||
		    !get_value(reader, n_ids, n_frames, &slot.spill))
			return false;
		if (spilled < 8 && slot.spill.type != FORT_NUM)
			return false;
	}
	*out = slot;
	return true;
}

struct claim_head {
	uint32_t n_ids, n_frames;
};

static bool get_head(struct fort_reader *reader, struct claim_head *head)
{
	return get32(reader, FORT_CLAIM_IDS_MAX, &head->n_ids) &&
	       get32(reader, FORT_FRAMES_MAX, &head->n_frames) && head->n_frames;
}

/* --- reading --- */

/* Numbers must have members, and what later rules rely on must hold. */
static bool settle(struct fort_value *value, const struct fort_env *env, struct fort_state *state)
{
	if (!fort_scalar_reduce(&value->num))
		return false;
	if ((value->type == FORT_MAP || value->type == FORT_MAP_VALUE) &&
	    value->object >= env->n_maps)
		return false;
	/* A packet pointer at an unknown offset needs a name, or comparisons teach it nothing. */
	if (fort_type_has_range(value->type) && !value->sym && !fort_scalar_is_const(&value->num)) {
		value->sym = state->next_id++;
		value->delta = 0;
	}
	return true;
}

/* Where a frame goes on when its callee ends. The outermost one does not. */
static bool valid_return(const struct fort_env *env, const struct fort_state *state,
			 uint32_t return_pc)
{
	const struct fort_graph *graph = env->graph;

	if (!state->n_frames)
		return !return_pc;
	return return_pc < graph->program.n_insns && (graph->marks[return_pc] & FORT_MARK_RETURN);
}

static bool read_frame(struct fort_reader *reader, const struct claim_head *head,
		       const struct fort_env *env, struct fort_pool *pool, struct fort_state *state,
		       int *err)
{
	uint32_t subprog, return_pc, mask, n_slots, index;
	struct fort_frame *frame;
	int64_t last = -1;

	if (!get32(reader, env->graph->program.n_subprogs - 1, &subprog) ||
	    !get32(reader, UINT32_MAX, &return_pc) || !valid_return(env, state, return_pc) ||
	    !get32(reader, (1u << FORT_R10) - 1, &mask))
		return false;
	if (!fort_state_push_frame(pool, state, subprog, return_pc)) {
		*err = -ENOMEM;
		return false;
	}
	frame = fort_state_top(state);
	for (unsigned r = 0; r < FORT_R10; r++)
		if ((mask >> r & 1) &&
		    (!get_value(reader, head->n_ids, head->n_frames, &frame->regs[r]) ||
		     !settle(&frame->regs[r], env, state)))
			return false;
	if (!get32(reader, FORT_STACK_SLOTS, &n_slots))
		return false;
	for (uint32_t i = 0; i < n_slots; i++) {
		struct fort_slot slot;

		if (!get_slot(reader, head->n_ids, head->n_frames, last, &index, &slot) ||
		    (slot.spill.type && !settle(&slot.spill, env, state)))
			return false;
		last = index;
		if (!fort_frame_touch(pool, frame, index + 1)) {
			*err = -ENOMEM;
			return false;
		}
		frame->slots[index] = slot;
	}
	return true;
}

/* Every reference that a pointer claims to hold must be in the list, once. */
static bool read_refs(struct fort_reader *reader, const struct claim_head *head,
		      struct fort_state *state)
{
	if (!get32(reader, FORT_REFS_MAX, &state->n_refs))
		return false;
	for (uint32_t i = 0; i < state->n_refs; i++) {
		if (!get_name(reader, head->n_ids, &state->refs[i].id))
			return false;
		for (uint32_t j = 0; j < i; j++)
			if (state->refs[j].id == state->refs[i].id)
				return false;
	}
	return true;
}

static bool read_state(struct fort_reader *reader, const struct fort_env *env,
		       struct fort_pool *pool, struct fort_state *state, int *err)
{
	struct claim_head head;

	if (!get_head(reader, &head))
		return false;
	state->next_id = head.n_ids + 1;
	for (uint32_t f = 0; f < head.n_frames; f++)
		if (!read_frame(reader, &head, env, pool, state, err))
			return false;
	return read_refs(reader, &head, state) && !fort_reader_left(reader) &&
	       fort_state_validate(state);
}

int fort_claim_read(struct fort_span claim, struct fort_pool *pool, const struct fort_env *env,
		    struct fort_state **out)
{
	struct fort_reader reader = fort_reader_on(claim.data, claim.bytes);
	struct fort_state *state = fort_state_new(pool);
	int err = -EBADMSG;

	if (!state)
		return -ENOMEM;
	if (!read_state(&reader, env, pool, state, &err)) {
		fort_state_free(pool, state);
		return err;
	}
	*out = state;
	return 0;
}

/* --- inclusion --- */

/* Which id of the state a claimed id stands for, found as values are compared. */
struct meaning {
	uint32_t actual;
	int64_t shift; /* symbols: actual symbol = claimed symbol + shift */
};

struct cover {
	const struct fort_state *state;
	struct claim_head head;
	struct meaning meanings[FORT_CLAIM_IDS_MAX + 1];
};

static bool same_id(struct cover *cover, uint32_t claimed, uint32_t actual, int64_t shift)
{
	struct meaning *meaning = &cover->meanings[claimed];

	if (!claimed)
		return true;
	if (!actual)
		return false;
	if (!meaning->actual) {
		*meaning = (struct meaning){actual, shift};
		return true;
	}
	return meaning->actual == actual && meaning->shift == shift;
}

/* Every value of `actual` is one of `claimed`, and what is claimed of its relations holds. */
static bool covers_value(struct cover *cover, const struct fort_value *claimed,
			 const struct fort_value *actual)
{
	int64_t shift = (int64_t)((uint64_t)claimed->delta - (uint64_t)actual->delta);

	if (claimed->type != actual->type || claimed->maybe_null != actual->maybe_null ||
	    claimed->object != actual->object || claimed->frame != actual->frame)
		return false;
	if (!claimed->ref != !actual->ref || claimed->range > actual->range)
		return false;
	return same_id(cover, claimed->id, actual->id, 0) &&
	       same_id(cover, claimed->ref, actual->ref, 0) &&
	       same_id(cover, claimed->sym, actual->sym, shift) &&
	       fort_scalar_covers(&claimed->num, &actual->num);
}

/* Every byte of `actual` is as claimed. */
static bool covers_slot(struct cover *cover, const struct fort_slot *claimed,
			const struct fort_slot *actual)
{
	unsigned spilled = fort_slot_spilled(claimed);

	if (spilled) {
		/* A wider or narrower spill holds another number. */
		if (fort_slot_spilled(actual) != spilled ||
		    !covers_value(cover, &claimed->spill, &actual->spill))
			return false;
	}
	for (unsigned i = spilled; i < 8; i++) {
		uint8_t byte = actual->bytes[i];
		bool spill = byte == FORT_BYTE_SPILL;

		if (claimed->bytes[i] == FORT_BYTE_INVALID)
			continue;
		if (spill && actual->spill.type != FORT_NUM)
			return false; /* part of a pointer is no number */
		if (claimed->bytes[i] == FORT_BYTE_MISC && byte == FORT_BYTE_INVALID)
			return false;
		if (claimed->bytes[i] == FORT_BYTE_ZERO && byte != FORT_BYTE_ZERO &&
		    !(spill && fort_scalar_umax(&actual->spill.num) == 0))
			return false;
	}
	return true;
}

static bool covers_frame(struct cover *cover, struct fort_reader *reader,
			 const struct fort_frame *frame)
{
	uint32_t subprog, return_pc, mask, n_slots, index;
	int64_t last = -1;

	if (!get32(reader, UINT32_MAX, &subprog) || !get32(reader, UINT32_MAX, &return_pc) ||
	    subprog != frame->subprog || return_pc != frame->return_pc ||
	    !get32(reader, (1u << FORT_R10) - 1, &mask))
		return false;
	for (unsigned r = 0; r < FORT_R10; r++) {
		struct fort_value claimed;

		if (!(mask >> r & 1))
			continue;
		if (!get_value(reader, cover->head.n_ids, cover->head.n_frames, &claimed) ||
		    !covers_value(cover, &claimed, &frame->regs[r]))
			return false;
	}
	if (!get32(reader, FORT_STACK_SLOTS, &n_slots))
		return false;
	for (uint32_t i = 0; i < n_slots; i++) {
		static const struct fort_slot blank;
		struct fort_slot claimed;

		if (!get_slot(reader, cover->head.n_ids, cover->head.n_frames, last, &index,
			      &claimed))
			return false;
		last = index;
		if (!covers_slot(cover, &claimed,
				 index < frame->n_slots ? &frame->slots[index] : &blank))
			return false;
	}
	return true;
}

/* The same references, no more and no fewer; two claimed ones are two. */
static bool covers_refs(struct cover *cover, struct fort_reader *reader)
{
	const struct fort_state *state = cover->state;
	uint32_t n, actual[FORT_REFS_MAX];

	if (!get32(reader, FORT_REFS_MAX, &n) || n != state->n_refs)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t claimed, known = 0;

		if (!get_name(reader, cover->head.n_ids, &claimed))
			return false;
		/* A reference that no claimed pointer holds takes the same place in the list. */
		if (!cover->meanings[claimed].actual)
			cover->meanings[claimed].actual = state->refs[i].id;
		actual[i] = cover->meanings[claimed].actual;
		for (uint32_t j = 0; j < n; j++)
			known += state->refs[j].id == actual[i];
		for (uint32_t j = 0; j < i; j++)
			known += actual[j] == actual[i];
		if (known != 1)
			return false;
	}
	return true;
}

bool fort_claim_covers(struct fort_span claim, const struct fort_state *state)
{
	struct fort_reader reader = fort_reader_on(claim.data, claim.bytes);
	struct cover cover;

	cover.state = state;
	if (!get_head(&reader, &cover.head) || cover.head.n_frames != state->n_frames)
		return false;
	memset(cover.meanings, 0, (cover.head.n_ids + 1) * sizeof(cover.meanings[0]));
	for (uint32_t f = 0; f < state->n_frames; f++)
		if (!covers_frame(&cover, &reader, state->frames[f]))
			return false;
	return covers_refs(&cover, &reader) && !fort_reader_left(&reader);
}
