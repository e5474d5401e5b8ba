/* Hash maps: where things are, and the elements that nobody uses.
 *
 * Metadata: header, shards, buckets, elements. The value of element n is value n - 1 of the values
 * object; its key is here. Element numbers start at 1, so that zeroed memory is an empty map.
 *
 * - A bucket is one cache line: a byte of hash per place, the elements in those places, and a
 *   chain through the elements that found no place. With at most 4 entries a bucket on average,
 *   2 in 100 chain.
 * - Readers take no lock. Each change becomes visible by one store: an entry appears when its tag
 *   is written, or the chain's link to it; it disappears the same way; an update swaps the element
 *   number in its place. So a reader sees the old or the new value, whole, and what it found stays
 *   as it is until its run ends.
 * - A shard is a lock, the buckets that it guards (every n-th), and a stock of elements. One
 *   locked instruction per update or deletion is all that there is. Exactness of max_entries is
 *   kept by quotas: those of all shards add up to it, and move when one runs out.
 * - An unlinked element rests in `fresh`, then in `resting` with the stamp of the epoch, then is
 *   `free` (map/shared.h). Elements beyond max_entries make up for those that rest.
 * - A writer may be killed between any two stores. Who finds the shard's lock held by a dead holder
 *   repairs the few places where that matters (hash_pool.c). An element on its way between lists
 *   and table carries its mover's token; if the mover died outside a lock, the element is lost
 *   until stocks run out, and found again then (fort_hash_pool_search): at most one per death.
 */
#pragma once

#include "map/lock.h"
#include "map/map.h"

#define FORT_BUCKET_PLACES 8u
#define FORT_SHARDS_MAX    256u

struct fort_hash_bucket {
	uint64_t tags; /* a byte per place, 0: empty */
	uint32_t elements[FORT_BUCKET_PLACES];
	uint32_t chain; /* first element without a place, 0: none */
	uint32_t unused[5];
};
_Static_assert(sizeof(struct fort_hash_bucket) == 64, "shared layout");

struct fort_hash_shard {
	_Alignas(64) uint64_t lock;
	uint32_t live, quota; /* entries in the table, and how many there may be */
	uint32_t unused;      /* the shard's first element that was never used */
	uint32_t free;        /* lists, by fort_hash_element.next */
	uint32_t fresh_head, fresh_tail, n_fresh;
	uint32_t resting_head, resting_tail;
	uint64_t resting_stamp;
};
_Static_assert(sizeof(struct fort_hash_shard) == 64, "shared layout");

struct fort_hash_element {
	uint32_t next;  /* in its list */
	uint32_t chain; /* in its bucket's chain */
	uint32_t mover; /* token of who moves it between lists and table, 0: nobody */
	uint32_t hash;
	uint8_t key[];
};
_Static_assert(sizeof(struct fort_hash_element) == 16, "shared layout");

struct fort_hash_meta {
	struct fort_map_meta common;
	uint64_t seed[2];
	uint64_t quota_lock;  /* of all quotas together; taken before a shard's lock */
	uint64_t searched_ms; /* when lost elements were last looked for */
	uint64_t unused[12];
};
_Static_assert(sizeof(struct fort_hash_meta) % 64 == 0, "shared layout");

static inline struct fort_hash_meta *fort_hash_meta(const struct fort_map *map)
{
	return (struct fort_hash_meta *)map->meta;
}

/* NULL for a number that no element has. */
static inline struct fort_hash_element *fort_hash_element(const struct fort_hash *hash,
							  uint32_t number)
{
	if (FORT_UNLIKELY(number - 1 >= hash->n_elements))
		return NULL;
	return (struct fort_hash_element *)(hash->elements +
					    (uint64_t)(number - 1) * hash->element_bytes);
}

static inline struct fort_hash_bucket *fort_hash_bucket(const struct fort_hash *hash,
							uint64_t key_hash)
{
	return &hash->buckets[(uint32_t)key_hash & hash->bucket_mask];
}

static inline struct fort_hash_shard *fort_hash_shard(const struct fort_hash *hash,
						      uint64_t key_hash)
{
	return &hash->shards[(uint32_t)key_hash & hash->shard_mask];
}

/* The lists of a shard are rotated each time that so many elements have become fresh: they are
 * used again while they are warm. A power of two. */
#define FORT_FRESH_MAX 32u

static inline bool fort_shard_rotates(const struct fort_hash_shard *shard)
{
	return (fort_load(&shard->n_fresh) & (FORT_FRESH_MAX - 1)) == FORT_FRESH_MAX - 1;
}

/* Taking the lock of a shard repairs it if its last holder died. Returns 0 or -EAGAIN. */
FORT_CHECKED int fort_shard_repair(const struct fort_map *map, struct fort_hash_shard *shard,
				   uint32_t died);
FORT_CHECKED static inline int fort_shard_lock(const struct fort_map *map,
					       const struct fort_seat *seat,
					       struct fort_hash_shard *shard)
{
	uint32_t died;
	int err = fort_lock_take(seat, &shard->lock, &died);

	if (FORT_UNLIKELY(!err && died))
		err = fort_shard_repair(map, shard, died);
	return err;
}

static inline void fort_shard_unlock(struct fort_hash_shard *shard)
{
	fort_lock_drop(&shard->lock);
}

/* With the shard locked. An element out of its stock, marked as moved by `seat`; 0: none. */
uint32_t fort_shard_take_slowly(const struct fort_map *map, const struct fort_seat *seat,
				struct fort_hash_shard *shard);
static inline uint32_t fort_shard_take(const struct fort_map *map, const struct fort_seat *seat,
				       struct fort_hash_shard *shard)
{
	uint32_t number = fort_load(&shard->free);
	struct fort_hash_element *element = fort_hash_element(&map->hash, number);

	if (FORT_UNLIKELY(!element || fort_shard_rotates(shard)))
		return fort_shard_take_slowly(map, seat, shard);
	fort_store(&element->mover, seat->token);
	fort_store(&shard->free, fort_load(&element->next));
	return number;
}

/* With the shard locked. Back into the stock: an element that was never visible, */
static inline void fort_shard_give(struct fort_hash_shard *shard, struct fort_hash_element *element,
				   uint32_t number)
{
	fort_store(&element->next, fort_load(&shard->free));
	fort_store(&shard->free, number);
	fort_store(&element->mover, 0);
}

/* or one that readers may still hold. */
static inline void fort_shard_retire(struct fort_hash_shard *shard,
				     struct fort_hash_element *element, uint32_t number)
{
	uint32_t head = fort_load(&shard->fresh_head);

	fort_store(&element->next, head);
	if (!head)
		fort_store(&shard->fresh_tail, number);
	fort_store(&shard->fresh_head, number);
	fort_store(&shard->n_fresh, fort_load(&shard->n_fresh) + 1);
	fort_store(&element->mover, 0);
}

/* With no lock held: an element from any shard. -ENOMEM when all are in use or rest. */
FORT_CHECKED int fort_hash_pool_take(struct fort_map *map, const struct fort_seat *seat,
				     uint32_t *number);
/* With no lock held: moves quota to this shard. -E2BIG when max_entries are in use. */
FORT_CHECKED int fort_hash_pool_quota(struct fort_map *map, const struct fort_seat *seat,
				      struct fort_hash_shard *shard);
/* First contents of the stocks. */
void fort_hash_pool_init(struct fort_map *map);
