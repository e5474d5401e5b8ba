#include "engine/x64_image.h"

#include <errno.h>
#include <linux/fcntl.h>
#include <linux/memfd.h>
#include <linux/mman.h>
#include <string.h>

#include "abi/uapi.h"
#include "base/limits.h"
#include "base/sys.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010u /* Linux 6.3 */
#endif

#define INT3 0xcc

static bool is_error(long result)
{
	return result < 0 && result >= -4095;
}

/* The descriptor, or the system call's error. */
static int new_file(uint64_t bytes)
{
	long flags = MFD_CLOEXEC | MFD_ALLOW_SEALING, err;
	long fd = fort_sys2(SYS_memfd_create, (long)"bpfort-code", flags | MFD_EXEC);

	if (fd == -EINVAL)
		fd = fort_sys2(SYS_memfd_create, (long)"bpfort-code", flags);
	if (fd < 0)
		return (int)fd;
	err = fort_sys2(SYS_ftruncate, fd, (long)bytes);
	if (err) {
		fort_sys1(SYS_close, fd);
		return (int)err;
	}
	return (int)fd;
}

int fort_x64_draft_open(uint32_t n_slots, uint64_t code_bytes, struct fort_x64_draft *out)
{
	uint64_t slot_bytes = fort_round_up(n_slots * sizeof(void *), FORT_PAGE_BYTES);
	uint64_t bytes = slot_bytes + fort_round_up(code_bytes, FORT_PAGE_BYTES);
	int fd = new_file(bytes);
	long at;

	if (fd < 0)
		return fd;
	at = fort_sys6(SYS_mmap, 0, (long)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (is_error(at)) {
		fort_sys1(SYS_close, fd);
		return (int)at;
	}
	*out = (struct fort_x64_draft){
		.fd = fd,
		.pages = (uint8_t *)at,
		.slot_bytes = slot_bytes,
		.code_bytes = bytes - slot_bytes,
		.code = (uint8_t *)at + slot_bytes,
	};
	memset(out->code, INT3, out->code_bytes);
	return 0;
}

static int map_part(int fd, uint8_t *at, uint64_t bytes, int protection, uint64_t offset)
{
	long mapped;

	if (!bytes)
		return 0;
	mapped = fort_sys6(SYS_mmap, (long)at, (long)bytes, protection, MAP_SHARED | MAP_FIXED, fd,
			   (long)offset);
	return is_error(mapped) ? (int)mapped : 0;
}

static int map_image(const struct fort_x64_draft *draft, struct fort_x64_image *out)
{
	uint64_t bytes = draft->slot_bytes + draft->code_bytes + 2 * FORT_PAGE_BYTES;
	long at = fort_sys6(SYS_mmap, 0, (long)bytes, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint8_t *slots, *code;
	int err;

	if (is_error(at))
		return (int)at;
	slots = (uint8_t *)at + FORT_PAGE_BYTES;
	code = slots + draft->slot_bytes;
	err = map_part(draft->fd, slots, draft->slot_bytes, PROT_READ, 0);
	if (!err)
		err = map_part(draft->fd, code, draft->code_bytes, PROT_READ | PROT_EXEC,
			       draft->slot_bytes);
	if (err) {
		fort_sys2(SYS_munmap, at, (long)bytes);
		return err;
	}
	*out = (struct fort_x64_image){(uint8_t *)at, bytes, code, draft->code_bytes, false};
	return 0;
}

void fort_x64_draft_drop(struct fort_x64_draft *draft)
{
	fort_sys2(SYS_munmap, (long)draft->pages, (long)(draft->slot_bytes + draft->code_bytes));
	fort_sys1(SYS_close, draft->fd);
}

int fort_x64_draft_seal(struct fort_x64_draft *draft, struct fort_x64_image *out)
{
	long seals = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
	int err;

	fort_sys2(SYS_munmap, (long)draft->pages, (long)(draft->slot_bytes + draft->code_bytes));
	err = (int)fort_sys3(SYS_fcntl, draft->fd, F_ADD_SEALS, seals);
	if (!err)
		err = map_image(draft, out);
	fort_sys1(SYS_close, draft->fd);
	return err;
}

int fort_x64_image_seal(struct fort_x64_image *image)
{
	int err = (int)fort_sys3(FORT_SYS_MSEAL, (long)image->reserved, (long)image->reserved_bytes,
				 0);

	image->sealed = !err;
	return err;
}

void fort_x64_image_close(struct fort_x64_image *image)
{
	if (image->reserved && !image->sealed)
		fort_sys2(SYS_munmap, (long)image->reserved, (long)image->reserved_bytes);
	*image = (struct fort_x64_image){0};
}
