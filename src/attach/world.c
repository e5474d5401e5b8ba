#include "attach/world.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ptrace.h>
#include <linux/wait.h>

#include "attach/procfs.h"
#include "attach/restart.h"
#include "base/sys.h"

#define NS_PER_S    1000000000ull
#define STOP_EVENT  128 /* PTRACE_EVENT_STOP: our interruption, or a group stop */
#define SIGNALS     64
#define STRAGGLE_NS (2 * NS_PER_S)
#define TIDS        64

/* Signals whose default is to do nothing: CHLD, CONT, URG, WINCH. */
#define DEFAULT_IGNORED (1ull << 16 | 1ull << 17 | 1ull << 22 | 1ull << 27)

enum { PTRACE_CALL_GETREGS = 12, PTRACE_CALL_SETREGS = 13, PTRACE_CALL_DETACH = 17 };

struct timespec_words {
	int64_t seconds, nanoseconds;
};

uint64_t fort_world_now_ns(void)
{
	struct timespec_words now = {0};

	fort_sys2(SYS_clock_gettime, 1 /* CLOCK_MONOTONIC */, (long)&now);
	return (uint64_t)now.seconds * NS_PER_S + (uint64_t)now.nanoseconds;
}

void fort_world_pause_ns(uint64_t ns)
{
	struct timespec_words pause = {(int64_t)(ns / NS_PER_S), (int64_t)(ns % NS_PER_S)};

	fort_sys2(SYS_nanosleep, (long)&pause, 0);
}

int fort_world_regs(const struct fort_world_thread *thread, struct fort_regs *out)
{
	return (int)fort_sys4(SYS_ptrace, PTRACE_CALL_GETREGS, thread->tid, 0, (long)out);
}

int fort_world_set_regs(const struct fort_world_thread *thread, const struct fort_regs *regs)
{
	return (int)fort_sys4(SYS_ptrace, PTRACE_CALL_SETREGS, thread->tid, 0, (long)regs);
}

static bool read_status(int proc_fd, int32_t tid, char text[FORT_STATUS_BYTES])
{
	char path[FORT_PATH_BYTES];

	fort_procfs_task_path(path, tid, "status");
	return fort_procfs_read(proc_fd, path, text, FORT_STATUS_BYTES) > 0;
}

/* A main thread that has ended is not reported by wait while others of its process, which may be
 * stopped by us, have not been waited for. */
static bool has_ended(int proc_fd, int32_t tid)
{
	char text[FORT_STATUS_BYTES], state;

	if (!read_status(proc_fd, tid, text))
		return true;
	state = fort_procfs_state(text);
	return state == 'Z' || state == 'X';
}

/* Between two looks: most threads stop within microseconds. True when it has been long. */
static bool rest(uint32_t *rounds)
{
	if ((*rounds)++ < 64) {
		fort_sys0(SYS_sched_yield);
		return false;
	}
	fort_world_pause_ns(50000);
	return true;
}

int fort_world_await(int proc_fd, int32_t tid, int *status)
{
	uint32_t rounds = 0;
	long got;

	for (;;) {
		got = fort_sys4(SYS_wait4, tid, (long)status, WNOHANG | __WALL, 0);
		if (got)
			return got > 0 && (*status & 0xff) == 0x7f ? 0 : -ESRCH;
		if (rest(&rounds) && has_ended(proc_fd, tid))
			return -ESRCH;
	}
}

bool fort_world_handler_due(const struct fort_world *world, const struct fort_world_thread *thread)
{
	uint64_t own, shared, blocked, caught;
	char text[FORT_STATUS_BYTES];

	if (!read_status(world->proc_fd, thread->tid, text) ||
	    !fort_procfs_field(text, "SigPnd", 16, &own) ||
	    !fort_procfs_field(text, "ShdPnd", 16, &shared) ||
	    !fort_procfs_field(text, "SigBlk", 16, &blocked) ||
	    !fort_procfs_field(text, "SigCgt", 16, &caught))
		return true;
	own = (own | shared) & ~blocked;
	if (thread->signal > 0 && thread->signal <= SIGNALS)
		own |= 1ull << (thread->signal - 1);
	return own & caught;
}

/* Would the signal in hand be ignored? It was queued only because the thread is traced. */
static bool signal_ignored(const struct fort_world *world, const struct fort_world_thread *thread)
{
	uint64_t bit = 1ull << (thread->signal - 1), ignored, caught;
	char text[FORT_STATUS_BYTES];

	return thread->signal <= SIGNALS && read_status(world->proc_fd, thread->tid, text) &&
	       fort_procfs_field(text, "SigIgn", 16, &ignored) &&
	       fort_procfs_field(text, "SigCgt", 16, &caught) &&
	       (ignored & bit || (DEFAULT_IGNORED & bit && !(caught & bit)));
}

static void release(const struct fort_world *world, struct fort_world_thread *thread)
{
	struct fort_regs regs;

	if (thread->signal && signal_ignored(world, thread))
		thread->signal = 0;
	if (!fort_world_regs(thread, &regs) && fort_restart_needed(&regs) &&
	    !fort_world_handler_due(world, thread)) {
		fort_restart_rewind(&regs);
		fort_sys4(SYS_ptrace, PTRACE_CALL_SETREGS, thread->tid, 0, (long)&regs);
	}
	fort_sys4(SYS_ptrace, PTRACE_CALL_DETACH, thread->tid, 0, thread->signal);
}

