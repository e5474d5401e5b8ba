/* The BTF check without a kernel: every rule says where and what, hostile references end, and the
 * accessors give what was built. tests/diff/test_btf_kernel.c compares the same rows with the
 * kernel.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "abi/uapi.h"
#include "btf/values.h"
#include "btf_build.h"

static struct btf_build build;

static struct fort_btf *parse_sample(void)
{
	struct fort_btf_error error;
	struct fort_btf *btf;

	build_sample(&build);
	assert_int_equal(fort_btf_parse(build.blob, build.bytes, NULL, &btf, &error), 0);
	return btf;
}

static void every_rule_names_type_and_cause(void **state)
{
	static const struct {
		uint32_t type, word, value;
		const char *what;
	} rows[] = {
#define ROW(type_, word_, value_, what_) {type_, word_, value_, what_},
#include "btf_rows.inc"
	};

	(void)state;
	for (unsigned i = 0; i < FORT_LEN(rows); i++) {
		struct fort_btf *btf = NULL;
		struct fort_btf_error error;
		int err;

		build_sample(&build);
		build.words[build.at[rows[i].type] + rows[i].word] = rows[i].value;
		build_finish(&build);
		err = fort_btf_parse(build.blob, build.bytes, NULL, &btf, &error);
		if (!rows[i].what) {
			assert_int_equal(err, 0);
			fort_btf_free(btf);
			continue;
		}
		assert_int_not_equal(err, 0);
		assert_null(btf);
		if (!strstr(error.what, rows[i].what))
			fail_msg("row %u: \"%s\", not \"%s\"", i, error.what, rows[i].what);
		assert_in_range(error.type_id, 1, build.n_types);
		assert_in_range(error.offset, 24, build.bytes);
	}
}

static void header_faults_name_their_offset(void **state)
{
	static const struct {
		uint32_t at;
		uint8_t value;
		int err;
		uint32_t offset;
	} rows[] = {
		{0, 0, -EINVAL, 0}, {2, 2, -524, 2},     {3, 1, -524, 3},     {7, 1, -EINVAL, 4},
		{8, 1, -EINVAL, 8}, {12, 0, -EINVAL, 8}, {16, 0, -EINVAL, 8}, {20, 0, -EINVAL, 8},
	};

	(void)state;
	for (unsigned i = 0; i < FORT_LEN(rows); i++) {
		struct fort_btf_error error;
		struct fort_btf *btf;

		build_sample(&build);
		build.blob[rows[i].at] = rows[i].value;
		assert_int_equal(fort_btf_parse(build.blob, build.bytes, NULL, &btf, &error),
				 rows[i].err);
		assert_int_equal(error.offset, rows[i].offset);
		assert_int_equal(error.type_id, 0);
	}
}

static void accessors(void **state)
{
	struct fort_btf *btf = parse_sample();
	struct fort_btf_type type = fort_btf_type(btf, S_BITS);
	struct fort_btf_member member = fort_btf_member(&type, 1);
	uint32_t bytes;

	(void)state;
	assert_int_equal(fort_btf_count(btf), S_FIELDS + 1);
	assert_int_equal(type.kind, FORT_BTF_STRUCT);
	assert_int_equal(type.vlen, 4);
	assert_string_equal(fort_btf_string(btf, type.name), "bits");
	assert_string_equal(fort_btf_string(btf, member.name), "hi");
	assert_int_equal(member.bit_offset, 3);
	assert_int_equal(member.bit_size, 29);
	type = fort_btf_type(btf, S_ENUM);
	assert_int_equal((int64_t)fort_btf_constant(&type, 0).value, -1);
	type = fort_btf_type(btf, S_ENUM64);
	assert_true(fort_btf_constant(&type, 1).value == 1ull << 32);
	assert_int_equal(fort_btf_strip(btf, S_CONST).id, S_STRUCT);
	assert_int_equal(fort_btf_strip(btf, S_INT).id, S_INT);
	assert_int_equal(fort_btf_type(btf, 0).kind, FORT_BTF_VOID);
	assert_int_equal(fort_btf_type(btf, S_FIELDS + 1).kind, FORT_BTF_NONE);
	assert_int_equal(fort_btf_type(btf, UINT32_MAX).kind, FORT_BTF_NONE);
	assert_null(fort_btf_string(btf, build.n_strings));
	assert_int_equal(fort_btf_find(btf, "pair", FORT_BTF_STRUCT), S_STRUCT);
	assert_int_equal(fort_btf_find(btf, "pair", FORT_BTF_UNION), 0);
	assert_int_equal(fort_btf_size(btf, S_CONST, &bytes), 0);
	assert_int_equal(bytes, 32);
	assert_int_equal(fort_btf_size(btf, S_ARRAY, &bytes), 0);
	assert_int_equal(bytes, 16);
	assert_int_equal(fort_btf_size(btf, S_VAR, &bytes), 0);
	assert_int_equal(fort_btf_size(btf, S_FWD, &bytes), -EINVAL);
	assert_int_equal(fort_btf_size(btf, 0, &bytes), -EINVAL);
	assert_int_equal(fort_btf_size(btf, 9999, &bytes), -EINVAL);
	fort_btf_free(btf);
}

/* Modifiers may be chained longer than the walk is deep when each link was checked before. */
static void long_chains_are_stripped(void **state)
{
	struct fort_btf_error error;
	struct fort_btf *btf;

	(void)state;
	memset(&build, 0, sizeof(build));
	build_type(&build, "int", INFO(FORT_BTF_INT, 0, 0), 4);
	BUILD_MORE(&build, 32);
	for (uint32_t i = 1; i < 200; i++)
		build_type(&build, NULL, INFO(FORT_BTF_CONST, 0, 0), i);
	build_finish(&build);
	assert_int_equal(fort_btf_parse(build.blob, build.bytes, NULL, &btf, &error), 0);
	assert_int_equal(fort_btf_strip(btf, 200).id, 1);
	fort_btf_free(btf);
}

