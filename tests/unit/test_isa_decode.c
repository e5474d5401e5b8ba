/* The decoder refuses whatever isa.def does not list: each reserved field, each value of a
 * selecting field, each register number, each opcode. Whether isa.def itself is right is asked of
 * the kernel in test_isa_kernel.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "isa/explain.h"
#include "isa/insn.h"

static bool row_uses(const struct fort_row_info *info, const char *letters)
{
	for (; *letters; letters++)
		if (memchr(info->uses, *letters, strlen(info->uses)))
			return true;
	return false;
}

static const char dst_letters[] = "Ddb", src_letters[] = "Ss0";

/* A valid instruction of a row, with something in every operand. */
static struct fort_insn sample(enum fort_row row)
{
	const struct fort_row_info *info = &fort_rows[row];
	int64_t imm = row_uses(info, "H") ? 0x123456789abcdef0 : row_uses(info, "I") ? 77 : 0;

	return fort_insn_make(row, row_uses(info, dst_letters) ? 3 : 0,
			      row_uses(info, src_letters) ? 4 : 0, row_uses(info, "O") ? -9 : 0,
			      imm);
}

static struct fort_decode_error decode_error(const struct fort_raw_insn *raw, uint32_t count)
{
	struct fort_insn out[4];
	struct fort_decode_error error = {0};

	assert_true(count <= 4);
	assert_int_equal(fort_insn_decode(raw, count, out, &error), -EINVAL);
	return error;
}

/* Every row that stands on its own. */
#define EACH_ROW(row)                                  \
	for (unsigned row = 0; row < FORT_ROWS; row++) \
		if (row != FORT_ROW_LDIMM_HIGH)

static void each_row_decodes_to_itself(void **state)
{
	EACH_ROW(row)
	{
		struct fort_insn insn = sample(row), out[2];
		struct fort_raw_insn raw[2];
		struct fort_decode_error error;
		uint32_t slots = fort_insn_encode(&insn, raw);

		assert_int_equal(fort_insn_decode(raw, slots, out, &error), 0);
		assert_int_equal(out[0].row, row);
		assert_memory_equal(&out[0], &insn, sizeof(insn));
		assert_int_equal(slots, fort_insn_slots(&insn));
		if (slots == 2)
			assert_int_equal(out[1].kind, FORT_LDIMM_HIGH);
	}
}

static void expect_reserved(unsigned row, const char *field, struct fort_raw_insn *raw,
			    uint32_t slots)
{
	struct fort_decode_error error = decode_error(raw, slots);

	assert_int_equal(error.fault, FORT_DECODE_RESERVED_FIELD);
	assert_string_equal(error.field, field);
	assert_string_equal(error.group, fort_rows[row].group);
	assert_int_equal(error.pc, 0);
}

