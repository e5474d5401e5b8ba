/* The table that all participants of one store share: who may still hold a pointer into a map.
 *
 * A value that was deleted or replaced may be reused only when no running program can hold a
 * pointer to it any more. The idea is epoch-based reclamation (K. Fraser, "Practical
 * lock-freedom", 2004): a counter, the epoch, and a seat for each run in progress. A run writes
 * the epoch it saw into its seat when it starts and 0 when it ends. What was unlinked at epoch e
 * is free once the epoch has passed e and every seat is empty or holds a later one.
 *
 * - Enter loads the epoch and stores it with a locked exchange: the one fence the algorithm needs,
 *   so that reads of maps come after the store. Leave is a plain store.
 * - Reclaiming scans the seats. A seat whose process is dead is cleared (map/process.h).
 * - The seat is also the name under which a process holds locks (map/lock.h); a generation per
 *   seat tells its owners apart.
 *
 * The table is a sealed memfd. All of it may be overwritten by any participant: that can delay
 * reuse, or let its own users see wrong values. What this process knows of itself (its seats,
 * their generations) is kept in its own memory.
 */
#pragma once

#include "base/limits.h"
#include "map/once.h"

struct fort_shared_seat {
	_Alignas(64) uint64_t owner; /* fort_process, 0: free */
	uint64_t epoch;              /* of the run in progress, 0: none */
	uint32_t generation;         /* counts owners */
};

struct fort_shared_table {
	uint32_t magic, version;
	uint32_t n_seats, n_cpus;
	_Alignas(64) uint64_t epoch;
	uint32_t used; /* seats that were ever taken: where scans end */
	struct fort_shared_seat seats[FORT_SEATS_MAX];
	/* Runs that ended early, of the program that has the place (load/crash.h): the place's
	 * generation << 32 | how many. */
	uint64_t crashes[FORT_CRASH_PLACES];
};
_Static_assert(sizeof(struct fort_shared_seat) == 64, "shared layout");
_Static_assert(offsetof(struct fort_shared_table, epoch) == 64, "shared layout");
_Static_assert(offsetof(struct fort_shared_table, seats) == 128, "shared layout");

/* A seat taken by this process, for one thread at a time. */
struct fort_seat {
	struct fort_shared *shared; /* not owned */
	uint32_t index;
	uint32_t token; /* generation << 16 | index + 1: how locks name their holder */
};

#define FORT_SEAT_POOL 64u

/* One process's view of the table. */
struct fort_shared {
	int fd; /* owned */
	struct fort_shared_table *table;
	uint64_t self;   /* this process */
	uint32_t n_cpus; /* possible processors, for per-CPU maps */
	/* The seat that last stood in the way, and how often in a row. */
	uint32_t suspect, suspected;
	uint64_t suspect_epoch;
	/* Seats lent to calls that have none of their own. */
	uint64_t idle;
	uint32_t n_pool;
	struct fort_seat pool[FORT_SEAT_POOL];
};

/* Makes a table, or opens that of another process; `fd` is owned by it on success. Returns 0,
 * -ENOMEM and the like, -EINVAL for n_cpus outside 1..FORT_CPUS_MAX, -EBADMSG for an object that
 * is no table.
 */
FORT_CHECKED int fort_shared_create(uint32_t n_cpus, struct fort_shared **out);
FORT_CHECKED int fort_shared_open(int fd, struct fort_shared **out);
void fort_shared_close(struct fort_shared *shared);
/* To be called in the child of a fork before anything else: forgets the parent's seats. Seats
 * taken by fort_seat_take must be taken anew by their users. */
void fort_shared_forked(struct fort_shared *shared);

/* Takes the first seat that is free or belongs to a dead process. -ENOSPC when all are taken. */
FORT_CHECKED int fort_seat_take(struct fort_shared *shared, struct fort_seat *seat);
void fort_seat_release(const struct fort_seat *seat);
/* Frees the seats of a process that has forgotten them because it runs another program now
 * (execve): it is still the process that took them. */
void fort_shared_evict(struct fort_shared *shared, uint32_t pid);
/* A seat for the length of one call. Give `seat` back. -EAGAIN when too many threads have one. */
FORT_CHECKED int fort_seat_borrow(struct fort_shared *shared, const struct fort_seat **seat);
void fort_seat_return(const struct fort_seat *seat);

/* A run starts, or ends. */
static inline void fort_seat_enter(const struct fort_seat *seat)
{
	struct fort_shared_table *table = seat->shared->table;
	uint64_t epoch = fort_load(&table->epoch);

	(void)fort_swap(&table->seats[seat->index].epoch, epoch ? epoch : 1);
}

static inline void fort_seat_leave(const struct fort_seat *seat)
{
	fort_store(&seat->shared->table->seats[seat->index].epoch, 0);
}

/* The stamp for what was unlinked before the caller's last locked instruction. */
static inline uint64_t fort_epoch_now(const struct fort_shared *shared)
{
	return fort_load(&shared->table->epoch);
}

/* Can nobody hold what was stamped `stamp`? `except`: a seat that does not count, or NULL.
 * `urgent`: find out now whether a seat in the way belongs to a dead process. */
bool fort_epoch_passed(struct fort_shared *shared, uint64_t stamp, const struct fort_seat *except,
		       bool urgent);

/* Has the holder named by this token died, or given up its seat? */
bool fort_token_dead(struct fort_shared *shared, uint32_t token);
