/* Where the user wants things kept that can be made again (XDG base directories). */
#pragma once

#define FORT_CACHE_PATH_BYTES 4096

/* `out`, or NULL if there is no such place, or for programs that run with more rights than who
 * started them. */
const char *fort_cache_directory(char out[FORT_CACHE_PATH_BYTES]);
