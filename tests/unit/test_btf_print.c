/* Values printed by the BTF that clang wrote for the same header: what C puts into a struct is
 * what the printer reads out of it.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <cmocka.h>

#include "../progs/types.h"
#include "btf/print.h"
#include "btf_build.h"

static struct fort_btf *btf;

static int open_object(void **state)
{
	const char *path = getenv("BPFORT_TEST_OBJECT");
	struct fort_btf_error error;
	struct bpf_object *object;
	const void *blob;
	uint32_t bytes;
	int err;

	(void)state;
	object = path ? bpf_object__open(path) : NULL;
	if (!object)
		return -1;
	blob = btf__raw_data(bpf_object__btf(object), &bytes);
	err = fort_btf_parse(blob, bytes, NULL, &btf, &error);
	bpf_object__close(object);
	return err;
}

static int close_object(void **state)
{
	(void)state;
	fort_btf_free(btf);
	return 0;
}

static void check(const char *name, uint8_t kind, const void *data, size_t bytes,
		  const char *wanted)
{
	struct fort_text text = fort_text_new();
	uint32_t id = fort_btf_find(btf, name, kind);

	assert_int_not_equal(id, 0);
	assert_int_equal(fort_btf_print_text(btf, id, data, bytes, &text), 0);
	assert_string_equal(text.data, wanted);
	fort_text_free(&text);
}

static void nested_struct(void **state)
{
	struct event event = {
		.time_ns = 18446744073709551615u,
		.owner = 1000,
		.comm = "it's \"x\"\t",
		.state = BROKEN,
		.big = BIG_LOW,
		.word.whole = 0x00020001,
		.flags = {.ready = 1, .level = -16, .state = RUNNING, .wide = 0xffffffffff},
		.path = {{{1, -1}, {2, -2}, {3, -3}}, {{4, -4}, {5, -5}, {6, -6}}},
		.good = true,
		.small = -128,
		.ratio = 0.5f,
		.inner = 7,
		.left = 8,
		.list = (struct node *)0xdeadbeef,
	};

	(void)state;
	check("event", FORT_BTF_STRUCT, &event, sizeof(event),
	      "{.time_ns = 18446744073709551615,.owner = 1000,.comm = \"it\\'s \\\"x\\\"\\011\","
	      ".state = BROKEN,.big = BIG_LOW,"
	      ".word = {.whole = 131073,.byte = [1,0,2,0],.point = {.x = 1,.y = 2}},"
	      ".flags = {.ready = 1,.level = -16,.state = RUNNING,.wide = 1099511627775},"
	      ".path = [[{.x = 1,.y = -1},{.x = 2,.y = -2},{.x = 3,.y = -3}],"
	      "[{.x = 4,.y = -4},{.x = 5,.y = -5},{.x = 6,.y = -6}]],"
	      ".good = true,.small = -128,.ratio = 0.5,"
	      "{.inner = 7,{.left = 8,.right = 1.12103877e-44}},.list = 0xdeadbeef,.later = 0x0}");
}

static void flags_are_bit_fields(void **state)
{
	struct flags flags = {.level = 15, .state = 99, .wide = 1};

	(void)state;
	check("flags", FORT_BTF_STRUCT, &flags, sizeof(flags),
	      "{.ready = 0,.level = 15,.state = 99,.wide = 1}");
}

static void typedef_and_scalars(void **state)
{
	unsigned int owner = 4294967295u;
	enum state broken = BROKEN, unknown = 77;

	(void)state;
	check("uid", FORT_BTF_TYPEDEF, &owner, sizeof(owner), "4294967295");
	check("state", FORT_BTF_ENUM, &broken, sizeof(broken), "BROKEN");
	check("state", FORT_BTF_ENUM, &unknown, sizeof(unknown), "77");
	check("char", FORT_BTF_INT, "q", 1, "'q'");
	check("char", FORT_BTF_INT, "\x80", 1, "-128");
}

/* A global section: its variables by name. */
static void section(void **state)
{
	uint32_t id = fort_btf_find(btf, ".data", FORT_BTF_DATASEC);
	const long values[3] = {1, 2, 3};

	(void)state;
	assert_int_not_equal(id, 0);
	check(".data", FORT_BTF_DATASEC, values, sizeof(values), "{.by_state = [1,2,3]}");
}

