#include "differs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS 6

static const char *const kinds[] = {
#define KIND(name) name,
	DIFFERS_KINDS(KIND)
#undef KIND
};

static bool one_of(const char *word, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(word, words[i]))
			return true;
	return false;
}

static bool take(char *out, size_t room, const char *text)
{
	return text && (size_t)snprintf(out, room, "%s", text) < room;
}

static bool read_row(struct differs *differs, char *line)
{
	static const char *const halves[] = {"priv", "unpriv", "both"};
	static const char *const whos[] = {"kernel", "us", "words", "value"};
	struct differs_row *row = &differs->rows[differs->n];
	char *rest = line, *fields[FIELDS];

	if (differs->n == DIFFERS_MAX)
		return false;
	for (unsigned i = 0; i < FIELDS; i++)
		fields[i] = strsep(&rest, "\t");
	if (!fields[FIELDS - 1] || !*fields[FIELDS - 1] ||
	    !take(row->file, sizeof(row->file), fields[0]) ||
	    !take(row->program, sizeof(row->program), fields[1]) ||
	    !take(row->half, sizeof(row->half), fields[2]) ||
	    !take(row->who, sizeof(row->who), fields[3]) ||
	    !take(row->kind, sizeof(row->kind), fields[4]))
		return false;
	row->used = false;
	differs->n++;
	return one_of(row->half, halves, FORT_LEN(halves)) &&
	       one_of(row->who, whos, FORT_LEN(whos)) && one_of(row->kind, kinds, FORT_LEN(kinds));
}

/* Calls `row` for each line that is one. */
static bool read_file(const char *path, bool (*row)(void *context, char *line), void *context)
{
	FILE *stream = fopen(path, "r");
	bool good = stream != NULL;
	unsigned number = 0;
	char line[1024];

	while (good && fgets(line, sizeof(line), stream)) {
		number++;
		line[strcspn(line, "\n")] = 0;
		good = !line[0] || line[0] == '#' || row(context, line);
	}
	if (!good)
		fprintf(stderr, "%s:%u: %s\n", path, number,
			stream ? "not a row" : strerror(errno));
	if (stream)
		fclose(stream);
	return good;
}

static bool differs_row(void *context, char *line)
{
	return read_row(context, line);
}

bool differs_open(struct differs *differs, const char *path)
{
	differs->n = 0;
	return read_file(path, differs_row, differs);
}

const struct differs_row *differs_find(struct differs *differs, const char *file,
				       const char *program, const char *half, const char *who)
{
	for (unsigned i = 0; i < differs->n; i++) {
		struct differs_row *row = &differs->rows[i];

		if (strcmp(row->file, file) || strcmp(row->program, program) ||
		    strcmp(row->who, who) || (strcmp(row->half, half) && strcmp(row->half, "both")))
			continue;
		row->used = true;
		return row;
	}
	return NULL;
}

bool differs_listed(struct differs *differs, const char *file, const char *program, const char *who)
{
	return differs_find(differs, file, program, "priv", who) != NULL;
}

bool differs_explain(struct differs *differs, const char *file, const char *line)
{
	for (unsigned i = 0; i < differs->n; i++) {
		struct differs_row *row = &differs->rows[i];

		if (strcmp(row->file, file) || strncmp(line, row->program, strlen(row->program)))
			continue;
		row->used = true;
		return true;
	}
	return false;
}

static bool most_row(void *context, char *line)
{
	struct differs_most *most = context;
	char *rest = line, *kind = strsep(&rest, "\t"), *end;

	if (most->n == DIFFERS_MOST_MAX || !rest ||
	    !take(most->rows[most->n].kind, sizeof(most->rows[0].kind), kind))
		return false;
	most->rows[most->n++].count = (unsigned)strtoul(rest, &end, 10);
	return end != rest && !*end;
}

bool differs_most_open(struct differs_most *most, const char *path)
{
	most->n = 0;
	return read_file(path, most_row, most);
}

unsigned differs_most_of(const struct differs_most *most, const char *kind)
{
	for (unsigned i = 0; i < most->n; i++)
		if (!strcmp(most->rows[i].kind, kind))
			return most->rows[i].count;
	return 0;
}

bool differs_count(const struct differs *differs, const struct differs_most *most)
{
	bool good = true;

	for (size_t k = 0; k < FORT_LEN(kinds); k++) {
		unsigned count = 0, allowed = differs_most_of(most, kinds[k]);

		for (unsigned i = 0; i < differs->n; i++)
			count += !strcmp(differs->rows[i].kind, kinds[k]);
		if (count == allowed)
			continue;
		printf("# %u rows of kind %s, differs.most says %u: %s\n", count, kinds[k], allowed,
		       count > allowed ? "the list may only shrink" : "lower it");
		good = false;
	}
	return good;
}