static void too_large(void **state)
{
	static uint8_t blob[(16u << 20) + 1];
	struct fort_btf_error error;
	struct fort_btf *btf;

	(void)state;
	assert_int_equal(fort_btf_parse(blob, sizeof(blob), NULL, &btf, &error), -E2BIG);
}

static void maps(void **state)
{
	struct fort_btf *btf = parse_sample();
	static const struct {
		const char *what;
		struct fort_map_shape shape;
		uint32_t key, value;
		int err;
	} rows[] = {
		{"array of a struct", {BPF_MAP_TYPE_ARRAY, 4, 32, 8}, S_INT, S_STRUCT, 0},
		{"key of another size", {BPF_MAP_TYPE_ARRAY, 4, 32, 8}, S_CHAR, S_STRUCT, -EINVAL},
		{"key that is no integer",
		 {BPF_MAP_TYPE_ARRAY, 4, 32, 8},
		 S_ENUM,
		 S_STRUCT,
		 -EINVAL},
		{"value of another size", {BPF_MAP_TYPE_ARRAY, 4, 31, 8}, S_INT, S_STRUCT, -EINVAL},
		{"value without size", {BPF_MAP_TYPE_ARRAY, 4, 32, 8}, S_INT, S_FWD, -EINVAL},
		{"value of an unknown type", {BPF_MAP_TYPE_ARRAY, 4, 32, 8}, S_INT, 999, -EINVAL},
		{"section without key", {BPF_MAP_TYPE_ARRAY, 4, 40, 1}, 0, S_DATASEC, 0},
		{"section of two entries", {BPF_MAP_TYPE_ARRAY, 4, 40, 2}, 0, S_DATASEC, -EINVAL},
		{"struct without key", {BPF_MAP_TYPE_ARRAY, 4, 32, 1}, 0, S_STRUCT, -EINVAL},
		{"per-CPU section", {BPF_MAP_TYPE_PERCPU_ARRAY, 4, 40, 1}, 0, S_DATASEC, -EINVAL},
		{"hash of any key", {BPF_MAP_TYPE_HASH, 32, 4, 8}, S_CONST, S_INT, 0},
		{"hash without key", {BPF_MAP_TYPE_HASH, 32, 4, 8}, 0, S_INT, -EINVAL},
	};

	(void)state;
	for (unsigned i = 0; i < FORT_LEN(rows); i++) {
		struct fort_btf_record record;
		int err = fort_btf_check_map(btf, NULL, &rows[i].shape, rows[i].key, rows[i].value,
					     &record);

		if (err != rows[i].err)
			fail_msg("%s: %d, not %d", rows[i].what, err, rows[i].err);
	}
	fort_btf_free(btf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_rule_names_type_and_cause),
		cmocka_unit_test(header_faults_name_their_offset),
		cmocka_unit_test(accessors),
		cmocka_unit_test(long_chains_are_stripped),
		cmocka_unit_test(too_large),
		cmocka_unit_test(maps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