static void strings_need_no_end(void **state)
{
	struct event event = {0};
	struct fort_text text = fort_text_new();
	uint32_t id = fort_btf_find(btf, "event", FORT_BTF_STRUCT);

	(void)state;
	memset(event.comm, 'a', sizeof(event.comm));
	assert_int_equal(fort_btf_print_text(btf, id, &event, sizeof(event), &text), 0);
	assert_non_null(strstr(text.data, ".comm = \"aaaaaaaaaaaaaaaa\",.state"));
	fort_text_free(&text);
}

static void short_data_is_refused(void **state)
{
	struct event event = {0};
	char room[16];
	struct fort_text text = fort_text_on(room, sizeof(room));
	uint32_t id = fort_btf_find(btf, "event", FORT_BTF_STRUCT);

	(void)state;
	assert_int_equal(fort_btf_print_text(btf, id, &event, sizeof(event) - 1, &text), -EMSGSIZE);
	assert_int_equal(fort_btf_print_text(btf, 0, &event, sizeof(event), &text), -EINVAL);
	assert_int_equal(fort_btf_print_text(btf, UINT32_MAX, &event, sizeof(event), &text),
			 -EINVAL);
	assert_int_equal(fort_btf_print_text(btf, id, &event, sizeof(event), &text), 0);
	assert_true(text.cut);
}

static struct fort_btf *parse_built(struct btf_build *b)
{
	struct fort_btf_error error;
	struct fort_btf *parsed;

	build_finish(b);
	assert_int_equal(fort_btf_parse(b->blob, b->bytes, NULL, &parsed, &error), 0);
	return parsed;
}

/* Four billion structs of no size, and structs nested without bound: both are valid BTF. */
static void hostile_shapes_end(void **state)
{
	static struct btf_build b;
	struct fort_btf *parsed;
	struct fort_text text = fort_text_new();
	char none[8] = {0};

	(void)state;
	build_type(&b, "int", INFO(FORT_BTF_INT, 0, 0), 4);
	BUILD_MORE(&b, 32);
	build_type(&b, "empty", INFO(FORT_BTF_STRUCT, 0, 0), 0);
	build_type(&b, NULL, INFO(FORT_BTF_ARRAY, 0, 0), 0);
	BUILD_MORE(&b, 2, 1, 0xffffffff);
	build_type(&b, "deep", INFO(FORT_BTF_STRUCT, 1, 0), 4);
	BUILD_MORE(&b, 0, 1, 0);
	for (uint32_t i = 0; i < 100; i++) {
		build_type(&b, NULL, INFO(FORT_BTF_STRUCT, 1, 0), 4);
		BUILD_MORE(&b, 0, b.n_types - 1, 0);
	}
	parsed = parse_built(&b);
	assert_int_equal(fort_btf_print_text(parsed, 3, none, sizeof(none), &text), -E2BIG);
	assert_int_equal(fort_btf_print_text(parsed, 104, none, sizeof(none), &text), -E2BIG);
	fort_text_clear(&text);
	assert_int_equal(fort_btf_print_text(parsed, 4 + 30, none, sizeof(none), &text), 0);
	fort_text_free(&text);
	fort_btf_free(parsed);
}

