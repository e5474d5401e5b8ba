/* Makes the n-th thing that can fail fail, and counts what is held.
 *
 * Allocations are caught at link time (--wrap of malloc and its like, and of fort_pages_alloc).
 * System calls are caught by Syscall User Dispatch (Linux 5.11): each traps into a SIGSYS handler,
 * which carries it out or gives it the error that it may have (system calls that cannot fail for
 * want of something always succeed). It needs no rights and sees calls of libc and our own alike.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum fault_kind { FAULT_ALLOCATION, FAULT_SYSCALL, FAULT_KINDS };

/* From here on the n-th of its kind fails, counted from 1; 0: none, all are counted. */
void fault_arm(enum fault_kind kind, uint32_t n);

struct fault_report {
	uint32_t seen;    /* of the kind, since armed */
	const char *what; /* that failed; NULL: it did not come to that */
	int err;          /* that it failed with, negative */
};

/* Ends it; nothing fails any more. */
struct fault_report fault_disarm(void);

/* False: system calls cannot be caught here. */
bool fault_syscalls_work(void);

/* What this process holds. Mapped bytes are those of shared memory objects and of windows. */
struct fault_held {
	uint32_t descriptors;
	int64_t allocations, pages;
	uint64_t mapped_bytes;
};
struct fault_held fault_held_now(void);
