/* Reading claims. Trusted. */
#include "proof/claim.h"

#include <errno.h>
#include <string.h>

#include "proof/claim_format.h"
#include "step/rate.h"
#include "step/relate.h"

/* One claim being read. */
struct claim {
	struct fort_reader reader;
	const struct fort_env *env;
	struct fort_pool *pool;
	struct fort_state *state;
	uint32_t n_ids, n_owners;
	int err; /* -ENOMEM, sticky */
};

/* --- parts of the format --- */

static bool get(struct claim *claim, uint64_t limit, uint64_t *out)
{
	return !fort_reader_varint(&claim->reader, out) && *out <= limit;
}

static bool get32(struct claim *claim, uint32_t limit, uint32_t *out)
{
	uint64_t value;

	if (!get(claim, limit, &value))
		return false;
	*out = (uint32_t)value;
	return true;
}

static bool get_signed(struct claim *claim, int64_t *out)
{
	uint64_t value;

	if (!get(claim, UINT64_MAX, &value))
		return false;
	*out = (int64_t)(value >> 1 ^ (0 - (value & 1)));
	return true;
}

/* An id between 1 and n. */
static bool get_name(struct claim *claim, uint32_t *out)
{
	return get32(claim, claim->n_ids, out) && *out;
}

static bool get_const(struct claim *claim, struct fort_scalar *out)
{
	uint64_t number;

	if (!get(claim, UINT64_MAX, &number))
		return false;
	*out = fort_scalar_const(number);
	return true;
}

static bool get_width(struct claim *claim, struct fort_scalar *out)
{
	uint32_t bits;

	if (!get32(claim, 63, &bits))
		return false;
	*out = fort_scalar_of_width(bits);
	return true;
}

static bool get_number(struct claim *claim, struct fort_scalar *out)
{
	struct fort_scalar num = fort_scalar_unknown();
	uint8_t views;

	if (fort_reader_u8(&claim->reader, &views) || views > FORT_VIEW_WIDTH)
		return false;
	if (views == FORT_VIEW_CONST)
		return get_const(claim, out);
	if (views == FORT_VIEW_WIDTH)
		return get_width(claim, out);
	if ((views & FORT_VIEW_ARC) &&
	    (!get(claim, UINT64_MAX, &num.arc.base) || !get(claim, UINT64_MAX - 1, &num.arc.size)))
		return false;
	if ((views & FORT_VIEW_BITS) &&
	    (!get(claim, UINT64_MAX, &num.bits.value) || !get(claim, UINT64_MAX, &num.bits.mask)))
		return false;
	if ((views & FORT_VIEW_LOW) && (!get32(claim, UINT32_MAX, &num.low.base) ||
					!get32(claim, UINT32_MAX - 1, &num.low.size)))
		return false;
	*out = num;
	/* Numbers must have members. */
	return !(num.bits.value & num.bits.mask) && fort_scalar_reduce(out);
}

static bool is_held(const struct fort_state *state, uint32_t ref)
{
	for (uint32_t i = 0; i < state->n_refs; i++)
		if (state->refs[i].id == ref)
			return true;
	return false;
}

/* What later rules rely on, of a value that frame `holder` has: no pointer leads to the stack of a
 * frame that ends before. */
static bool is_sound(const struct claim *claim, const struct fort_value *value, uint32_t holder)
{
	bool maybe_null = value->flags & FORT_MAYBE_NULL;

	if (value->type == FORT_NUM)
		return !(value->flags || value->id || value->ref || value->base || value->object);
	if (maybe_null != !!value->id || (value->ref && !is_held(claim->state, value->ref)))
		return false;
	/* Tests of a maybe-NULL pointer assume that nothing was added to it. */
	if (maybe_null && (!fort_scalar_is_const(&value->num) || value->num.arc.base))
		return false;
	switch (value->type) {
	case FORT_STACK: return value->frame <= holder;
	case FORT_MAP:
	case FORT_MAP_VALUE:
	case FORT_MAP_KEY: return value->object < claim->env->n_maps + claim->env->n_inner;
	case FORT_FUNC: return value->object < claim->env->graph->program.n_subprogs;
	case FORT_DYNPTR: return value->object < FORT_DYNPTRS;
	default: return true;
	}
}

