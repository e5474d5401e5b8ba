#include "cli/verb.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int fort_words_add(struct fort_words *words, const char *word)
{
	const char **at = realloc(words->at, (words->n + 1) * sizeof(*at));

	if (!at)
		return -ENOMEM;
	words->at = at;
	at[words->n++] = word;
	return 0;
}

void fort_words_free(struct fort_words *words)
{
	free(words->at);
	*words = (struct fort_words){0};
}

static const struct fort_option *find_option(const struct fort_verb *verb, const char *name)
{
	for (size_t i = 0; i < verb->n_options; i++)
		if (!strcmp(verb->options[i].name, name))
			return &verb->options[i];
	return NULL;
}

static int parse_number(const struct fort_option *option, const char *text, uint64_t *out,
			struct fort_text *why)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (text[0] < '0' || text[0] > '9' || *end || errno || value < option->least ||
	    value > option->most) {
		fort_text_add(why, "%s %s: expected a number from %llu to %llu", option->name, text,
			      (unsigned long long)option->least, (unsigned long long)option->most);
		return -EINVAL;
	}
	*out = value;
	return 0;
}

/* Puts an option's value into the request; *used is set when `value` was one. */
static int set_option(const struct fort_option *option, const char *value, void *request,
		      bool *used, struct fort_text *why)
{
	void *at = (char *)request + option->at;

	*used = option->kind != FORT_OPTION_FLAG;
	if (*used && !value) {
		fort_text_add(why, "%s: expected %s behind it", option->name, option->value);
		return -EINVAL;
	}
	switch (option->kind) {
	case FORT_OPTION_FLAG: *(bool *)at = true; return 0;
	case FORT_OPTION_TEXT: *(const char **)at = value; return 0;
	case FORT_OPTION_WORDS: return fort_words_add(at, value);
	case FORT_OPTION_NUMBER: return parse_number(option, value, at, why);
	}
	return -EINVAL;
}

/* Is there an operand still to come? */
static bool wants_operand(const struct fort_verb *verb, const void *request)
{
	const char *at = (const char *)request + verb->operand_at;

	if (!verb->operand)
		return false;
	return verb->many || !*(const char *const *)at;
}

static bool lacks_operand(const struct fort_verb *verb, const void *request)
{
	const char *at = (const char *)request + verb->operand_at;

	return verb->many ? !((const struct fort_words *)at)->n : wants_operand(verb, request);
}

static int take_operand(const struct fort_verb *verb, const char *word, void *request)
{
	char *at = (char *)request + verb->operand_at;

	if (verb->many)
		return fort_words_add((struct fort_words *)at, word);
	*(const char **)at = word;
	return 0;
}

int fort_verb_parse(const struct fort_verb *verb, int argc, char **argv, void *request,
		    struct fort_text *why)
{
	for (int i = 0; i < argc; i++) {
		const struct fort_option *option = find_option(verb, argv[i]);
		bool used = false;
		int err = 0;

		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			fort_verb_help(verb);
			return -ECANCELED;
		}
		if (verb->takes_command && !strcmp(argv[i], "--")) {
			*(char ***)((char *)request + verb->command_at) = &argv[i + 1];
			break;
		}
		/* The operand comes first: a file may be called like an option. */
		if (option && (argv[i][0] == '-' || !wants_operand(verb, request))) {
			err = set_option(option, i + 1 < argc ? argv[i + 1] : NULL, request, &used,
					 why);
			i += used;
		} else if (wants_operand(verb, request) && argv[i][0] != '-') {
			err = take_operand(verb, argv[i], request);
		} else {
			fort_text_add(why, "'%s' is not understood here", argv[i]);
			return -EINVAL;
		}
		if (err)
			return err;
	}
	if (lacks_operand(verb, request)) {
		fort_text_add(why, "%s is missing", verb->operand);
		return -EINVAL;
	}
	return 0;
}

static void add_words(const struct fort_verb *verb, struct fort_text *out)
{
	fort_text_add(out, "bpfort");
	for (size_t i = 0; i < FORT_LEN(verb->words) && verb->words[i]; i++)
		fort_text_add(out, " %s", verb->words[i]);
}

void fort_verb_help(const struct fort_verb *verb)
{
	struct fort_text text = fort_text_new();

	fort_text_add(&text, "usage: ");
	add_words(verb, &text);
	if (verb->operand)
		fort_text_add(&text, " %s%s", verb->operand, verb->many ? "..." : "");
	if (verb->n_options)
		fort_text_add(&text, " [OPTION]...");
	if (verb->takes_command)
		fort_text_add(&text, " [-- COMMAND [ARGUMENT]...]");
	fort_text_add(&text, "\n\n%s\n\n", verb->summary);
	for (size_t i = 0; i < verb->n_options; i++) {
		const struct fort_option *option = &verb->options[i];

		fort_text_add(&text, "  %s %s", option->name, option->value ? option->value : "");
		fort_text_pad(&text, 24);
		fort_text_add(&text, "%s\n", option->help);
	}
	fort_text_add(&text, "  --help");
	fort_text_pad(&text, 24);
	fort_text_add(&text, "print this\n");
	if (verb->notes)
		fort_text_add(&text, "\n%s", verb->notes);
	fputs(text.data ? text.data : "", stdout);
	fort_text_free(&text);
}

int fort_verb_start(const struct fort_verb *verb, int argc, char **argv, void *request)
{
	char words[64], reason[512];
	struct fort_text name = fort_text_on(words, sizeof(words));
	struct fort_text why = fort_text_on(reason, sizeof(reason));
	int err = fort_verb_parse(verb, argc, argv, request, &why);

	if (err == -ECANCELED)
		return FORT_EXIT_YES;
	if (!err)
		return -1;
	add_words(verb, &name);
	fprintf(stderr, "%s: %s\n%s: try --help\n", words, reason, words);
	return FORT_EXIT_ERROR;
}

int fort_verb_fail(bool json, const char *fmt, ...)
{
	struct fort_text text = fort_text_new();
	va_list args;

	va_start(args, fmt);
	fort_text_addv(&text, fmt, args);
	va_end(args);
	fprintf(stderr, "bpfort: %s\n", text.data ? text.data : "out of memory");
	if (json) {
		/* Messages quote files: bytes that are no UTF-8 have no place in JSON. */
		json_t *object = json_pack("{s:s}", "error", text.data ? text.data : "");

		if (!object)
			object = json_pack("{s:s}", "error", "not printable; see standard error");
		json_dumpf(object, stdout, JSON_COMPACT);
		fputc('\n', stdout);
		json_decref(object);
	}
	fort_text_free(&text);
	return FORT_EXIT_ERROR;
}
