/* The columns of `verify`: as a table for people, as CSV, and to sort by (columns.def). */
#pragma once

#include "base/text.h"
#include "cli/vet.h"

enum fort_column_id {
#define FORT_COLUMN(id, ...) FORT_COLUMN_##id,
#include "cli/columns.def"
	FORT_COLUMNS
};

/* One program, and the file that it is from. */
struct fort_vet_row {
	const char *file;
	const struct fort_vetted *program;
};

/* Search and check together. */
static inline uint64_t fort_vetted_ns(const struct fort_vetted *p)
{
	return p->loading.report.verify_ns + p->loading.report.check_ns;
}

/* Of our time to the kernel's, or -1: there is none. */
double fort_vetted_ratio(const struct fort_vetted *p);

/* Sorts by "COLUMN" or "COLUMN:desc"; rows that are equal, or have no number, stay in their order,
 * these at the end. Returns 0, or -EINVAL with why for what is no column. */
FORT_CHECKED int fort_columns_sort(struct fort_vet_row *rows, size_t n_rows, const char *by,
				   struct fort_text *why);

/* To standard output. */
void fort_columns_print(const struct fort_vet_row *rows, size_t n_rows, bool kernel);
void fort_columns_csv(const struct fort_vet_row *rows, size_t n_rows, bool kernel);
