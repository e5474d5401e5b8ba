/* Calls, returns and jumps: what labels are reached with (llvm_inspect.h). */
#include <string.h>

#include "engine/llvm_inspect_state.h"

static const enum fort_x64_reg results[FORT_SCAN_RESULTS] = {FORT_X64_RAX, FORT_X64_RDX,
							     FORT_X64_RCX};
/* What functions give back as it was. */
static const enum fort_x64_reg kept[] = {FORT_X64_RBP, FORT_X64_RBX, FORT_X64_R12,
					 FORT_X64_R13, FORT_X64_R14, FORT_X64_R15};
/* What they may be given something in. */
static const enum fort_x64_reg params[] = {FORT_X64_RDI, FORT_X64_RSI, FORT_X64_RDX,
					   FORT_X64_RCX, FORT_X64_R8,  FORT_X64_R9};

static bool refuse(struct fort_scan_reader *reader)
{
	return fort_scan_refuse(reader, FORT_INSPECT_STATE);
}

uint32_t fort_scan_target(const struct fort_scan_reader *reader)
{
	return reader->next + (uint32_t)reader->operands[0].imm.value.s;
}

static uint32_t label_at(const struct fort_scan_reader *reader, uint32_t at)
{
	return reader->labels[at] - 1;
}

/* Joins a state into that of a label, which is due again if that is news. */
static bool arrive(struct fort_scan_reader *reader, uint32_t label,
		   const struct fort_scan_state *from)
{
	struct fort_scan_state *into = fort_scan_state_of(reader, label);

	if (into->reg[FORT_X64_RSP].tag == FORT_SCAN_NEVER)
		into->function = from->function;
	if (into->function != from->function)
		return fort_scan_refuse(reader, FORT_INSPECT_TARGET);
	if (fort_scan_join(into, from, reader->n_cells))
		reader->due[label] = true;
	return true;
}

/* --- functions --- */

/* The image's entry is 0: its caller is the host. */
static uint32_t number_of(const struct fort_scan_reader *reader, uint32_t label)
{
	return reader->places[label] == reader->image->start ? 0 : label + 1;
}

static void begin(struct fort_scan_reader *reader, struct fort_scan_state *state, uint32_t label)
{
	struct fort_scan_value *cell = &state->cells[reader->frame_bytes / FORT_SCAN_CELL_BYTES];

	state->function = number_of(reader, label);
	for (unsigned i = 0; i < FORT_X64_REGS; i++)
		state->reg[i] = fort_scan_lost();
	for (uint32_t i = 0; i < reader->n_cells; i++)
		state->cells[i] = &state->cells[i] < cell ? fort_scan_word(32) : fort_scan_lost();
	for (unsigned i = 0; i < FORT_LEN(kept); i++)
		state->reg[kept[i]] =
			(struct fort_scan_value){.tag = FORT_SCAN_KEPT, .off = kept[i]};
	state->reg[FORT_X64_RSP] = (struct fort_scan_value){.tag = FORT_SCAN_STACK};
	cell[0] = (struct fort_scan_value){.tag = FORT_SCAN_RETURN};
	cell[1] = (struct fort_scan_value){.tag = FORT_SCAN_REST};
}

/* As LLVM's convention preserve_none has its six (llvm_enter.c). */
void fort_scan_flow_start(struct fort_scan_reader *reader, uint32_t label)
{
	struct fort_scan_state *state = fort_scan_state_of(reader, label);
	struct fort_scan_value word = fort_scan_word(64);

	begin(reader, state, label);
	for (unsigned i = 0; i < FORT_LEN(kept); i++)
		if (kept[i] != FORT_X64_RBP)
			state->reg[kept[i]] = fort_scan_lost();
	state->reg[FORT_X64_R12] = state->reg[FORT_X64_R13] = state->reg[FORT_X64_R14] = word;
	state->reg[FORT_X64_R15] = (struct fort_scan_value){.tag = FORT_SCAN_RUN};
	state->reg[FORT_X64_RDI] = (struct fort_scan_value){.tag = FORT_SCAN_ENTRY};
	state->reg[FORT_X64_RSI] = word;
	reader->due[label] = true;
}

/* What of it a function is given. */
static struct fort_scan_value given(struct fort_scan_value value, bool first)
{
	bool passes = value.tag == FORT_SCAN_WORD || value.tag == FORT_SCAN_RUN ||
		      value.tag == FORT_SCAN_ENTRY || value.tag == FORT_SCAN_SERVICES;

