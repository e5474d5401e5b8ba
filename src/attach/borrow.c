#include "attach/borrow.h"

#include <errno.h>
#include <linux/ptrace.h>
#include <linux/wait.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "attach/restart.h"
#include "base/limits.h"
#include "base/sys.h"

#define CALL_STOP    0x85 /* SIGTRAP | 0x80: entry to or exit from a system call */
#define STOP_EVENT   128  /* PTRACE_EVENT_STOP */
#define SEARCH_BYTES (4u << 20)
#define STOPS_MAX    64u /* group stops that may come between */

enum {
	CALL_GETREGS = 12,
	CALL_SETREGS = 13,
	CALL_CONT = 7,
	CALL_SYSCALL = 24,
	CALL_SETOPTIONS = 0x4200,
	CALL_RSEQ = 0x420f
};

static long trace(long request, const struct fort_world_thread *thread, long address, long data)
{
	return fort_sys4(SYS_ptrace, request, thread->tid, address, data);
}

uint64_t fort_borrow_find_syscall(const struct fort_process *process,
				  const struct fort_regions *regions)
{
	static const uint8_t wanted[2] = {0x0f, 0x05};
	uint8_t *code = malloc(SEARCH_BYTES);
	uint64_t found = 0;

	for (size_t i = regions->n; code && i && !found; i--) { /* the vDSO is near the end */
		const struct fort_region *region = &regions->region[i - 1];
		uint64_t bytes = region->end - region->start;
		const uint8_t *at;

		if (!(region->rights & PROT_EXEC) || !(region->rights & PROT_READ) ||
		    region->start > INT64_MAX)
			continue;
		if (bytes > SEARCH_BYTES)
			bytes = SEARCH_BYTES;
		if (fort_process_read(process, region->start, code, bytes))
			continue;
		at = memmem(code, bytes, wanted, sizeof(wanted));
		if (at)
			found = region->start + (uint64_t)(at - code);
	}
	free(code);
	return found;
}

/* Would the thread's EINTR be told from ours? Not when it waits with another mask for a moment
 * (epoll_pwait) and a signal is on its way: we would give it back the mask it has otherwise. */
static bool is_interrupted(const struct fort_world *world, const struct fort_world_thread *thread,
			   const struct fort_regs *regs)
{
	return thread->signal ||
	       (fort_restart_needed(regs) && fort_world_handler_due(world, thread));
}

/* Is the thread within a restartable sequence? The kernel would not abort it once the instruction
 * pointer has been elsewhere. Cannot be while it is in a system call. */
static bool in_sequence(const struct fort_process *process, const struct fort_world_thread *thread,
			const struct fort_regs *regs)
{
	struct {
		uint64_t area;
		uint32_t bytes, signature, flags, pad;
	} rseq = {0};
	uint64_t sequence = 0;

	if ((int64_t)regs->word[FORT_CPU_ORIG_RAX] >= 0)
		return false;
	if (trace(CALL_RSEQ, thread, sizeof(rseq), (long)&rseq) < 0 || !rseq.area)
		return false;
	return fort_process_read(process, rseq.area + 8, &sequence, sizeof(sequence)) || sequence;
}

/* Threads of the kernel's io_uring have no user code to come back to. */
static bool is_worker(const struct fort_regs *regs)
{
	return regs->word[FORT_CPU_CS] != FORT_USER_CS;
}

static bool take(const struct fort_process *process, const struct fort_world *world,
		 const struct fort_world_thread *thread, struct fort_borrow *borrow)
{
	if (!thread->tid || fort_world_regs(thread, &borrow->saved) || is_worker(&borrow->saved) ||
	    is_interrupted(world, thread, &borrow->saved) ||
	    in_sequence(process, thread, &borrow->saved))
		return false;
	if (trace(PTRACE_GETSIGMASK, thread, 8, (long)&borrow->mask) < 0)
		return false;
	borrow->thread = thread;
	return true;
}

int fort_borrow_begin(const struct fort_process *process, const struct fort_world *world,
		      uint64_t syscall_at, long options, struct fort_borrow *out)
{
	struct fort_borrow borrow = {.at = syscall_at,
				     .pid = process->pid,
				     .proc_fd = process->proc_fd};
	uint64_t all = UINT64_MAX;

	for (uint32_t i = 0; i < world->n; i++) {
		if (!take(process, world, &world->threads[i], &borrow))
			continue;
		if (trace(CALL_SETOPTIONS, borrow.thread, 0, options | PTRACE_O_TRACESYSGOOD) < 0 ||
		    trace(PTRACE_SETSIGMASK, borrow.thread, 8, (long)&all) < 0)
			return -ESRCH;
		*out = borrow;
		return 0;
	}
	return -EAGAIN;
}

/* Lets the thread run to its next stop of the kind wanted: a system call's, or our interruption. */
static int run_to(struct fort_borrow *borrow, long how, bool call_stop)
{
	for (uint32_t i = 0; i < STOPS_MAX; i++) {
		int status = 0;

		if (trace(how, borrow->thread, 0, 0) < 0 ||
		    fort_world_await(borrow->proc_fd, borrow->thread->tid, &status))
			return -ESRCH;
		if (call_stop ? (status >> 8) == CALL_STOP : status >> 16 == STOP_EVENT)
			return 0;
		borrow->stop_due |= status >> 8 == SIGSTOP;
	}
	return -ESRCH;
}

int fort_borrow_call(struct fort_borrow *borrow, uint64_t at, long nr, const uint64_t args[6],
		     int64_t *result)
{
	struct fort_regs regs = borrow->saved;
	int err;

	regs.word[FORT_CPU_RIP] = at ? at : borrow->at;
	regs.word[FORT_CPU_RAX] = (uint64_t)nr;
	regs.word[FORT_CPU_ORIG_RAX] = (uint64_t)-1; /* nothing for the kernel to restart */
	regs.word[FORT_CPU_RDI] = args[0];
	regs.word[FORT_CPU_RSI] = args[1];
	regs.word[FORT_CPU_RDX] = args[2];
	regs.word[FORT_CPU_R10] = args[3];
	regs.word[FORT_CPU_R8] = args[4];
	regs.word[FORT_CPU_R9] = args[5];
	err = fort_world_set_regs(borrow->thread, &regs);
	for (int stop = 0; !err && stop < 2; stop++) /* entry, exit */
		err = run_to(borrow, CALL_SYSCALL, true);
	if (!err)
		err = fort_world_regs(borrow->thread, &regs);
	if (!err)
		*result = (int64_t)regs.word[FORT_CPU_RAX];
	return err;
}

int fort_borrow_end(struct fort_borrow *borrow, const struct fort_regs *regs)
{
	int err;

	/* The kernel restarts an interrupted call only on the way out of a signal stop, not of the
	 * call stop the thread is in: interrupt it once more before it runs. */
	if (trace(PTRACE_INTERRUPT, borrow->thread, 0, 0) < 0)
		return -ESRCH;
	err = run_to(borrow, CALL_CONT, false);
	if (!err)
		err = fort_world_set_regs(borrow->thread, regs ? regs : &borrow->saved);
	if (!err && trace(PTRACE_SETSIGMASK, borrow->thread, 8, (long)&borrow->mask) < 0)
		err = -ESRCH;
	if (borrow->stop_due)
		fort_sys3(SYS_tgkill, borrow->pid, borrow->thread->tid, SIGSTOP);
	return err;
}
