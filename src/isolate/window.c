#include "isolate/window.h"

#include <asm/stat.h>
#include <errno.h>
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/prctl.h>

#include "base/pages.h"
#include "base/sys.h"

/* Base addresses: 4 GiB steps of the 47-bit user half, without the lowest and the highest. */
#define BASE_SHIFT 32
#define BASE_FIRST 1u
#define BASE_COUNT ((1u << 15) - 2)
/* An address space in which so many random places are taken has few others. */
#define BASE_TRIES 64u

/* With the page after it, so that nothing can come to lie there. */
#define RESERVED_BYTES (FORT_WINDOW_BYTES + FORT_PAGE_BYTES)
/* The last page is never given away. */
#define USABLE_END (FORT_WINDOW_BYTES - FORT_PAGE_BYTES)

static bool is_error(long result)
{
	return result < 0 && result >= -4095;
}

static long map_nothing(uint64_t at, uint64_t bytes, int flags)
{
	return fort_sys6(SYS_mmap, (long)at, (long)bytes, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
}

static void unmap(uint64_t at, uint64_t bytes)
{
	if (bytes)
		fort_sys2(SYS_munmap, (long)at, (long)bytes);
}

/* At a random multiple of 4 GiB that is free: independent of where libc, heap and code lie. */
static int reserve_at_random(uint64_t *base)
{
	for (unsigned i = 0; i < BASE_TRIES; i++) {
		uint16_t random;
		uint64_t wanted;
		long at;

		if (fort_sys3(SYS_getrandom, (long)&random, sizeof(random), 0) != sizeof(random))
			return -EAGAIN;
		wanted = (uint64_t)(BASE_FIRST + random % BASE_COUNT) << BASE_SHIFT;
		at = map_nothing(wanted, RESERVED_BYTES, MAP_FIXED_NOREPLACE);
		if ((uint64_t)at == wanted) {
			*base = wanted;
			return 0;
		}
		if (!is_error(at))
			unmap((uint64_t)at, RESERVED_BYTES); /* a kernel without NOREPLACE */
		else if (at != -EEXIST)
			return (int)at;
	}
	return -EAGAIN;
}

/* Wherever the kernel finds room for twice as much; the rest is given back. */
static int reserve_anywhere(uint64_t *base)
{
	uint64_t bytes = 2 * FORT_WINDOW_BYTES, end, start;
	long at = map_nothing(0, bytes, 0);

	if (is_error(at))
		return (int)at;
	start = fort_round_up((uint64_t)at, FORT_WINDOW_BYTES);
	end = start + RESERVED_BYTES;
	if (end > (uint64_t)at + bytes) { /* aligned by luck: no page after the window */
		unmap((uint64_t)at, bytes);
		return -ENOMEM;
	}
	unmap((uint64_t)at, start - (uint64_t)at);
	unmap(end, (uint64_t)at + bytes - end);
	*base = start;
	return 0;
}

/* For readers of /proc/self/maps; kernels may lack it. */
static void name_mapping(uint64_t at, uint64_t bytes)
{
	fort_sys6(SYS_prctl, PR_SET_VMA, PR_SET_VMA_ANON_NAME, (long)at, (long)bytes,
		  (long)"bpfort-window", 0);
}

int fort_window_open(struct fort_window *window)
{
	uint64_t base;
	void *rights;
	int err = reserve_at_random(&base);

	if (err == -EAGAIN)
		err = reserve_anywhere(&base);
	if (err)
		return err;
	err = fort_pages_alloc(FORT_WINDOW_PAGES, &rights);
	if (err) {
		unmap(base, RESERVED_BYTES);
		return err;
	}
	name_mapping(base, RESERVED_BYTES);
	*window = (struct fort_window){
		.base = (uint8_t *)(uintptr_t)base,
		.rights = rights,
		.next = FORT_WINDOW_LOW,
	};
	return 0;
}

void fort_window_close(struct fort_window *window)
{
	if (!window->base)
		return;
	unmap((uint64_t)(uintptr_t)window->base, RESERVED_BYTES);
	fort_pages_free(window->rights, FORT_WINDOW_PAGES);
	*window = (struct fort_window){0};
}

int fort_window_color(struct fort_window *window, uint32_t color, uint32_t runtime)
{
	int err = (int)fort_sys4(SYS_pkey_mprotect, (long)window->rights, FORT_WINDOW_PAGES,
				 PROT_READ | PROT_WRITE, runtime);

	if (!err)
		window->key = color;
	return err;
}

static int protect(const struct fort_window *window, uint64_t start, uint64_t bytes, int protection)
{
	long at = (long)(window->base + start);

	return (int)(window->key ? fort_sys4(SYS_pkey_mprotect, at, (long)bytes, protection,
					     window->key)
				 : fort_sys3(SYS_mprotect, at, (long)bytes, protection));
}

static int protection(enum fort_rights rights)
{
	return (rights & FORT_READ ? PROT_READ : 0) | (rights & FORT_WRITE ? PROT_WRITE : 0);
}

/* Where the next `bytes` go, rounded up to pages; nothing is given away yet. */
static int find_room(const struct fort_window *window, uint64_t bytes, uint64_t *rounded)
{
	if (!bytes)
		return -EINVAL;
	if (window->next > USABLE_END || bytes > USABLE_END - window->next)
		return -ENOSPC;
	*rounded = fort_round_up(bytes, FORT_PAGE_BYTES); /* next and the end are whole pages */
	return 0;
}

static void give(struct fort_window *window, uint64_t bytes, enum fort_rights rights,
		 uint32_t *start)
{
	uint64_t first = window->next / FORT_PAGE_BYTES;

	for (uint64_t page = 0; page < bytes / FORT_PAGE_BYTES; page++)
		window->rights[first + page] = (uint8_t)rights;
	*start = (uint32_t)window->next;
	window->next += bytes + FORT_PAGE_BYTES;
}

int fort_window_add(struct fort_window *window, uint64_t bytes, enum fort_rights rights,
		    uint32_t *start)
{
	uint64_t rounded;
	int err = find_room(window, bytes, &rounded);

	if (err)
		return err;
	err = protect(window, window->next, rounded, protection(rights));
	if (err)
		return err;
	give(window, rounded, rights, start);
	return 0;
}

/* Is the file sealed to hold at least `end` bytes for ever? */
static int check_file(int fd, uint64_t end)
{
	struct stat status;
	long seals = fort_sys3(SYS_fcntl, fd, F_GET_SEALS, 0);
	int err;

	if (seals < 0)
		return (int)seals;
	if (!(seals & F_SEAL_SHRINK))
		return -EPERM;
	err = (int)fort_sys2(SYS_fstat, fd, (long)&status);
	if (err)
		return err;
	return end > (uint64_t)status.st_size ? -EINVAL : 0;
}

/* Whole pages, which are the caller's to put something into. */
static int map_file(const struct fort_window *window, int fd, uint64_t file_offset, uint64_t bytes,
		    enum fort_rights rights, uint64_t start)
{
	uint64_t end;
	long at;
	int err;

	if (__builtin_add_overflow(file_offset, bytes, &end))
		return -EINVAL;
	err = check_file(fd, end);
	if (err)
		return err;
	at = fort_sys6(SYS_mmap, (long)(window->base + start), (long)bytes, protection(rights),
		       MAP_SHARED | MAP_FIXED, fd, (long)file_offset);
	if (is_error(at))
		return (int)at;
	return window->key ? protect(window, start, bytes, protection(rights)) : 0;
}

int fort_window_add_fd(struct fort_window *window, int fd, uint64_t file_offset, uint64_t bytes,
		       enum fort_rights rights, uint32_t *start)
{
	uint64_t rounded;
	int err = find_room(window, bytes, &rounded);

	err = err ? err : map_file(window, fd, file_offset, rounded, rights, window->next);
	if (err)
		return err;
	give(window, rounded, rights, start);
	return 0;
}

int fort_window_replace(const struct fort_window *window, int fd, uint64_t file_offset,
			uint64_t bytes, uint32_t start)
{
	enum fort_rights rights = window->rights[start / FORT_PAGE_BYTES];

	return map_file(window, fd, file_offset, fort_round_up(bytes, FORT_PAGE_BYTES), rights,
			start);
}

static int take_back(struct fort_window *window, uint64_t end)
{
	long at;

	if (window->next == end)
		return 0;
	at = map_nothing((uint64_t)(uintptr_t)window->base + end, window->next - end, MAP_FIXED);
	if (is_error(at))
		return (int)at;
	for (uint64_t page = end / FORT_PAGE_BYTES; page < window->next / FORT_PAGE_BYTES; page++)
		window->rights[page] = 0;
	window->next = end;
	return 0;
}

int fort_window_clear(struct fort_window *window, uint32_t start, uint32_t end)
{
	int err = take_back(window, end);

	if (!err && end > start)
		err = (int)fort_sys3(SYS_madvise, (long)(window->base + start), end - start,
				     MADV_DONTNEED);
	return err;
}

bool fort_window_allows(const struct fort_window *window, uint64_t address, uint64_t bytes,
			enum fort_rights rights)
{
	uint32_t first = (uint32_t)address;
	uint64_t last_page;

	if (!bytes)
		return true;
	if (bytes > FORT_WINDOW_BYTES - first)
		return false;
	last_page = (first + bytes - 1) / FORT_PAGE_BYTES;
	for (uint64_t page = first / FORT_PAGE_BYTES; page <= last_page; page++)
		if ((window->rights[page] & rights) != rights)
			return false;
	return true;
}
