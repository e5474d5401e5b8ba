#include "attach/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/sys.h"

long fort_procfs_read(int dir_fd, const char *path, char *text, size_t room)
{
	long fd = fort_sys4(SYS_openat, dir_fd, (long)path, O_RDONLY | O_CLOEXEC, 0);
	size_t bytes = 0;
	long got;

	if (fd < 0)
		return fd;
	do {
		got = fort_sys3(SYS_read, fd, (long)(text + bytes), (long)(room - 1 - bytes));
		if (got > 0)
			bytes += (size_t)got;
	} while (got > 0 && bytes < room - 1);
	fort_sys1(SYS_close, fd);
	text[bytes] = 0;
	return got < 0 ? got : (long)bytes;
}

void fort_procfs_task_path(char path[FORT_PATH_BYTES], int32_t tid, const char *name)
{
	char digits[12];
	size_t n = 0, at;

	memcpy(path, "task/", 5);
	at = 5;
	do {
		digits[n++] = (char)('0' + tid % 10);
		tid /= 10;
	} while (tid > 0);
	while (n)
		path[at++] = digits[--n];
	path[at++] = '/';
	while (*name && at < FORT_PATH_BYTES - 1)
		path[at++] = *name++;
	path[at] = 0;
}

/* The text behind "NAME:" and blanks, or NULL. */
static const char *find_field(const char *text, const char *name)
{
	size_t length = strlen(name);

	while (*text) {
		if (!strncmp(text, name, length) && text[length] == ':') {
			text += length + 1;
			while (*text == '\t' || *text == ' ')
				text++;
			return text;
		}
		while (*text && *text != '\n')
			text++;
		if (*text)
			text++;
	}
	return NULL;
}

/* The value of a digit in `base`, or base itself for anything else. */
static unsigned digit(char letter, unsigned base)
{
	unsigned value = base;

	if (letter >= '0' && letter <= '9')
		value = (unsigned)(letter - '0');
	else if (letter >= 'a' && letter <= 'f')
		value = (unsigned)(letter - 'a') + 10;
	return value < base ? value : base;
}

static bool number(const char *text, unsigned base, uint64_t *out)
{
	uint64_t value = 0;

	if (digit(*text, base) == base)
		return false;
	for (; digit(*text, base) < base; text++)
		value = value * base + digit(*text, base);
	*out = value;
	return true;
}

bool fort_procfs_field(const char *text, const char *name, unsigned base, uint64_t *out)
{
	const char *at = find_field(text, name);

	return at && number(at, base, out);
}

bool fort_procfs_field_word(const char *text, const char *name, unsigned index, uint64_t *out)
{
	const char *at = find_field(text, name);

	if (!at)
		return false;
	while (index--) {
		while (digit(*at, 10) < 10)
			at++;
		while (*at == '\t' || *at == ' ')
			at++;
	}
	return number(at, 10, out);
}

char fort_procfs_state(const char *status)
{
	const char *at = find_field(status, "State");

	return at ? *at : 0;
}

/* What getdents64(2) writes. */
struct entry {
	uint64_t inode;
	int64_t next;
	uint16_t bytes;
	uint8_t type;
	char name[];
};

long fort_procfs_tids(int task_fd, int32_t *tids, size_t room)
{
	_Alignas(struct entry) char buf[2048];
	/* The entry of a thread takes at least 24 bytes: what one call returns fits. */
	size_t ask = room * 24 < sizeof(buf) ? room * 24 : sizeof(buf);
	uint64_t value;
	size_t n = 0;
	long bytes;

	do { /* again when there was nothing but "." and ".." */
		bytes = fort_sys3(SYS_getdents64, task_fd, (long)buf, (long)ask);
		for (long at = 0; at < bytes;) {
			const struct entry *entry = (const struct entry *)(buf + at);

			if (number(entry->name, 10, &value) && n < room)
				tids[n++] = (int32_t)value;
			at += entry->bytes;
		}
	} while (bytes > 0 && !n);
	return bytes < 0 ? bytes : (long)n;
}
