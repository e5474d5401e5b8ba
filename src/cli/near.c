#include "cli/near.h"

#include <stdio.h>
#include <string.h>

/* Of so many letters one may be wrong. */
#define LETTERS_PER_ERROR 3u

void fort_near_start(struct fort_near *near, const char *wanted, size_t bytes)
{
	*near = (struct fort_near){0};
	if (bytes < sizeof(near->wanted))
		memcpy(near->wanted, wanted, bytes);
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* How many letters are wrong (Damerau, Levenshtein; no letter is looked at twice). */
static uint32_t distance(const char *a, size_t n_a, const char *b, size_t n_b)
{
	uint32_t rows[3][FORT_NEAR_NAME_BYTES + 1];
	uint32_t *two = rows[0], *one = rows[1], *row = rows[2];

	for (size_t j = 0; j <= n_b; j++)
		one[j] = (uint32_t)j;
	for (size_t i = 1; i <= n_a; i++) {
		uint32_t *next = two;

		row[0] = (uint32_t)i;
		for (size_t j = 1; j <= n_b; j++) {
			row[j] = least(least(one[j], row[j - 1]) + 1,
				       one[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = least(row[j], two[j - 2] + 1);
		}
		two = one;
		one = row;
		row = next;
	}
	return one[n_b];
}

void fort_near_offer(struct fort_near *near, const char *name)
{
	size_t wanted = strlen(near->wanted), length = strlen(name);
	uint32_t most = (uint32_t)(wanted / LETTERS_PER_ERROR), found, at;

	most = most ? most : 1;
	if (!wanted || !length || length >= FORT_NEAR_NAME_BYTES || length > wanted + most ||
	    wanted > length + most)
		return;
	found = distance(near->wanted, wanted, name, length);
	for (at = near->n; at && near->distance[at - 1] > found; at--)
		continue;
	if (found > most || at == FORT_NEAR_MAX)
		return;
	for (uint32_t i = 0; i < near->n; i++)
		if (!strcmp(near->names[i], name))
			return;
	near->n = near->n < FORT_NEAR_MAX ? near->n + 1 : FORT_NEAR_MAX;
	for (uint32_t i = near->n - 1; i > at; i--) {
		memcpy(near->names[i], near->names[i - 1], FORT_NEAR_NAME_BYTES);
		near->distance[i] = near->distance[i - 1];
	}
	snprintf(near->names[at], FORT_NEAR_NAME_BYTES, "%s", name);
	near->distance[at] = found;
}

void fort_near_tell(const struct fort_near *near, struct fort_text *out)
{
	for (uint32_t i = 0; i < near->n; i++)
		fort_text_add(out, "%s%s", i ? ", " : "; near: ", near->names[i]);
}
