#include "cli/table.h"

#include <libsmartcols.h>
#include <stdio.h>

static void fill(struct libscols_table *table, const struct fort_column *columns, size_t n_columns,
		 const char *const *cells, size_t n_rows)
{
	for (size_t i = 0; i < n_columns; i++)
		if (!scols_table_new_column(table, columns[i].name, 0,
					    columns[i].right ? SCOLS_FL_RIGHT : 0))
			return;
	for (size_t row = 0; row < n_rows; row++) {
		struct libscols_line *line = scols_table_new_line(table, NULL);

		for (size_t i = 0; line && i < n_columns; i++)
			if (scols_line_set_data(line, i, cells[row * n_columns + i]))
				return;
	}
	scols_print_table(table);
}

void fort_table_print(const struct fort_column *columns, size_t n_columns, const char *const *cells,
		      size_t n_rows)
{
	struct libscols_table *table = n_rows ? scols_new_table() : NULL;

	fflush(stdout);
	if (!table)
		return;
	fill(table, columns, n_columns, cells, n_rows);
	scols_unref_table(table);
}
