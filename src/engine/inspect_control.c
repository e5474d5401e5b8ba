/* Jumps, calls, returns and ends, of the output checker's rules. */
#include "base/limits.h"
#include "engine/inspect_state.h"

/* rsp is 8 off a multiple of 16 where the image is entered, and where functions are that say so. */
static bool is_aligned(const struct fort_inspect_reader *reader)
{
	const struct fort_inspect_state *state = &reader->state;

	if (state->function)
		return reader->image->functions[state->function].aligned && state->depth & 1;
	return (state->depth + reader->n_kept) & 1;
}

static bool find_target(struct fort_inspect_reader *reader, uint32_t *out)
{
	int64_t target = (int64_t)reader->next + reader->operands[0].imm.value.s;

	if (target < 0 || target >= reader->image->bytes)
		return fort_inspect_refuse(reader, FORT_INSPECT_TARGET);
	*out = (uint32_t)target;
	return true;
}

bool fort_inspect_rule_jump(struct fort_inspect_reader *reader)
{
	bool leaving = reader->state.part == FORT_PART_LEAVING;
	uint32_t target;

	if (!find_target(reader, &target) ||
	    !(leaving ? fort_inspect_end(reader, target) : fort_inspect_go(reader, target)))
		return false;
	fort_inspect_nowhere(reader);
	return true;
}

/* Around an exchange, until nobody came between: back over two instructions that leave rax to it.
 */
static bool repeat(struct fort_inspect_reader *reader, uint32_t target)
{
	return target == reader->recent[3] && target >= reader->plain && target >= reader->rax_kept
		       ? true
		       : fort_inspect_refuse(reader, FORT_INSPECT_FUEL);
}

/* Fuel was taken. Not below: it was there. */
static bool branch_on_fuel(struct fort_inspect_reader *reader, uint32_t target)
{
	struct fort_inspect_state *state = &reader->state, below = *state, there = *state;
	ZydisMnemonic mnemonic = reader->insn.mnemonic;
	bool done;

	if (mnemonic != ZYDIS_MNEMONIC_JB && mnemonic != ZYDIS_MNEMONIC_JNB)
		return fort_inspect_refuse(reader, FORT_INSPECT_FUEL);
	there.ahead += there.owed;
	there.owed = 0;
	*state = mnemonic == ZYDIS_MNEMONIC_JB ? below : there;
	done = fort_inspect_go(reader, target);
	*state = mnemonic == ZYDIS_MNEMONIC_JB ? there : below;
	return done;
}

bool fort_inspect_rule_branch(struct fort_inspect_reader *reader)
{
	struct fort_inspect_state *state = &reader->state;
	ZydisMnemonic mnemonic = reader->insn.mnemonic;
	uint32_t target;

	if (!find_target(reader, &target))
		return false;
	switch ((enum fort_inspect_flags)state->flags) {
	case FORT_FLAGS_FUEL:
		if (!state->owed)
			break;
		return branch_on_fuel(reader, target);
	case FORT_FLAGS_FRAMES:
		if (mnemonic != ZYDIS_MNEMONIC_JB)
			break;
		state->counted = 1;
		return fort_inspect_end(reader, target);
	case FORT_FLAGS_ABORT:
		if (mnemonic != ZYDIS_MNEMONIC_JNZ)
			break;
		state->unchecked = false;
		return fort_inspect_end(reader, target);
	case FORT_FLAGS_EXCHANGE:
		if (mnemonic != ZYDIS_MNEMONIC_JNZ || target > reader->at)
			break;
		return repeat(reader, target);
	case FORT_FLAGS_NOTHING: break;
	}
	return fort_inspect_go(reader, target);
}

/* Callees begin in an open state, in their own frame or in their caller's, and leave one; the host
 * may not be entered by them if the stack is not as it must be. */
static bool may_call(struct fort_inspect_reader *reader)
{
	struct fort_inspect_state caller = reader->state;
	bool open;

	reader->state.depth = 0;
	reader->state.deeper = false;
	reader->state.counted = 0;
	open = fort_inspect_is_open(reader);
	reader->state = caller;
	return open && caller.counted != 2;
}

static void return_from(struct fort_inspect_reader *reader,
			const struct fort_inspect_function *function)
{
	struct fort_inspect_state *state = &reader->state;

	for (unsigned reg = 0; reg < FORT_X64_REGS; reg++)
		if (function->writes & 1u << reg && state->reg[reg] != FORT_TAG_KEPT)
			state->reg[reg] =
				function->returns & 1u << reg ? FORT_TAG_WORD : FORT_TAG_LOST;
	state->reg[FORT_X64_R10] = state->reg[FORT_X64_R11] = FORT_TAG_LOST;
	state->flags = FORT_FLAGS_NOTHING;
	state->ahead = 0;
	state->saved = false;
	reader->rax_kept = reader->next;
}