/* Integers of any width and place, as old compilers wrote bit fields. */
static void odd_integers(void **state)
{
	static struct btf_build b;
	static const struct {
		uint32_t size, word;
		uint8_t data[16];
		const char *wanted;
	} rows[] = {
		{4, 1u << 24 | 32, {0xff, 0xff, 0xff, 0xff}, "-1"},
		{4, 32, {0xff, 0xff, 0xff, 0xff}, "4294967295"},
		{4, 4u << 24 | 32, {0, 1}, "true"},
		{1, 4u << 24 | 8, {0}, "false"},
		{4, 4 << 16 | 4, {0xa5}, "10"},
		{4, 1u << 24 | 4 << 16 | 4, {0xa5}, "-6"},
		{8, 64, {0, 0, 0, 0, 0, 0, 0, 0x80}, "9223372036854775808"},
		{8, 1u << 24 | 64, {0, 0, 0, 0, 0, 0, 0, 0x80}, "-9223372036854775808"},
		{16, 128, {1, 0, 0, 0, 0, 0, 0, 0, 2}, "0x20000000000000001"},
		{16, 65, {1, 0, 0, 0, 0, 0, 0, 0, 2}, "0x1"},
		{1, 2u << 24 | 8, {'x'}, "'x'"},
		{1, 0, {0xff}, "0"},
	};

	(void)state;
	for (unsigned i = 0; i < FORT_LEN(rows); i++) {
		struct fort_text text = fort_text_new();
		struct fort_btf *parsed;

		memset(&b, 0, sizeof(b));
		build_type(&b, "int", INFO(FORT_BTF_INT, 0, 0), rows[i].size);
		BUILD_MORE(&b, rows[i].word);
		parsed = parse_built(&b);
		assert_int_equal(fort_btf_print_text(parsed, 1, rows[i].data, rows[i].size, &text),
				 0);
		assert_string_equal(text.data, rows[i].wanted);
		fort_text_free(&text);
		fort_btf_free(parsed);
	}
}

static void floats(void **state)
{
	static struct btf_build b;
	const double value = 2.5;
	struct fort_text text = fort_text_new();
	struct fort_btf *parsed;

	(void)state;
	memset(&b, 0, sizeof(b));
	build_type(&b, "double", INFO(FORT_BTF_FLOAT, 0, 0), 8);
	build_type(&b, "half", INFO(FORT_BTF_FLOAT, 0, 0), 2);
	parsed = parse_built(&b);
	assert_int_equal(fort_btf_print_text(parsed, 1, &value, 8, &text), 0);
	assert_string_equal(text.data, "2.5");
	fort_text_clear(&text);
	assert_int_equal(fort_btf_print_text(parsed, 2, "\x12\x34", 2, &text), 0);
	assert_string_equal(text.data, "<12 34>");
	fort_text_free(&text);
	fort_btf_free(parsed);
}

static void wide_constants(void **state)
{
	static struct btf_build b;
	const uint64_t big = 1ull << 32;
	struct fort_text text = fort_text_new();
	struct fort_btf *parsed;

	(void)state;
	build_sample(&b);
	parsed = parse_built(&b);
	assert_int_equal(fort_btf_print_text(parsed, S_ENUM64, &big, 8, &text), 0);
	assert_string_equal(text.data, "BIG");
	fort_text_free(&text);
	fort_btf_free(parsed);
}

/* An emitter may end the walk, and need not care for everything. */
static int refuse(void *owner, uint64_t value)
{
	(void)value;
	++*(int *)owner;
	return -ECANCELED;
}

static void emitters_may_stop(void **state)
{
	const struct fort_btf_emitter emitter = {.unsigned_number = refuse};
	struct event event = {0};
	int calls = 0;

	(void)state;
	assert_int_equal(fort_btf_walk(btf, fort_btf_find(btf, "event", FORT_BTF_STRUCT), &event,
				       sizeof(event), &emitter, &calls),
			 -ECANCELED);
	assert_int_equal(calls, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nested_struct),
		cmocka_unit_test(flags_are_bit_fields),
		cmocka_unit_test(typedef_and_scalars),
		cmocka_unit_test(section),
		cmocka_unit_test(strings_need_no_end),
		cmocka_unit_test(short_data_is_refused),
		cmocka_unit_test(hostile_shapes_end),
		cmocka_unit_test(odd_integers),
		cmocka_unit_test(floats),
		cmocka_unit_test(wide_constants),
		cmocka_unit_test(emitters_may_stop),
	};

	return cmocka_run_group_tests(tests, open_object, close_object);
}
