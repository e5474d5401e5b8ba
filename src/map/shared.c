#include "map/shared.h"

#include <errno.h>
#include <string.h>

#include "base/pages.h"
#include "base/sys.h"
#include "map/memfd.h"
#include "map/process.h"

#define TABLE_MAGIC   0x65746266u /* "fbte" */
#define TABLE_VERSION 2u
#define TABLE_BYTES   fort_round_up(sizeof(struct fort_shared_table), FORT_PAGE_BYTES)
/* A seat that stood in the way this often is looked at: the look costs microseconds. */
#define SUSPECTED_MAX  64u
#define BORROW_TRIES   1000u
#define GENERATION_MAX 0xffffu

static int map_table(int fd, struct fort_shared **out)
{
	struct fort_shared *shared;
	void *pages, *table;
	int err;

	err = fort_pages_alloc(sizeof(*shared), &pages);
	if (err)
		return err;
	err = fort_memfd_map(fd, TABLE_BYTES, true, &table);
	if (err) {
		fort_pages_free(pages, sizeof(*shared));
		return err;
	}
	shared = pages;
	*shared = (struct fort_shared){.fd = fd, .table = table, .self = fort_process_self()};
	*out = shared;
	return 0;
}

int fort_shared_create(uint32_t n_cpus, struct fort_shared **out)
{
	struct fort_shared *shared;
	int fd, err;

	if (!n_cpus || n_cpus > FORT_CPUS_MAX)
		return -EINVAL;
	err = fort_memfd_new("bpfort-shared", TABLE_BYTES, true, &fd);
	if (err)
		return err;
	err = map_table(fd, &shared);
	if (err) {
		fort_sys1(SYS_close, fd);
		return err;
	}
	shared->n_cpus = n_cpus;
	shared->table->n_cpus = n_cpus;
	shared->table->n_seats = FORT_SEATS_MAX;
	shared->table->version = TABLE_VERSION;
	shared->table->epoch = 1;
	fort_store(&shared->table->magic, TABLE_MAGIC);
	*out = shared;
	return 0;
}

int fort_shared_open(int fd, struct fort_shared **out)
{
	struct fort_shared_table *table;
	struct fort_shared *shared;
	uint32_t n_cpus;
	int err;

	err = fort_memfd_check(fd, TABLE_BYTES);
	if (err)
		return err;
	err = map_table(fd, &shared);
	if (err)
		return err;
	table = shared->table;
	n_cpus = fort_load(&table->n_cpus);
	if (fort_load(&table->magic) != TABLE_MAGIC || table->version != TABLE_VERSION ||
	    table->n_seats != FORT_SEATS_MAX || !n_cpus || n_cpus > FORT_CPUS_MAX) {
		shared->fd = -1; /* stays the caller's */
		fort_shared_close(shared);
		return -EBADMSG;
	}
	shared->n_cpus = n_cpus;
	*out = shared;
	return 0;
}

void fort_shared_close(struct fort_shared *shared)
{
	if (!shared)
		return;
	for (uint32_t i = 0; i < shared->n_pool && i < FORT_SEAT_POOL; i++)
		fort_seat_release(&shared->pool[i]);
	fort_memfd_unmap(shared->table, TABLE_BYTES);
	if (shared->fd >= 0)
		fort_sys1(SYS_close, shared->fd);
	fort_pages_free(shared, sizeof(*shared));
}

void fort_shared_forked(struct fort_shared *shared)
{
	shared->self = fort_process_self();
	shared->n_pool = 0;
	shared->idle = 0;
}

static struct fort_shared_seat *seat_at(const struct fort_shared *shared, uint32_t index)
{
	return &shared->table->seats[index];
}

static uint32_t seats_used(const struct fort_shared *shared)
{
	uint32_t used = fort_load(&shared->table->used);

	return used < FORT_SEATS_MAX ? used : FORT_SEATS_MAX;
}

/* The seat's owner word is ours already: nobody else touches the rest of it. */
static void sit_down(struct fort_shared *shared, uint32_t index, struct fort_seat *seat)
{
	struct fort_shared_seat *place = seat_at(shared, index);
	uint32_t generation = (fort_load(&place->generation) + 1) & GENERATION_MAX;
	uint32_t used = fort_load(&shared->table->used);

	fort_store(&place->epoch, 0);
	fort_store(&place->generation, generation);
	while (used < index + 1 && !fort_cas(&shared->table->used, &used, index + 1))
		;
	*seat = (struct fort_seat){.shared = shared,
				   .index = index,
				   .token = generation << 16 | (index + 1)};
}

/* Who sits there and is alive is remembered: looking is slow. */
static bool vacate(struct fort_shared *shared, uint32_t index, uint64_t *alive)
{
	uint64_t owner = fort_load(&seat_at(shared, index)->owner);

	if (owner && (owner == *alive || owner == shared->self))
		return false;
	if (owner && !fort_process_dead(owner)) {
		*alive = owner;
		return false;
	}
	return fort_cas(&seat_at(shared, index)->owner, &owner, shared->self);
}

