/* What each kind of instruction asks of the output checker's state, and does to it. */
#include "engine/inspect_state.h"

#include <string.h>

#include "base/limits.h"

#define KEPT_PAD 0xff /* among reader->kept: no register */

static int64_t immediate(const struct fort_inspect_reader *reader)
{
	return reader->operands[1].imm.value.s;
}

static enum fort_x64_reg reg_of(const struct fort_inspect_reader *reader, unsigned operand)
{
	return fort_inspect_reg(reader->operands[operand].reg.value);
}

static bool is_reg(const ZydisDecodedOperand *operand)
{
	return operand->type == ZYDIS_OPERAND_TYPE_REGISTER;
}

static bool is_scratch(enum fort_x64_reg reg)
{
	return reg == FORT_X64_R10 || reg == FORT_X64_R11;
}

static uint64_t *constant_in(struct fort_inspect_reader *reader, enum fort_x64_reg reg)
{
	return &reader->constants[reg - FORT_X64_R10];
}

/* A function writes no register but those that are claimed. */
bool fort_inspect_set_tag(struct fort_inspect_reader *reader, enum fort_x64_reg reg,
			  enum fort_inspect_tag tag)
{
	const struct fort_inspect *image = reader->image;
	struct fort_inspect_state *state = &reader->state;

	if (state->function && !is_scratch(reg) && reg != FORT_X64_R9 && reg != FORT_X64_R12 &&
	    !(image->functions[state->function].writes & 1u << reg))
		return fort_inspect_refuse(reader, FORT_INSPECT_CLAIM);
	state->reg[reg] = tag;
	if (reg == FORT_X64_RAX)
		reader->rax_kept = reader->next;
	return true;
}

/* --- the start --- */

void fort_inspect_start(struct fort_inspect_reader *reader)
{
	static const uint8_t tags[FORT_X64_REGS] = {
		[FORT_X64_RDI] = FORT_TAG_WORD,  [FORT_X64_RSI] = FORT_TAG_WORD,
		[FORT_X64_RDX] = FORT_TAG_FRAME, [FORT_X64_RCX] = FORT_TAG_RUN,
		[FORT_X64_R8] = FORT_TAG_ENTRY,  [FORT_X64_R9] = FORT_TAG_FUEL,
		[FORT_X64_RSP] = FORT_TAG_STACK, [FORT_X64_RBX] = FORT_TAG_KEPT,
		[FORT_X64_RBP] = FORT_TAG_KEPT,  [FORT_X64_R12] = FORT_TAG_KEPT,
		[FORT_X64_R13] = FORT_TAG_KEPT,  [FORT_X64_R14] = FORT_TAG_KEPT,
		[FORT_X64_R15] = FORT_TAG_KEPT,
	};

	reader->state = (struct fort_inspect_state){.part = FORT_PART_START};
	memcpy(reader->state.reg, tags, sizeof(tags));
}

/* What may not be read is moved out of the way and back. */
static bool move_lost(struct fort_inspect_reader *reader, enum fort_x64_reg to,
		      enum fort_inspect_tag tag)
{
	bool lost = tag == FORT_TAG_LOST || tag == FORT_TAG_BYTE || tag == FORT_TAG_KEPT;

	if (!lost || !(fort_inspect_shapes(reader, &reader->operands[0]) & FORT_SHAPE_R))
		return fort_inspect_refuse(reader, FORT_INSPECT_FORM);
	return fort_inspect_set_tag(reader, to, FORT_TAG_LOST);
}

/* Arguments go where code has them all the time. */
static bool move(struct fort_inspect_reader *reader)
{
	enum fort_x64_reg to = reg_of(reader, 0), from = reg_of(reader, 1);
	uint8_t *reg = reader->state.reg, tag = reg[from];
	bool right;

	if (reader->operands[0].size != 64)
		return fort_inspect_refuse(reader, FORT_INSPECT_FORM);
	if (reader->state.part != FORT_PART_START)
		return move_lost(reader, to, tag);
	right = (to == FORT_X64_R9 && tag == FORT_TAG_RUN) ||
		(to == FORT_X64_R12 && tag == FORT_TAG_FUEL) ||
		(to == FORT_X64_RBP && tag == FORT_TAG_FRAME);

	if (!right || reg[to] == FORT_TAG_KEPT)
		return fort_inspect_refuse(reader, FORT_INSPECT_FORM);
	reg[to] = tag;
	return true;
}