	if (first && value.tag == FORT_SCAN_STACK)
		return (struct fort_scan_value){.tag = FORT_SCAN_ROOM};
	if (first && value.tag == FORT_SCAN_ROOM && !value.off)
		return value;
	return passes ? value : fort_scan_lost();
}

#define ARGUMENTS_MAX ((FORT_SCAN_OUTSIDE_BYTES - 8) / 8)

/* An argument of the stack: all of it, or what of it is a number. */
struct argument {
	struct fort_scan_value all, half[2];
};

static struct argument argument_at(const struct fort_scan_reader *reader, int32_t off)
{
	struct argument argument = {fort_scan_lost(), {fort_scan_lost(), fort_scan_lost()}};

	if (off + 8 > 0 && (off < 8 || off + 8 > FORT_SCAN_OUTSIDE_BYTES))
		return argument;
	argument.all = given(fort_scan_fetch(reader, off, 8), false);
	for (int32_t i = 0; i < 2; i++)
		argument.half[i] = fort_scan_fetch(reader, off + 4 * i, 4);
	return argument;
}

/* Into cells of which nothing is known. */
static void put_argument(struct fort_scan_reader *reader, int32_t off,
			 const struct argument *argument)
{
	if (argument->all.tag != FORT_SCAN_LOST) {
		fort_scan_keep(reader, off, 8, argument->all);
		return;
	}
	for (int32_t i = 0; i < 2; i++)
		if (argument->half[i].tag == FORT_SCAN_WORD)
			fort_scan_keep(reader, off + 4 * i, 4, argument->half[i]);
}

/* Enters a function whose arguments of the stack begin at `off` of the caller's. */
static bool enter(struct fort_scan_reader *reader, uint32_t label, int32_t off)
{
	struct fort_scan_state *was = reader->now, *state;
	struct argument arguments[ARGUMENTS_MAX];
	bool good;

	for (uint32_t i = 0; i < ARGUMENTS_MAX; i++)
		arguments[i] = argument_at(reader, off + 8 * (int32_t)i);
	/* The last state of all is nobody's. */
	state = fort_scan_state_of(reader, reader->n_labels + 1);
	begin(reader, state, label);
	for (unsigned i = 0; i < FORT_LEN(params); i++)
		state->reg[params[i]] = given(was->reg[params[i]], !i);
	reader->now = state;
	for (uint32_t i = 0; i < ARGUMENTS_MAX; i++)
		put_argument(reader, 8 + 8 * (int32_t)i, &arguments[i]);
	good = arrive(reader, label, state);
	reader->now = was;
	return good;
}

static bool has_given_back(const struct fort_scan_reader *reader)
{
	const struct fort_scan_state *state = reader->now;
	struct fort_scan_value top = state->reg[FORT_X64_RSP];

	if (top.tag != FORT_SCAN_STACK || top.off ||
	    fort_scan_fetch(reader, 0, 8).tag != FORT_SCAN_RETURN)
		return false;
	for (unsigned i = 0; i < (state->function ? FORT_LEN(kept) : 1); i++)
		if (state->reg[kept[i]].tag != FORT_SCAN_KEPT ||
		    state->reg[kept[i]].off != (int32_t)kept[i])
			return false;
	return true;
}

static void give(struct fort_scan_reader *reader, const struct fort_scan_value *values)
{
	struct fort_scan_value *known;

	if (!reader->now->function)
		return;
	known = reader->results[reader->now->function - 1];
	for (unsigned i = 0; i < FORT_SCAN_RESULTS; i++) {
		struct fort_scan_value value = fort_scan_either(known[i], given(values[i], false));

		reader->grew |= value.tag != known[i].tag || value.bits != known[i].bits;
		known[i] = value;
	}
}

bool fort_scan_flow_return(struct fort_scan_reader *reader)
{
	struct fort_scan_value values[FORT_SCAN_RESULTS];

	reader->open = false;
	if (reader->insn.operand_count_visible || !has_given_back(reader))
		return refuse(reader);
	for (unsigned i = 0; i < FORT_SCAN_RESULTS; i++)
		values[i] = reader->now->reg[results[i]];
	give(reader, values);
	return true;
}

/* --- calls --- */

static void lose(struct fort_scan_reader *reader)
{
	for (unsigned i = 0; i < FORT_X64_REGS; i++) {
		bool stays = i == FORT_X64_RSP;

		for (unsigned j = 0; j < FORT_LEN(kept); j++)
			stays |= kept[j] == i;
		if (!stays)
			reader->now->reg[i] = fort_scan_lost();
	}
	fort_scan_forget_below(reader, reader->now->reg[FORT_X64_RSP].off);
}

