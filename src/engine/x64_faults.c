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

/* The slot whose code has this place, or comes before it. */
static uint32_t find_pc(const struct fort_x64_faults *faults, uint32_t at)
{
	uint32_t low = 0, high = faults->n_places;

	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (faults->places[middle].at <= at)
			low = middle;
		else
			high = middle;
	}
	while (low && faults->places[low].pc == FORT_CODE_LEAVES)
		low--;
	return faults->n_places ? faults->places[low].pc : 0;
}

static const uint8_t saved_at[FORT_X64_REGS] = {
	[FORT_X64_RAX] = REG_RAX, [FORT_X64_RCX] = REG_RCX, [FORT_X64_RDX] = REG_RDX,
	[FORT_X64_RBX] = REG_RBX, [FORT_X64_RSP] = REG_RSP, [FORT_X64_RBP] = REG_RBP,
	[FORT_X64_RSI] = REG_RSI, [FORT_X64_RDI] = REG_RDI, [FORT_X64_R8] = REG_R8,
	[FORT_X64_R9] = REG_R9,   [FORT_X64_R10] = REG_R10, [FORT_X64_R11] = REG_R11,
	[FORT_X64_R12] = REG_R12, [FORT_X64_R13] = REG_R13, [FORT_X64_R14] = REG_R14,
	[FORT_X64_R15] = REG_R15,
};

static uint64_t value_of(const greg_t *regs, uint8_t reg)
{
	return reg == FORT_X64_NONE ? 0 : (uint64_t)regs[saved_at[reg]];
}

/* What reads and writes in one is the load's fault where it could not even read. */
static void tell_access(greg_t *regs, const struct fort_x64_access *access,
			const struct fort_run *run)
{
	struct fort_x64_entry *entry = run->engine;
	bool key = !access->bytes;

	entry->stop = key ? FORT_ABORT_HELPER_ARG : FORT_ABORT_MEMORY;
	entry->detail = key ? 2 : 0;
	entry->bytes = access->bytes;
	entry->address = (uint32_t)(value_of(regs, access->base) +
				    (value_of(regs, access->index) << access->scale) +
				    (uint64_t)(int64_t)access->disp);
	entry->pc = access->pc;
	if (!key &&
	    !fort_window_allows_word(&run->domain->window, entry->address, entry->bytes, FORT_READ))
		entry->pc = access->load_pc;
	regs[saved_at[FORT_X64_FUEL]] += access->refund;
}

static const struct fort_x64_faults *faults_of(const struct fort_signal_range *range)
{
	_Static_assert(offsetof(struct fort_x64_faults, range) == 0, "one is the other");

	return (const struct fort_x64_faults *)range;
}

static uint32_t place_in(const struct fort_signal_range *range, const greg_t *regs)
{
	return (uint32_t)((uint64_t)regs[REG_RIP] - range->start);
}

static bool fault(const struct fort_signal_range *range, const siginfo_t *info, ucontext_t *context)
{
	const struct fort_x64_faults *faults = faults_of(range);
	greg_t *regs = context->uc_mcontext.gregs;
	uint32_t at = place_in(range, regs);
	const struct fort_x64_access *access = find_access(faults, at);
	struct fort_run *run = (struct fort_run *)regs[saved_at[FORT_X64_RUN]];

	if (access) {
		/* The kernel calls handlers with all keys closed. */
		uint32_t rights = fort_domain_enter(run->domain);

		tell_access(regs, access, run);
		fort_domain_leave(run->domain, rights);
	} else {
		struct fort_x64_entry *entry = run->engine;

		entry->stop = FORT_ABORT_TRAP;
		entry->pc = find_pc(faults, at);
	}
	regs[REG_RIP] = (greg_t)faults->way_out;
	return true;
}

/* Before the prologue has told where the stack was there is no way out; the run is stopped later.
 * Behind it, code that leaves is interrupted without harm: what it has popped is still there, right
 * below the stack pointer, where no handler writes. */
static bool stop(const struct fort_signal_range *range, struct fort_run *run, ucontext_t *context)
{
	const struct fort_x64_faults *faults = faults_of(range);
	greg_t *regs = context->uc_mcontext.gregs;
	struct fort_x64_entry *entry = run->engine;

	if (!entry || !entry->stack || entry->stop)
		return true;
	entry->stop = FORT_ABORT_TIME;
	entry->pc = find_pc(faults, place_in(range, regs));
	regs[saved_at[FORT_X64_RUN]] = (greg_t)run;
	regs[REG_RIP] = (greg_t)faults->way_out;
	return true;
}

int fort_x64_faults_list(struct fort_x64_faults *faults, uint32_t *place)
{
	faults->range.fault = fault;
	faults->range.stop = stop;
	return fort_signals_list(&faults->range, place);
}
