/* What an operand of a machine instruction is, to the output checker. */
#include "engine/inspect_state.h"

#include "base/limits.h"
#include "engine/run.h"
#include "engine/x64_run.h"

static const struct field {
	uint8_t holder; /* enum fort_inspect_tag */
	uint16_t at, bits;
} fields[FORT_INSPECT_FIELDS] = {
#define FORT_FIELD(shape, holder, type, member, bytes) \
	[FORT_FIELD_##shape] = {FORT_TAG_##holder, offsetof(struct type, member), 8 * (bytes)},
#include "engine/inspect.def"
};

/* Zydis has them in the processor's order, width by width; among bytes the second bytes of the
 * first four come before those that take a REX prefix. */
enum fort_x64_reg fort_inspect_reg(ZydisRegister reg)
{
	if (reg >= ZYDIS_REGISTER_RAX && reg <= ZYDIS_REGISTER_R15)
		return (enum fort_x64_reg)(reg - ZYDIS_REGISTER_RAX);
	if (reg >= ZYDIS_REGISTER_EAX && reg <= ZYDIS_REGISTER_R15D)
		return (enum fort_x64_reg)(reg - ZYDIS_REGISTER_EAX);
	if (reg >= ZYDIS_REGISTER_AX && reg <= ZYDIS_REGISTER_R15W)
		return (enum fort_x64_reg)(reg - ZYDIS_REGISTER_AX);
	if (reg >= ZYDIS_REGISTER_SPL && reg <= ZYDIS_REGISTER_R15B)
		return (enum fort_x64_reg)(reg - ZYDIS_REGISTER_SPL + FORT_X64_RSP);
	if (reg >= ZYDIS_REGISTER_AL && reg <= ZYDIS_REGISTER_BH)
		return (enum fort_x64_reg)((reg - ZYDIS_REGISTER_AL) & 3);
	return FORT_X64_REGS;
}
_Static_assert(ZYDIS_REGISTER_R15 - ZYDIS_REGISTER_RAX == 15 &&
		       ZYDIS_REGISTER_R15D - ZYDIS_REGISTER_EAX == 15 &&
		       ZYDIS_REGISTER_R15W - ZYDIS_REGISTER_AX == 15 &&
		       ZYDIS_REGISTER_R15B - ZYDIS_REGISTER_AL == 19 &&
		       ZYDIS_REGISTER_SPL - ZYDIS_REGISTER_AL == 8 &&
		       ZYDIS_REGISTER_RSP - ZYDIS_REGISTER_RAX == (int)FORT_X64_RSP,
	       "the order of registers");

static bool is_scratch(enum fort_x64_reg reg)
{
	return reg == FORT_X64_R10 || reg == FORT_X64_R11;
}

enum fort_inspect_tag fort_inspect_tag_of(const struct fort_inspect_state *state,
					  enum fort_x64_reg reg)
{
	return is_scratch(reg) ? state->scratch[reg - FORT_X64_R10].value : state->reg[reg];
}

void fort_inspect_set_tag(struct fort_inspect_reader *reader, enum fort_x64_reg reg,
			  enum fort_inspect_tag tag)
{
	if (is_scratch(reg))
		reader->state.scratch[reg - FORT_X64_R10] =
			(struct fort_inspect_fact){tag, reader->next};
	else
		reader->state.reg[reg] = tag;
	if (reg == FORT_X64_RAX)
		reader->state.rax_kept = reader->next;
}

uint8_t fort_inspect_use(struct fort_inspect_reader *reader, struct fort_inspect_fact *fact)
{
	for (uint32_t at = fact->since; at <= reader->at; at++)
		reader->marks[at] &= (uint8_t)~FORT_MARK_OPEN;
	if (fact->since <= reader->at)
		fact->since = reader->next;
	return fact->value;
}

static void use_reg(struct fort_inspect_reader *reader, ZydisRegister name)
{
	enum fort_x64_reg reg = fort_inspect_reg(name);

	if (is_scratch(reg))
		(void)fort_inspect_use(reader, &reader->state.scratch[reg - FORT_X64_R10]);
}

void fort_inspect_use_operand(struct fort_inspect_reader *reader,
			      const ZydisDecodedOperand *operand)
{
	if (operand->type == ZYDIS_OPERAND_TYPE_MEMORY) {
		use_reg(reader, operand->mem.base);
		use_reg(reader, operand->mem.index);
	} else if (operand->type == ZYDIS_OPERAND_TYPE_REGISTER &&
		   operand->actions & ZYDIS_OPERAND_ACTION_MASK_READ) {
		use_reg(reader, operand->reg.value);
	}
}

/* --- registers --- */

static bool is_readable(const struct fort_inspect_state *state, enum fort_x64_reg reg)
{
	enum fort_inspect_tag tag = fort_inspect_tag_of(state, reg);

	return tag == FORT_TAG_WORD || tag == FORT_TAG_CONST || tag == FORT_TAG_FRAME;
}

static bool is_writable(enum fort_x64_reg reg)
{
	return reg != FORT_X64_RSP && reg != FORT_X64_RBP && reg != FORT_X64_R9 &&
	       reg != FORT_X64_R12;
}

/* x ^ x is 0, whatever x was. */
static bool clears(const struct fort_inspect_reader *reader)
{
	const ZydisDecodedOperand *operands = reader->operands;

	return reader->insn.mnemonic == ZYDIS_MNEMONIC_XOR &&
	       operands[1].type == ZYDIS_OPERAND_TYPE_REGISTER && operands[0].size >= 32 &&
	       operands[0].reg.value == operands[1].reg.value;
}

static uint32_t shapes_of_reg(const struct fort_inspect_reader *reader,
			      const ZydisDecodedOperand *operand)
{
	enum fort_x64_reg reg = fort_inspect_reg(operand->reg.value);
	bool reads = operand->actions & ZYDIS_OPERAND_ACTION_MASK_READ && !clears(reader);
	bool writes = operand->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
	uint32_t shapes = FORT_SHAPE_NONE;

	if (reg == FORT_X64_REGS)
		return FORT_SHAPE_NONE;
	if ((!reads || is_readable(&reader->state, reg)) && (!writes || is_writable(reg)))
		shapes |= FORT_SHAPE_R;
	if (reg != FORT_X64_RSP)
		shapes |= FORT_SHAPE_ANY;
	if (operand->size != 64)
		return shapes;
	if (reg == FORT_X64_RSP)
		shapes |= FORT_SHAPE_SP;
	else if (reg == FORT_X64_R12)
		shapes |= FORT_SHAPE_FUEL;
	else if (reg == FORT_X64_RBP)
		shapes |= FORT_SHAPE_FRAME;
	else if (fort_inspect_tag_of(&reader->state, reg) == FORT_TAG_LEFT)
		shapes |= FORT_SHAPE_LEFT;
	return shapes;
}

/* --- memory --- */

/* Base and index, if any, are general registers of `bits` that programs may read. */
static bool names_readable(const struct fort_inspect_reader *reader,
			   const ZydisDecodedOperand *operand, unsigned bits)
{
	const ZydisRegister names[] = {operand->mem.base, operand->mem.index};
	ZydisRegister first = bits == 64 ? ZYDIS_REGISTER_RAX : ZYDIS_REGISTER_EAX;
	ZydisRegister last = bits == 64 ? ZYDIS_REGISTER_R15 : ZYDIS_REGISTER_R15D;

	for (unsigned i = 0; i < FORT_LEN(names); i++) {
		enum fort_x64_reg reg;

		if (names[i] == ZYDIS_REGISTER_NONE)
			continue;
		if (names[i] < first || names[i] > last)
			return false;
		reg = fort_inspect_reg(names[i]);
		if (!is_readable(&reader->state, reg))
			return false;
	}
	return true;
}

/* The segment that nobody asked for: it has no base. */
static bool is_flat(const ZydisDecodedOperand *operand)
{
	return operand->mem.segment == ZYDIS_REGISTER_DS ||
	       operand->mem.segment == ZYDIS_REGISTER_SS;
}

static bool is_window(const struct fort_inspect_reader *reader, const ZydisDecodedOperand *operand)
{
	return operand->mem.segment == ZYDIS_REGISTER_GS && reader->insn.address_width == 32 &&
	       names_readable(reader, operand, 32);
}

static bool is_frame(const struct fort_inspect_reader *reader, const ZydisDecodedOperand *operand)
{
	int64_t disp = operand->mem.disp.value;

	return is_flat(operand) && reader->insn.address_width == 64 &&
	       operand->mem.base == ZYDIS_REGISTER_RBP &&
	       operand->mem.index == ZYDIS_REGISTER_NONE && !reader->state.deeper &&
	       disp >= -(int64_t)FORT_STACK_BYTES && disp + operand->size / 8 <= 0;
}

/* Does the isolation leave this direction to the proof? */
static bool is_free(const struct fort_inspect_reader *reader, const ZydisDecodedOperand *operand)
{
	const struct fort_isolation_info *isolation = &fort_isolations[reader->image->isolation];
	bool free = operand->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE ? !isolation->stores
								       : !isolation->loads;

	return free && is_flat(operand) && reader->insn.address_width == 64 &&
	       operand->mem.base != ZYDIS_REGISTER_NONE && names_readable(reader, operand, 64);
}

/* [holder + disp], a field of the runtime's; or none. */
static uint32_t shape_of_field(const struct fort_inspect_reader *reader,
			       const ZydisDecodedOperand *operand)
{
	enum fort_x64_reg base = fort_inspect_reg(operand->mem.base);

	if (base == FORT_X64_REGS || !is_flat(operand) || reader->insn.address_width != 64 ||
	    operand->mem.index != ZYDIS_REGISTER_NONE)
		return FORT_SHAPE_NONE;
	for (unsigned i = 0; i < FORT_INSPECT_FIELDS; i++)
		if (fields[i].holder == fort_inspect_tag_of(&reader->state, base) &&
		    fields[i].at == operand->mem.disp.value && fields[i].bits == operand->size)
			return FORT_SHAPE_FIELD << i;
	return FORT_SHAPE_NONE;
}

static bool is_count(const struct fort_inspect_reader *reader, const ZydisDecodedOperand *operand)
{
	return is_flat(operand) && reader->insn.address_width == 64 &&
	       operand->mem.base == ZYDIS_REGISTER_RSP &&
	       operand->mem.index == ZYDIS_REGISTER_NONE && operand->mem.disp.value == 8 &&
	       operand->size == 64 && !reader->state.depth;
}

static bool is_slot(const struct fort_inspect_reader *reader, const ZydisDecodedOperand *operand)
{
	int64_t target = (int64_t)reader->next + operand->mem.disp.value;

	return is_flat(operand) && operand->mem.base == ZYDIS_REGISTER_RIP && operand->size == 64 &&
	       target < 0 && target % 8 == 0 && -target / 8 <= reader->image->n_slots;
}

static uint32_t shapes_of_memory(const struct fort_inspect_reader *reader,
				 const ZydisDecodedOperand *operand)
{
	uint32_t shapes = shape_of_field(reader, operand);

	if (operand->mem.type == ZYDIS_MEMOP_TYPE_AGEN)
		return names_readable(reader, operand, 64) && reader->insn.address_width == 64
			       ? FORT_SHAPE_A
			       : FORT_SHAPE_NONE;
	if (operand->mem.type != ZYDIS_MEMOP_TYPE_MEM)
		return FORT_SHAPE_NONE;
	if (is_window(reader, operand) || is_frame(reader, operand) || is_free(reader, operand))
		shapes |= FORT_SHAPE_M;
	if (is_count(reader, operand))
		shapes |= FORT_SHAPE_COUNT;
	if (is_slot(reader, operand))
		shapes |= FORT_SHAPE_SLOT;
	return shapes;
}

uint32_t fort_inspect_shapes(const struct fort_inspect_reader *reader,
			     const ZydisDecodedOperand *operand)
{
	switch (operand->type) {
	case ZYDIS_OPERAND_TYPE_REGISTER: return shapes_of_reg(reader, operand);
	case ZYDIS_OPERAND_TYPE_MEMORY: return shapes_of_memory(reader, operand);
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		return operand->imm.is_relative ? FORT_SHAPE_T : FORT_SHAPE_I;
	default: return FORT_SHAPE_NONE;
	}
}
