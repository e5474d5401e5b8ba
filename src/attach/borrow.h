/* A stopped thread of another process, borrowed to make system calls there. Nothing of its code or
 * stack is touched: it is pointed at a `syscall` instruction that exists anyway (vDSO, libc), all
 * its signals are held back, and in the end it has its registers, its mask and its interrupted
 * system call back.
 */
#pragma once

#include "attach/process.h"
#include "attach/world.h"

struct fort_borrow {
	const struct fort_world_thread *thread;
	pid_t pid;
	int proc_fd; /* not owned */
	uint64_t at; /* of a `syscall` instruction */
	struct fort_regs saved;
	uint64_t mask;
	bool stop_due; /* a SIGSTOP came meanwhile, and is sent again in the end */
};

/* Finds a `syscall` instruction in the process's code; 0 when there is none. */
uint64_t fort_borrow_find_syscall(const struct fort_process *process,
				  const struct fort_regions *regions);

/* Borrows one thread of the stopped world: one without a signal on its way, and not within a
 * restartable sequence. -EAGAIN when there is none now. `options` are PTRACE_O_* to keep.
 */
FORT_CHECKED int fort_borrow_begin(const struct fort_process *process,
				   const struct fort_world *world, uint64_t syscall_at,
				   long options, struct fort_borrow *out);

/* Makes one call; *result is what it returned (negative errno included). `at` is the instruction
 * to use, 0 for the usual one. Returns 0, or -ESRCH when the process died. */
FORT_CHECKED int fort_borrow_call(struct fort_borrow *borrow, uint64_t at, long nr,
				  const uint64_t args[6], int64_t *result);

/* Gives the thread back its state, `regs` instead of its own registers if not NULL. It stays
 * stopped. */
FORT_CHECKED int fort_borrow_end(struct fort_borrow *borrow, const struct fort_regs *regs);
