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

/* --- registers --- */

static bool is_readable(const struct fort_inspect_state *state, enum fort_x64_reg reg)
{
	enum fort_inspect_tag tag = state->reg[reg];

	return tag == FORT_TAG_WORD || tag == FORT_TAG_CONST || tag == FORT_TAG_FRAME;
}

static bool is_writable(const struct fort_inspect_state *state, enum fort_x64_reg reg)
{
	return state->reg[reg] != FORT_TAG_KEPT && reg != FORT_X64_RSP && reg != FORT_X64_RBP &&
	       reg != FORT_X64_R9 && reg != FORT_X64_R12;
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
	const struct fort_inspect_state *state = &reader->state;
	enum fort_x64_reg reg = fort_inspect_reg(operand->reg.value);
	bool reads = operand->actions & ZYDIS_OPERAND_ACTION_MASK_READ && !clears(reader);
	bool writes = operand->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
	uint32_t shapes = FORT_SHAPE_NONE;
	bool readable;

	if (reg == FORT_X64_REGS)
		return FORT_SHAPE_NONE;
	readable =
		is_readable(state, reg) || (state->reg[reg] == FORT_TAG_BYTE && operand->size == 8);
	if ((!reads || readable) && (!writes || is_writable(state, reg)))
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
	       reader->state.reg[FORT_X64_RBP] == FORT_TAG_FRAME &&
	       operand->mem.index == ZYDIS_REGISTER_NONE && !reader->state.deeper &&
	       disp >= -(int64_t)FORT_STACK_BYTES && disp + operand->size / 8 <= 0;
}

/* The word that was pushed last, read. */
static bool is_pushed(const struct fort_inspect_reader *reader, const ZydisDecodedOperand *operand)
{
	const struct fort_inspect_state *state = &reader->state;

	return is_flat(operand) && reader->insn.address_width == 64 &&
	       operand->mem.base == ZYDIS_REGISTER_RSP &&
	       operand->mem.index == ZYDIS_REGISTER_NONE && !operand->mem.disp.value &&
	       state->part == FORT_PART_BODY && state->depth &&
	       state->stack[state->depth - 1] == FORT_TAG_WORD &&
	       !(operand->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE);
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
		if (fields[i].holder == reader->state.reg[base] &&
		    fields[i].at == operand->mem.disp.value && fields[i].bits == operand->size)
			return FORT_SHAPE_FIELD << i;
	return FORT_SHAPE_NONE;
}

/* fs:[offset]: fs is the C library's, and so is the word. */
static bool is_cpu(const struct fort_inspect_reader *reader, const ZydisDecodedOperand *operand)
{
	return operand->mem.segment == ZYDIS_REGISTER_FS && reader->insn.address_width == 64 &&
	       operand->mem.base == ZYDIS_REGISTER_NONE &&
	       operand->mem.index == ZYDIS_REGISTER_NONE && reader->image->cpu_offset &&
	       operand->mem.disp.value == reader->image->cpu_offset && operand->size == 32 &&
	       !(operand->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE);
}

static bool is_cached(const struct fort_inspect_reader *reader, const ZydisDecodedOperand *operand)
{
	enum fort_x64_reg base = fort_inspect_reg(operand->mem.base);

	if (base == FORT_X64_REGS || reader->state.reg[base] != FORT_TAG_SERVICES ||
	    !is_flat(operand) || reader->insn.address_width != 64 ||
	    operand->mem.index != ZYDIS_REGISTER_NONE || operand->size != 64 ||
	    operand->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
		return false;
	for (uint32_t i = 0; i < reader->image->n_cached; i++)
		if (operand->mem.disp.value == reader->image->cached[i])
			return true;
	return false;
}

static bool is_slot(const struct fort_inspect_reader *reader, const ZydisDecodedOperand *operand)
{
	int64_t target =
		(int64_t)reader->next + operand->mem.disp.value + (int64_t)reader->image->gap;

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
	if (is_window(reader, operand) || is_frame(reader, operand) || is_pushed(reader, operand) ||
	    is_free(reader, operand))
		shapes |= FORT_SHAPE_M;
	if (is_cpu(reader, operand))
		shapes |= FORT_SHAPE_CPU;
	if (is_cached(reader, operand))
		shapes |= FORT_SHAPE_CACHED;
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
