#include "case.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab.h"

#define WITHS_MAX   3
#define NAMES_MAX   8
#define CHOICES_MAX 64
#define WORD_BYTES  64

/* A `with` line: names, and for each choice a value of each. */
struct with {
	unsigned n_names, n_choices;
	char names[NAMES_MAX][WORD_BYTES];
	char values[CHOICES_MAX][NAMES_MAX][WORD_BYTES];
};

struct reading {
	const char *path;
	unsigned line;
	char text[LAB_CASE_BYTES]; /* of one case, with its name as the first line */
	struct with withs[WITHS_MAX];
	unsigned n_withs;
	bool has_bound; /* the last of them is a bound: its second choice is the twin */
	struct lab_case made;
	lab_case_visitor *visitor;
	void *context;
	bool failed;
};

static void complain(struct reading *r, const char *what)
{
	fprintf(stderr, "%s:%u: %s\n", r->path, r->line, what);
	r->failed = true;
}

/* --- with --- */

/* Cuts `text` at `separator` into trimmed words; returns how many, or `room` + 1. */
static unsigned cut(char *text, const char *separator, char out[][WORD_BYTES], unsigned room)
{
	unsigned n = 0;
	char *rest;

	for (char *word = strtok_r(text, separator, &rest); word;
	     word = strtok_r(NULL, separator, &rest)) {
		size_t bytes;

		word += strspn(word, " ");
		bytes = strlen(word);
		while (bytes && word[bytes - 1] == ' ')
			bytes--;
		if (n == room || bytes >= WORD_BYTES)
			return room + 1;
		memcpy(out[n], word, bytes);
		out[n++][bytes] = 0;
	}
	return n;
}

static void read_with(struct reading *r, const char *line)
{
	struct with *with = &r->withs[r->n_withs];
	char copy[2048], *values, *rest;

	snprintf(copy, sizeof(copy), "%s", line);
	values = strchr(copy, ':');
	if (!values || r->n_withs == WITHS_MAX) {
		complain(r, "bad `with` line");
		return;
	}
	*values++ = 0;
	memset(with, 0, sizeof(*with));
	with->n_names = cut(copy, ",", with->names, NAMES_MAX);
	for (char *choice = strtok_r(values, "|", &rest); choice;
	     choice = strtok_r(NULL, "|", &rest))
		if (with->n_choices == CHOICES_MAX ||
		    cut(choice, ",", with->values[with->n_choices++], NAMES_MAX) != with->n_names) {
			complain(r, "a choice of a `with` line has another number of values");
			return;
		}
	r->n_withs++;
}

/* A `bound` is a `with` of two values of $B. */
static void read_bound(struct reading *r, const char *line)
{
	char copy[2048], *comma;

	snprintf(copy, sizeof(copy), "B:%s", line);
	comma = strchr(copy, ',');
	if (!comma || r->has_bound) {
		complain(r, "bad `bound` line");
		return;
	}
	*comma = '|';
	read_with(r, copy);
	r->has_bound = true;
}

/* The value of the longest name that `text` (behind a $) starts with, and its length. */
static const char *value_of(const struct reading *r, const unsigned *choices, const char *text,
			    size_t *length)
{
	const char *value = NULL;

	*length = 0;
	for (unsigned w = 0; w < r->n_withs; w++)
		for (unsigned i = 0; i < r->withs[w].n_names; i++) {
			size_t bytes = strlen(r->withs[w].names[i]);

			if (bytes <= *length || strncmp(text, r->withs[w].names[i], bytes))
				continue;
			*length = bytes;
			value = r->withs[w].values[choices[w]][i];
		}
	return value;
}

static void substitute(struct reading *r, const unsigned *choices, const char *line, char *out,
		       size_t room)
{
	size_t n = 0, length;

	while (*line && n + WORD_BYTES < room) {
		const char *value = *line == '$' ? value_of(r, choices, line + 1, &length) : NULL;

		if (value) {
			n += (size_t)snprintf(out + n, room - n, "%s", value);
			line += length + 1;
		} else {
			out[n++] = *line++;
		}
	}
	out[n] = 0;
}

/* --- one case --- */

static bool take(const char *line, const char *key, char *out, size_t room)
{
	size_t length = strlen(key);

	if (strncmp(line, key, length))
		return false;
	snprintf(out, room, "%s", line + length + strspn(line + length, " "));
	return true;
}

static uint32_t rights_of(const char *words)
{
	return (strstr(words, "perf") ? FORT_MAY_USE_PERF_HELPERS : 0u) |
	       (strstr(words, "uninit") ? FORT_MAY_READ_UNINIT_STACK : 0u) |
	       (strstr(words, "leak") ? FORT_MAY_LEAK_POINTERS : 0u);
}

static bool read_attach(const char *name, uint32_t *out)
{
	static const struct {
		const char *name;
		uint32_t number;
	} attaches[] = {
#define FORT_ATTACH(id, number, progs) {#id, number},
#include "abi/attach.def"
	};

	for (size_t i = 0; i < FORT_LEN(attaches); i++)
		if (!strcmp(attaches[i].name, name)) {
			*out = attaches[i].number;
			return true;
		}
	return false;
}

bool lab_case_open(struct lab *lab, const struct lab_case *want)
{
	bool built = lab_open(lab, want->type, want->assembly);

	lab->env.rights = want->rights;
	lab->env.gpl = want->gpl;
	lab->env.hook.prog = fort_prog_by_name(want->type);
	lab->env.hook.target = want->target[0] ? want->target : NULL;
	lab->env.sleepable |= want->sleepable;
	if (lab->env.hook.prog)
		lab->env.hook.attach = fort_hook_attach(lab->env.hook.prog, want->attach);
	if (built && want->functions[0] && !lab_describe(lab, want->functions)) {
		snprintf(lab->error, sizeof(lab->error),
			 "the functions are not those of the program");
		return false;
	}
	if (built && !lab_meet(lab, lab->env.hook.target))
		snprintf(lab->error, sizeof(lab->error), "no target %s", want->target);
	return built && !lab->error[0];
}

