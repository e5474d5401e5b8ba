/* The way to a rejection, walked once more: for the log, and to tell it. */
#pragma once

#include "verify/search.h"

/* Fills the result's path and state from where the search stopped. If the way can be walked without
 * the joins of the search, what is found at its end is the result's violation. Returns 0 or
 * -ENOMEM. */
FORT_CHECKED int fort_replay(struct fort_search *s);
