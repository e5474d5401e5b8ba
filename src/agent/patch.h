/* Writing code of the process while all of its threads stand still.
 *
 * No thread can stop the others of its own group, so the agent makes a helper: a process of its own
 * that shares the memory, seizes all threads but the agent's (attach/world.h), acts, and ends.
 */
#pragma once

#include "agent/site.h"
#include "attach/world.h"

/* What to do in the stopped world. Runs in the helper, on its small stack. */
typedef int fort_patch_act(struct fort_world *world, void *arg, struct fort_answer *answer);

/* Stops the world and acts. Tries again while the world will not stop (or the act returns -EAGAIN)
 * until `budget_ns` is over. Returns what the act returned, or why the world did not stop, with
 * answer->reason and detail set.
 */
FORT_CHECKED int fort_patch_stopped(fort_patch_act *act, void *arg, uint64_t budget_ns,
				    struct fort_answer *answer);

/* Makes the site's jump `jump`, or takes it away (NULL). Threads inside the bytes that change are
 * moved to the same instruction in the stub. */
FORT_CHECKED int fort_patch_site(struct fort_site *site, const uint8_t *jump,
				 struct fort_answer *answer);

/* For acts: the same with the world already stopped. 0, -EBUSY (OVERLAID: someone else's code is
 * there), -ENOENT (UNMAPPED), -EFAULT (UNWRITABLE), -EAGAIN. */
FORT_CHECKED int fort_patch_now(struct fort_world *world, struct fort_site *site,
				const uint8_t *jump, struct fort_answer *answer);
