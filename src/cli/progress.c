#include "cli/progress.h"

#include <stdio.h>
#include <string.h>

#define BAR     30
#define AT_MOST 36 /* of a name: the line must fit 80 columns */

void fort_progress_draw(double share, size_t done, size_t all, const char *at)
{
	const char *slash = strrchr(at, '/');
	int full = (int)(share * BAR);
	char bar[BAR + 1];

	memset(bar, '.', BAR);
	memset(bar, '#', (size_t)(full < 0 ? 0 : full > BAR ? BAR : full));
	bar[BAR] = 0;
	fprintf(stderr, "\r[%s] %zu/%zu %.*s\033[K", bar, done, all, AT_MOST,
		slash ? slash + 1 : at);
	fflush(stderr);
}

void fort_progress_end(void)
{
	fputs("\r\033[K", stderr);
	fflush(stderr);
}