/* What most values do not have. */
static bool get_parts(struct claim *claim, uint8_t parts, struct fort_value *value)
{
	uint32_t frame = 0, flags = 0;

	if (((parts & FORT_PART_OBJECT) && !get32(claim, UINT32_MAX, &value->object)) ||
	    ((parts & FORT_PART_FRAME) && !get32(claim, FORT_FRAMES_MAX - 1, &frame)) ||
	    ((parts & FORT_PART_FLAGS) && !get32(claim, UINT16_MAX, &flags)) ||
	    ((parts & FORT_PART_ID) && !get_name(claim, &value->id)) ||
	    ((parts & FORT_PART_REF) && !get_name(claim, &value->ref)) ||
	    ((parts & FORT_PART_BASE) && !get_name(claim, &value->base)) ||
	    ((parts & FORT_PART_RELATED) &&
	     (!get_name(claim, &value->sym) || !get_signed(claim, &value->delta))))
		return false;
	value->frame = (uint8_t)frame;
	value->flags = (uint16_t)flags;
	return true;
}

static bool get_value(struct claim *claim, uint32_t holder, struct fort_value *out)
{
	uint8_t type, parts;

	if (fort_reader_u8(&claim->reader, &type) || type == FORT_NONE || type >= FORT_TYPES ||
	    fort_reader_u8(&claim->reader, &parts))
		return false;
	*out = (struct fort_value){.type = type};
	if ((parts & ~FORT_PART_NUM) && !get_parts(claim, parts, out))
		return false;
	if (parts & FORT_PART_NUM) {
		if (!get_number(claim, &out->num))
			return false;
	} else if (type == FORT_NUM) {
		out->num = fort_scalar_unknown();
	}
	/* A pointer at an unknown offset needs a name, or comparisons teach it nothing. */
	if (type != FORT_NUM && !out->sym && !fort_scalar_is_const(&out->num))
		out->sym = claim->state->next_id++;
	return is_sound(claim, out, holder);
}

/* Where only numbers can be: what belongs to no frame. */
static bool get_count(struct claim *claim, struct fort_value *out)
{
	return get_value(claim, 0, out) && out->type == FORT_NUM;
}

static void unpack_bytes(uint32_t packed, uint8_t bytes[8])
{
	for (unsigned i = 0; i < 8; i++)
		bytes[i] = packed >> (3 * i) & 7;
}

/* Marks that the rules make: spilled bytes come first, objects have all eight. */
static bool get_each(struct claim *claim, struct fort_slot *slot)
{
	unsigned spilled;
	uint32_t packed;

	if (!get32(claim, (1u << 24) - 1, &packed))
		return false;
	unpack_bytes(packed, slot->bytes);
	spilled = fort_slot_spilled(slot);
	for (unsigned i = 0; i < 8; i++)
		if (slot->bytes[i] >= FORT_BYTE_OBJECT ||
		    (i >= spilled && slot->bytes[i] == FORT_BYTE_SPILL))
			return false;
	return true;
}

/* What a slot's first byte says that it holds: a part of an object; a pointer, whole; a number of a
 * width that is loaded. */
static bool get_held(struct claim *claim, uint32_t holder, struct fort_slot *slot)
{
	const struct fort_value *held = &slot->spill;
	unsigned spilled = fort_slot_spilled(slot);

	if (!get_value(claim, holder, &slot->spill))
		return false;
	if (slot->bytes[0] == FORT_BYTE_OBJECT)
		return held->type == FORT_DYNPTR || held->type == FORT_ITER;
	if (held->type == FORT_NUM)
		return fort_is_power_of_two(spilled);
	return held->type != FORT_ITER && spilled == 8;
}

/* A blank slot, or several with bytes of one kind: the one that is named and `*run` above it. */
static bool get_slots(struct claim *claim, struct fort_frame *frame, uint32_t index, uint32_t *run)
{
	struct fort_slot *slot = &frame->slots[index];
	uint8_t mark;

	*run = 0;
	if (fort_reader_u8(&claim->reader, &mark) || mark > FORT_MARKS_EACH)
		return false;
	if (mark < FORT_BYTE_SPILL) {
		if (!get32(claim, index, run))
			return false;
		for (uint32_t i = 0; i <= *run; i++)
			memset(frame->slots[index - i].bytes, mark, sizeof(slot->bytes));
		return true;
	}
	memset(slot->bytes, mark, sizeof(slot->bytes));
	if (mark == FORT_MARKS_EACH && !get_each(claim, slot))
		return false;
	return !fort_slot_has_value(slot) || get_held(claim, claim->state->n_frames - 1, slot);
}

