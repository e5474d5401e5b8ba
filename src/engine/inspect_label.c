/* Where code is entered from elsewhere, and what may be taken for granted there. */
#include "engine/inspect_state.h"

#include <string.h>

static uint16_t bit(enum fort_x64_reg reg)
{
	return (uint16_t)(1u << reg);
}

/* What may have words of a program. */
static bool is_home(enum fort_x64_reg reg)
{
	switch (reg) {
	case FORT_X64_RSP:
	case FORT_X64_RBP:
	case FORT_X64_R9:
	case FORT_X64_R12: return false;
	default: return true;
	}
}

uint16_t fort_inspect_words(const struct fort_inspect_state *state)
{
	uint16_t words = 0;

	for (unsigned reg = 0; reg < FORT_X64_REGS; reg++)
		if (is_home(reg) &&
		    (state->reg[reg] == FORT_TAG_WORD || state->reg[reg] == FORT_TAG_CONST))
			words |= bit(reg);
	return words;
}

static bool keeps_base(const struct fort_inspect_reader *reader)
{
	static const uint8_t fixed[] = {FORT_X64_R9, FORT_X64_R12, FORT_X64_RBP};

	for (unsigned i = 0; i < FORT_LEN(fixed); i++)
		if (reader->state.reg[fixed[i]] != reader->base[fixed[i]])
			return false;
	return true;
}

bool fort_inspect_is_open(const struct fort_inspect_reader *reader)
{
	const struct fort_inspect_state *state = &reader->state;

	return state->part == FORT_PART_BODY && !state->depth && !state->deeper &&
	       !state->unchecked && !state->counted && keeps_base(reader);
}

void fort_inspect_nowhere(struct fort_inspect_reader *reader)
{
	reader->state = (struct fort_inspect_state){.part = FORT_PART_NOWHERE};
}

/* --- arriving --- */

static void begin(struct fort_inspect_reader *reader, enum fort_inspect_part part,
		  uint16_t function, uint16_t words)
{
	struct fort_inspect_state *state = &reader->state;

	*state = (struct fort_inspect_state){.part = (uint8_t)part, .function = function};
	memcpy(state->reg, reader->base, sizeof(state->reg));
	for (unsigned reg = 0; reg < FORT_X64_REGS; reg++)
		if (words & bit(reg))
			state->reg[reg] = FORT_TAG_WORD;
	reader->plain = reader->at;
}

/* Registers that may have words at all: the host's own are not written. */
static uint16_t possible(const struct fort_inspect_reader *reader)
{
	uint16_t words = 0;

	for (unsigned reg = 0; reg < FORT_X64_REGS; reg++)
		if (is_home(reg) && reader->base[reg] != FORT_TAG_KEPT)
			words |= bit(reg);
	return words;
}

static bool arrive_leaving(struct fort_inspect_reader *reader)
{
	const struct fort_inspect_state *state = &reader->state;

	if (!reader->begun ||
	    (state->part != FORT_PART_NOWHERE && state->part != FORT_PART_LEAVING))
		return fort_inspect_refuse(reader, FORT_INSPECT_STATE);
	begin(reader, FORT_PART_LEAVING, 0, 0);
	return true;
}

/* Higher, or for fuel. What was paid, and not given back, gets less with each way that does not
 * lead higher: so there is an end to them. */
static bool pay(struct fort_inspect_reader *reader, const struct fort_inspect_label *label)
{
	const struct fort_inspect_state *state = &reader->state;
	uint64_t needed = label->ahead + (label->order <= state->order ? 1ull : 0ull);

	return state->ahead >= needed && state->owed == label->owed
		       ? true
		       : fort_inspect_refuse(reader, FORT_INSPECT_FUEL);
}

/* What all ways here bring, and no more than is claimed. Where only ways back lead, they have to
 * bring the claim. */
static bool arrive_at(struct fort_inspect_reader *reader, const struct fort_inspect_label *label,
		      struct fort_inspect_seen *seen)
{
	uint16_t words = seen->entered ? seen->words : UINT16_MAX;

