/* Bringing the agent into a process, and taking away what it could not unmap itself.
 *
 * All threads are stopped while it happens (well below a millisecond), one of them makes the system
 * calls. The work is done by a short-lived process that shares the loader's memory and descriptors:
 * should the loader be killed meanwhile, no thread is left with borrowed registers.
 */
#pragma once

#include "attach/image.h"
#include "attach/process.h"
#include "attach/protocol.h"
#include "attach/world.h"

struct fort_injection {
	const struct fort_process *process;
	const struct fort_image *image;
	/* A thread that the caller already traces and has stopped, 0 if none: the main thread of a
	 * process that it started. It is then made to wait in the agent's park gate, and the work
	 * is done in the calling thread. */
	int32_t traced;

	int socket; /* out: to the agent; owned */
	struct fort_hello hello;
};

/* Returns 0, or an error with why: what was tried, what the kernel said. */
FORT_CHECKED int fort_inject(struct fort_injection *injection, struct fort_text *why);

/* Does the mapping look like the last page of an agent that has left: alone, and none of a file? An
 * agent that is there has more code behind its first page.
 */
bool fort_inject_is_residue(const struct fort_process *process, const struct fort_region *region);

/* Unmaps the page at `page`, which an agent that has left could not unmap itself. Best effort. */
void fort_inject_sweep(const struct fort_process *process, uint64_t page);
