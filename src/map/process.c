#include "map/process.h"

#include <errno.h>
#include <linux/fcntl.h>
#include <string.h>

#include "base/sys.h"

/* proc(5), /proc/PID/stat: positions of fields after the name in parentheses. */
#define FIELD_STATE   0
#define FIELD_THREADS 17
#define FIELD_START   19

struct stat_line {
	uint64_t pid, threads, start;
	char state;
};

static long read_file(const char *path, char *text, size_t room)
{
	long fd = fort_sys4(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0);
	long bytes;

	if (fd < 0)
		return fd;
	bytes = fort_sys3(SYS_read, fd, (long)text, (long)room - 1);
	fort_sys1(SYS_close, fd);
	if (bytes >= 0)
		text[bytes] = 0;
	return bytes;
}

static uint64_t decimal(const char **at)
{
	uint64_t value = 0;

	while (**at >= '0' && **at <= '9')
		value = value * 10 + (uint64_t)(*(*at)++ - '0');
	return value;
}

static bool read_stat(const char *path, struct stat_line *out)
{
	char text[1024];
	const char *at = text;

	if (read_file(path, text, sizeof(text)) <= 0)
		return false;
	out->pid = decimal(&at);
	at = strrchr(text, ')'); /* the name may contain one itself */
	if (!at)
		return false;
	for (unsigned field = 0; field <= FIELD_START; field++) {
		at = strchr(at, ' ');
		if (!at++)
			return false;
		if (field == FIELD_STATE)
			out->state = *at;
		else if (field == FIELD_THREADS)
			out->threads = decimal(&at);
	}
	out->start = decimal(&at);
	return true;
}

static void stat_path(uint32_t pid, char path[32])
{
	char digits[12];
	unsigned n = 0;
	char *at = path + 6;

	memcpy(path, "/proc/", 6);
	do
		digits[n++] = (char)('0' + pid % 10);
	while (pid /= 10);
	while (n)
		*at++ = digits[--n];
	memcpy(at, "/stat", 6);
}

static uint64_t identity(uint32_t pid, uint64_t start)
{
	return (uint64_t)pid << 32 | (uint32_t)start;
}

uint64_t fort_process_self(void)
{
	uint32_t pid = (uint32_t)fort_sys0(SYS_getpid);
	struct stat_line line;

	/* /proc may belong to another pid namespace than ours. */
	if (!read_stat("/proc/self/stat", &line) || line.pid != pid)
		return identity(pid, 0);
	return identity(pid, line.start);
}

bool fort_process_dead(uint64_t process)
{
	uint32_t pid = (uint32_t)(process >> 32), start = (uint32_t)process;
	struct stat_line line;
	char path[32];

	if (!pid || pid > INT32_MAX || fort_sys2(SYS_kill, pid, 0) == -ESRCH)
		return true;
	stat_path(pid, path);
	if (!read_stat(path, &line))
		return false;
	/* The first thread of a living process may be a zombie; then others are counted. */
	if ((line.state == 'Z' || line.state == 'X') && line.threads <= 1)
		return true;
	return start && (uint32_t)line.start != start;
}
