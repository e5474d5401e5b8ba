/* Stocks of elements and quotas of shards: what happens beside the common case, after deaths, and
 * when room runs out. */
#include <errno.h>

#include "base/sys.h"
#include "map/clock.h"
#include "map/hash.h"

#define SEARCH_PAUSE_MS 100u

void fort_hash_pool_init(struct fort_map *map)
{
	struct fort_hash *hash = &map->hash;
	uint32_t n_shards = hash->shard_mask + 1;

	for (uint32_t i = 0; i < n_shards; i++) {
		struct fort_hash_shard *shard = &hash->shards[i];

		shard->quota =
			map->shape.max_entries / n_shards + (i < map->shape.max_entries % n_shards);
		shard->unused = 1 + i * hash->shard_elements;
	}
}

static uint32_t shard_index(const struct fort_hash *hash, const struct fort_hash_shard *shard)
{
	return (uint32_t)(shard - hash->shards);
}

static uint32_t unused_end(const struct fort_hash *hash, const struct fort_hash_shard *shard)
{
	return 1 + (shard_index(hash, shard) + 1) * hash->shard_elements;
}

/* Walks of damaged chains end when this many steps were made in one repair or search. */
static uint64_t steps_max(const struct fort_hash *hash)
{
	return 4ull * hash->n_elements;
}

static uint32_t chain_next(const struct fort_hash *hash, uint32_t number, uint64_t *steps)
{
	const struct fort_hash_element *element = fort_hash_element(hash, number);

	if (!element || !*steps)
		return 0;
	--*steps;
	return fort_load(&element->chain);
}

/* Is the element in the table? With the shard of its hash locked. */
static bool linked(const struct fort_hash *hash, const struct fort_hash_element *element,
		   uint32_t number, uint64_t *steps)
{
	const struct fort_hash_bucket *bucket = fort_hash_bucket(hash, fort_load(&element->hash));
	uint64_t tags = fort_load(&bucket->tags);
	uint32_t at = fort_load(&bucket->chain);

	for (unsigned i = 0; i < FORT_BUCKET_PLACES; i++)
		if ((tags >> 8 * i & 0xff) && fort_load(&bucket->elements[i]) == number)
			return true;
	while (at && at != number)
		at = chain_next(hash, at, steps);
	return at == number;
}

static uint32_t count_bucket(const struct fort_hash *hash, const struct fort_hash_bucket *bucket,
			     uint64_t *steps)
{
	uint64_t tags = fort_load(&bucket->tags);
	uint32_t at = fort_load(&bucket->chain), count = 0;

	for (unsigned i = 0; i < FORT_BUCKET_PLACES; i++)
		count += (tags >> 8 * i & 0xff) != 0;
	for (; at; at = chain_next(hash, at, steps))
		count++;
	return count;
}

/* An element that the dead holder had marked but that is still, or already, in a list. */
static void unmark(const struct fort_hash *hash, uint32_t number, uint32_t died)
{
	struct fort_hash_element *element = fort_hash_element(hash, number);

	if (element && fort_load(&element->mover) == died)
		fort_store(&element->mover, 0);
}

/* The last holder died between two stores of some operation. What each may have left behind:
 * taking or giving an element: its mark; rotating the lists: an element number in two heads;
 * linking or unlinking: the count of live entries. Everything here may be done again.
 */
int fort_shard_repair(const struct fort_map *map, struct fort_hash_shard *shard, uint32_t died)
{
	const struct fort_hash *hash = &map->hash;
	uint32_t resting = fort_load(&shard->resting_head), live = 0;
	uint64_t steps = steps_max(hash);

	if (resting && resting == fort_load(&shard->free)) {
		fort_store(&shard->resting_head, 0);
	} else if (resting && resting == fort_load(&shard->fresh_head)) {
		fort_store(&shard->resting_tail, fort_load(&shard->fresh_tail));
		fort_store(&shard->resting_stamp, fort_epoch_now(map->shared));
		fort_store(&shard->fresh_head, 0);
		fort_store(&shard->n_fresh, 0);
	}
	unmark(hash, fort_load(&shard->free), died);
	unmark(hash, fort_load(&shard->unused), died);
	unmark(hash, fort_load(&shard->fresh_head), died);
	for (uint32_t i = shard_index(hash, shard); i <= hash->bucket_mask;
	     i += hash->shard_mask + 1)
		live += count_bucket(hash, &hash->buckets[i], &steps);
	fort_store(&shard->live, live);
	return 0;
}

