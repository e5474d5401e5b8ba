#include "cli/section.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"

/* Splits "PATH:FUNC[+OFFSET]". */
static void parse_place(const char *place, struct fort_probe_section *out, struct fort_text *why)
{
	const char *colon = strrchr(place, ':');
	const char *plus = colon ? strchr(colon, '+') : NULL;
	size_t path_bytes, name_bytes;
	char *end;

	if (!colon || !colon[1] || plus == colon + 1) {
		fort_text_add(why, "expected PATH:FUNCTION");
		return;
	}
	path_bytes = (size_t)(colon - place);
	name_bytes = plus ? (size_t)(plus - colon - 1) : strlen(colon + 1);
	if (path_bytes >= sizeof(out->path) || name_bytes >= sizeof(out->function)) {
		fort_text_add(why, "the name is too long");
		return;
	}
	memcpy(out->path, place, path_bytes);
	memcpy(out->function, colon + 1, name_bytes);
	if (plus) {
		errno = 0;
		out->offset = strtoull(plus + 1, &end, 0);
		if (end == plus + 1 || *end || errno) {
			fort_text_add(why, "expected a number behind '+'");
			return;
		}
		if (out->returns && out->offset) {
			fort_text_add(why, "a function returns as a whole: no offset");
			return;
		}
	}
	out->has_place = true;
}

bool fort_section_parse(const char *section, struct fort_probe_section *out, struct fort_text *why)
{
	static const struct {
		const char *word;
		bool returns;
	} words[] = {
		{"uprobe", false}, {"uprobe.s", false}, {"uretprobe", true}, {"uretprobe.s", true}};
	size_t length = strcspn(section, "/");

	for (size_t i = 0; i < FORT_LEN(words); i++) {
		if (strlen(words[i].word) != length || strncmp(words[i].word, section, length) != 0)
			continue;
		memset(out, 0, sizeof(*out));
		out->returns = words[i].returns;
		if (section[length])
			parse_place(section + length + 1, out, why);
		return true;
	}
	return false;
}

static int read_exe(pid_t pid, char path[PATH_MAX], struct fort_text *why)
{
	char link[64];
	ssize_t bytes;

	snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
	bytes = readlink(link, path, PATH_MAX - 1);
	if (bytes < 0) {
		int err = -errno;

		fort_text_add(why, "%s: %s", link, strerror(-err));
		return err;
	}
	path[bytes] = 0;
	return 0;
}

/* "libc" and "libc.so.6" are names of /lib/x86_64-linux-gnu/libc.so.6. */
static bool is_called(const char *path, const char *name)
{
	const char *slash = strrchr(path, '/');
	const char *file = slash ? slash + 1 : path;
	size_t length = strlen(name);

	return !strncmp(file, name, length) && (!file[length] || !strncmp(file + length, ".so", 3));
}

static int find_mapped(pid_t pid, const char *name, char path[PATH_MAX], struct fort_text *why)
{
	char maps[64], line[PATH_MAX + 128];
	bool found = false;
	FILE *file;

	snprintf(maps, sizeof(maps), "/proc/%d/maps", (int)pid);
	file = fopen(maps, "re");
	if (!file) {
		int err = -errno;

		fort_text_add(why, "%s: %s", maps, strerror(-err));
		return err;
	}
	for (unsigned n = 0; !found && n < FORT_PROC_LINES_MAX && fgets(line, sizeof(line), file);
	     n++) {
		char *at = strchr(line, '/');

		line[strcspn(line, "\n")] = 0;
		found = at && strlen(at) < PATH_MAX && is_called(at, name);
		if (found)
			memcpy(path, at, strlen(at) + 1);
	}
	fclose(file);
	if (found)
		return 0;
	fort_text_add(why, "process %d has no file '%s' mapped", (int)pid, name);
	return -ENOENT;
}

int fort_section_resolve(const struct fort_probe_section *section, pid_t pid, char path[PATH_MAX],
			 struct fort_text *why)
{
	if (!section->path[0] || !strcmp(section->path, "/proc/self/exe"))
		return read_exe(pid, path, why);
	if (!strchr(section->path, '/'))
		return find_mapped(pid, section->path, path, why);
	memcpy(path, section->path, sizeof(section->path));
	return 0;
}
