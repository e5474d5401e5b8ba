#include "engine/x64_run.h"

#include <asm/prctl.h>
#include <sys/auxv.h>

#include "base/sys.h"

#define HWCAP2_FSGSBASE (1u << 1)

/* What the last program that ran on this thread left in gs; the host's is everything else. The
 * second mutable object of this layer (tools/lint.py knows it). */
static __thread uint64_t left_in_gs __attribute__((tls_model("initial-exec")));

uint64_t fort_x64_call_by_number(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
				 struct fort_run *run)
{
	const struct fort_x64_entry *entry = run->engine;
	fort_helper_fn *helper =
		entry->number <= UINT32_MAX ? entry->helper((uint32_t)entry->number) : NULL;

	if (helper)
		return helper(a1, a2, a3, a4, a5, run);
	fort_run_abort(run, FORT_ABORT_HELPER, (uint32_t)entry->number);
	return 0;
}

void fort_x64_tell(struct fort_run *run, const struct fort_x64_entry *entry)
{
	if (entry->stop != FORT_X64_STOP_HELPER)
		fort_run_abort(run, entry->stop, entry->detail);
	if (!run->tails.told)
		run->abort.pc = entry->pc;
	if (entry->stop == FORT_ABORT_MEMORY) {
		run->abort.address = entry->address;
		run->abort.bytes = entry->bytes;
	}
}

bool fort_x64_gs_is_fast(void)
{
	return getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE;
}

uint64_t fort_x64_gs_get(bool fast)
{
	uint64_t base = 0;

	if (fast)
		__asm__ volatile("rdgsbase %0" : "=r"(base));
	else
		fort_sys2(SYS_arch_prctl, ARCH_GET_GS, (long)&base);
	return base;
}

void fort_x64_gs_set(bool fast, uint64_t base)
{
	if (fast)
		__asm__ volatile("wrgsbase %0" : : "r"(base) : "memory");
	else
		fort_sys2(SYS_arch_prctl, ARCH_SET_GS, (long)base);
}

uint64_t fort_x64_gs_enter(bool fast, uint64_t window)
{
	uint64_t before = fort_x64_gs_get(fast);

	fort_x64_gs_set(fast, window);
	if (before == left_in_gs)
		before = 0;
	left_in_gs = window;
	return before;
}

void fort_x64_gs_leave(bool fast, uint64_t entered)
{
	fort_x64_gs_set(fast, entered);
	left_in_gs = 0;
}
