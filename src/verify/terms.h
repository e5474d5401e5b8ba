/* An address as a sum: what it starts at, a constant, and numbers that vary, each times a constant.
 * From the events that flowed into it; so that a worst case can be told term by term.
 */
#pragma once

#include "verify/story.h"

#define FORT_TERMS_MAX 4u

struct fort_term {
	const struct fort_past *past; /* where the number was made, or was last compared */
	struct fort_value value;      /* where it was added */
	char name[8];                 /* of its register there */
	int64_t scale;                /* 1 or more */
	int64_t low, high;            /* of value times scale */
};

struct fort_terms {
	const struct fort_past *start; /* what the sum starts with; NULL: unknown */
	int64_t fixed, low, high;      /* of everything */
	struct fort_term list[FORT_TERMS_MAX];
	uint32_t n;
	bool complete; /* the whole offset is here */
};

/* Of the value at `past`, an address or a number. */
void fort_terms_of(const struct fort_story *s, const struct fort_past *past,
		   struct fort_terms *out);
/* "8 + 16 * r3 + r4": the sum. */
void fort_terms_text(const struct fort_terms *terms, struct fort_text *out);
/* "r3 in [0, 10], r4 in [0, 4]": what is known of its numbers. */
void fort_terms_known(const struct fort_terms *terms, struct fort_text *out);
