/* A bar on standard error that says how far a long verb is. */
#pragma once

#include <stddef.h>

/* `share` of the whole, from 0 to 1; how many of how many; and at what it is. */
void fort_progress_draw(double share, size_t done, size_t all, const char *at);
/* Takes it away. */
void fort_progress_end(void);
