/* since.def beside the other tables, and beside the kernel's header of the release that it is of.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <linux/bpf.h>
#include <linux/version.h>

#include "abi/helpers.h"
#include "abi/kfuncs.h"
#include "abi/since.h"

static const struct {
	const char *version;
	uint32_t helper, map, prog;
} releases[] = {
#define FORT_RELEASE(version, helper, map, prog) {(version), (helper), (map), (prog)},
#include "abi/since.def"
};

static void every_number_has_a_release(void **state)
{
	(void)state;
	for (unsigned i = 0; i < FORT_HELPERS; i++)
		assert_non_null(fort_since_helper(fort_helpers[i].number));
	for (unsigned i = 0; i < FORT_MAPS; i++)
		assert_non_null(fort_since_map(fort_maps[i].number));
	for (unsigned i = 0; i < FORT_PROGS; i++)
		assert_non_null(fort_since_prog(fort_progs[i].number));
	assert_null(fort_since_helper(fort_helpers[FORT_HELPERS - 1].number + 1));
	assert_null(fort_since_helper(0));
	assert_null(fort_since_map(fort_maps[FORT_MAPS - 1].number + 1));
	assert_null(fort_since_prog(fort_progs[FORT_PROGS - 1].number + 1));
}

static void releases_only_add(void **state)
{
	(void)state;
	for (unsigned i = 1; i < FORT_LEN(releases); i++) {
		unsigned major[2], minor[2];

		for (unsigned k = 0; k < 2; k++)
			assert_int_equal(sscanf(releases[i - 1 + k].version, "%u.%u", &major[k],
						&minor[k]),
					 2);
		assert_true(major[0] < major[1] || (major[0] == major[1] && minor[0] < minor[1]));
		assert_true(releases[i].helper >= releases[i - 1].helper);
		assert_true(releases[i].map >= releases[i - 1].map);
		assert_true(releases[i].prog >= releases[i - 1].prog);
	}
}

/* The last row that is not newer than the header. */
static void the_header_agrees(void **state)
{
	unsigned own = LINUX_VERSION_CODE >> 8, row = FORT_LEN(releases);

	(void)state;
	for (unsigned i = 0; i < FORT_LEN(releases); i++) {
		unsigned major, minor;

		assert_int_equal(sscanf(releases[i].version, "%u.%u", &major, &minor), 2);
		if ((major << 8 | minor) <= own)
			row = i;
	}
	assert_true(row < FORT_LEN(releases));
	assert_int_equal(releases[row].helper, __BPF_FUNC_MAX_ID - 1);
	if (own == (6 << 8 | 1)) { /* the header does not say how many they are */
		assert_int_equal(releases[row].map, BPF_MAP_TYPE_USER_RINGBUF);
		assert_int_equal(releases[row].prog, BPF_PROG_TYPE_SYSCALL);
	}
}

static void functions_are_known_and_named_once(void **state)
{
	const struct {
		const char *const *names;
	} rows[] = {
#define FORT_KFUNC_SINCE(version, ...) {(const char *const[]){__VA_ARGS__, NULL}},
#include "abi/since.def"
	};
	unsigned total = 0;

	(void)state;
	for (unsigned i = 0; i < FORT_LEN(rows); i++)
		for (const char *const *at = rows[i].names; *at; at++, total++) {
			unsigned same = 0;

			if (!fort_kfunc_by_name(*at))
				print_error("%s is no function of kfuncs.def\n", *at);
			assert_non_null(fort_kfunc_by_name(*at));
			for (unsigned k = 0; k < FORT_LEN(rows); k++)
				for (const char *const *other = rows[k].names; *other; other++)
					same += !strcmp(*at, *other);
			assert_int_equal(same, 1);
		}
	assert_true(total > 100);
	assert_null(fort_since_kfunc("no such function"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_number_has_a_release),
		cmocka_unit_test(releases_only_add),
		cmocka_unit_test(the_header_agrees),
		cmocka_unit_test(functions_are_known_and_named_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
