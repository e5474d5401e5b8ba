#include "isolate/signals.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/pages.h"
#include "base/sys.h"

/* A range in one word, so that a reader on another thread sees all of it or nothing: the number of
 * its first line above, of its lines below. 0: none. A range that contains the instruction at
 * which this thread is cannot go away, so what the word leads to is stable once it matched.
 */
#define LINES_BITS 23 /* half a GiB, of 47 bits of addresses */

struct line {
	_Atomic uint64_t place;
	_Atomic(const struct fort_signal_range *) range; /* NULL: the line is free */
};

/* What an entry replaced. Written before the entry is installed; `now` if something else had come
 * between. */
struct replaced {
	int number;
	struct sigaction before, now;
	_Atomic bool changed;
	_Atomic bool spent; /* it asked to be called once (SA_RESETHAND), and was */
};

static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, FORT_SIGNAL_STOP};
#define FAULTS 4u /* of them */

struct registry {
	_Atomic bool installed;
	_Atomic uint32_t n_entries; /* that were ever used */
	struct replaced replaced[FORT_SIGNAL_ENTRIES_MAX];
	_Atomic(const struct fort_signal_listener *) listeners[FORT_SIGNAL_LISTENERS_MAX];
	_Atomic uint32_t n_lines; /* no line at or beyond was ever used */
	struct line lines[FORT_CODE_IMAGES_MAX];
};

/* The one mutable object of this layer (tools/lint.py knows it): a signal handler has nothing else
 * to start from. NULL until the first use; then it never changes. */
static struct registry *_Atomic registry;

/* --- entries: functions that the kernel calls, one for each time that one was installed --- */

#define ENTRY_BYTES 16u

__asm__(".pushsection .text\n"
	".p2align 4\n"
	".globl fort_signals_entries\n"
	".hidden fort_signals_entries\n"
	".type fort_signals_entries, @function\n"
	"fort_signals_entries:\n"
	".set fort_entry, 0\n"
	".rept 256\n"
	"	.p2align 4\n"
	"	mov $fort_entry, %ecx\n" /* the fourth argument, and the fifth */
	"	mov %rsp, %r8\n"
	"	jmp fort_signals_enter\n"
	"	.set fort_entry, fort_entry + 1\n"
	".endr\n"
	".size fort_signals_entries, . - fort_signals_entries\n"
	".popsection\n");
_Static_assert(FORT_SIGNAL_ENTRIES_MAX == 256, "as many as there are");

extern const char fort_signals_entries[FORT_SIGNAL_ENTRIES_MAX * ENTRY_BYTES]
	__attribute__((visibility("hidden")));
void fort_signals_enter(int number, siginfo_t *info, void *context, uint32_t entry,
			const uint64_t *stack) __attribute__((visibility("hidden"), used));

typedef void handler(int number, siginfo_t *info, void *context);

static handler *entry_function(uint32_t entry)
{
	return (handler *)(uintptr_t)(fort_signals_entries + (size_t)entry * ENTRY_BYTES);
}

static bool is_ours(const struct sigaction *action)
{
	uintptr_t offset = (uintptr_t)action->sa_sigaction - (uintptr_t)fort_signals_entries;

	return action->sa_flags & SA_SIGINFO && offset < sizeof(fort_signals_entries);
}

/* --- whose it is --- */

const struct fort_signal_range *fort_signals_find(uint64_t ip)
{
	struct registry *all = atomic_load(&registry);
	uint64_t line = ip / FORT_SIGNAL_LINE;
	uint32_t n = all ? atomic_load(&all->n_lines) : 0;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t place = atomic_load(&all->lines[i].place);
		uint64_t first = place >> LINES_BITS, lines = place & ((1u << LINES_BITS) - 1);

		if (line - first < lines)
			return atomic_load(&all->lines[i].range);
	}
	return NULL;
}

/* Raised by the processor, not sent, at an instruction of a range. */
static bool is_program_fault(const siginfo_t *info, ucontext_t *context)
{
	const struct fort_signal_range *range;

	if (info->si_code <= 0)
		return false;
	range = fort_signals_find((uint64_t)context->uc_mcontext.gregs[REG_RIP]);
	return range && range->fault(range, info, context);
}

