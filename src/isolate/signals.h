/* The runtime's signals among the host's.
 *
 * Code of programs lies in ranges listed here. When it faults, or when the runtime asks one of its
 * threads to stop, a handler of ours comes before the host's, asks whoever listed the range, and
 * returns to wherever that one says. Everything else goes to the handler that was there before,
 * with its mask and flags, so that the host sees its own signals as ever.
 *
 * Handlers are a chain: each time ours goes in front of something new, it is another entry, which
 * knows what it replaced. So hosts may install handlers later, calling ours from theirs or not, as
 * often as they like; fort_signals_install puts ours in front again. Threads that run programs must
 * not block the signals of faults: the kernel kills processes that fault while they are blocked.
 */
#pragma once

#include <signal.h>
#include <ucontext.h>

#include "base/compiler.h"

/* Sent by the runtime to its own threads. Its default is to be ignored. */
#define FORT_SIGNAL_STOP SIGURG

struct fort_run;

#define FORT_SIGNAL_LINE 64u

struct fort_signal_range {
	uint64_t start, bytes; /* whole FORT_SIGNAL_LINEs */
	/* A fault at an instruction of the range. True when it is dealt with: the context says
	 * where to go on. Runs in a signal handler. */
	bool (*fault)(const struct fort_signal_range *range, const siginfo_t *info,
		      ucontext_t *context);
	/* The thread is at an instruction of the range, in this run, which is to end. False when
	 * it ends by itself. Runs in a signal handler. */
	bool (*stop)(const struct fort_signal_range *range, struct fort_run *run,
		     ucontext_t *context);
};

/* Lists a range; it must be unlisted before it is unmapped, and is read by handlers until then.
 * Installs the handlers the first time. Returns 0, -ENOMEM, -ENOSPC for more than
 * FORT_CODE_IMAGES_MAX, -E2BIG for half a GiB, or fort_signals_install's error.
 */
FORT_CHECKED int fort_signals_list(const struct fort_signal_range *range, uint32_t *place);
void fort_signals_unlist(uint32_t place);
/* The range that has this instruction, or NULL. An image in which a thread is cannot go away. */
const struct fort_signal_range *fort_signals_find(uint64_t ip);

/* Who is told of FORT_SIGNAL_STOP when it comes from this process. */
struct fort_signal_listener {
	/* True when the signal was for it. Runs in a signal handler. */
	bool (*stop)(const struct fort_signal_listener *listener, const siginfo_t *info,
		     ucontext_t *context);
};

/* Returns 0, -ENOMEM, -ENOSPC for more than FORT_SIGNAL_LISTENERS_MAX, or fort_signals_install's
 * error. Forgetting does not wait for handlers that are on their way in other threads: none may be.
 */
FORT_CHECKED int fort_signals_listen(const struct fort_signal_listener *listener);
void fort_signals_forget(const struct fort_signal_listener *listener);

/* Puts ours before what is there now, where it is not in front: for hosts that set handlers later
 * without calling those they replace. Any thread may call it. Returns 0, -ENOMEM, sigaction's
 * error, or -ENOSPC when that was done FORT_SIGNAL_ENTRIES_MAX times.
 */
FORT_CHECKED int fort_signals_install(void);
