/* Blocks: memory for stubs, close enough to the patched code for a 32-bit displacement. The loader
 * finds the gap, the agent maps it. Readable and executable; written like all code (patch.h).
 */
#pragma once

#include "attach/protocol.h"
#include "base/compiler.h"

/* Maps a block at `address`. Returns 0, -EEXIST when something is there by now, -EINVAL, -ENOSPC,
 * or mmap's error. */
FORT_CHECKED int fort_block_map(uint64_t address);
void fort_blocks_unmap(void);

/* Is [stub, stub + bytes) within the block, behind its head? */
bool fort_block_holds(uint64_t block, uint64_t stub, uint64_t bytes);
bool fort_block_contains(uint64_t address);
/* Where the block keeps the address of the gate for sites of a kind; FORT_SITE_KINDS: of the gate
 * that catches returns. */
uint64_t fort_block_gate(uint64_t block, uint32_t kind);