/* The entry knows where the stack is: from here on there is a way out, and programs may run. */
static bool enter(struct fort_inspect_reader *reader)
{
	struct fort_inspect_state *state = &reader->state;

	if (state->reg[FORT_X64_R9] != FORT_TAG_RUN)
		return fort_inspect_refuse(reader, FORT_INSPECT_STATE);
	memcpy(reader->base, state->reg, sizeof(reader->base));
	for (unsigned reg = 0; reg < FORT_X64_REGS; reg++)
		if (reg != FORT_X64_R9 && reg != FORT_X64_RBP && reg != FORT_X64_R12 &&
		    reader->base[reg] != FORT_TAG_KEPT && reg != FORT_X64_RSP)
			reader->base[reg] = FORT_TAG_LOST;
	for (unsigned reg = 0; reg < FORT_X64_REGS; reg++)
		if (state->reg[reg] != FORT_TAG_WORD)
			state->reg[reg] = reader->base[reg];
	state->part = FORT_PART_BODY;
	reader->begun = true;
	return true;
}

/* --- plain instructions --- */

static bool is_flags(const ZydisDecodedOperand *operand)
{
	return is_reg(operand) && operand->reg.value == ZYDIS_REGISTER_RFLAGS;
}

/* Operands that the row does not name must be such as R. */
static bool hidden_are_plain(const struct fort_inspect_reader *reader)
{
	for (unsigned i = reader->insn.operand_count_visible; i < reader->insn.operand_count; i++)
		if (!is_flags(&reader->operands[i]) &&
		    !(fort_inspect_shapes(reader, &reader->operands[i]) & FORT_SHAPE_R))
			return false;
	return true;
}

static bool accesses_memory(const struct fort_inspect_reader *reader)
{
	for (unsigned i = 0; i < reader->insn.operand_count_visible; i++)
		if (reader->operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    reader->operands[i].mem.type == ZYDIS_MEMOP_TYPE_MEM)
			return true;
	return false;
}

/* Constants that are made in steps, because their bytes may not be spelled. */
static bool makes_constant(struct fort_inspect_reader *reader, uint64_t *value)
{
	enum fort_x64_reg reg = reg_of(reader, 0);
	uint64_t imm = (uint64_t)immediate(reader);

	if (!is_scratch(reg) || reader->operands[1].type != ZYDIS_OPERAND_TYPE_IMMEDIATE ||
	    reader->operands[0].size < 32)
		return false;
	*value = *constant_in(reader, reg);
	if (reader->insn.mnemonic == ZYDIS_MNEMONIC_MOV)
		*value = imm;
	else if (reader->state.reg[reg] != FORT_TAG_CONST)
		return false;
	else if (reader->insn.mnemonic == ZYDIS_MNEMONIC_XOR)
		*value ^= imm;
	else if (reader->insn.mnemonic == ZYDIS_MNEMONIC_SHL)
		*value <<= imm & 63;
	else
		return false;
	if (reader->operands[0].size == 32)
		*value = (uint32_t)*value;
	return true;
}

/* Writing a part of a register leaves the rest as it was. */
static bool write_reg(struct fort_inspect_reader *reader, const ZydisDecodedOperand *operand)
{
	enum fort_x64_reg reg = fort_inspect_reg(operand->reg.value);
	enum fort_inspect_tag before = reader->state.reg[reg], tag = FORT_TAG_WORD;
	uint64_t constant;

	if (operand->size < 32 && before != FORT_TAG_WORD && before != FORT_TAG_CONST)
		tag = operand->size == 8 ? FORT_TAG_BYTE : FORT_TAG_LOST;
	if (operand == &reader->operands[0] && makes_constant(reader, &constant)) {
		*constant_in(reader, reg) = constant;
		tag = FORT_TAG_CONST;
	}
	return fort_inspect_set_tag(reader, reg, tag);
}

/* What ends the run after a fault finds it in r9, and the stack in the entry. */
static bool may_fault(const struct fort_inspect_reader *reader)
{
	return reader->state.part == FORT_PART_BODY &&
	       reader->state.reg[FORT_X64_R9] == FORT_TAG_RUN;
}

static bool plain(struct fort_inspect_reader *reader)
{
	if (!hidden_are_plain(reader))
		return fort_inspect_refuse(reader, FORT_INSPECT_FORM);
	if (accesses_memory(reader) && !may_fault(reader))
		return fort_inspect_refuse(reader, FORT_INSPECT_STATE);
	for (unsigned i = 0; i < reader->insn.operand_count; i++) {
		const ZydisDecodedOperand *operand = &reader->operands[i];

		if (is_reg(operand) && !is_flags(operand) &&
		    operand->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE &&
		    !write_reg(reader, operand))
			return false;
	}
	return true;
}

