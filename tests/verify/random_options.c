#include "random_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

static void from_environment(const char *variable, uint64_t *out)
{
	const char *text = getenv(variable);

	if (text && *text)
		*out = strtoull(text, NULL, 0);
}

static uint64_t *named(struct random_options *options, const char *name)
{
	const struct {
		const char *name;
		uint64_t *at;
	} names[] = {{"--seed", &options->seed},
		     {"--count", &options->count},
		     {"--states", &options->states}};

	for (size_t i = 0; i < FORT_LEN(names); i++)
		if (!strcmp(name, names[i].name))
			return names[i].at;
	return NULL;
}

int random_options_read(int argc, char **argv, struct random_options *options)
{
	int left = 1;

	from_environment("BPFORT_TEST_SEED", &options->seed);
	from_environment("BPFORT_TEST_COUNT", &options->count);
	while (left < argc && strncmp(argv[left], "--", 2) != 0)
		left++;
	for (int i = left; i < argc; i += 2) {
		uint64_t *at = named(options, argv[i]);
		char *end = NULL;

		if (at && i + 1 < argc)
			*at = strtoull(argv[i + 1], &end, 0);
		if (!end || end == argv[i + 1] || *end) {
			fprintf(stderr, "%s: --seed N, --count N, --states N\n", argv[i]);
			return -1;
		}
		options->given = true;
	}
	return left;
}
