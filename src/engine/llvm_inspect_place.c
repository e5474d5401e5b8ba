/* Operands: what they hold, and where memory operands may point. */
#include "base/limits.h"
#include "engine/llvm_inspect_state.h"
#include "engine/x64_run.h"
#include "isolate/window.h"

/* A register, and how much of it: of ah to bh the byte below as well. */
static bool find_reg(const ZydisDecodedOperand *operand, enum fort_x64_reg *reg, unsigned *bits)
{
	ZydisRegister name = operand->reg.value;
	ZydisRegister wide = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, name);

	if (wide < ZYDIS_REGISTER_RAX || wide > ZYDIS_REGISTER_R15)
		return false;
	*reg = (enum fort_x64_reg)(wide - ZYDIS_REGISTER_RAX);
	*bits = name >= ZYDIS_REGISTER_AH && name <= ZYDIS_REGISTER_BH ? 16 : operand->size;
	return true;
}

static bool is_part(struct fort_scan_value value)
{
	return value.tag == FORT_SCAN_WORD || value.tag == FORT_SCAN_LOW;
}

/* What its low bits are. */
static struct fort_scan_value low_of(struct fort_scan_value value, unsigned bits)
{
	if (bits == 64 || !fort_scan_is_number(value, bits))
		return bits == 64 ? value : fort_scan_lost();
	return value.tag == FORT_SCAN_WORD && value.bits < bits ? value : fort_scan_word(bits);
}

static unsigned bits_of(uint64_t number)
{
	return number ? 64 - (unsigned)__builtin_clzll(number) : 0;
}

/* --- memory --- */

enum place { NOWHERE, PROGRAM, CELLS, ROOM, FIELD, SERVICES_FIELD, SLOT };

static struct fort_scan_value base_of(const struct fort_scan_reader *reader, ZydisRegister name)
{
	if (name < ZYDIS_REGISTER_RAX || name > ZYDIS_REGISTER_R15)
		return fort_scan_lost();
	return reader->now->reg[name - ZYDIS_REGISTER_RAX];
}

static bool is_wide(ZydisRegister name)
{
	return name == ZYDIS_REGISTER_NONE ||
	       (name >= ZYDIS_REGISTER_RAX && name <= ZYDIS_REGISTER_R15);
}

/* The most that a part of an address comes to; 2^64 - 1 for what is too much. */
static bool most_of(const struct fort_scan_reader *reader, ZydisRegister name, unsigned scale,
		    unsigned width, uint64_t *out)
{
	struct fort_scan_value value = {.tag = FORT_SCAN_WORD};
	ZydisRegister wide = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, name);

	if (name != ZYDIS_REGISTER_NONE)
		value = low_of(base_of(reader, wide), width);
	if (value.tag != FORT_SCAN_WORD)
		return false;
	*out = value.bits > 60 ? UINT64_MAX : ((1ull << value.bits) - 1) * scale;
	return true;
}

bool fort_scan_sum(struct fort_scan_reader *reader, const ZydisDecodedOperand *operand,
		   struct fort_scan_value *out)
{
	unsigned width = reader->insn.address_width, scale = operand->mem.scale;
	int64_t disp = operand->mem.disp.value;
	uint64_t base, index, sum;

	if (operand->mem.base == ZYDIS_REGISTER_RIP ||
	    !most_of(reader, operand->mem.base, 1, width, &base) ||
	    !most_of(reader, operand->mem.index, scale ? scale : 1, width, &index))
		return fort_scan_refuse(reader, FORT_INSPECT_STATE);
	if (disp < 0 || __builtin_add_overflow(base, index, &sum) ||
	    __builtin_add_overflow(sum, (uint64_t)disp, &sum))
		sum = UINT64_MAX;
	*out = fort_scan_word(bits_of(sum) < width ? bits_of(sum) : width);
	return true;
}