	if (reader->state.part != FORT_PART_NOWHERE) {
		if (!fort_inspect_is_open(reader) || reader->state.function != label->function)
			return fort_inspect_refuse(reader, FORT_INSPECT_STATE);
		if (!pay(reader, label))
			return false;
		words &= fort_inspect_words(&reader->state);
	}
	if (!reader->begun || label->function >= reader->image->n_functions)
		return fort_inspect_refuse(reader, FORT_INSPECT_CLAIM);
	seen->words = words & label->words & possible(reader);
	begin(reader, FORT_PART_BODY, label->function, seen->words);
	reader->state.order = label->order;
	reader->state.ahead = label->ahead;
	reader->state.owed = label->owed;
	return true;
}

/* Both ways here must say the same. */
static bool join(struct fort_inspect_reader *reader, const struct fort_inspect_hop *hop)
{
	const struct fort_inspect_state *from = &hop->state;
	struct fort_inspect_state *state = &reader->state;

	if (state->part == FORT_PART_NOWHERE) {
		*state = *from;
	} else if (state->part != from->part || state->function != from->function ||
		   state->depth != from->depth || state->deeper || state->owed ||
		   state->unchecked || state->counted) {
		return fort_inspect_refuse(reader, FORT_INSPECT_STATE);
	}
	for (unsigned reg = 0; reg < FORT_X64_REGS; reg++) {
		if (state->reg[reg] == FORT_TAG_CONST)
			state->reg[reg] = FORT_TAG_WORD;
		if (state->reg[reg] != from->reg[reg] && from->reg[reg] != FORT_TAG_CONST)
			state->reg[reg] = FORT_TAG_LOST;
	}
	for (unsigned i = 0; i < state->depth; i++)
		if (state->stack[i] != from->stack[i])
			state->stack[i] = FORT_TAG_LOST;
	if (state->order < from->order)
		state->order = from->order;
	state->flags = FORT_FLAGS_NOTHING;
	state->saved = false;
	if (state->ahead > from->ahead)
		state->ahead = from->ahead;
	return true;
}

static bool arrive_hops(struct fort_inspect_reader *reader)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < reader->n_hops; i++) {
		const struct fort_inspect_hop *hop = &reader->hops[i];

		if (hop->target < reader->at)
			return fort_inspect_refuse(reader, FORT_INSPECT_TARGET);
		if (hop->target > reader->at)
			reader->hops[n++] = *hop;
		else if (!join(reader, hop))
			return false;
	}
	reader->n_hops = n;
	return true;
}

bool fort_inspect_arrive(struct fort_inspect_reader *reader)
{
	const struct fort_inspect *image = reader->image;
	const struct fort_inspect_label *label = &image->labels[reader->label];
	struct fort_inspect_seen *seen = &reader->seen[reader->label];

	if (reader->n_hops && !arrive_hops(reader))
		return false;
	if (reader->label == image->n_labels || label->at > reader->at)
		return true;
	if (label->at < reader->at)
		return fort_inspect_refuse(reader, FORT_INSPECT_CLAIM);
	if (label->leaves ? !arrive_leaving(reader) : !arrive_at(reader, label, seen))
		return false;
	seen->passed = true;
	reader->label++;
	return true;
}

/* --- going --- */

/* The label at a place, or n_labels. */
static uint32_t find(const struct fort_inspect *image, uint32_t at)
{
	uint32_t low = 0, high = image->n_labels;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (image->labels[middle].at == at)
			return middle;
		if (image->labels[middle].at < at)
			low = middle + 1;
		else
			high = middle;
	}
	return image->n_labels;
}

/* A way to a label that brings these words. */
static bool bring(struct fort_inspect_reader *reader, uint32_t label, uint16_t words)
{
	struct fort_inspect_seen *seen = &reader->seen[label];

	if (!seen->passed)
		seen->words = seen->entered ? seen->words & words : words;
	else if (seen->words & ~words)
		return fort_inspect_refuse(reader, FORT_INSPECT_TARGET);
	seen->entered = true;
	return true;
}

static bool hop(struct fort_inspect_reader *reader, uint32_t target)
{
	const struct fort_inspect_state *state = &reader->state;

	if (target <= reader->at || target - reader->at > FORT_INSPECT_HOP_BYTES ||
	    reader->n_hops == FORT_INSPECT_HOPS)
		return fort_inspect_refuse(reader, FORT_INSPECT_TARGET);
	if (state->part != FORT_PART_BODY || state->deeper || state->owed || state->unchecked ||
	    state->counted)
		return fort_inspect_refuse(reader, FORT_INSPECT_STATE);
	reader->hops[reader->n_hops++] = (struct fort_inspect_hop){target, *state};
	return true;
}

