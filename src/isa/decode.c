#include "isa/insn.h"

#include <errno.h>
#include <string.h>

const struct fort_row_info fort_rows[FORT_ROWS] = {
#define FORT_INSN(id_, opcode_, kind_, op_, bits_, uses_, select_, value_, group_, name_, symbol_) \
	[FORT_ROW_##id_] = {.opcode = (opcode_),                                                   \
			    .kind = FORT_##kind_,                                                  \
			    .op = FORT_OP_##op_,                                                   \
			    .bits = (bits_),                                                       \
			    .select = FORT_SELECT_##select_,                                       \
			    .value = (value_),                                                     \
			    .uses = uses_,                                                         \
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

static bool uses(const struct fort_row_info *info, char use)
{
	return memchr(info->uses, use, sizeof(info->uses)) != NULL;
}

bool fort_insn_uses(const struct fort_insn *insn, char use)
{
	return uses(fort_insn_row(insn), use);
}

static int32_t selector(const struct fort_row_info *info, const struct fort_raw_insn *raw)
{
	switch (info->select) {
	case FORT_SELECT_OFF: return raw->off;
	case FORT_SELECT_IMM: return raw->imm;
	case FORT_SELECT_SRC: return raw->src;
	default: return info->value;
	}
}

static const char *reserved_field(const struct fort_row_info *info, const struct fort_raw_insn *raw)
{
	bool dst = uses(info, 'D') || uses(info, 'd') || uses(info, 'b');
	bool src = uses(info, 'S') || uses(info, 's') || uses(info, '0');

	if (!dst && raw->dst)
		return "dst";
	if (!src && info->select != FORT_SELECT_SRC && raw->src)
		return "src";
	if (!uses(info, 'O') && info->select != FORT_SELECT_OFF && raw->off)
		return "off";
	if (!uses(info, 'I') && info->select != FORT_SELECT_IMM && raw->imm)
		return "imm";
	return NULL;
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
	if (is_space_cast(&error->insn))
		return fail(error, FORT_DECODE_SPACE_CAST, "off", info->group);
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

static int decode_one(const struct index *index, const struct fort_raw_insn *raw,
		      struct fort_insn *out, struct fort_decode_error *error)
{
	uint8_t row = index->first[raw->opcode];
	const struct fort_row_info *info;
	const char *field;

	if (row == NO_ROW)
		return fail(error, FORT_DECODE_UNKNOWN_OPCODE, NULL, NULL);
	while (selector(&fort_rows[row], raw) != fort_rows[row].value) {
		if (index->next[row] == NO_ROW)
			return fail_selection(&fort_rows[row], error);
		row = index->next[row];
	}
	info = &fort_rows[row];
	field = reserved_field(info, raw);
	if (field)
		return fail(error, FORT_DECODE_RESERVED_FIELD, field, info->group);
	if (raw->dst >= FORT_REGS)
		return fail(error, FORT_DECODE_BAD_REGISTER, "dst", info->group);
	if (raw->src >= FORT_REGS)
		return fail(error, FORT_DECODE_BAD_REGISTER, "src", info->group);
	*out = fort_insn_make(row, raw->dst, raw->src, raw->off, raw->imm);
	return 0;
}

/* The second slot of a 64-bit immediate has an imm at most. */
static int decode_high(const struct fort_raw_insn *raw, struct fort_insn *low,
		       struct fort_insn *high, struct fort_decode_error *error)
{
	const char *group = fort_rows[FORT_ROW_LDIMM].group;

	if (raw->opcode || raw->dst || raw->src || raw->off)
		return fail(error, FORT_DECODE_HALF_LDIMM, NULL, group);
	if (raw->imm && !fort_insn_uses(low, 'H'))
		return fail(error, FORT_DECODE_BAD_LDIMM_SRC, "next_imm", group);
	*high = fort_insn_make(FORT_ROW_LDIMM_HIGH, 0, 0, 0, raw->imm);
	low->imm = (int64_t)((uint64_t)(uint32_t)low->imm | (uint64_t)(uint32_t)raw->imm << 32);
	return 0;
}

int fort_insn_decode(const struct fort_raw_insn *raw, uint32_t count, struct fort_insn *out,
		     struct fort_decode_error *error)
{
	struct index index;

	build_index(&index);
	for (uint32_t pc = 0; pc < count; pc++) {
		int err;

		*error = (struct fort_decode_error){.pc = pc, .insn = raw[pc]};
		err = decode_one(&index, &raw[pc], &out[pc], error);
		if (err)
			return err;
		if (out[pc].kind != FORT_LDIMM)
			continue;
		if (pc + 1 == count)
			return fail(error, FORT_DECODE_HALF_LDIMM, NULL,
				    fort_insn_row(&out[pc])->group);
		err = decode_high(&raw[pc + 1], &out[pc], &out[pc + 1], error);
		if (err)
			return err;
		pc++;
	}
	return 0;
}

bool fort_insn_writes_frame_pointer(const struct fort_insn *insn)
{
	return (insn->dst == FORT_R10 &&
		(fort_insn_uses(insn, 'D') || fort_insn_uses(insn, 'b'))) ||
	       (insn->src == FORT_R10 && fort_insn_uses(insn, 's'));
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