int fort_seat_take(struct fort_shared *shared, struct fort_seat *seat)
{
	uint64_t alive = shared->self;

	for (uint32_t i = 0; i < FORT_SEATS_MAX; i++) {
		if (!vacate(shared, i, &alive))
			continue;
		sit_down(shared, i, seat);
		return 0;
	}
	return -ENOSPC;
}

void fort_seat_release(const struct fort_seat *seat)
{
	struct fort_shared_seat *place = seat_at(seat->shared, seat->index);

	fort_store(&place->epoch, 0);
	fort_store(&place->owner, 0);
}

void fort_shared_evict(struct fort_shared *shared, uint32_t pid)
{
	uint32_t used = seats_used(shared);

	for (uint32_t i = 0; i < used; i++) {
		uint64_t owner = fort_load(&seat_at(shared, i)->owner);
		struct fort_seat seat;

		/* As bury: taken over first. */
		if (owner >> 32 != pid ||
		    !fort_cas(&seat_at(shared, i)->owner, &owner, shared->self))
			continue;
		sit_down(shared, i, &seat);
		fort_seat_release(&seat);
	}
}

/* A new seat for the pool, lent at once. */
static int grow_pool(struct fort_shared *shared, const struct fort_seat **out)
{
	uint32_t n = fort_load(&shared->n_pool);
	struct fort_seat seat;
	int err;

	if (n >= FORT_SEAT_POOL)
		return -EAGAIN;
	err = fort_seat_take(shared, &seat);
	if (err)
		return err;
	n = fort_add(&shared->n_pool, 1);
	if (n >= FORT_SEAT_POOL) {
		fort_add(&shared->n_pool, -1u);
		fort_seat_release(&seat);
		return -EAGAIN;
	}
	shared->pool[n] = seat;
	*out = &shared->pool[n];
	return 0;
}

int fort_seat_borrow(struct fort_shared *shared, const struct fort_seat **out)
{
	uint64_t idle = fort_load(&shared->idle);
	int err = -EAGAIN;

	for (unsigned tries = 0; tries < BORROW_TRIES; tries++) {
		while (idle) {
			unsigned n = (unsigned)__builtin_ctzll(idle);

			if (fort_cas(&shared->idle, &idle, idle & ~(1ull << n))) {
				*out = &shared->pool[n];
				return 0;
			}
		}
		err = grow_pool(shared, out);
		if (err != -EAGAIN)
			return err;
		fort_sys0(SYS_sched_yield);
		idle = fort_load(&shared->idle);
	}
	return err;
}

void fort_seat_return(const struct fort_seat *seat)
{
	struct fort_shared *shared = seat->shared;

	__atomic_fetch_or(&shared->idle, 1ull << (seat - shared->pool), __ATOMIC_RELEASE);
}

/* Clears a seat whose process has died: takes it over first, so that nobody who sits down
 * meanwhile is thrown out. */
static bool bury(struct fort_shared *shared, uint32_t index)
{
	uint64_t alive = 0;
	struct fort_seat seat;

	if (!vacate(shared, index, &alive))
		return false;
	sit_down(shared, index, &seat);
	fort_seat_release(&seat);
	return true;
}

/* Is the seat in the way for good? Its owner is looked up only when it has been for long. */
static bool stuck(struct fort_shared *shared, uint32_t index, uint64_t epoch, bool urgent)
{
	if (fort_load(&shared->suspect) != index || fort_load(&shared->suspect_epoch) != epoch) {
		fort_store(&shared->suspect, index);
		fort_store(&shared->suspect_epoch, epoch);
		fort_store(&shared->suspected, 0);
	}
	if (!urgent && fort_load(&shared->suspected) < SUSPECTED_MAX) {
		fort_store(&shared->suspected, fort_load(&shared->suspected) + 1);
		return true;
	}
	fort_store(&shared->suspected, 0);
	return !bury(shared, index);
}

bool fort_epoch_passed(struct fort_shared *shared, uint64_t stamp, const struct fort_seat *except,
		       bool urgent)
{
	uint64_t now = fort_load(&shared->table->epoch);
	uint32_t used;

	if (now <= stamp)
		(void)fort_cas(&shared->table->epoch, &now, now + 1);
	else
		fort_fence(); /* between the caller's unlinking and the scan */
	used = seats_used(shared);
	for (uint32_t i = 0; i < used; i++) {
		uint64_t epoch = fort_load(&seat_at(shared, i)->epoch);

		if (!epoch || epoch > stamp || (except && except->index == i))
			continue;
		if (stuck(shared, i, epoch, urgent))
			return false;
	}
	return fort_load(&shared->table->epoch) > stamp;
}

bool fort_token_dead(struct fort_shared *shared, uint32_t token)
{
	uint32_t index = (token & 0xffff) - 1;
	uint64_t owner;

	if (index >= FORT_SEATS_MAX)
		return true;
	owner = fort_load(&seat_at(shared, index)->owner);
	if (!owner || (fort_load(&seat_at(shared, index)->generation) != token >> 16))
		return true;
	return owner != shared->self && fort_process_dead(owner);
}