/* Does gs:[sum] stay in the window, or on the page behind it? */
static bool is_window(struct fort_scan_reader *reader, const ZydisDecodedOperand *operand)
{
	uint64_t base, index;
	unsigned scale = operand->mem.scale;
	int64_t disp = operand->mem.disp.value;

	if (operand->mem.segment != ZYDIS_REGISTER_GS)
		return false;
	if (!most_of(reader, operand->mem.base, 1, reader->insn.address_width, &base) ||
	    !most_of(reader, operand->mem.index, scale ? scale : 1, reader->insn.address_width,
		     &index))
		return false;
	if (reader->insn.address_width == 32)
		return true;
	return disp >= 0 && base < 2 * FORT_WINDOW_BYTES && index < 16 * FORT_WINDOW_BYTES &&
	       base + index + (uint64_t)disp + operand->size / 8 <=
		       FORT_WINDOW_BYTES + FORT_PAGE_BYTES;
}

/* The segment that nobody asked for: it has no base. */
static bool is_flat(const struct fort_scan_reader *reader, const ZydisDecodedOperand *operand)
{
	return (operand->mem.segment == ZYDIS_REGISTER_DS ||
		operand->mem.segment == ZYDIS_REGISTER_SS) &&
	       reader->insn.address_width == 64 &&
	       (is_wide(operand->mem.base) || operand->mem.base == ZYDIS_REGISTER_RIP) &&
	       is_wide(operand->mem.index);
}

static bool is_cpu(const struct fort_scan_reader *reader, const ZydisDecodedOperand *operand,
		   bool write)
{
	return !write && operand->mem.segment == ZYDIS_REGISTER_FS && reader->image->cpu_offset &&
	       operand->mem.base == ZYDIS_REGISTER_NONE &&
	       operand->mem.index == ZYDIS_REGISTER_NONE && operand->size == 32 &&
	       operand->mem.disp.value == reader->image->cpu_offset;
}

/* Does the isolation leave this direction to the proof? */
static bool is_free(const struct fort_scan_reader *reader, const ZydisDecodedOperand *operand,
		    bool write)
{
	const struct fort_isolation_info *isolation = &fort_isolations[reader->image->isolation];
	uint64_t most;

	return !(write ? isolation->stores : isolation->loads) &&
	       operand->mem.base != ZYDIS_REGISTER_RIP &&
	       most_of(reader, operand->mem.base, 1, 64, &most) &&
	       most_of(reader, operand->mem.index, 1, 64, &most);
}

uint32_t fort_scan_slot(const struct fort_scan_reader *reader, const ZydisDecodedOperand *operand)
{
	int64_t target = (int64_t)reader->next + operand->mem.disp.value;

	if (operand->type != ZYDIS_OPERAND_TYPE_MEMORY || !is_flat(reader, operand) ||
	    operand->mem.base != ZYDIS_REGISTER_RIP || operand->size > 64 || target >= 0 ||
	    target % 8 || -target / 8 > reader->image->n_slots)
		return reader->image->n_slots;
	return (uint32_t)(-target / 8 - 1);
}

