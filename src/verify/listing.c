#include "verify/listing.h"

/* So many are named. */
#define NAMED 6u

struct fort_text *fort_listing_next(struct fort_listing *list)
{
	if (list->n++ >= NAMED)
		return NULL;
	if (list->n > 1)
		fort_text_add(&list->text, ", ");
	return &list->text;
}

void fort_listing_end(struct fort_story *s, const char *name, struct fort_listing *list)
{
	if (list->n > NAMED)
		fort_text_add(&list->text, " and %u more", list->n - NAMED);
	fort_story_text(s, name, &list->text);
}