/* Every reference once, before the pointers that hold it. */
static bool read_refs(struct claim *claim)
{
	struct fort_state *state = claim->state;

	if (!get32(claim, FORT_REFS_MAX, &state->n_refs))
		return false;
	for (uint32_t i = 0; i < state->n_refs; i++) {
		state->refs[i] = (struct fort_ref){0};
		if (!get_name(claim, &state->refs[i].id))
			return false;
		for (uint32_t j = 0; j < i; j++)
			if (state->refs[j].id == state->refs[i].id)
				return false;
	}
	return true;
}

/* --- frames --- */

/* Where a frame goes on when its callee ends: behind a local call, or at a call that calls back.
 * The outermost one does not. */
static bool valid_return(const struct claim *claim, uint32_t kind, uint32_t return_pc)
{
	const struct fort_graph *graph = claim->env->graph;

	if (!claim->state->n_frames)
		return !return_pc && kind == FORT_FRAME_CALLED;
	if (return_pc >= graph->program.n_insns)
		return false;
	if (kind == FORT_FRAME_CALLBACK)
		return graph->marks[return_pc] & FORT_MARK_CALLS_BACK;
	return graph->marks[return_pc] & FORT_MARK_RETURN;
}

static bool no_memory(struct claim *claim)
{
	claim->err = -ENOMEM;
	return false;
}

static bool read_slots(struct claim *claim, struct fort_frame *frame)
{
	uint32_t n, index, run, before = FORT_STACK_SLOTS;

	if (!get32(claim, FORT_STACK_SLOTS, &n))
		return false;
	for (uint32_t i = 0; i < n; i++) {
		if (!get32(claim, FORT_STACK_SLOTS - 1, &index) || index >= before)
			return false;
		if (!fort_frame_touch(claim->pool, frame, index + 1))
			return no_memory(claim);
		if (!get_slots(claim, frame, index, &run))
			return false;
		before = index - run;
	}
	return true;
}

static bool read_counter(struct claim *claim, bool said, struct fort_value *out)
{
	struct fort_value any = fort_value_counter();

	return !said || (get_count(claim, out) && fort_scalar_meet(&out->num, &any.num));
}

/* What is not said: between calls nothing calls back; how often a may_goto went on does not matter
 * where none is ahead. */
static bool read_counters(struct claim *claim, struct fort_frame *frame)
{
	uint8_t which;

	frame->goes = fort_value_counter();
	return !fort_reader_u8(&claim->reader, &which) && which <= FORT_SAID_COUNTERS &&
	       read_counter(claim, which & FORT_SAID_TURNS, &frame->turns) &&
	       read_counter(claim, which & FORT_SAID_GOES, &frame->goes);
}

/* Iterators are in stacks. */
static bool get_register(struct claim *claim, struct fort_value *out)
{
	return get_value(claim, claim->state->n_frames - 1, out) && out->type != FORT_ITER;
}

static bool read_frame(struct claim *claim)
{
	uint32_t subprog, return_pc, mask;
	struct fort_frame *frame;
	uint8_t kind;

	if (fort_reader_u8(&claim->reader, &kind) || kind >= FORT_FRAMES ||
	    !get32(claim, claim->env->graph->program.n_subprogs - 1, &subprog) ||
	    !get32(claim, UINT32_MAX, &return_pc) || !valid_return(claim, kind, return_pc) ||
	    !get32(claim, (1u << FORT_R10) - 1, &mask))
		return false;
	if (!fort_state_push_frame(claim->pool, claim->state, subprog, return_pc))
		return no_memory(claim);
	frame = fort_state_top(claim->state);
	frame->kind = kind;
	for (; mask; mask &= mask - 1)
		if (!get_register(claim, &frame->regs[__builtin_ctz(mask)]))
			return false;
	return read_slots(claim, frame) && read_counters(claim, frame);
}

/* --- what connects frames --- */

/* Packets lie in a window of 4 GiB, whatever is said or not said of them. */
static bool read_length(struct claim *claim, bool said, struct fort_value *out)
{
	struct fort_scalar most = fort_scalar_of_width(32);

	*out = fort_value_number(most);
	return !said || (get_count(claim, out) && fort_scalar_meet(&out->num, &most));
}

static bool read_rest(struct claim *claim, uint8_t *which)
{
	struct fort_state *state = claim->state;

	return !fort_reader_u8(&claim->reader, which) && *which <= FORT_SAID_ALL &&
	       read_length(claim, *which & FORT_SAID_PACKET, &state->packet) &&
	       read_length(claim, *which & FORT_SAID_META, &state->meta) &&
	       (!(*which & FORT_SAID_LOCK) || get_value(claim, state->n_frames - 1, &state->lock));
}

