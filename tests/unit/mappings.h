/* What tests ask about the memory of their process. Include cmocka first. */
#pragma once

#include <stdio.h>

static inline unsigned count_mappings(void)
{
	FILE *file = fopen("/proc/self/maps", "r");
	unsigned lines = 0;

	assert_non_null(file);
	for (int c; (c = fgetc(file)) != EOF;)
		lines += c == '\n';
	fclose(file);
	return lines;
}