static bool is_stop(const struct registry *all, const siginfo_t *info, ucontext_t *context)
{
	if (info->si_code != SI_QUEUE || info->si_pid != fort_sys0(SYS_getpid))
		return false;
	for (unsigned i = 0; i < FORT_SIGNAL_LISTENERS_MAX; i++) {
		const struct fort_signal_listener *listener = atomic_load(&all->listeners[i]);

		if (listener && listener->stop(listener, info, context))
			return true;
	}
	return false;
}

/* --- everybody else's --- */

/* What the kernel would have done without us: dies by a fault, also an ignored one. */
static void do_default(int number, const siginfo_t *info, bool ignored)
{
	struct sigaction action = {.sa_handler = SIG_DFL};

	if (number == FORT_SIGNAL_STOP || (ignored && info->si_code <= 0))
		return;
	sigaction(number, &action, NULL);
	if (info->si_code <= 0) /* a fault happens again by itself */
		fort_sys3(SYS_tgkill, fort_sys0(SYS_getpid), fort_sys0(SYS_gettid), number);
}

static bool same_handler(const struct sigaction *a, const struct sigaction *b)
{
	return (a->sa_flags & SA_SIGINFO) == (b->sa_flags & SA_SIGINFO) &&
	       a->sa_handler == b->sa_handler;
}

static const struct sigaction *action_of(const struct replaced *replaced)
{
	return atomic_load(&replaced->changed) ? &replaced->now : &replaced->before;
}

static uint32_t n_entries(const struct registry *all)
{
	uint32_t n = atomic_load(&all->n_entries);

	return n < FORT_SIGNAL_ENTRIES_MAX ? n : FORT_SIGNAL_ENTRIES_MAX;
}

/* Did the handler that this entry replaced have its turn? A host that installs the same one again
 * makes a circle of it and us. */
static bool is_ahead(const struct registry *all, uint32_t entry, const struct sigaction *action)
{
	int number = all->replaced[entry].number;
	struct sigaction front;

	if (sigaction(number, NULL, &front) || same_handler(&front, action) ||
	    front.sa_sigaction == entry_function(entry))
		return true;
	for (uint32_t i = entry + 1; i < n_entries(all); i++)
		if (all->replaced[i].number == number &&
		    same_handler(action_of(&all->replaced[i]), action))
			return true;
	return false;
}

