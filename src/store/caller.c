#include "store/caller.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/limits.h"

typedef ssize_t transfer_fn(pid_t pid, const struct iovec *here, unsigned long n_here,
			    const struct iovec *there, unsigned long n_there, unsigned long flags);

/* process_vm_readv and _writev on ourselves too: the kernel checks the address for us, without a
 * signal handler in somebody else's process. They move what they can, up to the first bad page.
 */
static int transfer(transfer_fn *move, const struct fort_caller *caller, uint64_t address,
		    void *data, size_t bytes)
{
	struct iovec here = {.iov_base = data, .iov_len = bytes};
	struct iovec there = {.iov_base = (void *)(uintptr_t)address, .iov_len = bytes};
	ssize_t moved;

	if (!bytes)
		return 0;
	moved = move(caller->pid ? caller->pid : getpid(), &here, 1, &there, 1, 0);
	if (moved == (ssize_t)bytes)
		return 0;
	return moved < 0 && errno != EFAULT && errno != EINVAL ? -errno : -EFAULT;
}

int fort_caller_read(const struct fort_caller *caller, uint64_t address, void *data, size_t bytes)
{
	return transfer(process_vm_readv, caller, address, data, bytes);
}

int fort_caller_write(const struct fort_caller *caller, uint64_t address, const void *data,
		      size_t bytes)
{
	return transfer(process_vm_writev, caller, address, (void *)(uintptr_t)data, bytes);
}

/* Page by page: what follows the string may not be readable. */
int64_t fort_caller_string(const struct fort_caller *caller, uint64_t address, char *text,
			   size_t room)
{
	size_t length = 0;

	while (length < room) {
		size_t part = FORT_PAGE_BYTES - (address + length) % FORT_PAGE_BYTES;
		size_t found;
		int err;

		if (part > room - length)
			part = room - length;
		err = fort_caller_read(caller, address + length, text + length, part);
		if (err)
			return err;
		found = strnlen(text + length, part);
		length += found;
		if (found < part)
			break;
	}
	return (int64_t)length;
}

/* In order, as the kernel does: what is not zero is told before what cannot be read. */
int fort_caller_is_zero(const struct fort_caller *caller, uint64_t address, size_t bytes)
{
	uint8_t piece[256];

	for (size_t at = 0, part; at < bytes; at += part) {
		int err;

		part = FORT_PAGE_BYTES - (address + at) % FORT_PAGE_BYTES;
		part = part < sizeof(piece) ? part : sizeof(piece);
		part = part < bytes - at ? part : bytes - at;
		err = fort_caller_read(caller, address + at, piece, part);
		if (err)
			return err;
		for (size_t i = 0; i < part; i++)
			if (piece[i])
				return 0;
	}
	return 1;
}
