/* The window: 4 GiB of address space, aligned to 4 GiB at a random base, that holds everything a
 * program may touch and nothing else. A register holds a true host pointer; its low 32 bits are
 * the offset, so `base + (uint32_t)pointer` is the identity for valid pointers and stays inside
 * for all others. Offsets below 64 KiB and the last page are never mapped: null pointers and
 * accesses that straddle the end fault.
 *
 * Beside the mapping the window keeps the rights of each page in memory outside of itself. The
 * interpreter and the helpers check against that table; compiled code relies on the page tables.
 * Both say the same, page by page, so that all engines agree on every fault.
 */
#pragma once

#include "base/compiler.h"
#include "base/limits.h"

#define FORT_WINDOW_BYTES (1ull << 32)
#define FORT_WINDOW_PAGES (FORT_WINDOW_BYTES / FORT_PAGE_BYTES)
#define FORT_WINDOW_LOW   (64u << 10) /* never mapped below */

enum fort_rights { FORT_READ = 1, FORT_WRITE = 2, FORT_RW = 3 };

struct fort_window {
	uint8_t *base;   /* a multiple of 4 GiB */
	uint8_t *rights; /* enum fort_rights of each page; sparse, FORT_WINDOW_PAGES bytes */
	uint64_t next;   /* first offset not yet given away */
	uint32_t key;    /* protection key of all that is given away from now on; 0: none */
};

/* Reserves a window; what follows it is never mapped either. Returns 0 or -ENOMEM (4 GiB of address
 * space count under RLIMIT_AS, memory counts once it is given away and touched).
 */
FORT_CHECKED int fort_window_open(struct fort_window *window);
void fort_window_close(struct fort_window *window);
/* Before anything is given away: what will be has the protection key `color`, and what is kept of
 * rights has `runtime`. Both must be open to the thread from then on. Returns 0 or pkey_mprotect's
 * error. */
FORT_CHECKED int fort_window_color(struct fort_window *window, uint32_t color, uint32_t runtime);

/* Gives away `bytes` (at least 1; rounded up to pages, followed by an unmapped guard page) of
 * zeroed private memory, or of `fd` from `file_offset` (a multiple of the page), shared. *start is
 * the offset in the window. Returns 0, -ENOSPC when the window is full, or the system call's error.
 *
 * A file that could shrink would let whoever shares it kill the process that runs the program
 * (isolation W5): it must be a memfd sealed against that (else -EPERM, or -EINVAL for files without
 * seals) and hold all the pages (else -EINVAL).
 */
FORT_CHECKED int fort_window_add(struct fort_window *window, uint64_t bytes,
				 enum fort_rights rights, uint32_t *start);
FORT_CHECKED int fort_window_add_fd(struct fort_window *window, int fd, uint64_t file_offset,
				    uint64_t bytes, enum fort_rights rights, uint32_t *start);

/* Puts bytes of a file, as fort_window_add_fd has them, in place of what was given away at `start`,
 * with the same rights. Returns 0 or the errors of fort_window_add_fd. */
FORT_CHECKED int fort_window_replace(const struct fort_window *window, int fd, uint64_t file_offset,
				     uint64_t bytes, uint32_t start);

/* Takes back what was given away from `end` on, and all that was ever written into [start, end),
 * which must be private memory: it reads as zero. Returns 0 or the system call's error; the window
 * is good for nothing but closing then. */
FORT_CHECKED int fort_window_clear(struct fort_window *window, uint32_t start, uint32_t end);

/* Where an address from a program points, whatever it is: always inside the window. */
static inline void *fort_window_at(const struct fort_window *window, uint64_t address)
{
	return window->base + (uint32_t)address;
}

/* May a program access [address, address + bytes) this way? False when any page of it lacks a
 * right, or the range passes the window's end. bytes == 0 is true.
 */
bool fort_window_allows(const struct fort_window *window, uint64_t address, uint64_t bytes,
			enum fort_rights rights);

/* The same for an access of at most 8 bytes, which touches two pages at most. */
static inline bool fort_window_allows_word(const struct fort_window *window, uint64_t address,
					   uint32_t bytes, enum fort_rights rights)
{
	uint32_t first = (uint32_t)address;
	uint64_t last = (uint64_t)first + bytes - 1;

	if (last >= FORT_WINDOW_BYTES)
		return false;
	return (window->rights[first / FORT_PAGE_BYTES] & window->rights[last / FORT_PAGE_BYTES] &
		rights) == rights;
}
