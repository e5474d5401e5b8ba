/* Reading memory that may not be there (internal to helper/).
 *
 * The kernel copies for us (process_vm_readv on our own process) and says how far it got. No signal
 * handler: a host thread may have SIGSEGV blocked, or its own handler installed.
 */
#pragma once

#include "engine/run.h"

/* Copies `bytes`. Returns 0, or -EFAULT with the destination zeroed. Memory of the runtime itself
 * counts as absent. */
FORT_CHECKED int fort_probe_read(const struct fort_run *run, void *to, uint64_t from,
				 uint64_t bytes);
/* Copies a string and its NUL; cut to `room` - 1 characters and a NUL. Returns the bytes written,
 * NUL included; 0 for room 0; -EFAULT with the destination zeroed. */
FORT_CHECKED int64_t fort_probe_string(const struct fort_run *run, char *to, uint64_t from,
				       uint64_t room);
