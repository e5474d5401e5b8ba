/* Section names of probes, and what they mean in a given process:
 *
 *   uprobe/PATH:FUNC[+OFFSET]     uretprobe/PATH:FUNC     and with ".s" behind the first word
 *
 * PATH is absolute; or a library's file name as the process has it mapped ("libc", "libc.so.6");
 * or empty or /proc/self/exe: the program that the process runs.
 */
#pragma once

#include <limits.h>
#include <sys/types.h>

#include "base/text.h"

struct fort_probe_section {
	bool returns, has_place;
	char path[PATH_MAX], function[256];
	uint64_t offset;
};

/* False when `section` is none of a probe. True with why->length when it is one, but wrong. */
bool fort_section_parse(const char *section, struct fort_probe_section *out, struct fort_text *why);

/* The file that the section's path means in that process. Returns 0 or a negative errno with why.
 */
FORT_CHECKED int fort_section_resolve(const struct fort_probe_section *section, pid_t pid,
				      char path[PATH_MAX], struct fort_text *why);
