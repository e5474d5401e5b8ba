#include "isa/insn.h"

#include <errno.h>
#include <string.h>

#define USE(letters, letter) (__builtin_strchr(letters, letter) ? FORT_USE(letter) : 0)
#define FIELDS(letters)                                                                  \
	(USE(letters, 'D') | USE(letters, 'd') | USE(letters, 'b') | USE(letters, 'S') | \
	 USE(letters, 's') | USE(letters, '0') | USE(letters, 'I') | USE(letters, 'O') | \
	 USE(letters, 'H'))

const struct fort_row_info fort_rows[FORT_ROWS] = {
#define FORT_INSN(id_, opcode_, kind_, op_, bits_, uses_, select_, value_, group_, name_, symbol_) \
	[FORT_ROW_##id_] = {.opcode = (opcode_),                                                   \
			    .kind = FORT_##kind_,                                                  \
			    .op = FORT_OP_##op_,                                                   \
			    .bits = (bits_),                                                       \
			    .select = FORT_SELECT_##select_,                                       \
			    .value = (value_),                                                     \
			    .uses = uses_,                                                         \
			    .fields = FIELDS(uses_),                                               \
			    .group = (group_),                                                     \
			    .name = (name_),                                                       \
			    .symbol = (symbol_)},
#include "isa/isa.def"
};

#define NO_ROW 0xff
_Static_assert(FORT_ROWS < NO_ROW, "a row number must fit beside NO_ROW");

/* From an opcode to its rows: a chain through `next`, ended by NO_ROW. */
struct index {
	uint8_t first[256], next[FORT_ROWS];
};

static void build_index(struct index *index)
{
	memset(index, NO_ROW, sizeof(*index));
	for (unsigned row = FORT_ROWS; row-- > 0;) {
		uint8_t opcode = fort_rows[row].opcode;

		if (fort_rows[row].kind == FORT_LDIMM_HIGH)
			continue;
		index->next[row] = index->first[opcode];
		index->first[opcode] = (uint8_t)row;
	}
}

/* --- fields of a slot, read as one word --- */
#define DST_BITS 0x0f00ull
#define SRC_BITS 0xf000ull
#define OFF_BITS 0xffff0000ull
#define IMM_BITS 0xffffffff00000000ull

/* Which bits of a slot are not a row's to choose, and what they must be: its selecting field has
 * its value, reserved ones are zero. */
struct pattern {
	uint64_t mask, value;
};

#define RESERVED(fields, letters, bits) ((fields) & (letters) ? 0 : (bits))
#define RESERVED_BITS(fields)                                                        \
	(RESERVED(fields, FORT_USE('D') | FORT_USE('d') | FORT_USE('b'), DST_BITS) | \
	 RESERVED(fields, FORT_USE('S') | FORT_USE('s') | FORT_USE('0'), SRC_BITS) | \
	 RESERVED(fields, FORT_USE('O'), OFF_BITS) | RESERVED(fields, FORT_USE('I'), IMM_BITS))
#define SELECTED_NONE(value) 0, 0
#define SELECTED_SRC(value)  SRC_BITS, (uint64_t)(value) << 12
#define SELECTED_OFF(value)  OFF_BITS, (uint64_t)(uint16_t)(value) << 16
#define SELECTED_IMM(value)  IMM_BITS, (uint64_t)(uint32_t)(value) << 32
#define PATTERN(...)         PATTERN_(__VA_ARGS__)
#define PATTERN_(reserved, bits, value)    \
	{                                  \
		(reserved) | (bits), value \
	}

