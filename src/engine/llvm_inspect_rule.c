/* What instructions do to the checker's state (llvm_inspect.h). */
#include "base/limits.h"
#include "engine/llvm_inspect_state.h"

static const uint8_t rules_of[ZYDIS_MNEMONIC_MAX_VALUE + 1] = {
#define FORT_LLVM_FORM(mnemonic, rule) [ZYDIS_MNEMONIC_##mnemonic] = FORT_SCAN_RULE_##rule,
#include "engine/llvm_inspect.def"
};

enum fort_scan_rule fort_scan_rule_of(ZydisMnemonic mnemonic)
{
	return mnemonic <= ZYDIS_MNEMONIC_MAX_VALUE ? rules_of[mnemonic] : FORT_SCAN_RULE_NONE;
}

static bool refuse(struct fort_scan_reader *reader)
{
	return fort_scan_refuse(reader, FORT_INSPECT_STATE);
}

static bool is_flags(const ZydisDecodedOperand *operand)
{
	return operand->type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       operand->reg.value == ZYDIS_REGISTER_RFLAGS;
}

/* --- arithmetic --- */

/* Numbers go in, and come out: of as many bits as there is room for. */
static bool plain(struct fort_scan_reader *reader)
{
	const uint8_t reads = ZYDIS_OPERAND_ACTION_MASK_READ,
		      writes = ZYDIS_OPERAND_ACTION_MASK_WRITE;
	struct fort_scan_value value;

	for (unsigned i = 0; i < reader->insn.operand_count; i++) {
		const ZydisDecodedOperand *operand = &reader->operands[i];

		if (!is_flags(operand) && operand->actions & reads &&
		    !fort_scan_get_number(reader, operand, &value))
			return false;
	}
	for (unsigned i = 0; i < reader->insn.operand_count; i++) {
		const ZydisDecodedOperand *operand = &reader->operands[i];

		if (!is_flags(operand) && operand->actions & writes &&
		    !fort_scan_set(reader, operand, fort_scan_word(operand->size)))
			return false;
	}
	return true;
}

/* In memory the bit may be far from where the operand points. */
static bool plain_bits(struct fort_scan_reader *reader)
{
	return reader->operands[0].type == ZYDIS_OPERAND_TYPE_REGISTER ? plain(reader)
								       : refuse(reader);
}

static bool is_same_reg(const struct fort_scan_reader *reader)
{
	const ZydisDecodedOperand *a = &reader->operands[0], *b = &reader->operands[1];

	return a->type == ZYDIS_OPERAND_TYPE_REGISTER && b->type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       a->reg.value == b->reg.value;
}

/* Of a register and itself: what it was does not matter. */
static bool clear(struct fort_scan_reader *reader)
{
	const ZydisDecodedOperand *to = &reader->operands[0];
	bool zero = reader->insn.mnemonic != ZYDIS_MNEMONIC_SBB; /* that one spreads a flag */

	return is_same_reg(reader) && to->size >= 32
		       ? fort_scan_set(reader, to, fort_scan_word(zero ? 0 : to->size))
		       : plain(reader);
}

static bool is_wide_reg(const ZydisDecodedOperand *operand)
{
	return operand->type == ZYDIS_OPERAND_TYPE_REGISTER && operand->size == 64;
}

/* A pointer into the stack, further on. */
static bool moved(struct fort_scan_value *value, int64_t by)
{
	int64_t off = value->off + by;

	if ((value->tag != FORT_SCAN_STACK && value->tag != FORT_SCAN_ROOM) || off != (int32_t)off)
		return false;
	value->off = (int32_t)off;
	return true;
}

/* A pointer and a constant, or a sum of numbers. */
static bool add(struct fort_scan_reader *reader)
{
	const ZydisDecodedOperand *to = &reader->operands[0], *by = &reader->operands[1];
	bool constant = by->type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
	struct fort_scan_value a, b;
	unsigned bits;

	if (!fort_scan_get(reader, to, &a))
		return false;
	if (is_wide_reg(to) && constant && moved(&a, by->imm.value.s))
		return fort_scan_set(reader, to, a);
	if (!fort_scan_get_number(reader, to, &a) || !fort_scan_get_number(reader, by, &b))
		return false;
	bits = (a.bits > b.bits ? a.bits : b.bits) + 1u;
	return fort_scan_set(reader, to, fort_scan_word(bits < to->size ? bits : to->size));
}

static bool sub(struct fort_scan_reader *reader)
{
	const ZydisDecodedOperand *to = &reader->operands[0], *by = &reader->operands[1];
	struct fort_scan_value a;

	if (by->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && is_wide_reg(to)) {
		if (!fort_scan_get(reader, to, &a))
			return false;
		if (moved(&a, -by->imm.value.s))
			return fort_scan_set(reader, to, a);
	}
	return clear(reader);
}

static bool and (struct fort_scan_reader * reader)
{
	const ZydisDecodedOperand *to = &reader->operands[0], *by = &reader->operands[1];
	struct fort_scan_value a, b;

	return fort_scan_get_number(reader, to, &a) && fort_scan_get_number(reader, by, &b) &&
	       fort_scan_set(reader, to, fort_scan_word(a.bits < b.bits ? a.bits : b.bits));
}