/* The value that a fact is about; *out NULL for none. */
static bool get_term(struct claim *claim, const struct fort_value *self,
		     const struct fort_value **out)
{
	const struct fort_value *value;
	uint32_t code;

	*out = NULL;
	if (!get32(claim, UINT16_MAX, &code))
		return false;
	if (code == FORT_CODE_NONE)
		return true;
	value = code == FORT_CODE_SELF ? self : fort_state_cell(claim->state, fort_cell_of(code));
	if (!value || value->type == FORT_NONE)
		return false;
	*out = value;
	return true;
}

static bool read_facts(struct claim *claim, const struct fort_value *self)
{
	const struct fort_value *terms[3];
	uint32_t n;
	int64_t most;

	if (!get32(claim, FORT_FACTS_MAX, &n))
		return false;
	for (uint32_t i = 0; i < n; i++) {
		for (unsigned k = 0; k < 3; k++)
			if (!get_term(claim, self, &terms[k]))
				return false;
		if (!get_signed(claim, &most) || !terms[0])
			return false;
		fort_relate_note(claim->state, terms[0], terms[1], terms[2], most);
	}
	return true;
}

static bool read_rate(struct claim *claim)
{
	struct fort_form form = {0};
	int64_t factor, most;

	for (unsigned k = 0; k < FORT_RATE_TERMS; k++) {
		if (!get_signed(claim, &factor) || factor > INT32_MAX || factor < -INT32_MAX)
			return false;
		form.factor[k] = (int32_t)factor;
		if (factor && (!get_term(claim, NULL, &form.of[k]) || !form.of[k]))
			return false;
	}
	if (!get_signed(claim, &most))
		return false;
	fort_rate_note(claim->state, &form, most);
	return true;
}

static bool read_rates(struct claim *claim, bool said)
{
	uint32_t n = 0;

	if (said && (!get32(claim, FORT_RATES_MAX, &n) || !n))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!read_rate(claim))
			return false;
	return true;
}

static bool read_ghosts(struct claim *claim)
{
	struct fort_state *state = claim->state;
	int64_t last = -1;
	uint32_t n;

	if (!get32(claim, FORT_GHOSTS_MAX, &n))
		return false;
	if (n && !fort_state_haunt(claim->pool, state))
		return no_memory(claim);
	for (uint32_t i = 0; i < n; i++) {
		struct fort_ghost ghost;

		if (!get32(claim, UINT32_MAX, &ghost.owner) || ghost.owner <= last ||
		    ghost.owner >= claim->n_owners || !get_count(claim, &ghost.value))
			return false;
		last = ghost.owner;
		state->ghosts[state->n_ghosts++] = ghost;
		if (!read_facts(claim, &ghost.value))
			return false;
	}
	return true;
}

/* What is read is formed (fort_state_is_formed): each value is looked at where it is read, by what
 * came before it; facts and rates are the rules' own, of values that are there. */
static bool read_state(struct claim *claim)
{
	uint32_t n_frames;
	uint8_t form, which;

	if (fort_reader_u8(&claim->reader, &form) || form != FORT_CLAIM_SAID ||
	    !get32(claim, FORT_CLAIM_IDS_MAX, &claim->n_ids) || !read_refs(claim) ||
	    !get32(claim, FORT_FRAMES_MAX, &n_frames) || !n_frames)
		return false;
	claim->state->next_id = claim->n_ids + 1;
	for (uint32_t f = 0; f < n_frames; f++)
		if (!read_frame(claim))
			return false;
	return read_rest(claim, &which) && read_facts(claim, NULL) &&
	       read_rates(claim, which & FORT_SAID_RATES) && read_ghosts(claim) &&
	       !fort_reader_left(&claim->reader);
}

int fort_claim_read(struct fort_span bytes, struct fort_pool *pool, const struct fort_env *env,
		    uint32_t n_owners, struct fort_state **out)
{
	struct claim claim = {.reader = fort_reader_on(bytes.data, bytes.bytes),
			      .env = env,
			      .pool = pool,
			      .state = fort_state_new(pool),
			      .n_owners = n_owners,
			      .err = -EBADMSG};

	if (!claim.state)
		return -ENOMEM;
	if (!read_state(&claim)) {
		fort_state_free(pool, claim.state);
		return claim.err;
	}
	*out = claim.state;
	return 0;
}