static bool exchange(struct fort_inspect_reader *reader)
{
	uint32_t rax_kept = reader->rax_kept;

	if (!plain(reader))
		return false;
	reader->rax_kept = rax_kept;
	reader->state.flags = FORT_FLAGS_EXCHANGE;
	return true;
}

/* --- fuel --- */

bool fort_inspect_has_fuel(const struct fort_inspect_state *state)
{
	return state->reg[FORT_X64_R12] == FORT_TAG_FUEL;
}

/* How much: an immediate, or what a free register is known to hold. */
static bool find_cost(struct fort_inspect_reader *reader, uint32_t *out)
{
	uint64_t cost = (uint64_t)immediate(reader);

	if (is_reg(&reader->operands[1])) {
		enum fort_x64_reg reg = reg_of(reader, 1);

		if (!is_scratch(reg) || reader->state.reg[reg] != FORT_TAG_CONST)
			return false;
		cost = *constant_in(reader, reg);
	}
	*out = (uint32_t)cost;
	return cost && cost <= INT32_MAX;
}

static bool take_fuel(struct fort_inspect_reader *reader)
{
	struct fort_inspect_state *state = &reader->state;

	if (!fort_inspect_has_fuel(state) || !find_cost(reader, &state->owed))
		return fort_inspect_refuse(reader, FORT_INSPECT_FUEL);
	state->saved = false;
	state->flags = FORT_FLAGS_FUEL;
	return true;
}

/* What was not there, to the last bit; or some of what is paid ahead. Who leaves goes nowhere with
 * it. */
static bool refund(struct fort_inspect_reader *reader)
{
	struct fort_inspect_state *state = &reader->state;
	uint32_t cost;

	if (!fort_inspect_has_fuel(state) || !find_cost(reader, &cost))
		return fort_inspect_refuse(reader, FORT_INSPECT_FUEL);
	if (state->part == FORT_PART_LEAVING)
		return true;
	if (state->owed ? state->owed != cost : state->ahead < cost)
		return fort_inspect_refuse(reader, FORT_INSPECT_FUEL);
	state->ahead -= state->owed ? 0 : cost;
	state->owed = 0;
	state->saved = false;
	state->flags = FORT_FLAGS_NOTHING;
	return true;
}

static bool save_fuel(struct fort_inspect_reader *reader)
{
	if (!fort_inspect_has_fuel(&reader->state))
		return fort_inspect_refuse(reader, FORT_INSPECT_FUEL);
	reader->state.saved = true;
	return true;
}

/* Only what a helper left of what was saved. */
static bool load_fuel(struct fort_inspect_reader *reader)
{
	struct fort_inspect_state *state = &reader->state;

	if (state->reg[FORT_X64_R12] != FORT_TAG_LOST ||
	    reader->base[FORT_X64_R12] != FORT_TAG_FUEL)
		return fort_inspect_refuse(reader, FORT_INSPECT_FUEL);
	state->reg[FORT_X64_R12] = FORT_TAG_FUEL;
	return true;
}

/* --- the runtime's memory --- */

static bool load_entry(struct fort_inspect_reader *reader)
{
	return is_scratch(reg_of(reader, 0))
		       ? fort_inspect_set_tag(reader, reg_of(reader, 0), FORT_TAG_ENTRY)
		       : fort_inspect_refuse(reader, FORT_INSPECT_FORM);
}

static bool load_services(struct fort_inspect_reader *reader)
{
	return fort_inspect_set_tag(reader, reg_of(reader, 0), FORT_TAG_SERVICES);
}

static bool tell(struct fort_inspect_reader *reader)
{
	return true;
}

static bool leave(struct fort_inspect_reader *reader)
{
	struct fort_inspect_state *state = &reader->state;

	state->part = FORT_PART_CLOSING;
	state->depth = reader->n_kept;
	return true;
}

/* --- the machine's stack --- */

static bool push_kept(struct fort_inspect_reader *reader, uint8_t reg)
{
	if (reader->n_kept == FORT_INSPECT_WORDS)
		return fort_inspect_refuse(reader, FORT_INSPECT_STATE);
	reader->kept[reader->n_kept++] = reg;
	return true;
}

static bool push_tag(struct fort_inspect_reader *reader, uint8_t tag)
{
	struct fort_inspect_state *state = &reader->state;

	if (state->depth == FORT_INSPECT_WORDS)
		return fort_inspect_refuse(reader, FORT_INSPECT_STATE);
	state->stack[state->depth++] = tag;
	return true;
}