static bool shr(struct fort_scan_reader *reader)
{
	const ZydisDecodedOperand *to = &reader->operands[0], *by = &reader->operands[1];
	struct fort_scan_value a;
	unsigned n;

	if (!is_wide_reg(to) || by->type != ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return plain(reader);
	if (!fort_scan_get_number(reader, to, &a))
		return false;
	n = by->imm.value.u & 63;
	return fort_scan_set(reader, to, fort_scan_word(a.bits > n ? a.bits - n : 0));
}

/* --- moves --- */

static bool lea(struct fort_scan_reader *reader)
{
	const ZydisDecodedOperand *to = &reader->operands[0], *from = &reader->operands[1];
	struct fort_scan_value value;

	if (is_wide_reg(to) && reader->insn.address_width == 64 &&
	    from->mem.index == ZYDIS_REGISTER_NONE && from->mem.base >= ZYDIS_REGISTER_RAX &&
	    from->mem.base <= ZYDIS_REGISTER_R15) {
		value = reader->now->reg[from->mem.base - ZYDIS_REGISTER_RAX];
		if (moved(&value, from->mem.disp.value))
			return fort_scan_set(reader, to, value);
	}
	return fort_scan_sum(reader, from, &value) && fort_scan_set(reader, to, value);
}

static bool move(struct fort_scan_reader *reader)
{
	struct fort_scan_value value;

	return fort_scan_get(reader, &reader->operands[1], &value) &&
	       fort_scan_set(reader, &reader->operands[0], value);
}

static bool extend(struct fort_scan_reader *reader)
{
	struct fort_scan_value value;

	return fort_scan_get_number(reader, &reader->operands[1], &value) &&
	       fort_scan_set(reader, &reader->operands[0],
			     fort_scan_word(reader->operands[1].size));
}

static bool choose(struct fort_scan_reader *reader)
{
	const ZydisDecodedOperand *to = &reader->operands[0], *from = &reader->operands[1];
	struct fort_scan_value a, b;

	return fort_scan_get(reader, to, &a) && fort_scan_get(reader, from, &b) &&
	       fort_scan_set(reader, to, fort_scan_either(a, b));
}

static bool nothing(struct fort_scan_reader *reader)
{
	return true;
}

/* --- the stack --- */

static bool set_top(struct fort_scan_reader *reader, int32_t by)
{
	struct fort_scan_value *top = &reader->now->reg[FORT_X64_RSP];

	if (top->tag != FORT_SCAN_STACK || top->off + by > 0 ||
	    !fort_scan_has_cells(reader, (int64_t)top->off + by, 8))
		return refuse(reader);
	top->off += by;
	return true;
}

static bool push(struct fort_scan_reader *reader)
{
	struct fort_scan_value value;

	if (reader->insn.operand_width != 64 ||
	    !fort_scan_get(reader, &reader->operands[0], &value) || !set_top(reader, -8))
		return reader->fault ? false : refuse(reader);
	fort_scan_keep(reader, reader->now->reg[FORT_X64_RSP].off, 8, value);
	return true;
}

static bool pop(struct fort_scan_reader *reader)
{
	struct fort_scan_value top = reader->now->reg[FORT_X64_RSP], value;

	if (reader->operands[0].type != ZYDIS_OPERAND_TYPE_REGISTER ||
	    !is_wide_reg(&reader->operands[0]) || top.tag != FORT_SCAN_STACK || top.off >= 0)
		return refuse(reader);
	value = fort_scan_fetch(reader, top.off, 8);
	if (!set_top(reader, 8))
		return false;
	fort_scan_forget_below(reader, top.off + 8 - FORT_SCAN_RED_ZONE);
	return fort_scan_set(reader, &reader->operands[0], value);
}

/* --- control --- */

static bool is_direct(const struct fort_scan_reader *reader)
{
	return reader->operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
	       reader->operands[0].imm.is_relative;
}

static bool jump(struct fort_scan_reader *reader)
{
	reader->open = false;
	return is_direct(reader) ? fort_scan_flow_to(reader, fort_scan_target(reader))
				 : fort_scan_refuse(reader, FORT_INSPECT_FORM);
}

static bool branch(struct fort_scan_reader *reader)
{
	return fort_scan_flow_to(reader, fort_scan_target(reader));
}

static bool none(struct fort_scan_reader *reader)
{
	return fort_scan_refuse(reader, FORT_INSPECT_FORM);
}

static bool (*const applies[FORT_SCAN_RULES])(struct fort_scan_reader *) = {
	[FORT_SCAN_RULE_NONE] = none,
	[FORT_SCAN_RULE_PLAIN] = plain,
	[FORT_SCAN_RULE_PLAIN_BITS] = plain_bits,
	[FORT_SCAN_RULE_CLEAR] = clear,
	[FORT_SCAN_RULE_ADD] = add,
	[FORT_SCAN_RULE_SUB] = sub,
	[FORT_SCAN_RULE_AND] = and,
	[FORT_SCAN_RULE_SHR] = shr,
	[FORT_SCAN_RULE_LEA] = lea,
	[FORT_SCAN_RULE_MOVE] = move,
	[FORT_SCAN_RULE_EXTEND] = extend,
	[FORT_SCAN_RULE_CHOOSE] = choose,
	[FORT_SCAN_RULE_NOTHING] = nothing,
	[FORT_SCAN_RULE_PUSH] = push,
	[FORT_SCAN_RULE_POP] = pop,
	[FORT_SCAN_RULE_CALL] = fort_scan_flow_call,
	[FORT_SCAN_RULE_RETURN] = fort_scan_flow_return,
	[FORT_SCAN_RULE_JUMP] = jump,
	[FORT_SCAN_RULE_BRANCH] = branch,
};

bool fort_scan_apply(struct fort_scan_reader *reader, enum fort_scan_rule rule)
{
	return applies[rule](reader);
}
