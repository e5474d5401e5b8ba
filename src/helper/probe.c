#include "helper/probe.h"

#include <errno.h>
#include <linux/uio.h>
#include <string.h>

#include "base/sys.h"
#include "helper/call.h"

/* Strings are read in pieces that end at page ends at the latest. */
#define PIECE_BYTES 512u

/* Does any of it belong to the runtime, or wrap? */
static bool is_ours(const struct fort_host *host, uint64_t from, uint64_t bytes)
{
	uint64_t end;

	if (__builtin_add_overflow(from, bytes, &end))
		return true;
	for (uint32_t i = 0; i < host->n_ranges; i++)
		if (from < host->ranges[i].end && end > host->ranges[i].start)
			return true;
	return false;
}

/* What the program itself can read needs no system call. */
static bool in_window(const struct fort_run *run, uint64_t from, uint64_t bytes)
{
	uint64_t offset = from - (uint64_t)(uintptr_t)run->domain->window.base;

	return offset < FORT_WINDOW_BYTES && bytes <= FORT_WINDOW_BYTES - offset &&
	       fort_window_allows(&run->domain->window, from, bytes, FORT_READ);
}

/* Returns 0 or -EFAULT; the destination may be partly written. */
static int copy_in(const struct fort_run *run, void *to, uint64_t from, uint64_t bytes)
{
	struct iovec local = {to, bytes}, remote = {(void *)(uintptr_t)from, bytes};
	long pid, got;

	if (in_window(run, from, bytes)) {
		memmove(to, remote.iov_base, bytes);
		return 0;
	}
	if (is_ours(run->services->host, from, bytes))
		return -EFAULT;
	pid = fort_sys0(SYS_getpid);
	got = fort_sys6(SYS_process_vm_readv, pid, (long)&local, 1, (long)&remote, 1, 0);
	return got == (long)bytes ? 0 : -EFAULT;
}

int fort_probe_read(const struct fort_run *run, void *to, uint64_t from, uint64_t bytes)
{
	int err = bytes ? copy_in(run, to, from, bytes) : 0;

	if (err)
		memset(to, 0, bytes);
	return err;
}

int64_t fort_probe_string(const struct fort_run *run, char *to, uint64_t from, uint64_t room)
{
	uint64_t done = 0;

	while (done < room) {
		char piece[PIECE_BYTES];
		uint64_t at = from + done, length, bytes = FORT_PAGE_BYTES - at % FORT_PAGE_BYTES;

		if (bytes > room - done)
			bytes = room - done;
		if (bytes > PIECE_BYTES)
			bytes = PIECE_BYTES;
		if (copy_in(run, piece, at, bytes)) {
			memset(to, 0, room);
			return -EFAULT;
		}
		length = strnlen(piece, bytes);
		memcpy(to + done, piece, length);
		done += length;
		if (length < bytes) {
			to[done] = 0;
			return (int64_t)done + 1;
		}
	}
	if (room)
		to[room - 1] = 0;
	return (int64_t)room;
}

static uint64_t read_bytes(struct fort_call *call)
{
	return fort_result(
		fort_probe_read(call->run, fort_call_at(call, 0), call->args[2], call->args[1]));
}

static uint64_t read_string(struct fort_call *call)
{
	return (uint64_t)fort_probe_string(call->run, fort_call_at(call, 0), call->args[2],
					   call->args[1]);
}

/* There is one address space, the process's: what the kernel tells apart as its own memory and the
 * user's is the same here. Contexts, which CO-RE macros read as kernel memory, are in the window.
 */
#define SAME(id, function)                            \
	uint64_t fort_do_##id(struct fort_call *call) \
	{                                             \
		return function(call);                \
	}
SAME(PROBE_READ, read_bytes)
SAME(PROBE_READ_USER, read_bytes)
SAME(PROBE_READ_KERNEL, read_bytes)
SAME(PROBE_READ_STR, read_string)
SAME(PROBE_READ_USER_STR, read_string)
SAME(PROBE_READ_KERNEL_STR, read_string)
