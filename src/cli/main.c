/* The bpfort program. It goes by several names: what argv[0] ends in decides; then the words of a
 * verb. */
#include <stdio.h>
#include <string.h>

#include "cli/conformance.h"
#include "cli/verb.h"

#ifndef FORT_VERSION
#define FORT_VERSION "unknown"
#endif

static const struct fort_verb *const verbs[] = {
#define FORT_VERB(name) &fort_verb_##name,
#include "cli/verbs.def"
};

/* How many words of the verb the arguments start with; 0 unless all of them. */
static int match_words(const struct fort_verb *verb, int argc, char **argv)
{
	int n = 0;

	while (n < (int)FORT_LEN(verb->words) && verb->words[n]) {
		if (n >= argc || strcmp(verb->words[n], argv[n]))
			return 0;
		n++;
	}
	return n;
}

static void add_verb(const struct fort_verb *verb, struct fort_text *out)
{
	fort_text_add(out, "  bpfort");
	for (size_t i = 0; i < FORT_LEN(verb->words) && verb->words[i]; i++)
		fort_text_add(out, " %s", verb->words[i]);
	if (verb->operand)
		fort_text_add(out, " %s%s", verb->operand, verb->many ? "..." : "");
	fort_text_pad(out, 32);
	fort_text_add(out, "%s\n", verb->summary);
}

static void print_usage(FILE *to)
{
	struct fort_text text = fort_text_new();

	fort_text_add(&text, "bpfort %s: eBPF in user space\n\n", FORT_VERSION);
	for (size_t i = 0; i < FORT_LEN(verbs); i++)
		add_verb(verbs[i], &text);
	fort_text_add(&text,
		      "\n'--help' behind a verb says more. Exit status: 0 done, 1 the answer is "
		      "no, 2 it could not be done.\n");
	fputs(text.data ? text.data : "", to);
	fort_text_free(&text);
}

static int run_verb(int argc, char **argv)
{
	if (argc && (!strcmp(argv[0], "--help") || !strcmp(argv[0], "help"))) {
		print_usage(stdout);
		return FORT_EXIT_YES;
	}
	if (argc && !strcmp(argv[0], "--version")) {
		puts("bpfort " FORT_VERSION);
		return FORT_EXIT_YES;
	}
	for (size_t i = 0; i < FORT_LEN(verbs); i++) {
		int words = match_words(verbs[i], argc, argv);

		if (words)
			return verbs[i]->run(verbs[i], argc - words, argv + words);
	}
	if (argc)
		fprintf(stderr, "bpfort: '%s' is no verb\n\n", argv[0]);
	print_usage(stderr);
	return FORT_EXIT_ERROR;
}

int main(int argc, char **argv)
{
	const char *slash = argc ? strrchr(argv[0], '/') : NULL;
	const char *name = slash ? slash + 1 : argc ? argv[0] : "";

	if (!strcmp(name, "bpfort-conformance-plugin"))
		return bpfort_conformance_main(argc, argv);
	return run_verb(argc ? argc - 1 : 0, argv + (argc ? 1 : 0));
}