/* On the stack: what the host wants back goes where it came from only. */
static uint8_t kept_tag(enum fort_x64_reg reg)
{
	return (uint8_t)(FORT_TAG_KEPT | reg << 4);
}

static bool push(struct fort_inspect_reader *reader)
{
	struct fort_inspect_state *state = &reader->state;
	enum fort_x64_reg reg = reg_of(reader, 0);
	uint8_t tag = state->reg[reg];

	if (reader->operands[0].size != 64)
		return fort_inspect_refuse(reader, FORT_INSPECT_FORM);
	if (state->part != FORT_PART_START)
		return push_tag(reader, tag == FORT_TAG_KEPT ? kept_tag(reg) : tag);
	if (tag != FORT_TAG_KEPT)
		return fort_inspect_refuse(reader, FORT_INSPECT_STATE);
	state->reg[reg] = FORT_TAG_LOST;
	return push_kept(reader, (uint8_t)reg);
}

static bool pad(struct fort_inspect_reader *reader)
{
	if (immediate(reader) != 8)
		return fort_inspect_refuse(reader, FORT_INSPECT_FORM);
	return reader->state.part == FORT_PART_START ? push_kept(reader, KEPT_PAD)
						     : push_tag(reader, FORT_TAG_PAD);
}

/* The image is about to return: from its own frame, with nothing left to be done. */
bool fort_inspect_begins_closing(struct fort_inspect_reader *reader)
{
	struct fort_inspect_state *state = &reader->state;

	if (state->part == FORT_PART_CLOSING)
		return true;
	if (state->depth || state->function || !fort_inspect_is_open(reader))
		return false;
	state->part = FORT_PART_CLOSING;
	state->depth = reader->n_kept;
	return true;
}

static bool pop_kept(struct fort_inspect_reader *reader, uint8_t reg)
{
	struct fort_inspect_state *state = &reader->state;

	if (!state->depth || reader->kept[state->depth - 1] != reg)
		return fort_inspect_refuse(reader, FORT_INSPECT_STATE);
	state->depth--;
	if (reg != KEPT_PAD)
		state->reg[reg] = FORT_TAG_KEPT;
	return true;
}

static bool pop_word(struct fort_inspect_reader *reader, enum fort_x64_reg reg)
{
	struct fort_inspect_state *state = &reader->state;
	uint8_t tag = state->stack[--state->depth];

	if (reg == FORT_X64_R9) {
		if (tag != FORT_TAG_RUN)
			return fort_inspect_refuse(reader, FORT_INSPECT_STATE);
		state->reg[reg] = tag;
		return true;
	}
	if (state->reg[reg] == FORT_TAG_KEPT && tag == kept_tag(reg))
		return true;
	if (reg == FORT_X64_RBP || reg == FORT_X64_R12 || state->reg[reg] == FORT_TAG_KEPT)
		return fort_inspect_refuse(reader, FORT_INSPECT_STATE);
	return fort_inspect_set_tag(reader, reg,
				    tag == FORT_TAG_WORD || tag == FORT_TAG_CONST ||
						    tag == FORT_TAG_FRAME
					    ? FORT_TAG_WORD
					    : FORT_TAG_LOST);
}

static bool pop(struct fort_inspect_reader *reader)
{
	if (reader->operands[0].size != 64)
		return fort_inspect_refuse(reader, FORT_INSPECT_FORM);
	if (fort_inspect_begins_closing(reader))
		return pop_kept(reader, (uint8_t)reg_of(reader, 0));
	return reader->state.depth ? pop_word(reader, reg_of(reader, 0))
				   : fort_inspect_refuse(reader, FORT_INSPECT_STATE);
}

static bool unpad(struct fort_inspect_reader *reader)
{
	struct fort_inspect_state *state = &reader->state;

	if (immediate(reader) != 8)
		return fort_inspect_refuse(reader, FORT_INSPECT_FORM);
	if (fort_inspect_begins_closing(reader))
		return pop_kept(reader, KEPT_PAD);
	if (!state->depth || state->stack[state->depth - 1] != FORT_TAG_PAD)
		return fort_inspect_refuse(reader, FORT_INSPECT_STATE);
	state->depth--;
	return true;
}

/* --- frames --- */

static bool count_down(struct fort_inspect_reader *reader)
{
	if (immediate(reader) != 1 || reader->state.counted)
		return fort_inspect_refuse(reader, FORT_INSPECT_STATE);
	reader->state.flags = FORT_FLAGS_FRAMES;
	return true;
}

