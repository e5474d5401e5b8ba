#include "attach/sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static int make(const char *name, uint64_t bytes)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), err;

	if (fd < 0)
		return -errno;
	if (!ftruncate(fd, (off_t)bytes))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

static int seal(int fd, int seals)
{
	int err;

	if (!fcntl(fd, F_ADD_SEALS, seals))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

int fort_sealed_empty(const char *name, uint64_t bytes)
{
	int fd = make(name, bytes);

	return fd < 0 ? fd : seal(fd, SIZE_SEALS);
}

int fort_sealed_copy(const char *name, struct fort_span content)
{
	int fd = make(name, content.bytes);
	size_t at = 0;

	while (fd >= 0 && at < content.bytes) {
		ssize_t put = pwrite(fd, content.data + at, content.bytes - at, (off_t)at);

		if (put <= 0) {
			close(fd);
			return -EIO;
		}
		at += (size_t)put;
	}
	return fd < 0 ? fd : seal(fd, SIZE_SEALS | F_SEAL_WRITE);
}