static const struct pattern patterns[FORT_ROWS] = {
#define FORT_INSN(id, opcode, kind, op, bits, uses, select, value, ...) \
	[FORT_ROW_##id] = PATTERN(RESERVED_BITS(FIELDS(uses)), SELECTED_##select(value)),
#include "isa/isa.def"
};

static int32_t selector(const struct fort_row_info *info, const struct fort_raw_insn *raw)
{
	switch (info->select) {
	case FORT_SELECT_OFF: return raw->off;
	case FORT_SELECT_IMM: return raw->imm;
	case FORT_SELECT_SRC: return raw->src;
	default: return info->value;
	}
}

/* The first field of a slot that is selected by it, but not what the row reserves. */
static const char *reserved_field(enum fort_row row, uint64_t word)
{
	uint64_t wrong = (word ^ patterns[row].value) & patterns[row].mask;

	return wrong & DST_BITS   ? "dst"
	       : wrong & SRC_BITS ? "src"
	       : wrong & OFF_BITS ? "off"
				  : "imm";
}

static int fail(struct fort_decode_error *error, enum fort_decode_fault fault, const char *field,
		const char *group)
{
	error->fault = fault;
	error->field = field;
	error->group = group;
	return -EINVAL;
}

/* From address space 1 to 0, or back. (K: BPF_ADDR_SPACE_CAST) */
static bool is_space_cast(const struct fort_raw_insn *raw)
{
	return raw->opcode == fort_rows[FORT_ROW_MOVSX32_64].opcode && raw->off == 1 &&
	       (raw->imm == 1 || raw->imm == 1 << 16);
}

/* None of an opcode's rows has the selecting field's value. */
static int fail_selection(const struct fort_row_info *info, struct fort_decode_error *error)
{
	if (info->kind == FORT_ATOMIC || info->kind == FORT_LDACQ || info->kind == FORT_STREL)
		return fail(error, FORT_DECODE_BAD_ATOMIC, "imm", info->group);
	if (info->kind == FORT_LDIMM)
		return fail(error, FORT_DECODE_BAD_LDIMM_SRC, "src", info->group);
	return fail(error, FORT_DECODE_RESERVED_FIELD,
		    info->select == FORT_SELECT_OFF   ? "off"
		    : info->select == FORT_SELECT_IMM ? "imm"
						      : "src",
		    info->group);
}

/* Why a slot is no instruction: the row that it selects has a field that is wrong, or none is
 * selected. */
static int refuse(const struct index *index, const struct fort_raw_insn *raw, uint64_t word,
		  struct fort_decode_error *error)
{
	uint8_t row = index->first[raw->opcode];

	if (row == NO_ROW)
		return fail(error, FORT_DECODE_UNKNOWN_OPCODE, NULL, NULL);
	if (is_space_cast(raw))
		return fail(error, FORT_DECODE_SPACE_CAST, "off", fort_rows[row].group);
	while (selector(&fort_rows[row], raw) != fort_rows[row].value) {
		if (index->next[row] == NO_ROW)
			return fail_selection(&fort_rows[row], error);
		row = index->next[row];
	}
	return fail(error, FORT_DECODE_RESERVED_FIELD, reserved_field(row, word),
		    fort_rows[row].group);
}

static int decode_one(const struct index *index, const struct fort_raw_insn *raw,
		      struct fort_insn *out, struct fort_decode_error *error)
{
	uint8_t row = index->first[raw->opcode];
	const struct fort_row_info *info;
	uint64_t word;

	memcpy(&word, raw, sizeof(word));
	while (row != NO_ROW && (word & patterns[row].mask) != patterns[row].value)
		row = index->next[row];
	if (FORT_UNLIKELY(row == NO_ROW))
		return refuse(index, raw, word, error);
	info = &fort_rows[row];
	if (FORT_UNLIKELY(raw->dst >= FORT_REGS))
		return fail(error, FORT_DECODE_BAD_REGISTER, "dst", info->group);
	if (FORT_UNLIKELY(raw->src >= FORT_REGS))
		return fail(error, FORT_DECODE_BAD_REGISTER, "src", info->group);
	*out = (struct fort_insn){.row = row,
				  .dst = raw->dst,
				  .src = raw->src,
				  .kind = info->kind,
				  .off = raw->off,
				  .op = info->op,
				  .bits = info->bits,
				  .imm = raw->imm};
	return 0;
}

/* The second slot of a 64-bit immediate, of the one at `pc`, has an imm at most. */
static int decode_high(const struct fort_raw_insn *raw, uint32_t pc, uint32_t count,
		       struct fort_insn *out, struct fort_decode_error *error)
{
	const char *group = fort_rows[FORT_ROW_LDIMM].group;
	const struct fort_raw_insn *high = &raw[pc + 1];

	if (pc + 1 == count)
		return fail(error, FORT_DECODE_HALF_LDIMM, NULL, fort_insn_row(&out[pc])->group);
	if (high->opcode || high->dst || high->src || high->off)
		return fail(error, FORT_DECODE_HALF_LDIMM, NULL, group);
	if (high->imm && !fort_insn_uses(&out[pc], 'H'))
		return fail(error, FORT_DECODE_BAD_LDIMM_SRC, "next_imm", group);
	out[pc + 1] = fort_insn_make(FORT_ROW_LDIMM_HIGH, 0, 0, 0, high->imm);
	out[pc].imm =
		(int64_t)((uint64_t)(uint32_t)out[pc].imm | (uint64_t)(uint32_t)high->imm << 32);
	return 0;
}

int fort_insn_decode(const struct fort_raw_insn *raw, uint32_t count, struct fort_insn *out,
		     struct fort_decode_error *error)
{
	struct index index;
	uint32_t pc = 0;
	int err = 0;

	*error = (struct fort_decode_error){0};
	build_index(&index);
	while (pc < count) {
		err = decode_one(&index, &raw[pc], &out[pc], error);
		if (!err && out[pc].kind == FORT_LDIMM)
			err = decode_high(raw, pc, count, out, error);
		if (err)
			break;
		pc += fort_insn_slots(&out[pc]);
	}
	if (err) {
		error->pc = pc;
		error->insn = raw[pc];
	}
	return err;
}

int fort_insn_check_frame_pointer(const struct fort_insn *insns, uint32_t count,
				  struct fort_decode_error *error)
{
	for (uint32_t pc = 0; pc < count; pc++) {
		struct fort_raw_insn raw[2];

		if (!fort_insn_writes_frame_pointer(&insns[pc]))
			continue;
		(void)fort_insn_encode(&insns[pc], raw);
		*error = (struct fort_decode_error){.pc = pc, .insn = raw[0]};
		return fail(error, FORT_DECODE_FRAME_POINTER_WRITE,
			    fort_insn_uses(&insns[pc], 's') ? "src" : "dst",
			    fort_insn_row(&insns[pc])->group);
	}
	return 0;
}

struct fort_insn fort_insn_make(enum fort_row row, uint8_t dst, uint8_t src, int16_t off,
				int64_t imm)
{
	const struct fort_row_info *info = &fort_rows[row];
	uint8_t select = info->select;

	return (struct fort_insn){
		.row = (uint8_t)row,
		.dst = dst,
		.src = select == FORT_SELECT_SRC ? (uint8_t)info->value : src,
		.kind = info->kind,
		.off = select == FORT_SELECT_OFF ? (int16_t)info->value : off,
		.op = info->op,
		.bits = info->bits,
		.imm = select == FORT_SELECT_IMM ? info->value : imm,
	};
}

uint32_t fort_insn_encode(const struct fort_insn *insn, struct fort_raw_insn out[2])
{
	out[0] = (struct fort_raw_insn){
		.opcode = fort_insn_row(insn)->opcode,
		.dst = insn->dst & 0xf,
		.src = insn->src & 0xf,
		.off = insn->off,
		.imm = (int32_t)insn->imm,
	};
	if (insn->kind != FORT_LDIMM)
		return 1;
	out[1] = (struct fort_raw_insn){.imm = (int32_t)((uint64_t)insn->imm >> 32)};
	return 2;
}
