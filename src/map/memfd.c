#include "map/memfd.h"

#include <errno.h>
#include <linux/fcntl.h>
#include <linux/memfd.h>
#include <linux/mman.h>

#include "base/sys.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008u /* Linux 6.3 */
#endif

static int finish(int fd, uint64_t bytes, bool sealed)
{
	long seals = F_SEAL_GROW | F_SEAL_SHRINK | (sealed ? F_SEAL_SEAL : 0);
	long err = fort_sys2(SYS_fchmod, fd, 0600);

	if (!err)
		err = fort_sys2(SYS_ftruncate, fd, (long)bytes);
	if (!err)
		err = fort_sys3(SYS_fcntl, fd, F_ADD_SEALS, seals);
	return (int)err;
}

int fort_memfd_new(const char *name, uint64_t bytes, bool sealed, int *out)
{
	long flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	long fd = fort_sys2(SYS_memfd_create, (long)name, flags | MFD_NOEXEC_SEAL);
	int err;

	if (fd == -EINVAL)
		fd = fort_sys2(SYS_memfd_create, (long)name, flags);
	if (fd < 0)
		return (int)fd;
	err = finish((int)fd, bytes, sealed);
	if (err) {
		fort_sys1(SYS_close, fd);
		return err;
	}
	*out = (int)fd;
	return 0;
}

int fort_memfd_check(int fd, uint64_t bytes)
{
	long seals = fort_sys3(SYS_fcntl, fd, F_GET_SEALS, 0);

	if (seals == -EBADF)
		return -EBADF;
	if (seals < 0 || (seals & (F_SEAL_GROW | F_SEAL_SHRINK)) != (F_SEAL_GROW | F_SEAL_SHRINK))
		return -EBADMSG;
	return fort_sys3(SYS_lseek, fd, 0, 2 /* SEEK_END */) == (long)bytes ? 0 : -EBADMSG;
}

int fort_memfd_map(int fd, uint64_t bytes, bool writable, void **out)
{
	long at = fort_sys6(SYS_mmap, 0, (long)bytes, PROT_READ | (writable ? PROT_WRITE : 0),
			    writable ? MAP_SHARED : MAP_PRIVATE, fd, 0);

	if (at < 0 && at >= -4095)
		return (int)at;
	*out = (void *)at;
	return 0;
}

void fort_memfd_unmap(void *at, uint64_t bytes)
{
	if (at)
		fort_sys2(SYS_munmap, (long)at, (long)bytes);
}
