/* Tables on standard output, by libsmartcols. */
#pragma once

#include "base/compiler.h"

struct fort_column {
	const char *name;
	bool right; /* numbers */
};

/* Prints rows of `n_columns` cells each: cells[row * n_columns + column]. Nothing for no rows. */
void fort_table_print(const struct fort_column *columns, size_t n_columns, const char *const *cells,
		      size_t n_rows);