/* Has the thread stopped by now, or died? Non-blocking. */
static void look(struct fort_world_thread *thread)
{
	int status = 0;
	long got = fort_sys4(SYS_wait4, thread->tid, (long)&status, WNOHANG | __WALL, 0);
	int signal = status >> 8 & 0xff;

	if (got == 0)
		return;
	thread->stopped = true;
	if (got < 0 || (status & 0xff) != 0x7f) {
		thread->tid = 0; /* exited */
		return;
	}
	thread->signal = status >> 16 == STOP_EVENT ? 0 : signal;
}

void fort_world_resume(struct fort_world *world)
{
	for (uint32_t i = 0; i < world->n; i++)
		if (world->threads[i].tid && world->threads[i].stopped)
			release(world, &world->threads[i]);
	world->n = 0;
}

/* After a failed stop: threads that were interrupted and stop only now go on as the others do. Let
 * go by our end instead, they would see their system calls interrupted. */
static void resume_stragglers(struct fort_world *world)
{
	uint64_t deadline = fort_world_now_ns() + STRAGGLE_NS;
	uint32_t left = 1, rounds = 0;
	bool late = false;

	while (left && fort_world_now_ns() < deadline) {
		left = 0;
		for (uint32_t i = 0; i < world->n; i++) {
			struct fort_world_thread *thread = &world->threads[i];

			if (!thread->tid)
				continue;
			if (!thread->stopped)
				look(thread);
			if (!thread->stopped &&
			    (!late || !has_ended(world->proc_fd, thread->tid))) {
				left++;
				continue;
			}
			if (thread->stopped && thread->tid)
				release(world, thread);
			thread->tid = 0;
		}
		late = left && rest(&rounds);
	}
	world->n = 0;
}

static bool known(const struct fort_world *world, uint32_t hint, int32_t tid)
{
	/* The kernel lists threads in the order of their creation: mostly the next one. */
	if (hint < world->n && world->threads[hint].tid == tid)
		return true;
	for (uint32_t i = 0; i < world->n; i++)
		if (world->threads[i].tid == tid)
			return true;
	return false;
}

/* Why a thread cannot be seized: it is no longer there (0), or an error and its reason. */
static int refusal(struct fort_world *world, int32_t tid)
{
	char text[FORT_STATUS_BYTES], state;
	uint64_t tracer = 0;

	if (!read_status(world->proc_fd, tid, text))
		return 0;
	state = fort_procfs_state(text);
	if (state == 'Z' || state == 'X')
		return 0;
	world->culprit = tid;
	world->reason = FORT_REASON_DENIED;
	if (!fort_procfs_field(text, "TracerPid", 10, &tracer) || !tracer)
		return -EPERM;
	world->culprit = (int32_t)tracer;
	world->reason = FORT_REASON_TRACED;
	return -EAGAIN;
}

static int seize(struct fort_world *world, int32_t tid, bool *fresh)
{
	long err;

	if (world->n == world->room) {
		world->reason = FORT_REASON_THREADS;
		world->culprit = (int32_t)world->room;
		return -E2BIG;
	}
	err = fort_sys4(SYS_ptrace, PTRACE_SEIZE, tid, 0, 0);
	if (err && err != -ESRCH)
		return refusal(world, tid);
	*fresh = true; /* one that has just ended may have made another */
	if (err)
		return 0;
	fort_sys4(SYS_ptrace, PTRACE_INTERRUPT, tid, 0, 0);
	world->threads[world->n++] = (struct fort_world_thread){.tid = tid};
	return 0;
}

/* Seizes all threads not yet known that live; *fresh says whether there were any. A process may
 * keep its ended main thread for long. */
static int seize_new(struct fort_world *world, int task_fd, bool *fresh)
{
	uint32_t seen = 0;
	int32_t tids[TIDS];
	long n;
	int err;

	*fresh = false;
	fort_sys3(SYS_lseek, task_fd, 0, 0);
	while ((n = fort_procfs_tids(task_fd, tids, TIDS)) > 0) {
		for (long i = 0; i < n; i++) {
			if (tids[i] == world->skip_tid || known(world, seen++, tids[i]))
				continue;
			err = seize(world, tids[i], fresh);
			if (err)
				return err;
		}
	}
	return (int)n;
}

/* Waits until all seized threads have stopped. */
static int wait_all(struct fort_world *world, uint64_t deadline)
{
	uint32_t waiting, rounds = 0;
	bool late = false;

	for (;;) {
		waiting = 0;
		for (uint32_t i = 0; i < world->n; i++) {
			struct fort_world_thread *thread = &world->threads[i];

			if (!thread->stopped)
				look(thread);
			if (!thread->stopped && late && has_ended(world->proc_fd, thread->tid))
				*thread = (struct fort_world_thread){.stopped = true};
			if (thread->stopped)
				continue;
			waiting++;
			world->culprit = thread->tid;
		}
		if (!waiting)
			return 0;
		if (fort_world_now_ns() > deadline) {
			world->reason = FORT_REASON_WONT_STOP;
			return -EAGAIN;
		}
		late = rest(&rounds);
	}
}

int fort_world_stop(struct fort_world *world)
{
	uint64_t deadline = fort_world_now_ns() + world->budget_ns;
	long task_fd;
	bool fresh;
	int err;

	world->reason = FORT_REASON_NONE;
	task_fd = fort_sys4(SYS_openat, world->proc_fd, (long)"task",
			    O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (task_fd < 0)
		return (int)task_fd;
	do {
		err = seize_new(world, (int)task_fd, &fresh);
		if (!err && fresh)
			err = wait_all(world, deadline);
		if (!err && fresh && fort_world_now_ns() > deadline) { /* ever new ones */
			world->reason = FORT_REASON_WONT_STOP;
			err = -EAGAIN;
		}
	} while (!err && fresh);
	fort_sys1(SYS_close, task_fd);
	if (err)
		resume_stragglers(world);
	return err;
}
