/* Is a hash in order? Every element must be in exactly one place: the table, one of its shard's
 * lists, or with a mover. Nobody may use the map meanwhile, but the dead may have. */
#pragma once

#include "map_test.h"

#include "map/hash_key.h"

struct hash_census {
	uint32_t linked, stocked, lost; /* lost: their mover died */
};

static inline void hash_see(uint8_t *seen, const struct fort_map *map, uint32_t number)
{
	assert_in_range(number, 1, map->hash.n_elements);
	assert_int_equal(seen[number], 0);
	seen[number] = 1;
}

/* What a reader and a writer must find under this number. */
static inline void hash_see_linked(uint8_t *seen, const struct fort_map *map, uint32_t bucket,
				   uint32_t number)
{
	const struct fort_hash_element *element = fort_hash_element(&map->hash, number);
	uint64_t hash;

	hash_see(seen, map, number);
	hash = fort_key_hash(element->key, map->shape.key_bytes, map->hash.seed);
	assert_int_equal((uint32_t)hash & map->hash.bucket_mask, bucket);
	assert_int_equal((uint32_t)hash, element->hash);
}

static inline uint32_t hash_see_bucket(uint8_t *seen, const struct fort_map *map, uint32_t index)
{
	const struct fort_hash_bucket *bucket = &map->hash.buckets[index];
	uint32_t n = 0;

	for (unsigned place = 0; place < FORT_BUCKET_PLACES; place++) {
		if (!(bucket->tags >> 8 * place & 0xff))
			continue;
		hash_see_linked(seen, map, index, bucket->elements[place]);
		n++;
	}
	for (uint32_t at = bucket->chain; at; at = fort_hash_element(&map->hash, at)->chain) {
		hash_see_linked(seen, map, index, at);
		n++;
	}
	return n;
}

static inline uint32_t hash_see_list(uint8_t *seen, const struct fort_map *map, uint32_t head,
				     uint32_t tail)
{
	uint32_t n = 0;

	for (uint32_t at = head; at; at = fort_hash_element(&map->hash, at)->next) {
		hash_see(seen, map, at);
		assert_int_equal(fort_hash_element(&map->hash, at)->mover, 0);
		n++;
		if (at == tail)
			break;
	}
	return n;
}

static inline struct hash_census hash_check(struct fort_map *map)
{
	struct fort_hash *hash = &map->hash;
	uint8_t *seen = calloc(hash->n_elements + 1, 1);
	struct hash_census census = {0};
	const struct fort_seat *seat;
	uint64_t quotas = 0;

	assert_int_equal(fort_seat_borrow(map->shared, &seat), 0);
	for (uint32_t i = 0; i <= hash->shard_mask; i++) {
		struct fort_hash_shard *shard = &hash->shards[i];
		uint32_t live = 0;

		assert_int_equal(fort_shard_lock(map, seat, shard), 0); /* repairs */
		fort_shard_unlock(shard);
		for (uint32_t b = i; b <= hash->bucket_mask; b += hash->shard_mask + 1)
			live += hash_see_bucket(seen, map, b);
		assert_int_equal(live, shard->live);
		assert_in_range(live, 0, shard->quota);
		census.linked += live;
		quotas += shard->quota;
		census.stocked += hash_see_list(seen, map, shard->free, 0);
		census.stocked += hash_see_list(seen, map, shard->fresh_head, shard->fresh_tail);
		census.stocked +=
			hash_see_list(seen, map, shard->resting_head, shard->resting_tail);
		for (uint32_t n = shard->unused; n < 1 + (i + 1) * hash->shard_elements; n++) {
			hash_see(seen, map, n);
			census.stocked++;
		}
	}
	for (uint32_t n = 1; n <= hash->n_elements; n++) {
		uint32_t mover = fort_hash_element(hash, n)->mover;

		if (mover)
			assert_true(fort_token_dead(map->shared, mover));
		if (!seen[n])
			assert_int_not_equal(mover, 0);
		census.lost += !seen[n];
	}
	assert_in_range(quotas, 0, map->shape.max_entries);
	assert_int_equal(census.linked + census.stocked + census.lost, hash->n_elements);
	fort_seat_return(seat);
	free(seen);
	return census;
}

/* All of max_entries can be used in spite of deaths, and not one more. Empties the map first. */
static inline void hash_check_capacity(struct fort_map *map)
{
	uint8_t key[FORT_MAP_KEY_BYTES_MAX] = {0};
	void *value = calloc(1, map->shape.value_bytes);

	while (!fort_map_next_key(map, NULL, key))
		assert_int_equal(fort_map_delete(map, key), 0);
	memset(key, 0, sizeof(key));
	for (uint32_t i = 0; i <= map->shape.max_entries; i++) {
		memcpy(key, &i, map->shape.key_bytes < 4 ? map->shape.key_bytes : 4);
		assert_int_equal(fort_map_update(map, key, value, BPF_NOEXIST),
				 i < map->shape.max_entries ? 0 : -E2BIG);
	}
	free(value);
}
