#include "agent/sigframe.h"

#include <string.h>
#include <sys/uio.h>

#include "base/limits.h"
#include "base/sys.h"

/* Words of struct sigcontext: ..., sp, ip, flags, and the four segment registers in one word. */
#define SEGMENTS 0x002b000000000033ull /* ss, fs 0, gs 0, cs */
#define IP_BACK  2
#define SP_BACK  3

#define CHUNK_WORDS 512u
#define SCAN_BYTES  (1u << 20) /* of one stack */
#define STACKS_MAX  8u
#define RED_ZONE    128u

struct walk {
	struct {
		uint64_t start, end;
	} stack[STACKS_MAX];
	uint32_t n;
	fort_sigframe_visit *visit;
	void *arg;
};

static void add_stack(struct walk *walk, uint64_t start)
{
	for (uint32_t i = 0; i < walk->n; i++)
		if (start - walk->stack[i].start < SCAN_BYTES && start < walk->stack[i].end)
			return;
	if (walk->n == STACKS_MAX)
		return;
	walk->stack[walk->n].start = start;
	walk->stack[walk->n].end = UINT64_MAX; /* until its end is met */
	walk->n++;
}

/* Looks through words that were read from `address`. */
static bool look(struct walk *walk, uint64_t address, const uint64_t *words, uint32_t n)
{
	for (uint32_t i = SP_BACK; i < n; i++) {
		if (words[i] != SEGMENTS)
			continue;
		if (!walk->visit((uint64_t *)(uintptr_t)(address + (i - IP_BACK) * 8), walk->arg))
			return false;
		add_stack(walk, words[i - SP_BACK]);
	}
	return true;
}

static bool scan(struct walk *walk, uint32_t index)
{
	uint64_t address = walk->stack[index].start & ~7ull, end = address + SCAN_BYTES;
	uint64_t words[CHUNK_WORDS];

	while (address < end) {
		struct iovec local = {words, sizeof(words)};
		struct iovec remote = {(void *)(uintptr_t)address, sizeof(words)};
		long got = fort_sys6(SYS_process_vm_readv, fort_sys0(SYS_getpid), (long)&local, 1,
				     (long)&remote, 1, 0);

		if (got < 8 * (SP_BACK + 1)) {
			walk->stack[index].end = address;
			break;
		}
		if (!look(walk, address, words, (uint32_t)got / 8))
			return false;
		address += (uint64_t)got - 8 * SP_BACK;
		if ((uint64_t)got < sizeof(words)) {
			walk->stack[index].end = address + 8 * SP_BACK;
			break;
		}
	}
	return true;
}

bool fort_sigframe_walk(uint64_t stack, fort_sigframe_visit *visit, void *arg)
{
	struct walk walk = {.visit = visit, .arg = arg};

	add_stack(&walk, stack);
	for (uint32_t i = 0; i < walk.n; i++)
		if (!scan(&walk, i))
			return false;
	return true;
}

static bool visit_all(uint64_t *rip, void *arg)
{
	return true;
}

bool fort_sigframe_covers(uint64_t stack, uint64_t address)
{
	struct walk walk = {.visit = visit_all};

	add_stack(&walk, stack);
	for (uint32_t i = 0; i < walk.n; i++) {
		if (!scan(&walk, i))
			return true;
		if (address >= walk.stack[i].start - RED_ZONE && address < walk.stack[i].end)
			return true;
	}
	return walk.n == STACKS_MAX;
}
