#include "engine/x64_faults.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/pages.h"
#include "base/sys.h"
#include "engine/x64_run.h"

/* An image in one word, so that a reader on another thread sees all of it or nothing: the number of
 * its first page above, of its pages below. 0: none. An image that contains the instruction at
 * which this thread faulted cannot go away, so what the word leads to is stable once it matched.
 */
#define PAGES_BITS 28

struct line {
	_Atomic uint64_t range;
	_Atomic(const struct fort_x64_faults *) faults; /* NULL: the line is free */
};

/* What was there before ours, of one signal. Never changes but for `spent`, is never given back: a
 * handler may be on its way through it.
 */
struct previous {
	struct sigaction action;
	_Atomic bool spent; /* it asked to be called once (SA_RESETHAND), and was */
};

enum { SEGV, BUS, SIGNALS };
static const int numbers[SIGNALS] = {[SEGV] = SIGSEGV, [BUS] = SIGBUS};

struct registry {
	_Atomic(struct previous *) previous[SIGNALS];
	_Atomic bool installed;
	_Atomic uint32_t n_lines; /* no line at or beyond was ever used */
	struct line lines[FORT_CODE_IMAGES_MAX];
};

/* The one mutable object of this layer (tools/lint.py knows it): a signal handler has nothing else
 * to start from. NULL until the first image; then it never changes. */
static struct registry *_Atomic registry;

/* --- who faulted --- */

static const struct fort_x64_faults *find_image(const struct registry *all, uint64_t ip)
{
	uint64_t page = ip / FORT_PAGE_BYTES;
	uint32_t n = atomic_load(&all->n_lines);

	for (uint32_t i = 0; i < n; i++) {
		uint64_t range = atomic_load(&all->lines[i].range);
		uint64_t first = range >> PAGES_BITS, pages = range & ((1u << PAGES_BITS) - 1);

		if (page - first < pages)
			return atomic_load(&all->lines[i].faults);
	}
	return NULL;
}

static const struct fort_x64_access *find_access(const struct fort_x64_faults *faults, uint64_t ip)
{
	uint32_t at = (uint32_t)(ip - faults->start), low = 0, high = faults->n_accesses;

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

/* --- the end of a run --- */

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

/* As if the code had left by itself. What reads and writes in one is the load's fault where it
 * could not even read. */
static void end_run(greg_t *regs, const struct fort_x64_faults *faults,
		    const struct fort_x64_access *access)
{
	struct fort_run *run = (struct fort_run *)regs[saved_at[FORT_X64_RUN]];
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
	regs[REG_RIP] = (greg_t)faults->way_out;
}

static bool ours(const struct registry *all, const siginfo_t *info, ucontext_t *context)
{
	greg_t *regs = context->uc_mcontext.gregs;
	const struct fort_x64_faults *faults;
	const struct fort_x64_access *access;

	if (info->si_code <= 0) /* somebody sent it */
		return false;
	faults = find_image(all, (uint64_t)regs[REG_RIP]);
	if (!faults)
		return false;
	access = find_access(faults, (uint64_t)regs[REG_RIP]);
	if (!access)
		return false;
	end_run(regs, faults, access);
	return true;
}

/* --- everybody else --- */

/* What the kernel would have done without us: dies by a fault, also an ignored one. */
static void do_default(int number, const siginfo_t *info, bool ignored)
{
	struct sigaction action = {.sa_handler = SIG_DFL};

	if (ignored && info->si_code <= 0)
		return;
	sigaction(number, &action, NULL);
	if (info->si_code <= 0) /* a fault happens again by itself */
		fort_sys3(SYS_tgkill, fort_sys0(SYS_getpid), fort_sys0(SYS_gettid), number);
}

static void call_previous(struct previous *previous, int number, siginfo_t *info, void *context)
{
	const struct sigaction *action = &previous->action;
	sigset_t again;

	if (action->sa_handler == SIG_DFL || action->sa_handler == SIG_IGN ||
	    atomic_load(&previous->spent)) {
		do_default(number, info, action->sa_handler == SIG_IGN);
		return;
	}
	if (action->sa_flags & SA_RESETHAND)
		atomic_store(&previous->spent, true);
	if (action->sa_flags & SA_NODEFER) {
		sigemptyset(&again);
		sigaddset(&again, number);
		pthread_sigmask(SIG_UNBLOCK, &again, NULL);
	}
	if (action->sa_flags & SA_SIGINFO)
		action->sa_sigaction(number, info, context);
	else
		action->sa_handler(number);
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	struct registry *all = atomic_load(&registry);

	if (!ours(all, info, context))
		call_previous(atomic_load(&all->previous[number == SIGBUS ? BUS : SEGV]), number,
			      info, context);
}

/* --- installing and listing --- */

static int the_registry(struct registry **out)
{
	struct registry *none = NULL;
	void *pages;
	int err;

	*out = atomic_load(&registry);
	if (*out)
		return 0;
	err = fort_pages_alloc(sizeof(struct registry), &pages);
	if (err)
		return err;
	*out = pages;
	if (!atomic_compare_exchange_strong(&registry, &none, *out)) {
		fort_pages_free(pages, sizeof(struct registry)); /* another thread's came first */
		*out = none;
	}
	return 0;
}

/* Ours before what is there now, with its mask, so that it runs under it. Threads that do this at
 * once find the same or find ours; both are well.
 */
static int go_in_front(struct registry *all, unsigned i)
{
	struct sigaction action = {.sa_sigaction = on_fault}, now;
	struct previous *previous;
	void *pages;
	int err;

	if (sigaction(numbers[i], NULL, &now))
		return -errno;
	if (now.sa_flags & SA_SIGINFO && now.sa_sigaction == on_fault)
		return 0;
	err = fort_pages_alloc(sizeof(*previous), &pages);
	if (err)
		return err;
	previous = pages;
	previous->action = now;
	atomic_store(&all->previous[i], previous);
	action.sa_mask = now.sa_mask;
	action.sa_flags = SA_SIGINFO | SA_ONSTACK | (now.sa_flags & SA_RESTART);
	return sigaction(numbers[i], &action, NULL) ? -errno : 0;
}

int fort_x64_faults_install(void)
{
	struct registry *all;
	int err = the_registry(&all);

	for (unsigned i = 0; i < SIGNALS && !err; i++)
		err = go_in_front(all, i);
	if (!err)
		atomic_store(&all->installed, true);
	return err;
}

int fort_x64_faults_list(const struct fort_x64_faults *faults, uint32_t *place)
{
	struct registry *all;
	int err = the_registry(&all);

	if (!err && !atomic_load(&all->installed))
		err = fort_x64_faults_install();
	if (err)
		return err;
	for (uint32_t i = 0; i < FORT_CODE_IMAGES_MAX; i++) {
		const struct fort_x64_faults *none = NULL;
		uint32_t n = atomic_load(&all->n_lines);

		if (atomic_load(&all->lines[i].faults) ||
		    !atomic_compare_exchange_strong(&all->lines[i].faults, &none, faults))
			continue;
		while (n <= i && !atomic_compare_exchange_weak(&all->n_lines, &n, i + 1))
			;
		atomic_store(&all->lines[i].range, faults->start / FORT_PAGE_BYTES << PAGES_BITS |
							   faults->bytes / FORT_PAGE_BYTES);
		*place = i;
		return 0;
	}
	return -ENOSPC;
}

void fort_x64_faults_unlist(uint32_t place)
{
	struct line *line = &atomic_load(&registry)->lines[place];

	atomic_store(&line->range, 0);
	atomic_store(&line->faults, NULL);
}
