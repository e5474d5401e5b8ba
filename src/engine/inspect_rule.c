/* What each kind of instruction asks of the output checker's state, and does to it. */
#include "engine/inspect_state.h"

#include <string.h>

#include "base/limits.h"

/* Registers between two instructions (x64_code.h); r10 and r11 are lost. */
static const uint8_t open_regs[FORT_X64_REGS] = {
	[FORT_X64_RAX] = FORT_TAG_WORD, [FORT_X64_RCX] = FORT_TAG_WORD,
	[FORT_X64_RDX] = FORT_TAG_WORD, [FORT_X64_RBX] = FORT_TAG_WORD,
	[FORT_X64_RSP] = FORT_TAG_HOST, [FORT_X64_RBP] = FORT_TAG_FRAME,
	[FORT_X64_RSI] = FORT_TAG_WORD, [FORT_X64_RDI] = FORT_TAG_WORD,
	[FORT_X64_R8] = FORT_TAG_WORD,  [FORT_X64_R9] = FORT_TAG_RUN,
	[FORT_X64_R12] = FORT_TAG_FUEL, [FORT_X64_R13] = FORT_TAG_WORD,
	[FORT_X64_R14] = FORT_TAG_WORD, [FORT_X64_R15] = FORT_TAG_WORD,
};

/* What a function of the host may change and leave something in. Fuel is in the run meanwhile. */
static const uint8_t lost_by_call[] = {FORT_X64_RCX, FORT_X64_RDX, FORT_X64_RSI,
				       FORT_X64_RDI, FORT_X64_R8,  FORT_X64_R9,
				       FORT_X64_R10, FORT_X64_R11, FORT_X64_R12};

static bool refuse(struct fort_inspect_reader *reader, enum fort_inspect_fault fault)
{
	reader->fault = fault;
	return false;
}

static struct fort_inspect_fact fact(const struct fort_inspect_reader *reader, uint8_t value)
{
	return (struct fort_inspect_fact){value, reader->next};
}

static void forget_facts(struct fort_inspect_reader *reader)
{
	struct fort_inspect_state *state = &reader->state;

	state->scratch[0] = state->scratch[1] = fact(reader, FORT_TAG_LOST);
	state->flags = fact(reader, FORT_FLAGS_NOTHING);
	state->paid = state->saved = fact(reader, false);
}

/* What comes next is not always come to from here. */
static void start_block(struct fort_inspect_reader *reader)
{
	reader->state.straight = reader->next;
	reader->state.only_exit = true;
}

void fort_inspect_open(struct fort_inspect_reader *reader)
{
	struct fort_inspect_state *state = &reader->state;

	memcpy(state->reg, open_regs, sizeof(open_regs));
	forget_facts(reader);
	state->depth = 0;
	state->deeper = state->owed = state->leaving = state->unchecked = state->out = false;
	state->fresh = true;
	start_block(reader);
}

bool fort_inspect_is_open(const struct fort_inspect_state *state)
{
	return !memcmp(state->reg, open_regs, sizeof(open_regs)) && !state->depth &&
	       !state->deeper && !state->owed && !state->leaving && !state->unchecked &&
	       !state->out;
}

static int64_t immediate(const struct fort_inspect_reader *reader)
{
	return reader->operands[1].imm.value.s;
}

static enum fort_x64_reg reg_of(const struct fort_inspect_reader *reader, unsigned operand)
{
	return fort_inspect_reg(reader->operands[operand].reg.value);
}

static bool is_scratch(enum fort_x64_reg reg)
{
	return reg == FORT_X64_R10 || reg == FORT_X64_R11;
}

/* --- plain instructions --- */