static const struct field {
	uint8_t tag, bytes;
	bool write;
	uint32_t at;
} fields[] = {
#define FORT_LLVM_FIELD(tag, type, member, bytes, write) \
	{FORT_SCAN_##tag, bytes, write, offsetof(struct type, member)},
#include "engine/llvm_inspect.def"
};

static bool is_field(const struct fort_scan_reader *reader, const ZydisDecodedOperand *operand,
		     enum fort_scan_tag tag, bool write)
{
	int64_t disp = operand->mem.disp.value;

	for (unsigned i = 0; i < FORT_LEN(fields); i++)
		if (fields[i].tag == tag && fields[i].at == disp &&
		    fields[i].bytes * 8 == operand->size && (!write || fields[i].write))
			return true;
	for (uint32_t i = 0; tag == FORT_SCAN_SERVICES && i < reader->image->n_cached; i++)
		if (reader->image->cached[i] == disp && operand->size == 64 && !write)
			return true;
	return false;
}

/* Arguments that a caller of the image's has put on the stack, or what comes back in their place.
 * Those of the host are not the image's to see. */
static bool has_arguments(struct fort_scan_reader *reader, int64_t off, uint32_t bytes, bool write)
{
	if (off + bytes <= 0)
		return true;
	if (off < 8 || !reader->now->function)
		return false;
	if (write)
		fort_scan_extend(reader, &fort_scan_own(reader)->args, off + bytes);
	return true;
}

static bool has_room(struct fort_scan_reader *reader, int64_t off, uint32_t bytes)
{
	if (off < 0 || off + bytes > FORT_SCAN_ROOM_BYTES || !reader->now->function)
		return false;
	fort_scan_extend(reader, &fort_scan_own(reader)->room, off + bytes);
	return true;
}

/* [base + disp] where the base is no number: whose, and whether it is there. */
static enum place place_at(struct fort_scan_reader *reader, const ZydisDecodedOperand *operand,
			   struct fort_scan_value base, bool write)
{
	int64_t off = base.off + operand->mem.disp.value;
	uint32_t bytes = operand->size / 8;

	if (operand->mem.index != ZYDIS_REGISTER_NONE || bytes > 8)
		return NOWHERE;
	switch (base.tag) {
	case FORT_SCAN_STACK:
		return fort_scan_has_cells(reader, off, bytes) &&
				       has_arguments(reader, off, bytes, write)
			       ? CELLS
			       : NOWHERE;
	case FORT_SCAN_ROOM: return has_room(reader, off, bytes) ? ROOM : NOWHERE;
	case FORT_SCAN_RUN:
		if (operand->mem.disp.value == offsetof(struct fort_run, services) && !write &&
		    bytes == 8)
			return SERVICES_FIELD;
		break;
	default: break;
	}
	return is_field(reader, operand, base.tag, write) ? FIELD : NOWHERE;
}

static enum place place_of(struct fort_scan_reader *reader, const ZydisDecodedOperand *operand,
			   bool write)
{
	enum place place;

	if (operand->mem.type != ZYDIS_MEMOP_TYPE_MEM)
		return NOWHERE;
	if (is_window(reader, operand) || is_cpu(reader, operand, write))
		return PROGRAM;
	if (!is_flat(reader, operand))
		return NOWHERE;
	if (fort_scan_slot(reader, operand) < reader->image->n_slots)
		return write ? NOWHERE : SLOT;
	place = place_at(reader, operand, base_of(reader, operand->mem.base), write);
	return place == NOWHERE && is_free(reader, operand, write) ? PROGRAM : place;
}

static int32_t off_of(const struct fort_scan_reader *reader, const ZydisDecodedOperand *operand)
{
	return base_of(reader, operand->mem.base).off + (int32_t)operand->mem.disp.value;
}

static struct fort_scan_value slot_value(const struct fort_scan_reader *reader,
					 const ZydisDecodedOperand *operand)
{
	uint32_t slot = fort_scan_slot(reader, operand);

	if (reader->image->slots[slot] == FORT_LLVM_SLOT_WORD)
		return fort_scan_word(operand->size);
	if (operand->size != 64)
		return fort_scan_lost();
	return (struct fort_scan_value){.tag = FORT_SCAN_FUNCTION, .off = (int32_t)slot};
}

static bool get_memory(struct fort_scan_reader *reader, const ZydisDecodedOperand *operand,
		       struct fort_scan_value *out)
{
	switch (place_of(reader, operand, false)) {
	case NOWHERE: return fort_scan_refuse(reader, FORT_INSPECT_FORM);
	case CELLS:
		*out = fort_scan_fetch(reader, off_of(reader, operand), operand->size / 8);
		return true;
	case SLOT: *out = slot_value(reader, operand); return true;
	case SERVICES_FIELD:
		*out = (struct fort_scan_value){.tag = FORT_SCAN_SERVICES};
		return true;
	case PROGRAM:
	case ROOM:
	case FIELD: break;
	}
	*out = fort_scan_word(operand->size);
	return true;
}

/* Only the stack keeps what is no number. */
static bool set_memory(struct fort_scan_reader *reader, const ZydisDecodedOperand *operand,
		       struct fort_scan_value value)
{
	enum place place = place_of(reader, operand, true);

	if (place == NOWHERE)
		return fort_scan_refuse(reader, FORT_INSPECT_FORM);
	if (place == CELLS)
		fort_scan_keep(reader, off_of(reader, operand), operand->size / 8, value);
	else if (!fort_scan_is_number(value, operand->size))
		return fort_scan_refuse(reader, FORT_INSPECT_STATE);
	return true;
}

/* --- operands --- */

static struct fort_scan_value immediate(const ZydisDecodedOperand *operand)
{
	return fort_scan_word(
		bits_of(operand->imm.value.u)); /* extended by its sign, if it has one */
}

bool fort_scan_get(struct fort_scan_reader *reader, const ZydisDecodedOperand *operand,
		   struct fort_scan_value *out)
{
	enum fort_x64_reg reg;
	unsigned bits;

	switch (operand->type) {
	case ZYDIS_OPERAND_TYPE_IMMEDIATE: *out = immediate(operand); return true;
	case ZYDIS_OPERAND_TYPE_MEMORY: return get_memory(reader, operand, out);
	case ZYDIS_OPERAND_TYPE_REGISTER:
		if (!find_reg(operand, &reg, &bits))
			return fort_scan_refuse(reader, FORT_INSPECT_FORM);
		*out = low_of(reader->now->reg[reg], bits);
		return true;
	default: return fort_scan_refuse(reader, FORT_INSPECT_FORM);
	}
}

bool fort_scan_get_number(struct fort_scan_reader *reader, const ZydisDecodedOperand *operand,
			  struct fort_scan_value *out)
{
	return fort_scan_get(reader, operand, out) &&
	       (fort_scan_is_number(*out, operand->size) ||
		fort_scan_refuse(reader, FORT_INSPECT_STATE));
}

/* The rest of a register that only its low bits are written of. */
static struct fort_scan_value merged(struct fort_scan_value old, unsigned bits)
{
	if (is_part(old)) {
		old.bits = old.bits < bits ? (uint8_t)bits : old.bits;
		return old;
	}
	return (struct fort_scan_value){.tag = FORT_SCAN_LOW, .bits = (uint8_t)bits};
}

/* The stack pointer stays one; what it rises above is no more. */
static bool set_top(struct fort_scan_reader *reader, struct fort_scan_value value)
{
	int32_t was = reader->now->reg[FORT_X64_RSP].off;

	if (value.tag != FORT_SCAN_STACK || value.off < -reader->frame_bytes || value.off > 0 ||
	    value.off % 8)
		return fort_scan_refuse(reader, FORT_INSPECT_STATE);
	reader->now->reg[FORT_X64_RSP] = value;
	if (value.off > was)
		fort_scan_forget_below(reader, value.off - FORT_SCAN_RED_ZONE);
	return true;
}

bool fort_scan_set(struct fort_scan_reader *reader, const ZydisDecodedOperand *operand,
		   struct fort_scan_value value)
{
	enum fort_x64_reg reg;
	unsigned bits;

	if (operand->type == ZYDIS_OPERAND_TYPE_MEMORY)
		return set_memory(reader, operand, value);
	if (operand->type != ZYDIS_OPERAND_TYPE_REGISTER || !find_reg(operand, &reg, &bits))
		return fort_scan_refuse(reader, FORT_INSPECT_FORM);
	if (reg == FORT_X64_RSP)
		return bits == 64 ? set_top(reader, value)
				  : fort_scan_refuse(reader, FORT_INSPECT_STATE);
	if (bits < 64 && !fort_scan_is_number(value, operand->size))
		return fort_scan_refuse(reader, FORT_INSPECT_STATE);
	if (bits < 32) {
		/* Of ah the byte below is what it was. */
		if (bits != operand->size && !is_part(reader->now->reg[reg]))
			return fort_scan_refuse(reader, FORT_INSPECT_STATE);
		reader->now->reg[reg] = merged(reader->now->reg[reg], bits);
	} else {
		reader->now->reg[reg] = low_of(value, bits);
	}
	return true;
}
