/* Function and line records: which are refused, and what instructions are told to come from. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "btf/info.h"
#include "btf_build.h"

static struct btf_build build;
static struct fort_btf *btf;
static struct fort_arena arena;
static uint32_t name_file, name_first, name_second;

static int set_up(void **state)
{
	struct fort_btf_error error;

	(void)state;
	build_sample(&build);
	name_file = build_name(&build, "dir/prog.c");
	name_first = build_name(&build, " \t int first;");
	name_second = build_name(&build, "second();");
	build_finish(&build);
	fort_arena_init(&arena, 1 << 20);
	return fort_btf_parse(build.blob, build.bytes, NULL, &btf, &error);
}

static int tear_down(void **state)
{
	(void)state;
	fort_btf_free(btf);
	fort_arena_free(&arena);
	return 0;
}

/* Records in our memory, of which `bytes` may be read. */
struct memory {
	const uint8_t *data;
	uint64_t bytes;
};

static int read_memory(void *owner, uint64_t offset, void *data, size_t bytes)
{
	const struct memory *memory = owner;

	if (offset + bytes > memory->bytes)
		return -EFAULT;
	memcpy(data, memory->data + offset, bytes);
	return 0;
}

static void function_records(void **state)
{
	static const struct {
		const char *what;
		uint32_t words[6];
		uint32_t count, record_bytes, readable;
		int err;
	} rows[] = {
		{"two functions", {0, S_FUNC, 5, S_FUNC}, 2, 8, 16, 0},
		{"none", {0}, 0, 0, 0, 0},
		{"a larger record of a newer loader", {0, S_FUNC, 0, 5, S_FUNC, 0}, 2, 12, 24, 0},
		{"which says something", {0, S_FUNC, 0, 5, S_FUNC, 1}, 2, 12, 24, -E2BIG},
		{"a record too small", {0}, 1, 4, 4, -EINVAL},
		{"a record too large", {0}, 1, 256, 24, -EINVAL},
		{"a record of no whole words", {0}, 1, 10, 24, -EINVAL},
		{"first not at 0", {1, S_FUNC}, 1, 8, 8, -EINVAL},
		{"offsets equal", {0, S_FUNC, 0, S_FUNC}, 2, 8, 16, -EINVAL},
		{"type that is no function", {0, S_PROTO}, 1, 8, 8, -EINVAL},
		{"type out of range", {0, 999}, 1, 8, 8, -EINVAL},
		{"unreadable", {0, S_FUNC}, 2, 8, 8, -EFAULT},
		{"more than a program may have", {0}, 257, 8, 24, -EINVAL},
		{"four billion", {0}, UINT32_MAX, 8, 24, -EINVAL},
	};

	(void)state;
	for (unsigned i = 0; i < FORT_LEN(rows); i++) {
		struct memory memory = {(const uint8_t *)rows[i].words, rows[i].readable};
		struct fort_info_records records = {rows[i].count, rows[i].record_bytes,
						    read_memory, &memory};
		struct fort_info info = {.btf = btf};
		uint32_t known = 0;
		int err = fort_info_read_funcs(&info, &arena, &records, NULL, &known);

		if (err != rows[i].err)
			fail_msg("%s: %d, not %d", rows[i].what, err, rows[i].err);
		assert_int_equal(info.n_funcs, err ? 0 : rows[i].count);
		assert_int_equal(known, err == -E2BIG ? 8 : 0);
	}
}

