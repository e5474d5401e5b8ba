#include "differs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool read_row(struct differs *differs, char *line)
{
	struct differs_row *row = &differs->rows[differs->n];
	char *rest = line, *file = strsep(&rest, "\t"), *program = strsep(&rest, "\t");
	char *who = strsep(&rest, "\t");

	if (differs->n == DIFFERS_MAX || !who || !rest || !*rest)
		return false;
	snprintf(row->file, sizeof(row->file), "%s", file);
	snprintf(row->program, sizeof(row->program), "%s", program);
	snprintf(row->who, sizeof(row->who), "%s", who);
	row->used = false;
	differs->n++;
	return !strcmp(who, "kernel") || !strcmp(who, "us") || !strcmp(who, "words");
}

bool differs_open(struct differs *differs, const char *path)
{
	FILE *stream = fopen(path, "r");
	bool good = stream != NULL;
	unsigned number = 0;
	char line[1024];

	differs->n = 0;
	while (good && fgets(line, sizeof(line), stream)) {
		number++;
		line[strcspn(line, "\n")] = 0;
		good = !line[0] || line[0] == '#' || read_row(differs, line);
	}
	if (!good)
		fprintf(stderr, "%s:%u: %s\n", path, number,
			stream ? "not a row" : strerror(errno));
	if (stream)
		fclose(stream);
	return good;
}

bool differs_listed(struct differs *differs, const char *file, const char *program, const char *who)
{
	for (unsigned i = 0; i < differs->n; i++) {
		struct differs_row *row = &differs->rows[i];

		if (strcmp(row->file, file) || strcmp(row->program, program) ||
		    strcmp(row->who, who))
			continue;
		row->used = true;
		return true;
	}
	return false;
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
