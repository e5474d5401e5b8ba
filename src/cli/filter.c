#include "cli/filter.h"

#include <fnmatch.h>
#include <string.h>

/* A file's name fits the part of the pattern before its '/'. */
static bool fits_file(const char *pattern, size_t length, const char *file)
{
	char glob[256];

	if (!length)
		return true;
	if (length >= sizeof(glob))
		return false;
	memcpy(glob, pattern, length);
	glob[length] = 0;
	return !fnmatch(glob, file, 0);
}

static bool fits(const char *pattern, const char *file, const char *prog)
{
	const char *slash = strchr(pattern, '/');
	size_t length = slash ? (size_t)(slash - pattern) : strlen(pattern);

	if (!fits_file(pattern, length, file))
		return false;
	if (!slash || !slash[1])
		return true;
	return prog && !fnmatch(slash + 1, prog, 0);
}

bool fort_filter_wants(const struct fort_words *patterns, const char *path, const char *prog)
{
	const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
	bool chooses = false, wanted = false;

	for (size_t i = 0; i < patterns->n; i++) {
		const char *pattern = patterns->at[i];
		const char *part = strchr(pattern, '/');

		if (pattern[0] == '!') {
			if (fits(pattern + 1, file, prog))
				return false;
			continue;
		}
		chooses = true;
		/* Of a file alone it is not known what is in it. */
		wanted = wanted || fits(pattern, file, prog) ||
			 (!prog && part && fits_file(pattern, (size_t)(part - pattern), file));
	}
	return !chooses || wanted;
}
