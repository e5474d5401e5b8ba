/* Memory for machine code: written once, then executed, never both.
 *
 * An image is a sealed memfd. It is drafted in ordinary memory, and goes into the file by one
 * write; the file is sealed against writing before it is mapped for execution, and never mapped to
 * be written. Addresses of functions that the code calls lie before it, on pages that can be read
 * only; unmapped pages guard both ends. Or it is a piece of a pack (code_pool.h), if there is a
 * pool.
 */
#pragma once

#include "engine/code_pool.h"

struct fort_x64_image {
	uint8_t *reserved; /* with the guard pages; NULL: a piece */
	uint64_t reserved_bytes;
	const uint8_t *code;
	uint64_t code_bytes; /* whole pages, or lines */
	uint64_t gap;        /* between slots and code */
	bool sealed;         /* for ever: it stays when it is closed */
	struct fort_code_piece piece;
};

/* While it is being written. `code` is where the code starts, slots lie before it; where it will
 * run, they end `gap` bytes before it. */
struct fort_x64_draft {
	uint8_t *pages;
	uint64_t slot_bytes, code_bytes; /* whole pages, or as a piece has them */
	uint8_t *code;
	uint64_t gap;
	struct fort_code_piece piece;
};

/* Room for `n_slots` words and `code_bytes` of code, filled with int3; of the pool's, if that is
 * not NULL and has room. Returns 0 or -ENOMEM. */
FORT_CHECKED int fort_x64_draft_open(struct fort_code_pool *pool, uint32_t n_slots,
				     uint64_t code_bytes, struct fort_x64_draft *out);
/* Ends the writing without an image. */
void fort_x64_draft_drop(struct fort_x64_draft *draft);
/* Ends the writing; on failure nothing is left behind. Returns 0, or the system call's error. */
FORT_CHECKED int fort_x64_draft_seal(struct fort_x64_draft *draft, struct fort_x64_image *out);
/* Nobody can unmap it, map over it, move it or change its protection any more: its guard pages and
 * the addresses before the code as little as the code. -ENOSYS before Linux 6.10. */
FORT_CHECKED int fort_x64_image_seal(struct fort_x64_image *image);
void fort_x64_image_close(struct fort_x64_image *image);

/* An empty memory file for code: its descriptor, or the system call's error. */
FORT_CHECKED int fort_x64_file_new(void);
/* Maps a file's `slot_bytes` to be read, then `code_bytes` to be executed, between guard pages. */
FORT_CHECKED int fort_x64_map(int fd, uint64_t slot_bytes, uint64_t code_bytes, uint8_t **reserved);
