#include "engine/x64_image.h"

#include <errno.h>
#include <linux/fcntl.h>
#include <linux/memfd.h>
#include <linux/mman.h>
#include <stdlib.h>
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

/* All of it, or the error. */
static int write_all(int fd, const uint8_t *data, uint64_t bytes)
{
	while (bytes) {
		long written = fort_sys3(SYS_write, fd, (long)data, (long)bytes);

		if (written <= 0)
			return written ? (int)written : -EIO;
		data += written;
		bytes -= (uint64_t)written;
	}
	return 0;
}

/* A file of the draft that nobody can change: its descriptor, or the system call's error. */
static int make_file(const struct fort_x64_draft *draft)
{
	long flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	long fd = fort_sys2(SYS_memfd_create, (long)"bpfort-code", flags | MFD_EXEC);
	int err;

	if (fd == -EINVAL)
		fd = fort_sys2(SYS_memfd_create, (long)"bpfort-code", flags);
	if (fd < 0)
		return (int)fd;
	err = write_all((int)fd, draft->pages, draft->slot_bytes + draft->code_bytes);
	if (!err)
		err = (int)fort_sys3(SYS_fcntl, fd, F_ADD_SEALS,
				     F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
	if (err)
		fort_sys1(SYS_close, fd);
	return err ? err : (int)fd;
}

int fort_x64_draft_open(uint32_t n_slots, uint64_t code_bytes, struct fort_x64_draft *out)
{
	uint64_t slot_bytes = fort_round_up(n_slots * sizeof(void *), FORT_PAGE_BYTES);
	uint64_t bytes = slot_bytes + fort_round_up(code_bytes, FORT_PAGE_BYTES);
	uint8_t *pages = malloc(bytes);

	if (!pages)
		return -ENOMEM;
	*out = (struct fort_x64_draft){
		.pages = pages,
		.slot_bytes = slot_bytes,
		.code_bytes = bytes - slot_bytes,
		.code = pages + slot_bytes,
	};
	memset(pages, 0, slot_bytes);
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

static int map_image(const struct fort_x64_draft *draft, int fd, struct fort_x64_image *out)
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
	err = map_part(fd, slots, draft->slot_bytes, PROT_READ, 0);
	if (!err)
		err = map_part(fd, code, draft->code_bytes, PROT_READ | PROT_EXEC,
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
	free(draft->pages);
}

int fort_x64_draft_seal(struct fort_x64_draft *draft, struct fort_x64_image *out)
{
	int fd = make_file(draft), err;

	err = fd < 0 ? fd : map_image(draft, fd, out);
	if (fd >= 0)
		fort_sys1(SYS_close, fd);
	fort_x64_draft_drop(draft);
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
