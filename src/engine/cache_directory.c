#include "engine/cache_directory.h"

#include <stdio.h>
#include <stdlib.h>

const char *fort_cache_directory(char out[FORT_CACHE_PATH_BYTES])
{
	const char *cache = secure_getenv("XDG_CACHE_HOME"), *home = secure_getenv("HOME");
	int n = -1;

	if (cache && cache[0] == '/')
		n = snprintf(out, FORT_CACHE_PATH_BYTES, "%s/bpfort", cache);
	else if (home && home[0] == '/')
		n = snprintf(out, FORT_CACHE_PATH_BYTES, "%s/.cache/bpfort", home);
	return n > 0 && n < FORT_CACHE_PATH_BYTES ? out : NULL;
}