static bool is_flags(const ZydisDecodedOperand *operand)
{
	return operand->type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       operand->reg.value == ZYDIS_REGISTER_RFLAGS;
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

/* Is it a constant into r10 or r11, or the turning of one, which also stand in blocks that only
 * leave? */
static bool sets_scratch(const struct fort_inspect_reader *reader)
{
	const ZydisDecodedOperand *to = &reader->operands[0], *from = &reader->operands[1];
	enum fort_x64_reg reg;

	if (to->type != ZYDIS_OPERAND_TYPE_REGISTER || to->size < 32)
		return false;
	reg = reg_of(reader, 0);
	if (!is_scratch(reg))
		return false;
	if (from->type != ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return false;
	return reader->insn.mnemonic == ZYDIS_MNEMONIC_MOV ||
	       (reader->insn.mnemonic == ZYDIS_MNEMONIC_ROR &&
		fort_inspect_tag_of(&reader->state, reg) == FORT_TAG_CONST);
}

/* Writing a part of a register leaves the rest as it was. */
static void write_reg(struct fort_inspect_reader *reader, const ZydisDecodedOperand *operand)
{
	enum fort_x64_reg reg = fort_inspect_reg(operand->reg.value);
	bool constant = sets_scratch(reader);

	if (operand->size >= 32 || fort_inspect_tag_of(&reader->state, reg) != FORT_TAG_LOST)
		fort_inspect_set_tag(reader, reg, constant ? FORT_TAG_CONST : FORT_TAG_WORD);
}

static bool plain(struct fort_inspect_reader *reader)
{
	struct fort_inspect_state *state = &reader->state;

	if (!hidden_are_plain(reader))
		return refuse(reader, FORT_INSPECT_FORM);
	/* What ends the run after a fault finds it in r9. */
	if (accesses_memory(reader) && state->reg[FORT_X64_R9] != FORT_TAG_RUN)
		return refuse(reader, FORT_INSPECT_STATE);
	state->only_exit &= sets_scratch(reader);
	if (state->leaving && !state->only_exit)
		return refuse(reader, FORT_INSPECT_STATE);
	for (unsigned i = 0; i < reader->insn.operand_count; i++)
		fort_inspect_use_operand(reader, &reader->operands[i]);
	for (unsigned i = 0; i < reader->insn.operand_count; i++)
		if (reader->operands[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    reader->operands[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE &&
		    !is_flags(&reader->operands[i]))
			write_reg(reader, &reader->operands[i]);
	return true;
}

static bool nothing(struct fort_inspect_reader *reader)
{
	return true;
}

static bool exchange(struct fort_inspect_reader *reader)
{
	uint32_t rax_kept = reader->state.rax_kept;

	if (!plain(reader))
		return false;
	reader->state.rax_kept = rax_kept;
	reader->state.flags = fact(reader, FORT_FLAGS_EXCHANGE);
	return true;
}

/* --- fuel --- */

static bool has_fuel(const struct fort_inspect_state *state)
{
	return state->reg[FORT_X64_R12] == FORT_TAG_FUEL;
}

static bool take_fuel(struct fort_inspect_reader *reader)
{
	struct fort_inspect_state *state = &reader->state;

	if (!has_fuel(state) || immediate(reader) <= 0)
		return refuse(reader, FORT_INSPECT_FUEL);
	state->owed = true;
	state->saved = fact(reader, false);
	state->flags = fact(reader, FORT_FLAGS_FUEL);
	return true;
}

static bool refund(struct fort_inspect_reader *reader)
{
	if (!reader->state.only_exit || immediate(reader) <= 0)
		return refuse(reader, FORT_INSPECT_FUEL);
	reader->state.leaving = true;
	return true;
}

static bool save_fuel(struct fort_inspect_reader *reader)
{
	if (!has_fuel(&reader->state))
		return refuse(reader, FORT_INSPECT_FUEL);
	reader->state.saved = fact(reader, true);
	return true;
}

/* Only what a helper left of what was saved. */
static bool load_fuel(struct fort_inspect_reader *reader)
{
	if (reader->state.reg[FORT_X64_R12] != FORT_TAG_LOST)
		return refuse(reader, FORT_INSPECT_FUEL);
	reader->state.reg[FORT_X64_R12] = FORT_TAG_FUEL;
	return true;
}

/* --- the entry, and leaving --- */

static bool load_scratch(struct fort_inspect_reader *reader, enum fort_inspect_tag tag)
{
	if (!is_scratch(reg_of(reader, 0)))
		return refuse(reader, FORT_INSPECT_FORM);
	fort_inspect_set_tag(reader, reg_of(reader, 0), tag);
	return true;
}

static bool load_entry(struct fort_inspect_reader *reader)
{
	return load_scratch(reader, FORT_TAG_ENTRY);
}

/* Blocks that only leave tell constants, and the pc that led to them: whatever r10 has. */
static bool tell(struct fort_inspect_reader *reader)
{
	const ZydisDecodedOperand *what = &reader->operands[1];
	bool leaves = what->type == ZYDIS_OPERAND_TYPE_IMMEDIATE ||
		      what->reg.value == ZYDIS_REGISTER_R10D;

	if (!leaves && reader->state.leaving)
		return refuse(reader, FORT_INSPECT_STATE);
	fort_inspect_use_operand(reader, &reader->operands[0]);
	if (!leaves)
		fort_inspect_use_operand(reader, what);
	reader->state.only_exit &= leaves;
	return true;
}

static bool leave(struct fort_inspect_reader *reader)
{
	struct fort_inspect_state *state = &reader->state;

	if (!state->only_exit || state->leaving)
		return refuse(reader, FORT_INSPECT_STATE);
	fort_inspect_use_operand(reader, &reader->operands[1]);
	reader->marks[state->straight] |= FORT_MARK_WAY_OUT;
	state->out = true;
	return true;
}

static bool returns(struct fort_inspect_reader *reader)
{
	if (!reader->state.out && !fort_inspect_is_open(&reader->state))
		return refuse(reader, FORT_INSPECT_STATE);
	fort_inspect_open(reader);
	return true;
}

/* --- the machine stack and frames --- */

static bool push(struct fort_inspect_reader *reader)
{
	struct fort_inspect_state *state = &reader->state;

	if (state->depth == FORT_INSPECT_WORDS || reader->operands[0].size != 64)
		return refuse(reader, FORT_INSPECT_STATE);
	fort_inspect_use_operand(reader, &reader->operands[0]);
	state->stack[state->depth++] = fort_inspect_tag_of(state, reg_of(reader, 0));
	return true;
}

static bool pop(struct fort_inspect_reader *reader)
{
	struct fort_inspect_state *state = &reader->state;
	enum fort_x64_reg reg = reg_of(reader, 0);
	uint8_t tag;

	if (!state->depth || reader->operands[0].size != 64)
		return refuse(reader, FORT_INSPECT_STATE);
	tag = state->stack[--state->depth];
	if (reg == FORT_X64_R9 ? tag != FORT_TAG_RUN : reg == FORT_X64_RBP || reg == FORT_X64_R12)
		return refuse(reader, FORT_INSPECT_STATE);
	if (tag != FORT_TAG_WORD && reg != FORT_X64_R9)
		tag = tag == FORT_TAG_FRAME || tag == FORT_TAG_CONST ? FORT_TAG_WORD
								     : FORT_TAG_LOST;
	fort_inspect_set_tag(reader, reg, tag);
	return true;
}

static bool load_count(struct fort_inspect_reader *reader)
{
	return load_scratch(reader, FORT_TAG_LEFT);
}

static bool count_down(struct fort_inspect_reader *reader)
{
	struct fort_inspect_state *state = &reader->state;

	if (immediate(reader) != 1)
		return refuse(reader, FORT_INSPECT_FORM);
	fort_inspect_use_operand(reader, &reader->operands[0]);
	for (unsigned i = 0; i < FORT_LEN(state->scratch); i++)
		if (state->scratch[i].value == FORT_TAG_COUNTING)
			state->scratch[i] = fact(reader, FORT_TAG_LOST);
	fort_inspect_set_tag(reader, reg_of(reader, 0), FORT_TAG_COUNTING);
	state->flags = fact(reader, FORT_FLAGS_LEFT);
	return true;
}

static void counted(struct fort_inspect_reader *reader)
{
	struct fort_inspect_state *state = &reader->state;

	for (unsigned i = 0; i < FORT_LEN(state->scratch); i++)
		if (state->scratch[i].value == FORT_TAG_COUNTING) {
			(void)fort_inspect_use(reader, &state->scratch[i]);
			state->scratch[i] = fact(reader, FORT_TAG_COUNTED);
		}
}

static bool move_frame(struct fort_inspect_reader *reader, bool down)
{
	if (reader->state.deeper == down || immediate(reader) != FORT_STACK_BYTES)
		return refuse(reader, FORT_INSPECT_STATE);
	reader->state.deeper = down;
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

/* --- control --- */

static bool find_target(struct fort_inspect_reader *reader, uint32_t *out)
{
	int64_t target = (int64_t)reader->next + reader->operands[0].imm.value.s;

	if (target < 0 || target >= reader->image->bytes)
		return refuse(reader, FORT_INSPECT_TARGET);
	*out = (uint32_t)target;
	return true;
}

static bool is_known(const struct fort_inspect_state *state)
{
	return state->scratch[0].value != FORT_TAG_LOST || state->scratch[1].value != FORT_TAG_LOST;
}

/* Remembers the jump as a hop, if there is something to remember; a mark says less, and is as safe.
 */
static bool hop(struct fort_inspect_reader *reader, uint32_t target)
{
	struct fort_inspect_hop *next = &reader->hops[reader->n_hops];

	if (target <= reader->at || target - reader->at > FORT_INSPECT_HOP_BYTES ||
	    reader->n_hops == FORT_INSPECT_HOPS || !is_known(&reader->state))
		return false;
	next->target = target;
	memcpy(next->scratch, reader->state.scratch, sizeof(next->scratch));
	reader->n_hops++;
	return true;
}

/* Both ways here must say the same. */
static void join(struct fort_inspect_reader *reader, const struct fort_inspect_hop *from)
{
	struct fort_inspect_state *state = &reader->state;

	for (unsigned i = 0; i < FORT_LEN(state->scratch); i++) {
		struct fort_inspect_fact *here = &state->scratch[i];

		if (state->fresh)
			*here = from->scratch[i];
		else if (here->value != from->scratch[i].value)
			*here = (struct fort_inspect_fact){FORT_TAG_LOST, reader->at};
		else if (from->scratch[i].since < here->since)
			here->since = from->scratch[i].since;
	}
	state->flags = (struct fort_inspect_fact){FORT_FLAGS_NOTHING, reader->at};
	state->paid = state->saved = (struct fort_inspect_fact){false, reader->at};
	state->fresh = false;
}

bool fort_inspect_arrive(struct fort_inspect_reader *reader)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < reader->n_hops; i++) {
		if (reader->hops[i].target < reader->at ||
		    (reader->hops[i].target == reader->at && !fort_inspect_is_open(&reader->state)))
			return refuse(reader, FORT_INSPECT_TARGET);
		if (reader->hops[i].target == reader->at)
			join(reader, &reader->hops[i]);
		else
			reader->hops[n++] = reader->hops[i];
	}
	reader->n_hops = n;
	return true;
}

/* A jump to where the program goes on. Back only for fuel. */
static bool go(struct fort_inspect_reader *reader, uint32_t target)
{
	struct fort_inspect_state *state = &reader->state;

	if (!fort_inspect_is_open(state))
		return refuse(reader, FORT_INSPECT_STATE);
	if (target <= reader->at && !fort_inspect_use(reader, &state->paid))
		return refuse(reader, FORT_INSPECT_FUEL);
	if (!hop(reader, target))
		reader->marks[target] |= FORT_MARK_ENTERED;
	return true;
}

/* A jump that ends the run, from any state in which the run is known. */
static bool end(struct fort_inspect_reader *reader, uint32_t target)
{
	if (reader->state.reg[FORT_X64_R9] != FORT_TAG_RUN)
		return refuse(reader, FORT_INSPECT_STATE);
	reader->marks[target] |= FORT_MARK_LEFT_BY;
	return true;
}

/* Blocks that only leave end by setting r10 to the pc and jumping to the way out. */
static bool jump(struct fort_inspect_reader *reader)
{
	struct fort_inspect_state *state = &reader->state;
	const struct fort_inspect_fact *pc = &state->scratch[0];
	bool leaves =
		state->only_exit && pc->value == FORT_TAG_CONST && pc->since > state->straight;
	bool done = true;
	uint32_t target;

	if (!find_target(reader, &target))
		return false;
	if (leaves) {
		reader->marks[state->straight] |= FORT_MARK_EXIT;
		reader->marks[target] |= FORT_MARK_OUT_BY;
	} else {
		done = state->owed ? end(reader, target) : go(reader, target);
	}
	if (done)
		fort_inspect_open(reader);
	return done;
}

/* Around an exchange, until nobody came between: back over two instructions that leave rax to it.
 */
static bool repeat(struct fort_inspect_reader *reader, uint32_t target)
{
	const struct fort_inspect_state *state = &reader->state;

	return target == state->recent[3] && target >= state->plain && target >= state->rax_kept
		       ? true
		       : refuse(reader, FORT_INSPECT_FUEL);
}

/* Fuel was taken. Not below: it was there, and the jump is paid. */
static bool branch_on_fuel(struct fort_inspect_reader *reader, uint32_t target)
{
	struct fort_inspect_state *state = &reader->state;
	bool done;

	state->owed = false;
	state->paid = fact(reader, true);
	if (reader->insn.mnemonic == ZYDIS_MNEMONIC_JB)
		return end(reader, target);
	if (reader->insn.mnemonic != ZYDIS_MNEMONIC_JNB)
		return refuse(reader, FORT_INSPECT_FUEL);
	done = go(reader, target);
	state->owed = true;
	state->paid = fact(reader, false);
	return done;
}

static bool decide(struct fort_inspect_reader *reader, uint32_t target)
{
	struct fort_inspect_state *state = &reader->state;
	ZydisMnemonic mnemonic = reader->insn.mnemonic;

	if (state->flags.value == FORT_FLAGS_NOTHING)
		return go(reader, target);
	switch ((enum fort_inspect_flags)fort_inspect_use(reader, &state->flags)) {
	case FORT_FLAGS_FUEL:
		if (!state->owed)
			break;
		return branch_on_fuel(reader, target);
	case FORT_FLAGS_LEFT:
		if (mnemonic != ZYDIS_MNEMONIC_JB)
			break;
		counted(reader);
		return end(reader, target);
	case FORT_FLAGS_ABORT:
		if (mnemonic != ZYDIS_MNEMONIC_JNZ)
			break;
		state->unchecked = false;
		return end(reader, target);
	case FORT_FLAGS_EXCHANGE:
		if (mnemonic != ZYDIS_MNEMONIC_JNZ || target > reader->at)
			break;
		return repeat(reader, target);
	case FORT_FLAGS_NOTHING: break;
	}
	return go(reader, target);
}

static bool branch(struct fort_inspect_reader *reader)
{
	uint32_t target;

	if (!find_target(reader, &target) || !decide(reader, target))
		return false;
	start_block(reader);
	return true;
}

/* The stack is as it must be at a call: rsp is 8 off a multiple of 16 in an open state. */
static bool is_aligned(const struct fort_inspect_state *state)
{
	return state->depth & 1;
}

/* The callee finds an open state, with its frame and the count that its caller left for it. */
static bool call(struct fort_inspect_reader *reader)
{
	struct fort_inspect_state *state = &reader->state, callee = *state;
	uint32_t target;

	if (!find_target(reader, &target))
		return false;
	callee.depth = 0;
	callee.deeper = false;
	if (!state->deeper || !is_aligned(state) || !fort_inspect_is_open(&callee) ||
	    state->stack[state->depth - 1] != FORT_TAG_COUNTED)
		return refuse(reader, FORT_INSPECT_STATE);
	if (!fort_inspect_use(reader, &state->paid))
		return refuse(reader, FORT_INSPECT_FUEL);
	reader->marks[target] |= FORT_MARK_ENTERED;
	forget_facts(reader);
	state->rax_kept = reader->next;
	start_block(reader);
	return true;
}

static bool ask_abort(struct fort_inspect_reader *reader)
{
	if (immediate(reader))
		return refuse(reader, FORT_INSPECT_FORM);
	reader->state.flags = fact(reader, FORT_FLAGS_ABORT);
	return true;
}

static bool call_host(struct fort_inspect_reader *reader)
{
	struct fort_inspect_state *state = &reader->state;

	if (state->deeper || state->unchecked || !is_aligned(state) ||
	    state->reg[FORT_X64_R9] != FORT_TAG_RUN)
		return refuse(reader, FORT_INSPECT_STATE);
	if (!has_fuel(state) || !fort_inspect_use(reader, &state->saved))
		return refuse(reader, FORT_INSPECT_FUEL);
	for (unsigned i = 0; i < FORT_LEN(lost_by_call); i++)
		fort_inspect_set_tag(reader, lost_by_call[i], FORT_TAG_LOST);
	fort_inspect_set_tag(reader, FORT_X64_RAX, FORT_TAG_WORD);
	forget_facts(reader);
	state->unchecked = true;
	start_block(reader);
	return true;
}

/* --- all of them --- */

static bool (*const rules[FORT_RULES])(struct fort_inspect_reader *reader) = {
	[FORT_RULE_PLAIN] = plain,
	[FORT_RULE_NOTHING] = nothing,
	[FORT_RULE_REFUND] = refund,
	[FORT_RULE_LOAD_ENTRY] = load_entry,
	[FORT_RULE_TELL] = tell,
	[FORT_RULE_LEAVE] = leave,
	[FORT_RULE_EXCHANGE] = exchange,
	[FORT_RULE_TAKE_FUEL] = take_fuel,
	[FORT_RULE_SAVE_FUEL] = save_fuel,
	[FORT_RULE_LOAD_FUEL] = load_fuel,
	[FORT_RULE_LOAD_COUNT] = load_count,
	[FORT_RULE_COUNT_DOWN] = count_down,
	[FORT_RULE_FRAME_DOWN] = frame_down,
	[FORT_RULE_FRAME_UP] = frame_up,
	[FORT_RULE_ASK_ABORT] = ask_abort,
	[FORT_RULE_PUSH] = push,
	[FORT_RULE_POP] = pop,
	[FORT_RULE_JUMP] = jump,
	[FORT_RULE_BRANCH] = branch,
	[FORT_RULE_CALL] = call,
	[FORT_RULE_CALL_HOST] = call_host,
	[FORT_RULE_RETURN] = returns,
};

bool fort_inspect_apply(struct fort_inspect_reader *reader, enum fort_inspect_rule_id rule)
{
	struct fort_inspect_state *state = &reader->state;
	bool jumps = rule == FORT_RULE_JUMP || rule == FORT_RULE_BRANCH;

	if (state->out && rule != FORT_RULE_RETURN)
		return refuse(reader, FORT_INSPECT_STATE);
	if (state->owed && !jumps && rule != FORT_RULE_NOTHING)
		return refuse(reader, FORT_INSPECT_FUEL);
	if (rule > FORT_RULE_EXIT_LAST && rule != FORT_RULE_JUMP) {
		if (state->leaving)
			return refuse(reader, FORT_INSPECT_STATE);
		state->only_exit = false;
	}
	state->fresh = false;
	if (!rules[rule](reader))
		return false;
	if (rule != FORT_RULE_PLAIN && rule != FORT_RULE_EXCHANGE)
		state->plain = reader->next;
	return true;
}
