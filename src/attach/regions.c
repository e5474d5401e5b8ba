#include "attach/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "attach/procfs.h"
#include "base/limits.h"
#include "base/sys.h"

#define LINE_BYTES 8192u /* of maps: a path and 100 */

#define LOWEST  (64u << 10) /* vm.mmap_min_addr */
#define HIGHEST 0x7ffffffff000ull
#define MARGIN  (64u << 10) /* kept free on both sides */
#define GROWTH  (64u << 20) /* kept free where the heap and the main stack grow */

/* The whole file; *bytes without the NUL. */
static char *read_all(int dir_fd, const char *path, size_t *bytes)
{
	size_t room = 64u << 10;
	char *text = malloc(room);
	long got;

	while (text) {
		char *more;

		got = fort_procfs_read(dir_fd, path, text, room);
		if (got < 0)
			break;
		*bytes = (size_t)got;
		if ((size_t)got < room - 1)
			return text;
		room *= 2;
		more = room <= FORT_MAPS_TEXT_MAX ? realloc(text, room) : NULL;
		if (!more)
			break;
		text = more;
	}
	free(text);
	return NULL;
}

static bool parse_line(char *line, struct fort_region *out)
{
	unsigned major, minor;
	char rights[5];
	int path = 0;

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64 " %n",
		   &out->start, &out->end, rights, &out->offset, &major, &minor, &out->inode,
		   &path) < 7 ||
	    !path)
		return false;
	out->device = (uint64_t)major << 32 | minor;
	out->rights = (rights[0] == 'r' ? PROT_READ : 0) | (rights[1] == 'w' ? PROT_WRITE : 0) |
		      (rights[2] == 'x' ? PROT_EXEC : 0);
	out->shared = rights[3] == 's';
	out->path = line + path;
	return true;
}

int fort_regions_read(const struct fort_process *process, struct fort_regions *out)
{
	struct fort_regions regions = {0};
	char path[FORT_PATH_BYTES], *line, *rest;
	size_t bytes, lines = 0;

	fort_procfs_task_path(path, process->thread, "maps");
	regions.text = read_all(process->proc_fd, path, &bytes);
	if (!regions.text)
		return -ESRCH;
	for (size_t i = 0; i < bytes; i++)
		lines += regions.text[i] == '\n';
	regions.region = calloc(lines + 1, sizeof(*regions.region));
	if (!regions.region) {
		free(regions.text);
		return -ENOMEM;
	}
	rest = regions.text;
	while (regions.n < lines && (line = strsep(&rest, "\n")))
		regions.n += parse_line(line, &regions.region[regions.n]);
	if (!regions.n) {
		fort_regions_free(&regions);
		return -ESRCH;
	}
	*out = regions;
	return 0;
}

void fort_regions_free(struct fort_regions *regions)
{
	free(regions->region);
	free(regions->text);
	*regions = (struct fort_regions){0};
}

/* Parses the whole lines of *text until one starts at `start`, and keeps what is behind them. */
static bool find_line(char *text, uint64_t start, struct fort_region *out)
{
	char *line = text, *end;

	while ((end = strchr(line, '\n'))) {
		*end = 0;
		if (parse_line(line, out) && out->start == start)
			return true;
		line = end + 1;
	}
	memmove(text, line, strlen(line) + 1);
	return false;
}

bool fort_regions_at(const struct fort_process *process, uint64_t start, struct fort_region *out)
{
	char path[FORT_PATH_BYTES], text[LINE_BYTES] = "";
	bool found = false;
	long fd, got;

	fort_procfs_task_path(path, process->thread, "maps");
	fd = fort_sys4(SYS_openat, process->proc_fd, (long)path, O_RDONLY | O_CLOEXEC, 0);
	while (fd >= 0 && !found) {
		size_t kept = strlen(text);

		got = fort_sys3(SYS_read, fd, (long)(text + kept), (long)(LINE_BYTES - 1 - kept));
		if (got <= 0)
			break;
		text[kept + (size_t)got] = 0;
		found = find_line(text, start, out);
	}
	if (fd >= 0)
		fort_sys1(SYS_close, fd);
	out->path = "";
	return found;
}

/* Distance from `near` to the farther end of [start, start + bytes). */
static uint64_t farthest(uint64_t near, uint64_t start, uint64_t bytes)
{
	uint64_t below = near > start ? near - start : 0;
	uint64_t above = start + bytes > near ? start + bytes - near : 0;

	return below > above ? below : above;
}

static bool is_named(const struct fort_region *region, const char *name)
{
	return !strcmp(region->path, name);
}

/* Does the heap grow, or will it, behind mapping `index`? It starts behind the program. */
static bool heap_grows_behind(const struct fort_regions *regions, size_t index)
{
	const struct fort_region *region = &regions->region[index];

	if (is_named(region, "[heap]"))
		return true;
	if (index + 1 < regions->n && is_named(region + 1, "[heap]"))
		return false;
	return is_named(region, regions->region[0].path) ||
	       (index && !*region->path && region[-1].end == region->start &&
		is_named(region - 1, regions->region[0].path));
}

/* The best place in the gap before mapping `index`, which may be behind the last; 0: none. */
static uint64_t place_in_gap(const struct fort_regions *regions, size_t index, uint64_t near,
			     uint64_t bytes, uint64_t reach)
{
	uint64_t start = LOWEST, end = HIGHEST, low = MARGIN, high, at;

	if (index) {
		start = regions->region[index - 1].end;
		start += heap_grows_behind(regions, index - 1) ? GROWTH : MARGIN;
	}
	if (index < regions->n) {
		end = regions->region[index].start;
		low = is_named(&regions->region[index], "[stack]") ? GROWTH : MARGIN;
	}
	if (end < low + bytes || start > end - low - bytes)
		return 0;
	high = end - low - bytes;
	at = near < start ? start : near > high ? high : near;
	at &= ~(uint64_t)(FORT_PAGE_BYTES - 1);
	if (at < start)
		at += FORT_PAGE_BYTES;
	return at <= high && farthest(near, at, bytes) <= reach ? at : 0;
}

uint64_t fort_regions_gap(const struct fort_regions *regions, uint64_t near, uint64_t bytes,
			  uint64_t reach)
{
	uint64_t best = 0;

	for (size_t i = 0; i <= regions->n; i++) {
		uint64_t at = place_in_gap(regions, i, near, bytes, reach);

		if (at && (!best || farthest(near, at, bytes) < farthest(near, best, bytes)))
			best = at;
	}
	return best;
}