static bool count_up(struct fort_inspect_reader *reader)
{
	if (immediate(reader) != 1 || reader->state.counted != 2)
		return fort_inspect_refuse(reader, FORT_INSPECT_STATE);
	reader->state.counted = 0;
	return true;
}

static bool move_frame(struct fort_inspect_reader *reader, bool down)
{
	struct fort_inspect_state *state = &reader->state;

	if (state->deeper == down || immediate(reader) != FORT_STACK_BYTES ||
	    state->reg[FORT_X64_RBP] != FORT_TAG_FRAME)
		return fort_inspect_refuse(reader, FORT_INSPECT_STATE);
	state->deeper = down;
	return true;
}

static bool frame_down(struct fort_inspect_reader *reader)
{
	return move_frame(reader, true);
}

static bool frame_up(struct fort_inspect_reader *reader)
{
	return move_frame(reader, false);
}

/* --- all of them --- */

#define START   (1u << FORT_PART_START)
#define BODY    (1u << FORT_PART_BODY)
#define LEAVING (1u << FORT_PART_LEAVING)
#define CLOSING (1u << FORT_PART_CLOSING)

static const struct rule {
	bool (*apply)(struct fort_inspect_reader *reader);
	uint8_t parts; /* where it may be used */
} rules[FORT_RULES] = {
	[FORT_RULE_PLAIN] = {plain, BODY | LEAVING | CLOSING},
	[FORT_RULE_EXCHANGE] = {exchange, BODY},
	[FORT_RULE_MOVE] = {move, START | BODY},
	[FORT_RULE_TAKE_FUEL] = {take_fuel, BODY},
	[FORT_RULE_REFUND] = {refund, BODY | LEAVING},
	[FORT_RULE_SAVE_FUEL] = {save_fuel, BODY | CLOSING},
	[FORT_RULE_LOAD_FUEL] = {load_fuel, BODY},
	[FORT_RULE_LOAD_ENTRY] = {load_entry, BODY | LEAVING},
	[FORT_RULE_LOAD_SERVICES] = {load_services, BODY},
	[FORT_RULE_TELL] = {tell, LEAVING},
	[FORT_RULE_TELL_NUMBER] = {tell, BODY},
	[FORT_RULE_ENTER] = {enter, START},
	[FORT_RULE_LEAVE] = {leave, LEAVING},
	[FORT_RULE_COUNT_DOWN] = {count_down, BODY},
	[FORT_RULE_COUNT_UP] = {count_up, BODY},
	[FORT_RULE_FRAME_DOWN] = {frame_down, BODY},
	[FORT_RULE_FRAME_UP] = {frame_up, BODY},
	[FORT_RULE_PAD] = {pad, START | BODY},
	[FORT_RULE_UNPAD] = {unpad, BODY | CLOSING},
	[FORT_RULE_PUSH] = {push, START | BODY},
	[FORT_RULE_POP] = {pop, BODY | CLOSING},
	[FORT_RULE_ASK_ABORT] = {fort_inspect_rule_ask_abort, BODY},
	[FORT_RULE_JUMP] = {fort_inspect_rule_jump, BODY | LEAVING},
	[FORT_RULE_TAIL] = {fort_inspect_rule_tail, CLOSING},
	[FORT_RULE_BRANCH] = {fort_inspect_rule_branch, BODY},
	[FORT_RULE_CALL] = {fort_inspect_rule_call, BODY},
	[FORT_RULE_CALL_HOST] = {fort_inspect_rule_call_host, BODY},
	[FORT_RULE_RETURN] = {fort_inspect_rule_return, BODY | CLOSING},
};

bool fort_inspect_apply(struct fort_inspect_reader *reader, enum fort_inspect_rule_id rule)
{
	/* What gives back may need a number that is not written as it is. */
	uint64_t number;
	bool settles = rule == FORT_RULE_JUMP || rule == FORT_RULE_BRANCH ||
		       rule == FORT_RULE_REFUND || makes_constant(reader, &number);

	if (!(rules[rule].parts & 1u << reader->state.part))
		return fort_inspect_refuse(reader, FORT_INSPECT_STATE);
	if (reader->state.owed && !settles)
		return fort_inspect_refuse(reader, FORT_INSPECT_FUEL);
	if (!rules[rule].apply(reader))
		return false;
	if (rule != FORT_RULE_PLAIN && rule != FORT_RULE_EXCHANGE)
		reader->plain = reader->next;
	return true;
}
