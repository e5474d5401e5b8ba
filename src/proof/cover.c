#include "proof/cover.h"

#include <string.h>

#include "step/rate.h"
#include "step/relate.h"

/* What a claimed symbol stands for, found as values are compared: a symbol of the actual state, or
 * a number. In both cases claimed symbol = actual symbol + shift. */
struct symbol {
	enum { UNSEEN, RELATED, ALONE } kind;
	uint32_t actual; /* RELATED; 0: a number */
	int64_t shift;
	const struct fort_value *claimed, *value; /* the first pair that has it */
};

/* What another claimed id stands for; a maybe-NULL pointer may be known better. */
#define IS_NULL  UINT32_MAX
#define NOT_NULL (UINT32_MAX - 1)

/* Numbers that are no spilled values of the actual state, but parts of them, or zeroes. */
#define ROOMS 16u

struct cover {
	const struct fort_state *claimed, *actual;
	struct symbol *symbols;
	uint32_t *ids;
	struct fort_value rooms[ROOMS];
	unsigned n_rooms;
};

static bool same_id(struct cover *cover, uint32_t claimed, uint32_t actual)
{
	if (!claimed)
		return true;
	if (!actual)
		return false;
	if (!cover->ids[claimed])
		cover->ids[claimed] = actual;
	return cover->ids[claimed] == actual;
}

static bool same_symbol(struct cover *cover, const struct fort_value *claimed,
			const struct fort_value *actual)
{
	struct symbol *symbol = &cover->symbols[claimed->sym];
	int64_t shift;
	uint32_t sym;
	bool number;

	if (!claimed->sym)
		return true;
	number = !actual->num.arc.size;
	sym = number ? 0 : actual->sym;
	shift = fort_wrap_sub(number ? (int64_t)actual->num.arc.base : actual->delta,
			      claimed->delta);
	if (symbol->kind == UNSEEN) {
		*symbol = (struct symbol){number || sym ? RELATED : ALONE, sym, shift, claimed,
					  actual};
		return true;
	}
	return symbol->kind == RELATED && (number || sym) && symbol->actual == sym &&
	       symbol->shift == shift;
}

/* Flags in which a claim must be exact. An iterator that may have elements stands for one that has
 * none left. */
static uint16_t exact_flags(const struct fort_value *claimed, const struct fort_value *value)
{
	bool may_go_on = claimed->type == FORT_ITER && !(claimed->flags & FORT_DRAINED);

	return value->flags & (uint16_t) ~(FORT_MAYBE_NULL | (may_go_on ? FORT_DRAINED : 0));
}

/* Type, frame, flags and object. */
static inline uint64_t head_of(const struct fort_value *value)
{
	uint64_t head;

	memcpy(&head, value, sizeof(head));
	return head;
}

_Static_assert(offsetof(struct fort_value, object) + sizeof(uint32_t) == sizeof(uint64_t),
	       "head_of: four fields, nothing between them");

/* Is it a pointer of the same kind, or a number too? NULL is looked at elsewhere. */
static bool same_kind(const struct fort_value *claimed, const struct fort_value *actual)
{
	bool maybe_null = claimed->flags & FORT_MAYBE_NULL;

	if (head_of(claimed) == head_of(actual))
		return !claimed->ref == !actual->ref;
	return claimed->type == actual->type && claimed->object == actual->object &&
	       claimed->frame == actual->frame &&
	       exact_flags(claimed, claimed) == exact_flags(claimed, actual) &&
	       (maybe_null || !(actual->flags & FORT_MAYBE_NULL)) && !claimed->ref == !actual->ref;
}

static inline bool same_number(const struct fort_scalar *claimed, const struct fort_scalar *actual)
{
	return !memcmp(claimed, actual, sizeof(*claimed));
}

/* Every number is a claimed one; most are the very same. */
static inline bool covers_number(const struct fort_scalar *claimed,
				 const struct fort_scalar *actual)
{
	return same_number(claimed, actual) || fort_scalar_covers(claimed, actual);
}

/* Of the same head, hence of the same kind and both maybe NULL or neither; the same number; and the
 * claim names nothing. Then nothing is left to be asked but that no reference is held, of which a
 * claimed one would be the name. Most pairs are like that. */
static inline bool same_plainly(const struct fort_value *claimed, const struct fort_value *actual)
{
	return head_of(claimed) == head_of(actual) &&
	       !(claimed->id | claimed->ref | claimed->base | claimed->sym | actual->ref) &&
	       same_number(&claimed->num, &actual->num);
}

