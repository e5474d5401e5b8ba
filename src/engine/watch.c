#include "engine/watch.h"

#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/pages.h"
#include "base/sys.h"
#include "isolate/signals.h"

#define PLACES 64u
/* Looks without a place taken before the thread sleeps: runs come in bursts. */
#define PATIENCE 200u

struct fort_watch {
	struct fort_signal_listener listener;
	uint64_t limit_ns, period_ns;
	pthread_mutex_t lock; /* of starting, and of taking and giving places */
	pthread_t thread;
	bool listening, started, closing;
	uint32_t n_taken;
	uint32_t asleep; /* futex */
	struct fort_watched places[PLACES];
};

/* --- stopping, on the thread itself --- */

static struct fort_watched *place_at(struct fort_watch *watch, const void *at)
{
	uintptr_t offset = (uintptr_t)at - (uintptr_t)watch->places;

	if (offset >= sizeof(watch->places) || offset % sizeof(watch->places[0]))
		return NULL;
	return &watch->places[offset / sizeof(watch->places[0])];
}

static bool on_stop(const struct fort_signal_listener *listener, const siginfo_t *info,
		    ucontext_t *context)
{
	struct fort_watch *watch = (struct fort_watch *)(uintptr_t)listener;
	struct fort_watched *place = place_at(watch, info->si_value.sival_ptr);
	uint64_t ip = (uint64_t)context->uc_mcontext.gregs[REG_RIP];
	const struct fort_signal_range *range;
	struct fort_run *run;

	if (!place)
		return false;
	run = place->run;
	if (place->tid != fort_sys0(SYS_gettid))
		return true; /* it was that thread's when the signal was sent */
	if (!run || place->serial != __atomic_load_n(&place->stopping, __ATOMIC_ACQUIRE))
		return true; /* it has ended by itself */
	range = fort_signals_find(ip);
	if (!range || !range->stop(range, run, context))
		fort_run_abort(run, FORT_ABORT_TIME, 0);
	return true;
}

/* --- the watchdog's thread --- */

/* The kernel's number of a thread's clock of processor time. */
static clockid_t clock_of(int32_t tid)
{
	return (clockid_t)(~(uint32_t)tid << 3 | 6);
}

