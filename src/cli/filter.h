/* Which programs of which files: patterns of the shell, FILE or FILE/PROGRAM or /PROGRAM, and the
 * same behind a '!' for those that are not wanted. A file goes by its name without folders.
 */
#pragma once

#include "cli/verb.h"

/* What no pattern names is wanted unless some pattern names what is wanted. `prog` NULL: could any
 * program of this file be? */
bool fort_filter_wants(const struct fort_words *patterns, const char *path, const char *prog);