bool fort_inspect_rule_call(struct fort_inspect_reader *reader)
{
	struct fort_inspect_state *state = &reader->state;
	const struct fort_inspect_function *function;
	bool first = !state->function && !state->depth && !state->ahead;
	uint32_t target, number;

	if (!find_target(reader, &target))
		return false;
	if (!may_call(reader))
		return fort_inspect_refuse(reader, FORT_INSPECT_STATE);
	/* The image's own frame may do nothing but call the program. */
	if (!state->ahead && !(first && !reader->called))
		return fort_inspect_refuse(reader, FORT_INSPECT_FUEL);
	reader->called = true;
	if (!fort_inspect_call(reader, target, &number))
		return false;
	function = &reader->image->functions[number];
	if (function->aligned && !is_aligned(reader))
		return fort_inspect_refuse(reader, FORT_INSPECT_STATE);
	reader->uncounted |= !state->counted && !first;
	if (state->counted)
		state->counted = 2;
	return_from(reader, function);
	return true;
}

bool fort_inspect_rule_ask_abort(struct fort_inspect_reader *reader)
{
	if (reader->operands[1].imm.value.s)
		return fort_inspect_refuse(reader, FORT_INSPECT_FORM);
	reader->state.flags = FORT_FLAGS_ABORT;
	return true;
}

/* The slot that an instruction names, counted from the code. */
static uint32_t slot_of(const struct fort_inspect_reader *reader)
{
	int64_t at = (int64_t)reader->next + reader->operands[0].mem.disp.value;

	return (uint32_t)(-(at + (int64_t)reader->image->gap) / 8);
}

/* The end of the image by a tail call: a return, but for where it goes; the run is told what fuel
 * is left, as nobody reads r12 any more. */
bool fort_inspect_rule_tail(struct fort_inspect_reader *reader)
{
	const struct fort_inspect_state *state = &reader->state;

	if (state->depth || state->reg[FORT_X64_R9] != FORT_TAG_RUN ||
	    slot_of(reader) != reader->image->tail_slot)
		return fort_inspect_refuse(reader, FORT_INSPECT_STATE);
	if (reader->base[FORT_X64_R12] == FORT_TAG_FUEL && !state->saved)
		return fort_inspect_refuse(reader, FORT_INSPECT_FUEL);
	fort_inspect_nowhere(reader);
	return true;
}

/* What a function of the host may change and leave something in; and fuel is in the run then. */
bool fort_inspect_rule_call_host(struct fort_inspect_reader *reader)
{
	static const uint8_t lost[] = {FORT_X64_RCX, FORT_X64_RDX, FORT_X64_RSI, FORT_X64_RDI,
				       FORT_X64_R8,  FORT_X64_R10, FORT_X64_R11};
	struct fort_inspect_state *state = &reader->state;

	if (slot_of(reader) == reader->image->tail_slot)
		return fort_inspect_refuse(reader, FORT_INSPECT_STATE);
	if (state->deeper || state->unchecked || state->owed || !is_aligned(reader) ||
	    state->reg[FORT_X64_R9] != FORT_TAG_RUN)
		return fort_inspect_refuse(reader, FORT_INSPECT_STATE);
	if (fort_inspect_has_fuel(state) ? !state->saved
					 : state->reg[FORT_X64_R12] != FORT_TAG_KEPT)
		return fort_inspect_refuse(reader, FORT_INSPECT_FUEL);
	for (unsigned i = 0; i < FORT_LEN(lost); i++)
		if (!fort_inspect_set_tag(reader, lost[i], FORT_TAG_LOST))
			return false;
	state->reg[FORT_X64_R9] = FORT_TAG_LOST;
	if (fort_inspect_has_fuel(state))
		state->reg[FORT_X64_R12] = FORT_TAG_LOST;
	state->flags = FORT_FLAGS_NOTHING;
	state->ahead = 0;
	state->saved = false;
	state->unchecked = true;
	return fort_inspect_set_tag(reader, FORT_X64_RAX, FORT_TAG_WORD);
}

bool fort_inspect_rule_return(struct fort_inspect_reader *reader)
{
	const struct fort_inspect_state *state = &reader->state;
	uint16_t wanted = reader->image->functions[state->function].returns;

	if (!state->function) {
		if (!fort_inspect_begins_closing(reader) || state->depth)
			return fort_inspect_refuse(reader, FORT_INSPECT_STATE);
	} else if (!fort_inspect_is_open(reader)) {
		return fort_inspect_refuse(reader, FORT_INSPECT_STATE);
	} else if (wanted & ~fort_inspect_words(state)) {
		return fort_inspect_refuse(reader, FORT_INSPECT_CLAIM);
	}
	fort_inspect_nowhere(reader);
	return true;
}