/* `chained`: it was not the kernel that called us. */
static void call_replaced(struct registry *all, uint32_t entry, bool chained, siginfo_t *info,
			  void *context)
{
	struct replaced *replaced = &all->replaced[entry];
	const struct sigaction *action = action_of(replaced);
	bool ignored = action->sa_handler == SIG_IGN;
	int number = replaced->number;
	sigset_t again;

	if (action->sa_handler == SIG_DFL || ignored || atomic_load(&replaced->spent) ||
	    (chained && is_ahead(all, entry, action))) {
		do_default(number, info, ignored);
		return;
	}
	if (action->sa_flags & (int)SA_RESETHAND)
		atomic_store(&replaced->spent, true);
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

/* The kernel puts the context right behind the return address of the handler that it calls. */
void fort_signals_enter(int number, siginfo_t *info, void *context, uint32_t entry,
			const uint64_t *stack)
{
	struct registry *all = atomic_load(&registry);

	if (number == FORT_SIGNAL_STOP ? !is_stop(all, info, context)
				       : !is_program_fault(info, context))
		call_replaced(all, entry, context != stack + 1, info, context);
}

/* --- installing --- */

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

static bool same_action(const struct sigaction *a, const struct sigaction *b)
{
	return same_handler(a, b) && a->sa_flags == b->sa_flags &&
	       !memcmp(&a->sa_mask, &b->sa_mask, sizeof(a->sa_mask));
}

/* The entry that goes before `now`: the newest of this signal if it did so before, or a new one.
 * FORT_SIGNAL_ENTRIES_MAX: there is none left. */
static uint32_t find_entry(struct registry *all, int number, const struct sigaction *now)
{
	uint32_t entry = n_entries(all);

	while (entry && all->replaced[entry - 1].number != number)
		entry--;
	if (entry && same_action(action_of(&all->replaced[entry - 1]), now) &&
	    !atomic_load(&all->replaced[entry - 1].spent))
		return entry - 1;
	entry = atomic_fetch_add(&all->n_entries, 1);
	if (entry >= FORT_SIGNAL_ENTRIES_MAX) {
		atomic_store(&all->n_entries, FORT_SIGNAL_ENTRIES_MAX);
		return FORT_SIGNAL_ENTRIES_MAX;
	}
	all->replaced[entry].before = *now;
	all->replaced[entry].number = number;
	return entry;
}

/* Ours before what is there now, with its mask, so that it runs under it. Threads that do this at
 * once go before the same one, or each other; both are well.
 */
static int go_in_front(struct registry *all, int number)
{
	struct sigaction action = {0}, now;
	struct replaced *replaced;
	uint32_t entry;

	if (sigaction(number, NULL, &now))
		return -errno;
	if (is_ours(&now))
		return 0;
	entry = find_entry(all, number, &now);
	if (entry == FORT_SIGNAL_ENTRIES_MAX)
		return -ENOSPC;
	replaced = &all->replaced[entry];
	action.sa_sigaction = entry_function(entry);
	action.sa_mask = now.sa_mask;
	action.sa_flags = SA_SIGINFO | SA_ONSTACK | (now.sa_flags & SA_RESTART);
	if (number == FORT_SIGNAL_STOP)
		action.sa_flags |= SA_RESTART;
	if (sigaction(number, &action, &now))
		return -errno;
	if (!is_ours(&now) && !same_handler(&now, action_of(replaced))) { /* another came between */
		replaced->now = now;
		atomic_store(&replaced->changed, true);
	}
	return 0;
}

static bool has_listener(const struct registry *all)
{
	for (unsigned i = 0; i < FORT_SIGNAL_LISTENERS_MAX; i++)
		if (atomic_load(&all->listeners[i]))
			return true;
	return false;
}

int fort_signals_install(void)
{
	struct registry *all;
	int err = the_registry(&all);

	for (unsigned i = 0; i < FORT_LEN(numbers) && !err; i++)
		if (i < FAULTS || has_listener(all))
			err = go_in_front(all, numbers[i]);
	if (!err)
		atomic_store(&all->installed, true);
	return err;
}

/* --- lists --- */

static uint64_t place_of(const struct fort_signal_range *range)
{
	return range->start / FORT_SIGNAL_LINE << LINES_BITS | range->bytes / FORT_SIGNAL_LINE;
}

int fort_signals_list(const struct fort_signal_range *range, uint32_t *place)
{
	struct registry *all;
	int err = range->bytes / FORT_SIGNAL_LINE < 1u << LINES_BITS ? the_registry(&all) : -E2BIG;

	if (!err && !atomic_load(&all->installed))
		err = fort_signals_install();
	if (err)
		return err;
	for (uint32_t i = 0; i < FORT_CODE_IMAGES_MAX; i++) {
		const struct fort_signal_range *none = NULL;
		uint32_t n = atomic_load(&all->n_lines);

		if (atomic_load(&all->lines[i].range) ||
		    !atomic_compare_exchange_strong(&all->lines[i].range, &none, range))
			continue;
		while (n <= i && !atomic_compare_exchange_weak(&all->n_lines, &n, i + 1))
			;
		atomic_store(&all->lines[i].place, place_of(range));
		*place = i;
		return 0;
	}
	return -ENOSPC;
}

void fort_signals_unlist(uint32_t place)
{
	struct line *line = &atomic_load(&registry)->lines[place];

	atomic_store(&line->place, 0);
	atomic_store(&line->range, NULL);
}

int fort_signals_listen(const struct fort_signal_listener *listener)
{
	struct registry *all;
	int err = the_registry(&all);

	if (err)
		return err;
	for (unsigned i = 0; i < FORT_SIGNAL_LISTENERS_MAX; i++) {
		const struct fort_signal_listener *none = NULL;

		if (!atomic_compare_exchange_strong(&all->listeners[i], &none, listener))
			continue;
		err = fort_signals_install();
		if (err)
			atomic_store(&all->listeners[i], NULL);
		return err;
	}
	return -ENOSPC;
}

void fort_signals_forget(const struct fort_signal_listener *listener)
{
	struct registry *all = atomic_load(&registry);

	for (unsigned i = 0; i < FORT_SIGNAL_LISTENERS_MAX; i++)
		if (atomic_load(&all->listeners[i]) == listener)
			atomic_store(&all->listeners[i], NULL);
}