static bool compare_values(struct cover *cover, const struct fort_value *claimed,
			   const struct fort_value *actual)
{
	if ((claimed->flags & FORT_MAYBE_NULL) && actual->type == FORT_NUM)
		return fort_scalar_is_const(&actual->num) && !actual->num.arc.base &&
		       !claimed->ref && same_id(cover, claimed->id, IS_NULL);
	return same_kind(claimed, actual) &&
	       same_id(cover, claimed->id, actual->id ? actual->id : NOT_NULL) &&
	       same_id(cover, claimed->ref, actual->ref) &&
	       same_id(cover, claimed->base, actual->base) &&
	       covers_number(&claimed->num, &actual->num) && same_symbol(cover, claimed, actual);
}

static inline bool covers_value(struct cover *cover, const struct fort_value *claimed,
				const struct fort_value *actual)
{
	return same_plainly(claimed, actual) || compare_values(cover, claimed, actual);
}

static bool covers_spill(struct cover *cover, const struct fort_slot *claimed, unsigned bytes,
			 const struct fort_slot *actual)
{
	const struct fort_value *value = &actual->spill;

	if (fort_slot_spilled(actual) != bytes) {
		struct fort_value *room = &cover->rooms[cover->n_rooms];

		if (cover->n_rooms == ROOMS || !fort_slot_low(actual, bytes, room))
			return false;
		cover->n_rooms++;
		value = room;
	}
	return covers_value(cover, &claimed->spill, value);
}

/* Every byte of `actual` is as claimed. */
static bool covers_slot(struct cover *cover, const struct fort_slot *claimed,
			const struct fort_slot *actual)
{
	unsigned spilled = fort_slot_spilled(claimed);

	if (claimed->bytes[0] == FORT_BYTE_OBJECT)
		return actual->bytes[0] == FORT_BYTE_OBJECT &&
		       covers_value(cover, &claimed->spill, &actual->spill);
	if (spilled && !covers_spill(cover, claimed, spilled, actual))
		return false;
	if (fort_slot_marks(claimed) == fort_slot_marks(actual))
		return true;
	for (unsigned i = spilled; i < 8; i++) {
		uint8_t byte = actual->bytes[i];
		bool spill = byte == FORT_BYTE_SPILL;

		if (claimed->bytes[i] == FORT_BYTE_INVALID)
			continue;
		if ((spill && actual->spill.type != FORT_NUM) || byte == FORT_BYTE_OBJECT)
			return false; /* part of a pointer is no number */
		if (claimed->bytes[i] == FORT_BYTE_MISC && byte == FORT_BYTE_INVALID)
			return false;
		if (claimed->bytes[i] == FORT_BYTE_ZERO && byte != FORT_BYTE_ZERO &&
		    !(spill && fort_scalar_umax(&actual->spill.num) == 0))
			return false;
	}
	return true;
}

/* Nothing is claimed; or no value, and the marks are the same. */
static inline bool same_marks(const struct fort_slot *claimed, const struct fort_slot *actual)
{
	uint64_t marks = fort_slot_marks(claimed);

	return !marks || (marks == fort_slot_marks(actual) && !fort_slot_has_value(claimed));
}

static bool covers_slots(struct cover *cover, const struct fort_frame *claimed,
			 const struct fort_frame *actual)
{
	static const struct fort_slot blank;

	for (uint32_t s = 0; s < claimed->n_slots; s++) {
		const struct fort_slot *slot = s < actual->n_slots ? &actual->slots[s] : &blank;

		if (!same_marks(&claimed->slots[s], slot) &&
		    !covers_slot(cover, &claimed->slots[s], slot))
			return false;
	}
	return true;
}

static bool covers_frame(struct cover *cover, const struct fort_frame *claimed,
			 const struct fort_frame *actual)
{
	if (claimed->kind != actual->kind || claimed->subprog != actual->subprog ||
	    claimed->return_pc != actual->return_pc ||
	    !covers_value(cover, &claimed->turns, &actual->turns) ||
	    !covers_value(cover, &claimed->goes, &actual->goes))
		return false;
	for (unsigned r = 0; r < FORT_R10; r++)
		if (claimed->regs[r].type &&
		    !covers_value(cover, &claimed->regs[r], &actual->regs[r]))
			return false;
	return covers_slots(cover, claimed, actual);
}

/* The same references, no more and no fewer; two claimed ones are two. */
static bool covers_refs(struct cover *cover)
{
	const struct fort_state *claimed = cover->claimed, *actual = cover->actual;

	if (claimed->n_refs != actual->n_refs)
		return false;
	for (uint32_t i = 0; i < claimed->n_refs; i++) {
		uint32_t *id = &cover->ids[claimed->refs[i].id], known = 0;

		/* A reference that no claimed pointer holds takes the same place in the list. */
		if (!*id)
			*id = actual->refs[i].id;
		for (uint32_t j = 0; j < actual->n_refs; j++)
			known += actual->refs[j].id == *id;
		for (uint32_t j = 0; j < i; j++)
			known += cover->ids[claimed->refs[j].id] == *id;
		if (known != 1)
			return false;
	}
	return true;
}

