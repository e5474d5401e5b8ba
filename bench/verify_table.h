/* What verification costs, one program a row: as a table, or as one JSON object. */
#pragma once

#include "judges.h"

struct verify_table {
	bool json;
	unsigned rows;
	/* Programs that both accept. */
	unsigned both, ratios;
	double kernel_us, search_us, check_us, log_ratios, worst_ratio;
	uint64_t kernel_processed, processed, certificate_bytes, memory_bytes;
	unsigned only_kernel, only_ours, neither, later, unseen;
};

void verify_table_start(struct verify_table *table, bool json);
/* `group` is where the program is from. */
void verify_table_row(struct verify_table *table, const char *group, const char *name,
		      const struct measured *m);
/* A program that libbpf does not get as far as to load. */
void verify_table_unseen(struct verify_table *table, const char *group, const char *name,
			 const char *why);
void verify_table_end(struct verify_table *table);