static uint64_t used_ns(int32_t tid)
{
	struct timespec time = {0};

	fort_sys2(SYS_clock_gettime, clock_of(tid), (long)&time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void send_stop(struct fort_watched *place, int32_t tid)
{
	siginfo_t info = {.si_code = SI_QUEUE};

	info.si_pid = (pid_t)fort_sys0(SYS_getpid);
	info.si_uid = getuid();
	info.si_value.sival_ptr = place;
	__atomic_store_n(&place->stopping, place->seen, __ATOMIC_RELEASE);
	fort_sys4(SYS_rt_tgsigqueueinfo, info.si_pid, tid, FORT_SIGNAL_STOP, (long)&info);
}

static void look_at(const struct fort_watch *watch, struct fort_watched *place, int32_t tid)
{
	uint64_t serial = __atomic_load_n(&place->serial, __ATOMIC_ACQUIRE), now;

	if (!__atomic_load_n(&place->run, __ATOMIC_ACQUIRE))
		return;
	now = used_ns(tid);
	if (serial != place->seen) {
		place->seen = serial;
		place->seen_ns = now;
	} else if (now - place->seen_ns >= watch->limit_ns) {
		send_stop(place, tid);
	}
}

/* Takes no lock: a process may fork while this thread would hold it. */
static void look(struct fort_watch *watch)
{
	for (uint32_t i = 0; i < PLACES; i++) {
		int32_t tid = __atomic_load_n(&watch->places[i].tid, __ATOMIC_ACQUIRE);

		if (tid)
			look_at(watch, &watch->places[i], tid);
	}
}

static bool is_idle(const struct fort_watch *watch)
{
	return !__atomic_load_n(&watch->n_taken, __ATOMIC_SEQ_CST);
}

/* Until a place is taken. */
static void sleep_on(struct fort_watch *watch)
{
	__atomic_store_n(&watch->asleep, 1, __ATOMIC_SEQ_CST);
	while (is_idle(watch) && !__atomic_load_n(&watch->closing, __ATOMIC_SEQ_CST))
		fort_sys4(SYS_futex, (long)&watch->asleep, FUTEX_WAIT_PRIVATE, 1, 0);
	__atomic_store_n(&watch->asleep, 0, __ATOMIC_SEQ_CST);
}

static void *watch_places(void *argument)
{
	struct fort_watch *watch = argument;
	struct timespec period = {(time_t)(watch->period_ns / 1000000000u),
				  (long)(watch->period_ns % 1000000000u)};
	uint32_t idle = 0;

	prctl(PR_SET_NAME, "bpfort-watch");
	while (!__atomic_load_n(&watch->closing, __ATOMIC_SEQ_CST)) {
		int err = fort_signals_install();

		(void)err; /* runs end by their fuel then */
		look(watch);
		nanosleep(&period, NULL);
		idle = is_idle(watch) ? idle + 1 : 0;
		if (idle > PATIENCE) {
			sleep_on(watch);
			idle = 0;
		}
	}
	return NULL;
}

static void wake(struct fort_watch *watch)
{
	if (!__atomic_load_n(&watch->asleep, __ATOMIC_SEQ_CST))
		return;
	__atomic_store_n(&watch->asleep, 0, __ATOMIC_SEQ_CST);
	fort_sys3(SYS_futex, (long)&watch->asleep, FUTEX_WAKE_PRIVATE, 1);
}

/* No signal of the host is ever handled on the watchdog's thread. */
static void start(struct fort_watch *watch)
{
	sigset_t all, before;

	if (!watch->listening)
		watch->listening = !fort_signals_listen(&watch->listener);
	if (!watch->listening)
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	watch->started = !pthread_create(&watch->thread, NULL, watch_places, watch);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* --- places --- */

struct fort_watched *fort_watch_take(struct fort_watch *watch)
{
	struct fort_watched *place = NULL;

	if (!watch)
		return NULL;
	pthread_mutex_lock(&watch->lock);
	if (!watch->started)
		start(watch);
	for (uint32_t i = 0; watch->started && i < PLACES && !place; i++)
		if (!watch->places[i].tid)
			place = &watch->places[i];
	if (place) {
		__atomic_store_n(&place->tid, fort_sys0(SYS_gettid), __ATOMIC_RELEASE);
		__atomic_fetch_add(&watch->n_taken, 1, __ATOMIC_SEQ_CST);
		wake(watch);
	}
	pthread_mutex_unlock(&watch->lock);
	return place;
}

void fort_watch_give(struct fort_watch *watch, struct fort_watched *place)
{
	if (!place)
		return;
	pthread_mutex_lock(&watch->lock);
	__atomic_store_n(&place->tid, 0, __ATOMIC_RELEASE);
	__atomic_fetch_sub(&watch->n_taken, 1, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&watch->lock);
}

/* --- opening and closing --- */

int fort_watch_open(uint64_t limit_ns, uint64_t period_ns, struct fort_watch **out)
{
	struct fort_watch *watch;
	void *pages;
	int err = fort_pages_alloc(sizeof(*watch), &pages);

	if (err)
		return err;
	watch = pages;
	watch->listener.stop = on_stop;
	watch->limit_ns = limit_ns;
	watch->period_ns = period_ns;
	pthread_mutex_init(&watch->lock, NULL);
	*out = watch;
	return 0;
}

void fort_watch_close(struct fort_watch *watch)
{
	_Static_assert(offsetof(struct fort_watch, listener) == 0, "one is the other");

	if (!watch)
		return;
	if (watch->started) {
		__atomic_store_n(&watch->closing, true, __ATOMIC_SEQ_CST);
		wake(watch);
		pthread_join(watch->thread, NULL);
	}
	if (watch->listening)
		fort_signals_forget(&watch->listener);
	pthread_mutex_destroy(&watch->lock);
	fort_pages_free(watch, sizeof(*watch));
}

void fort_watch_forked(struct fort_watch *watch)
{
	if (!watch)
		return;
	pthread_mutex_init(&watch->lock, NULL);
	memset(watch->places, 0, sizeof(watch->places));
	watch->n_taken = 0;
	watch->asleep = 0;
	watch->started = false;
}
