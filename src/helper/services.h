/* What helpers use beyond the program: one fort_host per process, one fort_services per thread that
 * runs programs (or per place in a pool of such; one run at a time).
 *
 * A run is framed by fort_services_enter and fort_services_leave; while it lasts, what it found in
 * hash maps stays in place.
 */
#pragma once

#include "map/map.h"
#include "map/shared.h"

struct fort_run;
struct fort_watch;
struct fort_watched;

/* Addresses from start up to, not including, end. */
struct fort_range {
	uint64_t start, end;
};

/* clock_gettime's signature; the vDSO's works without libc. */
struct fort_timespec;
typedef int fort_clock_fn(int clock, struct fort_timespec *time);

/* Ways of learning the current processor, fastest first. */
enum fort_cpu_source { FORT_CPU_RDPID, FORT_CPU_LSL, FORT_CPU_SYSCALL };

struct fort_host {
	struct fort_shared *shared; /* not owned */
	struct fort_map *trace;     /* where trace lines go (helper/trace.h), not owned; or NULL */
	struct fort_map *crashes;   /* where crashes are told (load/crash.h), not owned; or NULL */
	/* Memory of ours that programs may not read by probe_read: code, metadata, stacks. Not
	 * owned. */
	const struct fort_range *ranges;
	uint32_t n_ranges;
	struct fort_watch *watch; /* of runs in this process, not owned; or NULL */
	fort_clock_fn *clock;     /* the vDSO's, or NULL */
	enum fort_cpu_source cpu_source;
	uint64_t pointer_key; /* hides addresses that %p prints */
};

/* A generator of numbers that nobody can predict who does not see its state. */
struct fort_random {
	uint64_t state[2];
	bool seeded;
};

struct fort_services {
	struct fort_host *host; /* not owned */
	struct fort_seat seat;
	struct fort_watched *watched; /* the thread's place at the watchdog, or NULL */
	struct fort_random random;
	/* Asked of the kernel when first needed, and kept: see fort_services_forget. */
	uint32_t pid;      /* 0: not known */
	uint64_t pid_tgid; /* 0: not known */
	uint64_t uid_gid;
	bool knows_uid_gid;
};

/* Finds out what this process can do. `trace` may be NULL: trace lines are then lost. */
void fort_host_init(struct fort_host *host, struct fort_shared *shared, struct fort_map *trace);
/* Takes a seat. Returns 0 or -ENOSPC. */
FORT_CHECKED int fort_services_init(struct fort_services *services, struct fort_host *host);
void fort_services_end(struct fort_services *services);
/* To be called when another thread is to use the services, after set*id, and (with a new seat) in
 * the child of a fork: identity and random state are not that of before. */
void fort_services_forget(struct fort_services *services);

static inline void fort_services_enter(const struct fort_services *services)
{
	fort_seat_enter(&services->seat);
}

static inline void fort_services_leave(const struct fort_services *services)
{
	fort_seat_leave(&services->seat);
}
