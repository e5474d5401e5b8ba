/* What was probably meant by a name that nobody has: those known names from which it differs by the
 * fewest letters put in, left out, changed, or swapped with the next.
 */
#pragma once

#include "base/text.h"

#define FORT_NEAR_MAX        3u
#define FORT_NEAR_NAME_BYTES 128u

struct fort_near {
	char wanted[FORT_NEAR_NAME_BYTES];
	char names[FORT_NEAR_MAX][FORT_NEAR_NAME_BYTES]; /* the nearest first */
	uint32_t distance[FORT_NEAR_MAX], n;
};

/* `bytes` of `wanted`, which need not end there. A name that is too long is near to nothing. */
void fort_near_start(struct fort_near *near, const char *wanted, size_t bytes);
void fort_near_offer(struct fort_near *near, const char *name);
/* Adds "; near: a, b", or nothing. */
void fort_near_tell(const struct fort_near *near, struct fort_text *out);
