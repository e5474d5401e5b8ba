/* The watchdog: a thread that ends runs which take too long, as the backstop to fuel.
 *
 * A thread that runs programs takes a place, and says in it what it runs. The watchdog looks at all
 * places every few milliseconds; a run that has used more than its share of its thread's processor
 * time is asked to stop, by a signal to that thread. What happens then depends on where the thread
 * is, which its own handler sees best: in code of the program, the run ends there. In a helper, or
 * in the interpreter, the run is marked as aborted, and ends when the helper returns or the program
 * goes back: helpers are never interrupted, so what they hold is in order.
 *
 * The watchdog also keeps the handlers of isolate/signals.h in front of those that the host
 * installs later.
 */
#pragma once

#include "engine/run.h"

struct fort_watch;

/* One thread's place. Written by that thread, but for what is said otherwise. */
struct fort_watched {
	_Alignas(64) struct fort_run *run; /* NULL: none */
	uint64_t serial;                   /* counts runs */
	int32_t tid;                       /* 0: the place is free */
	/* The watchdog's: the run it saw last, how much time the thread had used then, and the run
	 * that is to stop. */
	uint64_t seen, seen_ns, stopping;
};

/* `limit_ns`: processor time of one run; it ends at most two periods later. Signal handlers and the
 * thread come when a place is first taken. Returns 0 or -ENOMEM.
 */
FORT_CHECKED int fort_watch_open(uint64_t limit_ns, uint64_t period_ns, struct fort_watch **out);
/* When no place is taken. NULL is fine. */
void fort_watch_close(struct fort_watch *watch);
/* In the child of a fork, before anything else: the thread is not there, and nobody has a place. */
void fort_watch_forked(struct fort_watch *watch);

/* The calling thread's place until it is given back. NULL when there is none, or no thread: then
 * fuel alone bounds its runs. `watch` may be NULL.
 */
struct fort_watched *fort_watch_take(struct fort_watch *watch);
void fort_watch_give(struct fort_watch *watch, struct fort_watched *place);

/* Around a run. The handler that looks at this runs on the same thread. */
static inline void fort_watched_enter(struct fort_watched *place, struct fort_run *run)
{
	place->serial++;
	__atomic_store_n(&place->run, run, __ATOMIC_RELEASE);
}

static inline void fort_watched_leave(struct fort_watched *place)
{
	__atomic_store_n(&place->run, NULL, __ATOMIC_RELEASE);
}