static void each_reserved_field_must_be_zero(void **state)
{
	unsigned cases = 0;

	EACH_ROW(row)
	{
		const struct fort_row_info *info = &fort_rows[row];
		struct fort_insn insn = sample(row);
		struct fort_raw_insn good[2], bad[2];
		uint32_t slots = fort_insn_encode(&insn, good);

#define TRY(field, letters, selects)                                          \
	if (!row_uses(info, letters) && info->select != (selects))            \
		for (int bit = 0; bit < (int)(8 * sizeof(insn.imm)); bit++) { \
			memcpy(bad, good, sizeof(bad));                       \
			bad[0].field ^= (int)(1u << (bit % 32));              \
			if (bad[0].field == good[0].field)                    \
				continue;                                     \
			expect_reserved(row, #field, bad, slots);             \
			cases++;                                              \
		}
		TRY(dst, dst_letters, FORT_SELECT_NONE + 100)
		TRY(src, src_letters, FORT_SELECT_SRC)
		TRY(off, "O", FORT_SELECT_OFF)
		TRY(imm, "I", FORT_SELECT_IMM)
#undef TRY
	}
	assert_true(cases > 5000);
}

static bool listed(uint8_t opcode, int32_t value)
{
	for (unsigned row = 0; row < FORT_ROWS; row++)
		if (row != FORT_ROW_LDIMM_HIGH && fort_rows[row].opcode == opcode &&
		    fort_rows[row].value == value)
			return true;
	return false;
}

static void expect_not_listed(unsigned row, const struct fort_raw_insn *raw, uint32_t slots)
{
	enum fort_decode_fault fault = FORT_DECODE_RESERVED_FIELD;

	if (fort_rows[row].kind == FORT_ATOMIC || fort_rows[row].kind == FORT_LDACQ ||
	    fort_rows[row].kind == FORT_STREL)
		fault = FORT_DECODE_BAD_ATOMIC;
	if (fort_rows[row].kind == FORT_LDIMM)
		fault = FORT_DECODE_BAD_LDIMM_SRC;
	assert_int_equal(decode_error(raw, slots).fault, fault);
}

static void a_cast_between_address_spaces_is_one(void **state)
{
	static const int32_t casts[] = {1, 1 << 16};
	struct fort_raw_insn raw = {.opcode = fort_rows[FORT_ROW_MOVSX32_64].opcode, .off = 1};

	for (size_t i = 0; i < FORT_LEN(casts); i++) {
		raw.imm = casts[i];
		assert_int_equal(decode_error(&raw, 1).fault, FORT_DECODE_SPACE_CAST);
	}
	raw.imm = 2;
	assert_int_equal(decode_error(&raw, 1).fault, FORT_DECODE_RESERVED_FIELD);
}

/* Lesson 3 of others' engines: an unknown variant is not its look-alike. */
static void each_selecting_value_outside_the_list_is_refused(void **state)
{
	EACH_ROW(row)
	{
		const struct fort_row_info *info = &fort_rows[row];
		struct fort_insn insn = sample(row);
		struct fort_raw_insn raw[2];
		uint32_t slots = fort_insn_encode(&insn, raw);

		if (info->select == FORT_SELECT_NONE)
			continue;
		for (int32_t value = -0x8000; value < 0x8000; value++) {
			if (listed(info->opcode, value))
				continue;
			if (info->select == FORT_SELECT_OFF)
				raw[0].off = (int16_t)value;
			else if (info->select == FORT_SELECT_IMM)
				raw[0].imm = value;
			else if (value >= 0 && value < 16)
				raw[0].src = value & 15;
			else
				continue;
			expect_not_listed(row, raw, slots);
		}
		if (info->select == FORT_SELECT_IMM) {
			raw[0].imm = (int32_t)((uint32_t)info->value | 1u << 31);
			expect_not_listed(row, raw, slots);
		}
	}
}

static void registers_end_at_r10(void **state)
{
	EACH_ROW(row)
	{
		struct fort_insn insn = sample(row);
		struct fort_raw_insn raw[2];
		uint32_t slots = fort_insn_encode(&insn, raw);

		for (unsigned reg = FORT_REGS; reg < 16; reg++) {
			struct fort_decode_error error;

			if (row_uses(&fort_rows[row], dst_letters)) {
				raw[0].dst = reg & 15;
				error = decode_error(raw, slots);
				assert_int_equal(error.fault, FORT_DECODE_BAD_REGISTER);
				assert_string_equal(error.field, "dst");
				raw[0].dst = 3;
			}
			if (row_uses(&fort_rows[row], src_letters)) {
				raw[0].src = reg & 15;
				error = decode_error(raw, slots);
				assert_int_equal(error.fault, FORT_DECODE_BAD_REGISTER);
				assert_string_equal(error.field, "src");
				raw[0].src = 4;
			}
		}
	}
}

/* Decodes, and says whether a program of this may not run unverified. */
static bool writes_frame_pointer(const struct fort_raw_insn *raw, uint32_t slots)
{
	struct fort_insn out[2];
	struct fort_decode_error error;
	bool writes;

	assert_int_equal(fort_insn_decode(raw, slots, out, &error), 0);
	writes = fort_insn_writes_frame_pointer(out);
	assert_int_equal(fort_insn_check_frame_pointer(out, slots, &error), writes ? -EINVAL : 0);
	if (writes) {
		assert_int_equal(error.fault, FORT_DECODE_FRAME_POINTER_WRITE);
		assert_memory_equal(&error.insn, raw, sizeof(*raw));
	}
	return writes;
}

static void writes_to_the_frame_pointer_are_told(void **state)
{
	unsigned writers = 0, readers = 0;

	EACH_ROW(row)
	{
		const struct fort_row_info *info = &fort_rows[row];
		struct fort_insn insn = sample(row);
		struct fort_raw_insn raw[2];
		uint32_t slots = fort_insn_encode(&insn, raw);

		assert_false(writes_frame_pointer(raw, slots));
		if (row_uses(info, dst_letters)) {
			bool writes = row_uses(info, "Db");

			raw[0].dst = FORT_R10;
			assert_int_equal(writes_frame_pointer(raw, slots), writes);
			writers += writes;
			readers += !writes;
			raw[0].dst = 3;
		}
		if (row_uses(info, src_letters)) {
			raw[0].src = FORT_R10;
			assert_int_equal(writes_frame_pointer(raw, slots), row_uses(info, "s"));
		}
	}
	assert_true(writers > 50 && readers > 50);
}

static void a_64_bit_immediate_has_two_slots(void **state)
{
	EACH_ROW(row)
	{
		struct fort_insn insn = sample(row);
		struct fort_raw_insn good[2], bad[2];

		if (insn.kind != FORT_LDIMM)
			continue;
		assert_int_equal(fort_insn_encode(&insn, good), 2);
		assert_int_equal(decode_error(good, 1).fault, FORT_DECODE_HALF_LDIMM);
#define TRY(field)                                                            \
	memcpy(bad, good, sizeof(bad));                                       \
	bad[1].field = 1;                                                     \
	assert_int_equal(decode_error(bad, 2).fault, FORT_DECODE_HALF_LDIMM); \
	assert_int_equal(decode_error(bad, 2).pc, 0);
		TRY(opcode)
		TRY(dst)
		TRY(src)
		TRY(off)
#undef TRY
		if (row_uses(&fort_rows[row], "H"))
			continue;
		memcpy(bad, good, sizeof(bad));
		bad[1].imm = 1;
		assert_int_equal(decode_error(bad, 2).fault, FORT_DECODE_BAD_LDIMM_SRC);
	}
}

/* The encoding spaces of RFC 9669, sections 4 and 5, with the kernel's may_goto and LLVM's callx,
 * by their bit fields: a second witness beside the table. */
static bool opcode_exists(unsigned opcode)
{
	unsigned class = opcode & 7, source = opcode >> 3 & 1, code = opcode >> 4;
	unsigned size = opcode >> 3 & 3, mode = opcode >> 5;
	bool jump = (code >= 1 && code <= 7) || (code >= 10 && code <= 13);

	switch (class) {
	case 0: return opcode == 0x18 || ((mode == 1 || mode == 2) && size != 3);
	case 1: return mode == 3 || (mode == 4 && size != 3);
	case 2: return mode == 3;
	case 3: return mode == 3 || mode == 6;
	case 4: return code <= 13 && (code != 8 || !source);
	case 7: return code <= 13 && ((code != 8 && code != 13) || !source);
	case 5: return jump || code == 8 || ((code == 0 || code == 9 || code == 14) && !source);
	default: return jump || (code == 0 && !source);
	}
}

static void every_other_opcode_is_unknown(void **state)
{
	for (unsigned opcode = 0; opcode < 256; opcode++) {
		struct fort_raw_insn raw[2] = {{.opcode = (uint8_t)opcode}};
		struct fort_insn out[2];
		struct fort_decode_error error = {0};
		int err = fort_insn_decode(raw, 2, out, &error);

		if (!opcode_exists(opcode)) {
			assert_int_equal(err, -EINVAL);
			assert_int_equal(error.fault, FORT_DECODE_UNKNOWN_OPCODE);
			assert_int_equal(error.insn.opcode, opcode);
		} else if (err && error.pc == 0) {
			assert_int_not_equal(error.fault, FORT_DECODE_UNKNOWN_OPCODE);
		}
	}
}

static void the_error_says_where(void **state)
{
	const struct fort_raw_insn raw[] = {
		{.opcode = fort_rows[FORT_ROW_LDIMM].opcode},
		{0},
		{.opcode = fort_rows[FORT_ROW_EXIT].opcode, .imm = 1},
	};
	struct fort_decode_error error = decode_error(raw, 3);
	char array[80];
	struct fort_text text = fort_text_on(array, sizeof(array));

	assert_int_equal(error.pc, 2);
	assert_int_equal(error.insn.imm, 1);
	fort_decode_error_text(&error, &text);
	assert_string_equal(array, "BPF_EXIT uses reserved fields");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_row_decodes_to_itself),
		cmocka_unit_test(each_reserved_field_must_be_zero),
		cmocka_unit_test(each_selecting_value_outside_the_list_is_refused),
		cmocka_unit_test(a_cast_between_address_spaces_is_one),
		cmocka_unit_test(registers_end_at_r10),
		cmocka_unit_test(writes_to_the_frame_pointer_are_told),
		cmocka_unit_test(a_64_bit_immediate_has_two_slots),
		cmocka_unit_test(every_other_opcode_is_unknown),
		cmocka_unit_test(the_error_says_where),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