/* resting -> free, if nobody can hold those elements any more. */
static bool free_resting(const struct fort_map *map, struct fort_hash_shard *shard,
			 const struct fort_seat *except, bool urgent)
{
	const struct fort_hash *hash = &map->hash;
	uint32_t head = fort_load(&shard->resting_head);
	struct fort_hash_element *tail;

	if (!head)
		return true;
	if (!fort_epoch_passed(map->shared, fort_load(&shard->resting_stamp), except, urgent))
		return false;
	tail = fort_hash_element(hash, fort_load(&shard->resting_tail));
	if (tail) {
		fort_store(&tail->next, fort_load(&shard->free));
		fort_store(&shard->free, head);
	}
	fort_store(&shard->resting_head, 0);
	return true;
}

/* fresh -> resting. The stamp is read after the locked instruction that took the shard's lock,
 * and all that is fresh was unlinked before: see fort_epoch_now. */
static void rest_fresh(const struct fort_map *map, struct fort_hash_shard *shard)
{
	uint32_t head = fort_load(&shard->fresh_head);

	if (!head)
		return;
	fort_store(&shard->resting_tail, fort_load(&shard->fresh_tail));
	fort_store(&shard->resting_stamp, fort_epoch_now(map->shared));
	fort_store(&shard->resting_head, head);
	fort_store(&shard->fresh_head, 0);
	fort_store(&shard->n_fresh, 0);
}

static void rotate(const struct fort_map *map, struct fort_hash_shard *shard,
		   const struct fort_seat *except, bool urgent)
{
	if (free_resting(map, shard, except, urgent)) {
		rest_fresh(map, shard);
		if (!fort_load(&shard->free))
			(void)free_resting(map, shard, except, urgent);
	}
}

static uint32_t take_free(const struct fort_hash *hash, const struct fort_seat *seat,
			  struct fort_hash_shard *shard)
{
	uint32_t number = fort_load(&shard->free);
	struct fort_hash_element *element = fort_hash_element(hash, number);

	if (!element)
		return 0;
	fort_store(&element->mover, seat->token);
	fort_store(&shard->free, fort_load(&element->next));
	return number;
}

static uint32_t take_unused(const struct fort_hash *hash, const struct fort_seat *seat,
			    struct fort_hash_shard *shard)
{
	uint32_t number = fort_load(&shard->unused);
	struct fort_hash_element *element;

	if (number >= unused_end(hash, shard))
		return 0;
	element = fort_hash_element(hash, number);
	if (!element)
		return 0;
	fort_store(&element->mover, seat->token);
	fort_store(&shard->unused, number + 1);
	return number;
}

uint32_t fort_shard_take_slowly(const struct fort_map *map, const struct fort_seat *seat,
				struct fort_hash_shard *shard)
{
	const struct fort_hash *hash = &map->hash;
	uint32_t number;

	if (fort_shard_rotates(shard))
		rotate(map, shard, NULL, false);
	number = take_free(hash, seat, shard);
	if (!number)
		number = take_unused(hash, seat, shard);
	if (!number) {
		rotate(map, shard, NULL, false);
		number = take_free(hash, seat, shard);
	}
	return number;
}

/* One round over all shards. `pressed`: whatever the caller's own run may still hold is used too,
 * as the kernel does with preallocated elements, and dead readers are found at once. */
static uint32_t take_anywhere(struct fort_map *map, const struct fort_seat *seat, bool pressed)
{
	const struct fort_hash *hash = &map->hash;

	for (uint32_t i = 0; i <= hash->shard_mask; i++) {
		struct fort_hash_shard *shard = &hash->shards[(i + seat->index) & hash->shard_mask];
		uint32_t number;

		if (fort_shard_lock(map, seat, shard))
			continue;
		if (pressed)
			rotate(map, shard, seat, true);
		number = fort_shard_take(map, seat, shard);
		fort_shard_unlock(shard);
		if (number)
			return number;
	}
	return 0;
}