static const struct fort_ghost *ghost_of(const struct fort_state *state, uint32_t owner)
{
	for (uint32_t i = 0; i < state->n_ghosts; i++)
		if (state->ghosts[i].owner == owner)
			return &state->ghosts[i];
	return NULL;
}

/* A ghost that is claimed was set on every way: one that was not would have to be a number for
 * which all that is claimed of it holds at once, and what follows from that of other numbers. */
static bool covers_ghosts(struct cover *cover)
{
	for (uint32_t i = 0; i < cover->claimed->n_ghosts; i++) {
		const struct fort_ghost *claimed = &cover->claimed->ghosts[i];
		const struct fort_ghost *actual = ghost_of(cover->actual, claimed->owner);

		if (!actual || !covers_value(cover, &claimed->value, &actual->value))
			return false;
	}
	return true;
}

/* The value that carries a claimed symbol in a fact: S(claimed sym) = S(value) - delta, as integers
 * for all that the claimed value may be. */
static bool carrier(const struct cover *cover, uint32_t sym, const struct fort_value **value,
		    int64_t *delta)
{
	const struct symbol *symbol = &cover->symbols[sym];
	int64_t low, high;

	*value = NULL;
	*delta = 0;
	if (!sym)
		return true;
	if (symbol->kind == UNSEEN)
		return false;
	*value = symbol->value;
	*delta = symbol->claimed->delta;
	return !__builtin_sub_overflow(fort_scalar_smin(&symbol->claimed->num), *delta, &low) &&
	       !__builtin_sub_overflow(fort_scalar_smax(&symbol->claimed->num), *delta, &high);
}

static bool covers_fact(const struct cover *cover, const struct fort_fact *fact)
{
	const struct fort_value *a, *b, *c;
	int64_t da, db, dc, most;

	if (!carrier(cover, fact->a, &a, &da) || !carrier(cover, fact->b, &b, &db) ||
	    !carrier(cover, fact->c, &c, &dc))
		return false;
	most = fort_relate_most(cover->actual, a, b, c);
	return most != INT64_MAX && !__builtin_sub_overflow(most, da, &most) &&
	       !__builtin_sub_overflow(most, db, &most) &&
	       !__builtin_add_overflow(most, dc, &most) && most <= fact->most;
}

/* As facts, about the values that carry the claimed symbols. */
static bool covers_rate(const struct cover *cover, const struct fort_rate *rate)
{
	struct fort_form form = {0};
	int64_t deltas = 0, most;

	for (unsigned k = 0; k < FORT_RATE_TERMS; k++) {
		int64_t delta, moved;

		if (!carrier(cover, rate->sym[k], &form.of[k], &delta) ||
		    __builtin_mul_overflow(rate->factor[k], delta, &moved) ||
		    __builtin_add_overflow(deltas, moved, &deltas))
			return false;
		form.factor[k] = rate->factor[k];
	}
	most = fort_rate_most(cover->actual, &form);
	return most != INT64_MAX && !__builtin_sub_overflow(most, deltas, &most) &&
	       most <= rate->most;
}

static bool covers(struct cover *cover)
{
	const struct fort_state *claimed = cover->claimed, *actual = cover->actual;

	if (claimed->n_frames != actual->n_frames || claimed->n_refs != actual->n_refs)
		return false;
	for (uint32_t f = claimed->n_frames; f-- > 0;) /* the top differs most */
		if (!covers_frame(cover, claimed->frames[f], actual->frames[f]))
			return false;
	if (claimed->lock.type != actual->lock.type ||
	    (claimed->lock.type && !covers_value(cover, &claimed->lock, &actual->lock)))
		return false;
	if (!covers_value(cover, &claimed->packet, &actual->packet) ||
	    !covers_value(cover, &claimed->meta, &actual->meta) || !covers_ghosts(cover) ||
	    !covers_refs(cover))
		return false;
	for (uint32_t i = 0; i < claimed->n_facts; i++)
		if (!covers_fact(cover, &claimed->facts[i]))
			return false;
	for (uint32_t i = 0; i < claimed->n_rates; i++)
		if (!covers_rate(cover, &claimed->rates[i]))
			return false;
	return true;
}

bool fort_state_covers(struct fort_pool *pool, const struct fort_state *claimed,
		       const struct fort_state *actual)
{
	size_t n = claimed->next_id;
	struct cover cover;

	cover.claimed = claimed;
	cover.actual = actual;
	cover.n_rooms = 0;
	cover.symbols = fort_pool_scratch(pool, n * (sizeof(*cover.symbols) + sizeof(*cover.ids)));
	if (!cover.symbols)
		return false;
	cover.ids = (uint32_t *)(cover.symbols + n);
	for (size_t i = 0; i < n; i++) {
		cover.symbols[i].kind = UNSEEN;
		cover.ids[i] = 0;
	}
	return covers(&cover);
}
