/* Interrupted system calls. The kernel restarts most of them by itself when a stopped thread goes
 * on; for some it reports EINTR to the program, which must not see that we were there.
 */
#pragma once

#include "attach/regs.h"
#include "base/compiler.h"

/* Is the thread on its way out of a system call with EINTR that may be made again? Whether a
 * signal is the reason is for the caller to find out.
 */
bool fort_restart_needed(const struct fort_regs *regs);

/* Makes the thread repeat its call: a relative timeout starts anew. */
void fort_restart_rewind(struct fort_regs *regs);

/* Will the kernel repeat the call when the thread goes on, that is, move its instruction pointer
 * back over the `syscall` instruction?
 */
bool fort_restart_pending(const struct fort_regs *regs);

/* Bytes of the `syscall` instruction. */
#define FORT_SYSCALL_BYTES 2
