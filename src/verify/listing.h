/* A list in a pattern's words, of which the first are named: "a", "a, b", "a, b and 3 more". */
#pragma once

#include "verify/story.h"

struct fort_listing {
	struct fort_text text;
	uint32_t n;
};

#define FORT_LISTING_NEW                \
	{                               \
		.text = fort_text_new() \
	}

/* The text to add one more to; NULL: it is only counted. */
struct fort_text *fort_listing_next(struct fort_listing *list);
/* Sets the word to it. A list that is not used is ended by fort_text_free. */
void fort_listing_end(struct fort_story *s, const char *name, struct fort_listing *list);