/* Gives the element back to a stock if its mover died on the way. */
static void search_one(struct fort_map *map, const struct fort_seat *seat, uint32_t number,
		       uint64_t *steps)
{
	const struct fort_hash *hash = &map->hash;
	struct fort_hash_element *element = fort_hash_element(hash, number);
	struct fort_hash_shard *shard;
	uint32_t mover = fort_load(&element->mover);

	if (!mover || !fort_token_dead(map->shared, mover))
		return;
	shard = fort_hash_shard(hash, fort_load(&element->hash));
	if (fort_shard_lock(map, seat, shard))
		return;
	if (fort_load(&element->mover) == mover) {
		if (linked(hash, element, number, steps))
			fort_store(&element->mover, 0);
		else
			fort_shard_retire(shard, element, number);
	}
	fort_shard_unlock(shard);
}

/* Looks for elements whose movers died outside a lock. Locking every shard first makes sure that
 * what a dead mover left in a list is unmarked. */
static bool search(struct fort_map *map, const struct fort_seat *seat)
{
	const struct fort_hash *hash = &map->hash;
	uint64_t now = fort_clock_ns(CLOCK_MONOTONIC_COARSE) / 1000000u;
	uint64_t *last = &fort_hash_meta(map)->searched_ms;
	uint64_t steps = steps_max(hash);

	if (now - fort_load(last) < SEARCH_PAUSE_MS)
		return false;
	fort_store(last, now);
	for (uint32_t i = 0; i <= hash->shard_mask; i++) {
		if (fort_shard_lock(map, seat, &hash->shards[i]))
			return false;
		fort_shard_unlock(&hash->shards[i]);
	}
	for (uint32_t i = 0; i <= hash->shard_mask; i++) {
		const struct fort_hash_shard *shard = &hash->shards[i];
		uint32_t end = fort_load(&shard->unused);

		if (end > unused_end(hash, shard))
			end = unused_end(hash, shard);
		for (uint32_t n = 1 + i * hash->shard_elements; n < end; n++)
			search_one(map, seat, n, &steps);
	}
	return true;
}

int fort_hash_pool_take(struct fort_map *map, const struct fort_seat *seat, uint32_t *number)
{
	uint32_t taken = take_anywhere(map, seat, false);

	if (!taken)
		taken = take_anywhere(map, seat, true);
	if (!taken && search(map, seat))
		taken = take_anywhere(map, seat, true);
	if (!taken) {
		fort_add(&map->meta->dropped, 1);
		return -ENOMEM;
	}
	*number = taken;
	return 0;
}

/* What is left of a shard's quota; half of it, at least 1, is moved. */
static uint32_t surplus(const struct fort_hash_shard *shard)
{
	uint32_t live = fort_load(&shard->live), quota = fort_load(&shard->quota);

	return quota > live ? (quota - live + 1) / 2 : 0;
}

/* Takes quota from a shard that has too much. Its lock keeps `live` still. */
static uint32_t take_quota(struct fort_map *map, const struct fort_seat *seat,
			   struct fort_hash_shard *from)
{
	uint32_t amount = 0;

	if (!surplus(from) || fort_shard_lock(map, seat, from))
		return 0;
	amount = surplus(from);
	fort_store(&from->quota, fort_load(&from->quota) - amount);
	fort_shard_unlock(from);
	return amount;
}

/* Quotas add up to max_entries unless somebody died while moving some. Called with the lock of all
 * quotas held, so that nobody is on the way. */
static uint32_t lost_quota(const struct fort_map *map)
{
	const struct fort_hash *hash = &map->hash;
	uint64_t sum = 0;

	for (uint32_t i = 0; i <= hash->shard_mask; i++)
		sum += fort_load(&hash->shards[i].quota);
	return sum < map->shape.max_entries ? map->shape.max_entries - (uint32_t)sum : 0;
}

int fort_hash_pool_quota(struct fort_map *map, const struct fort_seat *seat,
			 struct fort_hash_shard *shard)
{
	const struct fort_hash *hash = &map->hash;
	uint64_t *lock = &fort_hash_meta(map)->quota_lock;
	uint32_t amount, died, first = shard_index(hash, shard);
	int err = fort_lock_take(seat, lock, &died);

	if (err)
		return err;
	amount = lost_quota(map);
	for (uint32_t i = 1; i <= hash->shard_mask && !amount; i++)
		amount = take_quota(map, seat, &hash->shards[(first + i) & hash->shard_mask]);
	err = -E2BIG;
	if (amount) {
		err = fort_shard_lock(map, seat, shard);
		if (!err) {
			fort_store(&shard->quota, fort_load(&shard->quota) + amount);
			fort_shard_unlock(shard);
		}
	}
	fort_lock_drop(lock);
	return err;
}
