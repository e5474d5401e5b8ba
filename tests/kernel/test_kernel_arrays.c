/* The kernel's tests that are lists of instructions (tools/testing/selftests/bpf/verifier), of 6.12
 * and of 6.1, before the same judges and under the same rules as those that are objects
 * (test_kernel_selftests.c). Their expectations are those of their own version: the running kernel
 * is the judge.
 *
 * usage: kernel_arrays short|long DIFFERS MOST LIBRARY...    (of corpus.sh)
 * short: without the programs of nearly 1,000,000 instructions, for which the kernel takes minutes
 * BPFORT_TEST_VERBOSE=1: a line per difference
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "array_program.h"
#include "trial.h"

#define TESTS_MIN     400u /* in a library */
#define INSNS_SHORT   100000u
#define LIBRARIES_MAX 2u
#define VERSION_BYTES 16u

static struct trials trials;
static unsigned count; /* of TAP lines */
static uint32_t insns_most;
static unsigned left_out;

static void verdict(bool good, const char *what)
{
	printf("%s %u - %s\n", good ? "ok" : "not ok", ++count, what);
}

/* "6.12" of "6.12/calls". */
static void version_of(const char *file, char out[VERSION_BYTES])
{
	snprintf(out, VERSION_BYTES, "%.*s", (int)strcspn(file, "/"), file);
}

/* The description, numbered where it is not the only one of its file. */
static void name_of(const struct array_test *tests, unsigned index, char *out, size_t room)
{
	const struct array_test *test = &tests[index];
	unsigned before = 0;

	for (unsigned i = 0; i < index; i++)
		before += !strcmp(tests[i].file, test->file) && !strcmp(tests[i].name, test->name);
	if (before)
		snprintf(out, room, "%s #%u", test->name, before + 1);
	else
		snprintf(out, room, "%s", test->name);
}

static void one_test(const struct array_test *test, const char *group, const char *name)
{
	static struct array_program program;
	struct trial trial = {.group = group,
			      .file = test->file,
			      .program = name,
			      .notes = &program.notes,
			      .data = program.data};
	int fd = -1;

	if (!array_program_open(&program, test)) {
		trial_missed(&trials, &trial, program.why);
	} else if (program.n_insns > insns_most) {
		left_out++;
	} else {
		union bpf_attr attr = array_program_attr(&program);

		fd = trial_run(&trials, &trial, &attr, sizeof(attr));
	}
	if (fd >= 0)
		close(fd);
	array_program_close(&program);
}

/* A line for each of the kernel's files. */
static void run_tests(const struct array_test *tests, unsigned n, const char *group)
{
	unsigned wrong = trials.wrong;

	for (unsigned i = 0; i < n; i++) {
		char name[256];

		name_of(tests, i, name, sizeof(name));
		one_test(&tests[i], group, name);
		if (i + 1 < n && !strcmp(tests[i].file, tests[i + 1].file))
			continue;
		verdict(trials.wrong == wrong, tests[i].file);
		wrong = trials.wrong;
	}
}

static void one_library(const char *path, char group[VERSION_BYTES])
{
	void *library = dlopen(path, RTLD_NOW);
	array_tests_get *get = NULL;
	const struct array_test *tests;
	unsigned n = 0;

	if (library)
		*(void **)&get = dlsym(library, ARRAY_TESTS_SYMBOL);
	tests = get ? get(&n) : NULL;
	if (!tests)
		printf("# %s: %s\n", path, dlerror());
	else
		version_of(tests[0].file, group);
	run_tests(tests, n, group);
	verdict(n >= TESTS_MIN, path);
}

static bool is_array(const char *file)
{
	return strchr(file, '/') != NULL;
}

int main(int argc, char **argv)
{
	static char groups[LIBRARIES_MAX][VERSION_BYTES];

	if (argc < 5 || argc > 4 + (int)LIBRARIES_MAX) {
		printf("Bail out! usage: kernel_arrays short|long DIFFERS MOST LIBRARY...\n");
		return 1;
	}
	insns_most = strcmp(argv[1], "long") ? INSNS_SHORT : UINT32_MAX;
	if (!trials_open(&trials, argv[2], argv[3]))
		return 0;
	for (int i = 4; i < argc; i++)
		one_library(argv[i], groups[i - 4]);
	if (left_out)
		printf("ok %u - %u programs # SKIP of more than %u instructions: "
		       "kernel_arrays_long\n",
		       ++count, left_out, insns_most);
	count += trials_conclude(&trials, count + 1, is_array);
	printf("1..%u\n", count);
	trials_close(&trials);
	return 0;
}
