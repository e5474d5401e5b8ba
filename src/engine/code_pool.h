/* Machine code of many programs in few files: packs, from which each program has a piece.
 *
 * A pack is a memory file of addresses and code, mapped twice the same way as a program's own file
 * is (x64_image.h): addresses to be read, code to be executed, through a descriptor that cannot
 * write, so that no mprotect makes it writable. What comes and goes in it is written through the
 * file, by one write of all that a program has; there is never a mapping that can be written. The
 * descriptor is the pool's, and the file is looked at before each write: a host that closed it by
 * mistake has not lent us another one's file.
 *
 *   free       all bytes of code that are nobody's are int3, from the pack's first moment on. What
 *              a program leaves is filled with them before anybody else can have it.
 *   barrier    processors have forgotten what they fetched before a piece is entered again:
 *              membarrier(2), and where the kernel has none there are no packs.
 *   forks      memory files are shared with children. Packs are not written any more once there
 *              was a fork, by either side: fort_code_pool_before_fork. Children of forks that
 *              nobody told us of have none of the mappings, and write nothing.
 *
 * Programs lie beside each other without guard pages, and what they can jump to is their own:
 * nothing else of an image's rules changes.
 */
#pragma once

#include <pthread.h>

#include "base/compiler.h"

struct fort_code_pool;
struct fort_code_pack;

FORT_CHECKED int fort_code_pool_open(struct fort_code_pool **out);
/* No piece is in use any more. NULL is fine. */
void fort_code_pool_close(struct fort_code_pool *pool);
/* Around fork(2), where both sides go on with programs. */
void fort_code_pool_before_fork(struct fort_code_pool *pool);
void fort_code_pool_after_fork(struct fort_code_pool *pool, bool child);

/* Whole lines of code, and bytes of addresses, which end `gap` bytes before them. */
struct fort_code_piece {
	struct fort_code_pack *pack; /* NULL: none */
	uint32_t first, n;           /* lines of the pack */
	const uint8_t *code;
	uint64_t bytes, slot_bytes, gap;
};

/* Room for so many bytes of code, with some more that are int3, and addresses. Returns 0, or an
 * error when it does not go into a pack: too large, too many, or the system does not allow it. */
FORT_CHECKED int fort_code_pool_take(struct fort_code_pool *pool, uint64_t code_bytes,
				     uint64_t slot_bytes, struct fort_code_piece *out);
/* All of its code and addresses. Returns 0 or the system call's
 * error; -ESTALE when the file is not ours to be written. It is still to be given back then. */
FORT_CHECKED int fort_code_piece_write(const struct fort_code_piece *piece, const uint8_t *code,
				       const uint8_t *slots);
/* Gives it back: nobody is in it, or ever comes again. */
void fort_code_piece_give(struct fort_code_piece *piece);
