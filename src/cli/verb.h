/* Verbs of the bpfort program: what a user types after its name. One row per verb in verbs.def,
 * one file per verb; the options of each are a table, from which parsing and --help come.
 */
#pragma once

#include "base/text.h"

/* What a verb's exit status means. */
enum fort_exit {
	FORT_EXIT_YES = 0,   /* done; the verdict is positive */
	FORT_EXIT_NO = 1,    /* done; the verdict is negative */
	FORT_EXIT_ERROR = 2, /* not done: usage, input or environment */
};

/* What may be said several times. */
struct fort_words {
	const char **at;
	size_t n;
};

FORT_CHECKED int fort_words_add(struct fort_words *words, const char *word);
void fort_words_free(struct fort_words *words);

enum fort_option_kind {
	FORT_OPTION_FLAG,   /* bool */
	FORT_OPTION_TEXT,   /* const char * */
	FORT_OPTION_WORDS,  /* struct fort_words, which the verb frees */
	FORT_OPTION_NUMBER, /* uint64_t, from `least` to `most` */
};

struct fort_option {
	const char *name; /* "--json"; or a word as bpftool has them: "repeat" */
	const char *value, *help;
	enum fort_option_kind kind;
	size_t at; /* offset in the verb's request */
	uint64_t least, most;
};

struct fort_verb {
	const char *words[3]; /* "prog", "run", "file"; unused ones NULL */
	const char *summary;
	const char *operand; /* the argument without a name, or NULL; */
	size_t operand_at;   /* const char * in the request */
	bool many;           /* one or more: struct fort_words there, which the verb frees */
	bool takes_command;  /* `-- CMD...`: argv of it */
	size_t command_at;   /* char ** in the request */
	const struct fort_option *options;
	size_t n_options;
	const char *notes; /* end of --help, or NULL */
	int (*run)(const struct fort_verb *verb, int argc, char **argv);
};

#define FORT_VERB(name) extern const struct fort_verb fort_verb_##name;
#include "cli/verbs.def"

/* Fills a verb's request from its arguments (without the verb's words). Returns 0; -EINVAL with
 * why; or -ECANCELED when --help was asked and printed.
 */
FORT_CHECKED int fort_verb_parse(const struct fort_verb *verb, int argc, char **argv, void *request,
				 struct fort_text *why);
void fort_verb_help(const struct fort_verb *verb);
/* The same, and tells the user what is wrong. Returns an exit status, or -1: go on. */
int fort_verb_start(const struct fort_verb *verb, int argc, char **argv, void *request);

/* Says why a verb cannot be done, on standard error and, with `json`, as {"error": ...}. Returns
 * FORT_EXIT_ERROR. */
int fort_verb_fail(bool json, const char *fmt, ...) FORT_PRINTF(2, 3);
