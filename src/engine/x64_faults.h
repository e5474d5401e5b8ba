/* Faults of programs: which images of code there are, and the handler that ends a run whose access
 * has no memory behind it.
 *
 * SIGSEGV and SIGBUS that the processor raised at an access noted by the compiler, in an image
 * listed here, end that run. Everything else goes to the handler that was there before, with its
 * mask and flags, so that the host sees its own faults as ever. Threads that run programs must not
 * block the two signals: the kernel kills processes that fault while they are blocked.
 */
#pragma once

#include "engine/x64_op.h"

struct fort_x64_faults {
	uint64_t start, bytes;                  /* of the image; whole pages */
	uint64_t way_out;                       /* where runs are ended early */
	const struct fort_x64_access *accesses; /* by place */
	uint32_t n_accesses;
};

/* Puts the handler before those that are there now. The first image does so by itself; a host that
 * sets its own handlers later calls this again, unless they call the one they replaced. Does
 * nothing where it is already first. Any thread may call it. Returns 0, -ENOMEM or sigaction's
 * error.
 */
FORT_CHECKED int fort_x64_faults_install(void);

/* Lists an image, which must be unlisted before it is unmapped. `faults` must live as long, and is
 * read by the handler. Returns 0, -ENOMEM, -ENOSPC for more than FORT_CODE_IMAGES_MAX, or
 * sigaction's error.
 */
FORT_CHECKED int fort_x64_faults_list(const struct fort_x64_faults *faults, uint32_t *place);
void fort_x64_faults_unlist(uint32_t place);