bool fort_inspect_go(struct fort_inspect_reader *reader, uint32_t target)
{
	const struct fort_inspect *image = reader->image;
	uint32_t label = find(image, target);

	if (label == image->n_labels)
		return hop(reader, target);
	if (image->labels[label].leaves)
		return fort_inspect_end(reader, target);
	if (!fort_inspect_is_open(reader) ||
	    reader->state.function != image->labels[label].function)
		return fort_inspect_refuse(reader, FORT_INSPECT_STATE);
	if (!pay(reader, &image->labels[label]))
		return false;
	return bring(reader, label, fort_inspect_words(&reader->state));
}

/* From any state in which the run and its fuel are known; what leaves goes on only. */
bool fort_inspect_end(struct fort_inspect_reader *reader, uint32_t target)
{
	const struct fort_inspect *image = reader->image;
	uint32_t label = find(image, target);
	bool leaving = reader->state.part == FORT_PART_LEAVING;

	if (label == image->n_labels || !image->labels[label].leaves)
		return fort_inspect_refuse(reader, FORT_INSPECT_TARGET);
	if ((!leaving && reader->state.part != FORT_PART_BODY) || !keeps_base(reader))
		return fort_inspect_refuse(reader, FORT_INSPECT_STATE);
	return !leaving || target > reader->at ? true
					       : fort_inspect_refuse(reader, FORT_INSPECT_FUEL);
}

bool fort_inspect_call(struct fort_inspect_reader *reader, uint32_t target, uint32_t *function)
{
	const struct fort_inspect *image = reader->image;
	uint32_t label = find(image, target), from = reader->state.function, to;

	if (label == image->n_labels || image->labels[label].leaves || image->labels[label].ahead ||
	    image->labels[label].owed)
		return fort_inspect_refuse(reader, FORT_INSPECT_TARGET);
	to = image->labels[label].function;
	if (!to || to >= image->n_functions || image->functions[to].at != target)
		return fort_inspect_refuse(reader, FORT_INSPECT_TARGET);
	if (from && image->functions[to].writes & ~image->functions[from].writes)
		return fort_inspect_refuse(reader, FORT_INSPECT_CLAIM);
	reader->calls[from][to / 64] |= 1ull << to % 64;
	*function = to;
	return bring(reader, label, fort_inspect_words(&reader->state));
}

/* --- the end --- */

static bool go_deeper(const struct fort_inspect_reader *reader, uint8_t *depth, uint32_t from)
{
	bool changed = false;

	for (uint32_t word = 0; word < FORT_LEN(reader->calls[0]); word++)
		for (uint64_t left = reader->calls[from][word]; left; left &= left - 1) {
			uint32_t to = word * 64 + (uint32_t)__builtin_ctzll(left);

			if (depth[to] > depth[from])
				continue;
			depth[to] = (uint8_t)(depth[from] + 1);
			changed = true;
		}
	return changed;
}

/* Each round goes one call further at least. */
static bool depth_is_bounded(struct fort_inspect_reader *reader)
{
	uint8_t depth[FORT_SUBPROGS_MAX + 1] = {0};
	bool changed = reader->uncounted;

	for (uint32_t round = 0; changed && round <= FORT_FRAMES_MAX + 1; round++) {
		changed = false;
		for (uint32_t from = 0; from < reader->image->n_functions; from++)
			if (depth[from] <= FORT_FRAMES_MAX)
				changed |= go_deeper(reader, depth, from);
	}
	for (uint32_t i = 0; i < reader->image->n_functions; i++)
		if (depth[i] > FORT_FRAMES_MAX)
			return fort_inspect_refuse(reader, FORT_INSPECT_DEPTH);
	return true;
}

bool fort_inspect_settle(struct fort_inspect_reader *reader)
{
	if (reader->n_hops)
		return fort_inspect_refuse(reader, FORT_INSPECT_TARGET);
	if (reader->label != reader->image->n_labels)
		return fort_inspect_refuse(reader, FORT_INSPECT_CLAIM);
	return depth_is_bounded(reader);
}