static void line_records(void **state)
{
	const struct fort_raw_insn insns[4] = {{.opcode = 1}, {.opcode = 1}, {0}, {.opcode = 1}};
	const uint32_t none = build.n_strings;
	const struct {
		const char *what;
		struct fort_line_info lines[3];
		uint32_t count;
		int err;
	} rows[] = {
		{"two lines",
		 {{0, name_file, name_first, 1}, {3, name_file, name_second, 2}},
		 2,
		 0},
		{"the first not at 0", {{1, name_file, name_first, 1}}, 1, 0},
		{"equal offsets", {{1, 0, 0, 1}, {1, 0, 0, 1}}, 2, -EINVAL},
		{"falling offsets", {{1, 0, 0, 1}, {0, 0, 0, 1}}, 2, -EINVAL},
		{"beyond the program", {{4, 0, 0, 1}}, 1, -EINVAL},
		{"second half of an immediate", {{2, 0, 0, 1}}, 1, -EINVAL},
		{"file beyond the strings", {{0, none, 0, 1}}, 1, -EINVAL},
		{"text beyond the strings", {{0, 0, none, 1}}, 1, -EINVAL},
		{"more lines than instructions", {{0}}, UINT32_MAX / 16 / 2, -EINVAL},
		{"too many", {{0}}, UINT32_MAX, -EINVAL},
	};

	(void)state;
	for (unsigned i = 0; i < FORT_LEN(rows); i++) {
		struct memory memory = {(const uint8_t *)rows[i].lines, sizeof(rows[i].lines)};
		struct fort_info_records records = {rows[i].count, 16, read_memory, &memory};
		struct fort_info info = {.btf = btf};
		uint32_t known = 0;
		int err = fort_info_read_lines(&info, &arena, &records, insns, 4, NULL, &known);

		if (err != rows[i].err)
			fail_msg("%s: %d, not %d", rows[i].what, err, rows[i].err);
	}
}

static void records_match_the_program(void **state)
{
	const struct fort_subprog subprogs[] = {{0, 5}, {5, 9}};
	const struct fort_program program = {.subprogs = subprogs, .n_subprogs = 2, .n_insns = 9};
	const struct fort_func_info funcs[] = {{0, S_FUNC}, {5, S_FUNC}, {6, S_FUNC}};
	const struct fort_line_info lines[] = {{0, 0, 0, 0}, {5, 0, 0, 0}, {6, 0, 0, 0}};
	struct fort_info info = {.btf = btf, .funcs = funcs, .n_funcs = 2};

	(void)state;
	assert_int_equal(fort_info_match(&info, &program, NULL), 0);
	info.n_funcs = 3;
	assert_int_equal(fort_info_match(&info, &program, NULL), -EINVAL);
	info.funcs = funcs + 1;
	info.n_funcs = 2;
	assert_int_equal(fort_info_match(&info, &program, NULL), -EINVAL);
	info = (struct fort_info){.btf = btf, .lines = lines, .n_lines = 3};
	assert_int_equal(fort_info_match(&info, &program, NULL), 0);
	info.lines = lines + 1; /* nothing at 0 */
	info.n_lines = 2;
	assert_int_equal(fort_info_match(&info, &program, NULL), -EINVAL);
	info.lines = lines; /* nothing at 5 */
	info.n_lines = 1;
	assert_int_equal(fort_info_match(&info, &program, NULL), -EINVAL);
	info.n_lines = 0;
	assert_int_equal(fort_info_match(&info, &program, NULL), 0);
}

static void lookup(void **state)
{
	const struct fort_func_info funcs[] = {{0, S_FUNC}};
	const struct fort_line_info lines[] = {{1, name_file, name_first, 7 << 10 | 3},
					       {4, name_file, name_second, 9 << 10 | 1023}};
	const struct fort_info info = {
		.btf = btf, .funcs = funcs, .lines = lines, .n_funcs = 1, .n_lines = 2};
	struct fort_place place = {.line = 12345};

	(void)state;
	assert_false(fort_info_place(&info, 0, &place));
	assert_int_equal(place.line, 12345);
	assert_true(fort_info_place(&info, 3, &place));
	assert_string_equal(place.file, "dir/prog.c");
	assert_string_equal(place.text, "int first;");
	assert_int_equal(place.line, 7);
	assert_int_equal(place.column, 3);
	assert_true(fort_info_place(&info, 1000000, &place));
	assert_string_equal(place.text, "second();");
	assert_int_equal(place.column, 1023);
	assert_int_equal(fort_info_line_index(&info, 0), -1);
	assert_int_equal(fort_info_line_index(&info, 1), 0);
	assert_int_equal(fort_info_line_index(&info, 4), 1);
	assert_string_equal(fort_info_func_name(&info, 2), "main");
	assert_null(fort_info_func_name(&(struct fort_info){0}, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(function_records),
		cmocka_unit_test(line_records),
		cmocka_unit_test(records_match_the_program),
		cmocka_unit_test(lookup),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
