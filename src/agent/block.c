#include "agent/block.h"

#include <errno.h>
#include <linux/mman.h>
#include <string.h>

#include "agent/agent.h"
#include "base/sys.h"

static uint64_t blocks[FORT_BLOCKS_MAX];
static uint32_t n_blocks;

struct head {
	char magic[FORT_BLOCK_MAGIC_BYTES];
	void (*gate[FORT_SITE_KINDS + 1])(void);
};

_Static_assert(sizeof(struct head) <= FORT_STUB_HEAD_BYTES, "head of a block");

int fort_block_map(uint64_t address)
{
	struct head head = {FORT_BLOCK_MAGIC,
			    {fort_gate_entry, fort_gate_unwinder, fort_gate_return_entry}};
	long at, err;

	if (address % FORT_PAGE_BYTES)
		return -EINVAL;
	if (n_blocks == FORT_BLOCKS_MAX)
		return -ENOSPC;
	at = fort_sys6(SYS_mmap, (long)address, FORT_BLOCK_BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (at < 0 && at >= -4095)
		return (int)at;
	memcpy((void *)(uintptr_t)address, &head, sizeof(head));
	err = fort_sys3(SYS_mprotect, at, FORT_BLOCK_BYTES, PROT_READ | PROT_EXEC);
	if (err) {
		fort_sys2(SYS_munmap, at, FORT_BLOCK_BYTES);
		return (int)err;
	}
	blocks[n_blocks++] = address;
	return 0;
}

void fort_blocks_unmap(void)
{
	while (n_blocks)
		fort_sys2(SYS_munmap, (long)blocks[--n_blocks], FORT_BLOCK_BYTES);
}

bool fort_block_contains(uint64_t address)
{
	for (uint32_t i = 0; i < n_blocks; i++)
		if (address - blocks[i] < FORT_BLOCK_BYTES)
			return true;
	return false;
}

bool fort_block_holds(uint64_t block, uint64_t stub, uint64_t bytes)
{
	return fort_block_contains(block) && block % FORT_PAGE_BYTES == 0 &&
	       stub - block >= FORT_STUB_HEAD_BYTES && stub - block <= FORT_BLOCK_BYTES &&
	       bytes <= FORT_BLOCK_BYTES - (stub - block);
}

uint64_t fort_block_gate(uint64_t block, uint32_t kind)
{
	return block + offsetof(struct head, gate) + kind * sizeof(void *);
}
