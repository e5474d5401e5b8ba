/* The process that `bpfort run` probes: one that runs, or one that is started for it and waits
 * until everything is attached.
 */
#pragma once

#include <sys/types.h>

#include "cli/front.h"

struct fort_run_target;

/* Makes a running process (`pid`), or a new one (`command`, if not NULL), the one in which the
 * front's store attaches programs. Returns 0 or a negative errno with why. *out is to be closed
 * also then, if it was set. */
FORT_CHECKED int fort_run_target_open(struct fort_front *front, pid_t pid, char *const *command,
				      struct fort_run_target **out, struct fort_text *why);
/* Lets a started command go. Nothing for others. */
FORT_CHECKED int fort_run_target_start(struct fort_run_target *target, struct fort_text *why);
/* Takes everything out of the process again. NULL is fine. */
void fort_run_target_close(struct fort_run_target *target);

pid_t fort_run_target_pid(const struct fort_run_target *target);
/* Readable when the process may have ended; fort_run_target_ended then says whether, and how. */
int fort_run_target_fd(const struct fort_run_target *target);
bool fort_run_target_ended(struct fort_run_target *target, struct fort_text *why);

/* Why the last attachment failed, "" if it did not; valid until the next call. */
const char *fort_run_target_words(struct fort_run_target *target);
/* Hits of all probes that ran no program. */
uint64_t fort_run_target_missed(struct fort_run_target *target);
