/* Shared memory objects: sealed memfds of a fixed size. */
#pragma once

#include "base/compiler.h"

/* A zeroed object of `bytes` (a multiple of the page size), close-on-exec, not executable, mode
 * 0600, that can neither grow nor shrink. `sealed`: no further seals may be added. Returns 0, or
 * the error of memfd_create or ftruncate; the caller owns *fd.
 */
FORT_CHECKED int fort_memfd_new(const char *name, uint64_t bytes, bool sealed, int *fd);
/* Can an object from someone else be mapped without fear? -EBADMSG unless it has exactly this
 * size and can neither grow nor shrink. */
FORT_CHECKED int fort_memfd_check(int fd, uint64_t bytes);
/* Maps all of it: read-write and shared, or for reading only. A mapping for reading is private,
 * which sees what others write all the same, but does not stand in the way of F_SEAL_WRITE. */
FORT_CHECKED int fort_memfd_map(int fd, uint64_t bytes, bool writable, void **out);
void fort_memfd_unmap(void *at, uint64_t bytes);
