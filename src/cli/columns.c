#include "cli/columns.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/table.h"

enum where { TABLE, CSV, KERNEL };
enum kind { TEXT, OURS, KERNELS, BOTH, ANY };

struct column {
	const char *id, *name, *head;
	enum where where;
	enum kind kind;
};

static const struct column columns[] = {
#define FORT_COLUMN(id, name, head, where, kind, value) {#id, (name), (head), (where), (kind)},
#include "cli/columns.def"
};

/* What is in a cell. Without a text, a number; without that, nothing. */
struct cell {
	const char *text;
	double number;
	bool exists;
};

#define SEEN_BYTES 64 /* of a number as text */

double fort_vetted_ratio(const struct fort_vetted *p)
{
	if (p->kernel.verdict == FORT_VET_ERROR || !p->kernel.us)
		return -1;
	return (double)fort_vetted_ns(p) / 1000 / (double)p->kernel.us;
}

static bool exists(const struct fort_vetted *p, enum kind kind)
{
	bool ours = p->loading.reached;
	bool kernels = p->kernel.asked && p->kernel.verdict != FORT_VET_ERROR;

	switch (kind) {
	case OURS: return ours;
	case KERNELS: return kernels;
	case BOTH: return ours && kernels && p->kernel.us;
	default: return true;
	}
}

/* Values are texts or numbers of several types; the unused branch must compile for each. */
#define AS_TEXT(value) \
	_Generic((value), char * : (value), const char * : (value), default : (const char *)NULL)
#define AS_NUMBER(value) _Generic((value), char * : 0.0, const char * : 0.0, default : (value))

static struct cell cell_of(const struct fort_vet_row *row, unsigned id)
{
	const struct fort_vetted *p = row->program;
	const struct fort_load_report *report = &p->loading.report;
	const char *file = row->file;
	struct cell cell = {.exists = exists(p, columns[id].kind)};

	switch ((enum fort_column_id)id) {
#define FORT_COLUMN(id, name, head, where, kind, value) \
	case FORT_COLUMN_##id:                          \
		cell.text = AS_TEXT(value);             \
		cell.number = AS_NUMBER(value);         \
		break;
#include "cli/columns.def"
	case FORT_COLUMNS: break;
	}
	return cell;
}

static const char *show(const struct cell *cell, unsigned id, const char *nothing,
			char out[SEEN_BYTES])
{
	if (cell->text)
		return cell->text;
	if (!cell->exists)
		return nothing;
	snprintf(out, SEEN_BYTES, id == FORT_COLUMN_RATIO ? "%.3f" : "%.0f", cell->number);
	return out;
}

/* --- sorting --- */

static bool is_called(const struct column *column, const char *name, size_t length)
{
	if (strlen(column->name) == length && !memcmp(column->name, name, length))
		return true;
	if (strlen(column->id) != length)
		return false;
	for (size_t i = 0; i < length; i++)
		if (tolower((unsigned char)column->id[i]) != name[i])
			return false;
	return true;
}

static int find_column(const char *by, unsigned *id, bool *descends, struct fort_text *why)
{
	size_t length = strcspn(by, ":");
	const char *order = by + length;

	*descends = !strcmp(order, ":desc");
	if (!*order || *descends || !strcmp(order, ":asc"))
		for (*id = 0; *id < FORT_COLUMNS; (*id)++)
			if (is_called(&columns[*id], by, length))
				return 0;
	fort_text_add(why, "--sort %s: expected a column, and perhaps :desc behind it; there are",
		      by);
	for (unsigned i = 0; i < FORT_COLUMNS; i++)
		fort_text_add(why, " %s", columns[i].name);
	return -EINVAL;
}

struct key {
	struct cell cell;
	struct fort_vet_row row;
	size_t at; /* before */
	bool descends;
};

static int compare(const void *left, const void *right)
{
	const struct key *a = left, *b = right;
	int order;

	if (a->cell.exists != b->cell.exists)
		return a->cell.exists ? -1 : 1;
	if (a->cell.text && b->cell.text)
		order = strcmp(a->cell.text, b->cell.text);
	else
		order = (a->cell.number > b->cell.number) - (a->cell.number < b->cell.number);
	if (order && a->cell.exists)
		return a->descends ? -order : order;
	return a->at < b->at ? -1 : 1;
}

int fort_columns_sort(struct fort_vet_row *rows, size_t n_rows, const char *by,
		      struct fort_text *why)
{
	struct key *keys;
	bool descends;
	unsigned id;
	int err = find_column(by, &id, &descends, why);

	if (err || !n_rows)
		return err;
	keys = calloc(n_rows, sizeof(*keys));
	if (!keys)
		return -ENOMEM;
	for (size_t i = 0; i < n_rows; i++)
		keys[i] = (struct key){cell_of(&rows[i], id), rows[i], i, descends};
	qsort(keys, n_rows, sizeof(*keys), compare);
	for (size_t i = 0; i < n_rows; i++)
		rows[i] = keys[i].row;
	free(keys);
	return 0;
}

/* --- printing --- */

static bool is_shown(unsigned id, bool csv, bool kernel)
{
	if (!kernel && (columns[id].where == KERNEL || columns[id].kind == KERNELS))
		return false;
	return csv || columns[id].where != CSV;
}

void fort_columns_print(const struct fort_vet_row *rows, size_t n_rows, bool kernel)
{
	struct fort_column heads[FORT_COLUMNS];
	unsigned ids[FORT_COLUMNS];
	size_t n = 0;
	char(*seen)[SEEN_BYTES];
	const char **cells;

	for (unsigned id = 0; id < FORT_COLUMNS; id++)
		if (is_shown(id, false, kernel)) {
			heads[n] = (struct fort_column){columns[id].head, columns[id].kind != TEXT};
			ids[n++] = id;
		}
	cells = calloc(n_rows * n, sizeof(*cells));
	seen = calloc(n_rows * n, sizeof(*seen));
	for (size_t i = 0; cells && seen && i < n_rows * n; i++) {
		struct cell cell = cell_of(&rows[i / n], ids[i % n]);

		/* Paths are long, and mostly the same. */
		if (ids[i % n] == FORT_COLUMN_FILE && strrchr(cell.text, '/'))
			cell.text = strrchr(cell.text, '/') + 1;
		cells[i] = show(&cell, ids[i % n], "-", seen[i]);
	}
	if (cells && seen)
		fort_table_print(heads, n, cells, n_rows);
	free(cells);
	free(seen);
}

/* RFC 4180. */
static void put_field(const char *text)
{
	if (!strpbrk(text, ",\"\r\n")) {
		fputs(text, stdout);
		return;
	}
	putchar('"');
	for (; *text; text++) {
		if (*text == '"')
			putchar('"');
		putchar(*text);
	}
	putchar('"');
}

void fort_columns_csv(const struct fort_vet_row *rows, size_t n_rows, bool kernel)
{
	for (size_t row = 0; row <= n_rows; row++) {
		bool first = true;

		for (unsigned id = 0; id < FORT_COLUMNS; id++) {
			char seen[SEEN_BYTES];
			struct cell cell;

			if (!is_shown(id, true, kernel))
				continue;
			if (!first)
				putchar(',');
			first = false;
			if (!row) {
				put_field(columns[id].name);
				continue;
			}
			cell = cell_of(&rows[row - 1], id);
			put_field(show(&cell, id, "", seen));
		}
		putchar('\n');
	}
}
