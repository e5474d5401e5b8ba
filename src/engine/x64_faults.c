#include "engine/x64_faults.h"

#include "engine/x64_run.h"

static const struct fort_x64_access *find_access(const struct fort_x64_faults *faults, uint32_t at)
{
	uint32_t low = 0, high = faults->n_accesses;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (faults->accesses[middle].at == at)
			return &faults->accesses[middle];
		if (faults->accesses[middle].at < at)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* The slot whose code has this place. */
static uint32_t find_pc(const struct fort_x64_faults *faults, uint32_t at)
{
	uint32_t low = 0, high = faults->n_insns;

	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (faults->starts[middle] <= at)
			low = middle;
		else
			high = middle;
	}
	return low;
}

static const uint8_t saved_at[FORT_X64_REGS] = {
	[FORT_X64_RAX] = REG_RAX, [FORT_X64_RCX] = REG_RCX, [FORT_X64_RDX] = REG_RDX,
	[FORT_X64_RBX] = REG_RBX, [FORT_X64_RSP] = REG_RSP, [FORT_X64_RBP] = REG_RBP,
	[FORT_X64_RSI] = REG_RSI, [FORT_X64_RDI] = REG_RDI, [FORT_X64_R8] = REG_R8,
	[FORT_X64_R9] = REG_R9,   [FORT_X64_R10] = REG_R10, [FORT_X64_R11] = REG_R11,
	[FORT_X64_R12] = REG_R12, [FORT_X64_R13] = REG_R13, [FORT_X64_R14] = REG_R14,
	[FORT_X64_R15] = REG_R15,
};

/* As if the code had left by itself. */
static void leave(greg_t *regs, struct fort_x64_entry *entry, uint32_t stop, uint32_t pc)
{
	entry->stop = stop;
	entry->pc = pc;
	regs[REG_RIP] = *(greg_t *)entry->stack;
	regs[REG_RSP] = (greg_t)(entry->stack + sizeof(greg_t));
}

static bool fault(const struct fort_signal_range *range, const siginfo_t *info, ucontext_t *context)
{
	const struct fort_x64_faults *faults = (const struct fort_x64_faults *)range;
	greg_t *regs = context->uc_mcontext.gregs;
	uint32_t at = (uint32_t)((uint64_t)regs[REG_RIP] - range->start);
	const struct fort_x64_access *access = find_access(faults, at);
	struct fort_run *run = (struct fort_run *)regs[saved_at[FORT_X64_RUN]];
	struct fort_x64_entry *entry = run->engine;

	if (!access) {
		leave(regs, entry, FORT_ABORT_TRAP, find_pc(faults, at));
		return true;
	}
	entry->bytes = access->bytes;
	entry->address = (uint32_t)((uint64_t)regs[saved_at[access->base]] +
				    (uint64_t)(int64_t)access->disp);
	if (access->r0_in_free1)
		regs[REG_RAX] = regs[saved_at[FORT_X64_FREE1]];
	leave(regs, entry, FORT_ABORT_MEMORY, access->pc);
	return true;
}

/* What comes after the program's code leaves anyway. */
static bool stop(const struct fort_signal_range *range, struct fort_run *run, ucontext_t *context)
{
	const struct fort_x64_faults *faults = (const struct fort_x64_faults *)range;
	greg_t *regs = context->uc_mcontext.gregs;
	uint32_t at = (uint32_t)((uint64_t)regs[REG_RIP] - range->start);
	struct fort_x64_entry *entry = run->engine;

	if (!entry || entry->code != range->start || at >= faults->stops_at)
		return false;
	leave(regs, entry, FORT_ABORT_TIME, find_pc(faults, at));
	return true;
}

int fort_x64_faults_list(struct fort_x64_faults *faults, uint32_t *place)
{
	_Static_assert(offsetof(struct fort_x64_faults, range) == 0, "one is the other");

	faults->range.fault = fault;
	faults->range.stop = stop;
	return fort_signals_list(&faults->range, place);
}
