/* Whose call this is: the process whose memory the pointers of a request belong to.
 *
 * The store may be in that process or not; either way its pointers are only numbers until they
 * were read through here. An address that cannot be accessed gives -EFAULT, never a fault.
 */
#pragma once

#include <sys/types.h>

#include "base/compiler.h"

struct fort_caller {
	pid_t pid; /* 0: this process */
};

FORT_CHECKED int fort_caller_read(const struct fort_caller *caller, uint64_t address, void *data,
				  size_t bytes);
FORT_CHECKED int fort_caller_write(const struct fort_caller *caller, uint64_t address,
				   const void *data, size_t bytes);

/* Copies a string with its NUL into `text` of `room` bytes, cutting it there (the result is then
 * not terminated). Returns its length without the NUL (room when cut), or -EFAULT.
 */
FORT_CHECKED int64_t fort_caller_string(const struct fort_caller *caller, uint64_t address,
					char *text, size_t room);

/* Are `bytes` bytes at `address` all zero? 1, 0, or -EFAULT. */
FORT_CHECKED int fort_caller_is_zero(const struct fort_caller *caller, uint64_t address,
				     size_t bytes);