/* What another function writes of the room that this one hands on to it, this one does. */
static void hand_on_room(struct fort_scan_reader *reader, struct fort_scan_value room,
			 const struct fort_scan_extent *its)
{
	if (room.tag == FORT_SCAN_ROOM && !room.off)
		fort_scan_extend(reader, &fort_scan_own(reader)->room, its->room);
}

/* Into a function of the image, and what there is when it comes back. */
static bool call_own(struct fort_scan_reader *reader, uint32_t label)
{
	struct fort_scan_state *now = reader->now;
	struct fort_scan_value room = now->reg[FORT_X64_RDI], top = now->reg[FORT_X64_RSP];
	const struct fort_scan_value *given_back = reader->results[label];
	const struct fort_scan_extent *its = &reader->extents[label];
	int32_t args = top.off + its->args - 8;

	if (!number_of(reader, label) || !enter(reader, label, top.off))
		return reader->fault ? false : refuse(reader);
	lose(reader);
	/* Its arguments are its own; of this function's caller it has none. */
	if (its->args > 8) {
		if (args > 0)
			return refuse(reader);
		fort_scan_forget(reader, top.off, args);
	}
	if (room.tag == FORT_SCAN_STACK && its->room) {
		if (room.off % 8 || room.off < top.off || room.off + its->room > 0)
			return refuse(reader);
		fort_scan_forget(reader, room.off, room.off + its->room);
	}
	hand_on_room(reader, room, its);
	for (unsigned i = 0; i < FORT_SCAN_RESULTS; i++)
		now->reg[results[i]] = given_back[i];
	reader->open = given_back[0].tag != FORT_SCAN_NEVER; /* not known to return yet */
	return true;
}

/* A function of the host: of those that return, the run is the last argument. */
static bool call_host(struct fort_scan_reader *reader, uint32_t slot)
{
	struct fort_scan_value *reg = reader->now->reg;

	switch (reader->image->slots[slot]) {
	case FORT_LLVM_SLOT_LEAVE:
		reader->open = false;
		return reg[FORT_X64_RDI].tag == FORT_SCAN_ENTRY || refuse(reader);
	case FORT_LLVM_SLOT_FUNCTION:
		if (reg[FORT_X64_R9].tag != FORT_SCAN_RUN)
			return refuse(reader);
		lose(reader);
		reg[FORT_X64_RAX] = fort_scan_word(64);
		return true;
	default: return refuse(reader);
	}
}

bool fort_scan_flow_call(struct fort_scan_reader *reader)
{
	const ZydisDecodedOperand *to = &reader->operands[0];
	struct fort_scan_value top = reader->now->reg[FORT_X64_RSP], function;
	uint32_t label;

	/* The call has the return address pushed: 8 below is a multiple of 16, as calls want it. */
	if (top.tag != FORT_SCAN_STACK || (top.off - 8) % 16 ||
	    !fort_scan_has_cells(reader, (int64_t)top.off - 8, 8))
		return refuse(reader);
	if (to->type != ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		if (to->size != 64 || !fort_scan_get(reader, to, &function))
			return reader->fault ? false : refuse(reader);
		return function.tag == FORT_SCAN_FUNCTION
			       ? call_host(reader, (uint32_t)function.off)
			       : fort_scan_refuse(reader, FORT_INSPECT_TARGET);
	}
	label = label_at(reader, fort_scan_target(reader));
	return call_own(reader, label);
}

/* To another function: what this one would return to, that one does, with what it returns.
 * Arguments are in the same place; room for a result cannot be in a frame that has been left. */
static bool go_on(struct fort_scan_reader *reader, uint32_t label)
{
	const struct fort_scan_extent *its = &reader->extents[label];
	struct fort_scan_value values[FORT_SCAN_RESULTS], room = reader->now->reg[FORT_X64_RDI];

	if (!number_of(reader, label) || !reader->now->function || !has_given_back(reader) ||
	    (room.tag == FORT_SCAN_STACK && its->room) || !enter(reader, label, 8))
		return reader->fault ? false : refuse(reader);
	fort_scan_extend(reader, &fort_scan_own(reader)->args, its->args);
	hand_on_room(reader, room, its);
	memcpy(values, reader->results[label], sizeof(values));
	if (values[0].tag != FORT_SCAN_NEVER)
		give(reader, values);
	return true;
}

bool fort_scan_flow_to(struct fort_scan_reader *reader, uint32_t target)
{
	uint32_t label = label_at(reader, target);

	return reader->is_function[label] ? go_on(reader, label)
					  : arrive(reader, label, reader->now);
}
