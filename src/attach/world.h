/* Stopping all threads of a process, and letting them go as if nothing had been: the loader does
 * it once to bring the agent in, the agent's helper process each time that code is written.
 *
 * Threads are seized (PTRACE_SEIZE: no SIGSTOP, no SIGTRAP that the process could see) and
 * interrupted; when a pass over /proc/PID/task finds no new thread and all have stopped, none can
 * appear. Signals caught on the way are handed back, and system calls that ended with EINTR only
 * because of us are made again (restart.h).
 */
#pragma once

#include "attach/reason.h"
#include "attach/regs.h"
#include "base/compiler.h"

struct fort_world_thread {
	int32_t tid;
	bool stopped;
	int32_t signal; /* was about to be delivered when the thread stopped; 0: none */
};

struct fort_world {
	int proc_fd;                       /* /proc/PID of the process; not owned */
	int32_t skip_tid;                  /* a thread to leave alone: the agent's own; 0: none */
	uint64_t budget_ns;                /* how long to wait for all threads to stop */
	struct fort_world_thread *threads; /* `room` of them, the caller's */
	uint32_t room, n;        /* n: 0 at first, or threads that the caller has stopped already */
	enum fort_reason reason; /* why stop failed, and which thread or tracer */
	int32_t culprit;
};

/* Stops all threads. Returns 0; or, with all threads running again and reason set: -EAGAIN when a
 * later try may succeed (a thread did not stop in time, someone else traces one), -EPERM,
 * -E2BIG (more than `room` threads), or the error of /proc.
 */
FORT_CHECKED int fort_world_stop(struct fort_world *world);

/* Lets all threads go on, as they would have without us. After a failed stop some may not have
 * stopped yet: the kernel lets those go when the calling process ends, so callers are processes
 * that live for one stop.
 */
void fort_world_resume(struct fort_world *world);

/* Registers of a stopped thread; -ESRCH when it died meanwhile. */
FORT_CHECKED int fort_world_regs(const struct fort_world_thread *thread, struct fort_regs *out);
FORT_CHECKED int fort_world_set_regs(const struct fort_world_thread *thread,
				     const struct fort_regs *regs);

/* Waits for the next stop of a thread that this process traces, of the process behind proc_fd.
 * Returns 0 with the status of wait(2), or -ESRCH: it has ended. */
FORT_CHECKED int fort_world_await(int proc_fd, int32_t tid, int *status);

/* Would a signal that is now pending run a handler in this thread? Or does its status say that it
 * cannot be read: then too.
 */
bool fort_world_handler_due(const struct fort_world *world, const struct fort_world_thread *thread);

/* Nanoseconds of CLOCK_MONOTONIC, and a pause. */
uint64_t fort_world_now_ns(void);
void fort_world_pause_ns(uint64_t ns);
