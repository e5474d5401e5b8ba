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

int fort_x64_file_new(void)
{
	long flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	long fd = fort_sys2(SYS_memfd_create, (long)"bpfort-code", flags | MFD_EXEC);

	if (fd == -EINVAL)
		fd = fort_sys2(SYS_memfd_create, (long)"bpfort-code", flags);
	return (int)fd;
}

/* A file of the draft that nobody can change: its descriptor, or the system call's error. */
static int make_file(const struct fort_x64_draft *draft)
{
	int fd = fort_x64_file_new(), err;

	if (fd < 0)
		return fd;
	err = write_all(fd, draft->pages, draft->slot_bytes + draft->code_bytes);
	if (!err)
		err = (int)fort_sys3(SYS_fcntl, fd, F_ADD_SEALS,
				     F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
	if (err)
		fort_sys1(SYS_close, fd);
	return err ? err : fd;
}

/* Whole pages of a file of its own, or what a piece has. */
static void measure(uint32_t n_slots, uint64_t code_bytes, struct fort_x64_draft *draft)
{
	uint64_t slot_bytes = n_slots * sizeof(void *);
	bool packed = draft->piece.pack;

	draft->slot_bytes = packed ? slot_bytes : fort_round_up(slot_bytes, FORT_PAGE_BYTES);
	draft->code_bytes =
		packed ? draft->piece.bytes : fort_round_up(code_bytes, FORT_PAGE_BYTES);
	draft->gap = draft->piece.gap;
}

int fort_x64_draft_open(struct fort_code_pool *pool, uint32_t n_slots, uint64_t code_bytes,
			struct fort_x64_draft *out)
{
	struct fort_x64_draft draft = {0};

	/* Where there is no piece, the image has a file of its own: whatever the reason was. */
	if (pool && fort_code_pool_take(pool, code_bytes, n_slots * sizeof(void *), &draft.piece))
		draft.piece.pack = NULL;
	measure(n_slots, code_bytes, &draft);
	draft.pages = malloc(draft.slot_bytes + draft.code_bytes);
	if (!draft.pages) {
		fort_x64_draft_drop(&draft);
		return -ENOMEM;
	}
	draft.code = draft.pages + draft.slot_bytes;
	memset(draft.pages, 0, draft.slot_bytes);
	memset(draft.code, INT3, draft.code_bytes);
	*out = draft;
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

int fort_x64_map(int fd, uint64_t slot_bytes, uint64_t code_bytes, uint8_t **reserved)
{
	uint64_t bytes = slot_bytes + code_bytes + 2 * FORT_PAGE_BYTES;
	long at = fort_sys6(SYS_mmap, 0, (long)bytes, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint8_t *slots;
	int err;

	if (is_error(at))
		return (int)at;
	slots = (uint8_t *)at + FORT_PAGE_BYTES;
	err = map_part(fd, slots, slot_bytes, PROT_READ, 0);
	if (!err)
		err = map_part(fd, slots + slot_bytes, code_bytes, PROT_READ | PROT_EXEC,
			       slot_bytes);
	if (err)
		fort_sys2(SYS_munmap, at, (long)bytes);
	else
		*reserved = (uint8_t *)at;
	return err;
}

static int map_image(const struct fort_x64_draft *draft, int fd, struct fort_x64_image *out)
{
	uint8_t *reserved;
	int err = fort_x64_map(fd, draft->slot_bytes, draft->code_bytes, &reserved);

	if (err)
		return err;
	*out = (struct fort_x64_image){
		.reserved = reserved,
		.reserved_bytes = draft->slot_bytes + draft->code_bytes + 2 * FORT_PAGE_BYTES,
		.code = reserved + FORT_PAGE_BYTES + draft->slot_bytes,
		.code_bytes = draft->code_bytes,
	};
	return 0;
}

void fort_x64_draft_drop(struct fort_x64_draft *draft)
{
	if (draft->piece.pack)
		fort_code_piece_give(&draft->piece);
	free(draft->pages);
}

static int seal_alone(const struct fort_x64_draft *draft, struct fort_x64_image *out)
{
	int fd = make_file(draft), err;

	err = fd < 0 ? fd : map_image(draft, fd, out);
	if (fd >= 0)
		fort_sys1(SYS_close, fd);
	return err;
}

/* The piece goes over to the image. */
static int seal_piece(struct fort_x64_draft *draft, struct fort_x64_image *out)
{
	int err = fort_code_piece_write(&draft->piece, draft->code, draft->pages);

	if (err)
		return err;
	*out = (struct fort_x64_image){.code = draft->piece.code,
				       .code_bytes = draft->piece.bytes,
				       .gap = draft->piece.gap,
				       .piece = draft->piece};
	draft->piece.pack = NULL;
	return 0;
}

int fort_x64_draft_seal(struct fort_x64_draft *draft, struct fort_x64_image *out)
{
	int err = draft->piece.pack ? seal_piece(draft, out) : seal_alone(draft, out);

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
	if (image->piece.pack)
		fort_code_piece_give(&image->piece);
	if (image->reserved && !image->sealed)
		fort_sys2(SYS_munmap, (long)image->reserved, (long)image->reserved_bytes);
	*image = (struct fort_x64_image){0};
}
