/* The programs of the test agent: they count, and keep what they saw. The package's bytes do not
 * matter; its second descriptor is struct counting.
 */
#include "tests/attach/counting.h"

#include <errno.h>
#include <linux/mman.h>
#include <stddef.h>

#include "agent/program.h"
#include "base/sys.h"

struct fort_package {
	struct counting *counting;
};

static struct fort_package packages[8];

int fort_package_open(const void *package, uint64_t bytes, const int *fds, uint32_t n_fds,
		      struct fort_package **out, struct fort_answer *answer)
{
	uint32_t at = 0;
	long memory;

	if (n_fds != 1 || bytes < 1 || *(const char *)package != 'c')
		return -EINVAL;
	while (at < FORT_LEN(packages) && packages[at].counting)
		at++;
	if (at == FORT_LEN(packages))
		return -ENOSPC;
	memory = fort_sys6(SYS_mmap, 0, sizeof(struct counting), PROT_READ | PROT_WRITE, MAP_SHARED,
			   fds[0], 0);
	if (memory < 0 && memory >= -4095)
		return (int)memory;
	packages[at].counting = (struct counting *)memory;
	packages[at].counting->open_packages++;
	*out = &packages[at];
	return 0;
}

void fort_package_close(struct fort_package *package)
{
	package->counting->open_packages--;
	fort_sys2(SYS_munmap, (long)package->counting, sizeof(struct counting));
	package->counting = NULL;
}

bool fort_package_has(const struct fort_package *package, uint32_t program, bool is_return)
{
	return program < COUNTING_PROGRAMS;
}

static void record(struct counting *counting, uint32_t slot, const struct fort_hit *hit,
		   const uint64_t regs[FORT_HIT_REGS])
{
	counting->runs[slot][0]++;
	counting->sum[slot][0] += regs[FORT_CPU_RDI];
	counting->sum[slot][1] += regs[FORT_CPU_RAX];
	counting->cookie = hit->cookie;
	counting->ip = hit->ip;
	for (uint32_t i = 0; i < FORT_HIT_REGS; i++)
		counting->regs[i] = regs[i];
}

bool fort_package_run(struct fort_package *package, uint32_t program, uint32_t slot,
		      const struct fort_hit *hit, const uint64_t regs[FORT_HIT_REGS])
{
	struct counting *counting = package->counting;

	if (program == COUNTING_NOTHING)
		return true;
	if (__atomic_add_fetch(&counting->inside[slot], 1, __ATOMIC_RELAXED) != 1)
		__atomic_fetch_add(&counting->overlaps, 1, __ATOMIC_RELAXED);
	record(counting, slot, hit, regs);
	for (volatile int i = 0; program == COUNTING_SLOW && i < 20000; i++)
		;
	__atomic_sub_fetch(&counting->inside[slot], 1, __ATOMIC_RELAXED);
	return true;
}

bool fort_package_is_detached(const struct fort_package *package)
{
	return false; /* it does not crash */
}

void fort_package_abandon(struct fort_package *package, uint32_t slot)
{
	package->counting->abandoned++;
	package->counting->inside[slot] = 0;
}