static void begin(struct lab_case *want, const char *name)
{
	memset(want, 0, offsetof(struct lab_case, assembly));
	want->assembly[0] = 0;
	snprintf(want->name, sizeof(want->name), "%.*s", (int)sizeof(want->name) - 1, name);
	strcpy(want->type, "socket_filter");
	want->at = -1;
	want->budget = FORT_BUDGET_INSNS;
	want->rights = LAB_ALL_RIGHTS;
	want->gpl = true;
}

static bool read_key(struct lab_case *want, const char *line)
{
	char value[64];

	if (take(line, "type:", want->type, sizeof(want->type)) ||
	    take(line, "says:", want->says, sizeof(want->says)) ||
	    take(line, "functions:", want->functions, sizeof(want->functions)) ||
	    take(line, "message:", want->message, sizeof(want->message)) ||
	    take(line, "needed:", want->needed, sizeof(want->needed)) ||
	    take(line, "known:", want->known, sizeof(want->known)) ||
	    take(line, "pattern:", want->pattern, sizeof(want->pattern)) ||
	    take(line, "tells:", want->tells, sizeof(want->tells)) ||
	    take(line, "example:", want->example, sizeof(want->example)) ||
	    take(line, "cost:", want->cost, sizeof(want->cost)) ||
	    take(line, "target:", want->target, sizeof(want->target)))
		return true;
	if (take(line, "attach:", value, sizeof(value)))
		return read_attach(value, &want->attach);
	if (take(line, "budget:", value, sizeof(value)))
		want->budget = strtoull(value, NULL, 0);
	else if (take(line, "rights:", value, sizeof(value)))
		want->rights = rights_of(value);
	else if (take(line, "depth:", value, sizeof(value)))
		want->any_depth = !strcmp(value, "any");
	else if (take(line, "license:", value, sizeof(value)))
		want->gpl = strcmp(value, "none") != 0;
	else if (take(line, "expect-later:", want->later, sizeof(want->later)))
		return true;
	else if (take(line, "kernel:", value, sizeof(value)))
		want->kernel = strcmp(value, "accepts") ? LAB_KERNEL_REJECTS : LAB_KERNEL_ACCEPTS;
	else if (!strcmp(line, "sleepable"))
		want->sleepable = true;
	else if (!strcmp(line, "accept"))
		want->accept = want->given = true;
	else if (!strcmp(line, "reject"))
		want->given = true;
	else if (take(line, "reject:", value, sizeof(value)))
		want->given = sscanf(value, "%7s at %ld", want->code, &want->at) >= 1;
	else
		return false;
	return true;
}

/* One too far: nobody may accept it. */
static void make_twin(struct lab_case *want)
{
	size_t length = strlen(want->name);

	snprintf(want->name + length, sizeof(want->name) - length, ", one too far");
	want->twin = true;
	want->accept = false;
	want->given = true;
}

static void make(struct reading *r, const unsigned *choices)
{
	struct lab_case *want = &r->made;
	size_t used = 0;
	char line[1024];

	for (const char *at = r->text; *at;) {
		size_t bytes = strcspn(at, "\n");
		char raw[1024];

		snprintf(raw, sizeof(raw), "%.*s", (int)bytes, at);
		substitute(r, choices, raw, line, sizeof(line));
		if (at == r->text)
			begin(want, line);
		else if (used || !read_key(want, line))
			used += (size_t)snprintf(want->assembly + used,
						 sizeof(want->assembly) - used, "%s\n", line);
		at += bytes + (at[bytes] == '\n');
	}
	if (r->has_bound && choices[r->n_withs - 1])
		make_twin(want);
	r->visitor(want, r->context);
}

static void finish(struct reading *r)
{
	unsigned choices[WITHS_MAX] = {0}, w;

	if (!r->text[0])
		return;
	do {
		make(r, choices);
		for (w = 0; w < r->n_withs; w++) {
			if (++choices[w] < r->withs[w].n_choices)
				break;
			choices[w] = 0;
		}
	} while (w < r->n_withs);
}

static void read_line(struct reading *r, const char *line)
{
	size_t used = strlen(r->text);

	if (!strncmp(line, "== ", 3)) {
		finish(r);
		r->n_withs = 0;
		r->has_bound = false;
		snprintf(r->text, sizeof(r->text), "%s\n", line + 3);
		return;
	}
	if (!line[0] || line[0] == '#' || !used)
		return;
	if (!strncmp(line, "with:", 5) && r->has_bound)
		complain(r, "`bound` comes after `with`");
	else if (!strncmp(line, "with:", 5))
		read_with(r, line + 5);
	else if (!strncmp(line, "bound:", 6))
		read_bound(r, line + 6);
	else if (used + strlen(line) + 2 < sizeof(r->text))
		sprintf(r->text + used, "%s\n", line);
	else
		complain(r, "the case is too long");
}

bool lab_cases_read(const char *path, lab_case_visitor *visitor, void *context)
{
	struct reading *r = calloc(1, sizeof(*r));
	FILE *stream = fopen(path, "r");
	char line[1024];
	bool good = false;

	if (r && stream) {
		r->path = path;
		r->visitor = visitor;
		r->context = context;
		while (fgets(line, sizeof(line), stream)) {
			r->line++;
			line[strcspn(line, "\n")] = 0;
			read_line(r, line);
		}
		finish(r);
		good = !r->failed;
	} else {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	}
	if (stream)
		fclose(stream);
	free(r);
	return good;
}
