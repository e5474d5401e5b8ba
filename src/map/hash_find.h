/* Finding an entry of a hash (map/hash.h says how they lie). With a constant size of keys the
 * compiler makes of this what fits them.
 */
#pragma once

#include <errno.h>

#include "map/hash.h"
#include "map/hash_key.h"

#define FORT_HASH_PLACE_BYTES 0x0101010101010101ull
#define FORT_HASH_PLACE_TOPS  0x8080808080808080ull

/* The byte of hash in a bucket: never 0, from bits that choose neither bucket nor shard. */
static inline uint64_t fort_hash_tag(uint64_t key_hash)
{
	uint64_t tag = key_hash >> 56;

	return tag + !tag;
}

/* The top bit of every byte of `tags` that is `tag`; bytes above a match may be wrong. */
static inline uint64_t fort_hash_match(uint64_t tags, uint64_t tag)
{
	uint64_t other = tags ^ (tag * FORT_HASH_PLACE_BYTES);

	return (other - FORT_HASH_PLACE_BYTES) & ~other & FORT_HASH_PLACE_TOPS;
}

/* Where an entry is: in a place of its bucket, or behind `link` in the chain. */
struct fort_hash_spot {
	uint32_t number; /* of the element, 0: the key is not there */
	uint32_t place;  /* FORT_BUCKET_PLACES: in the chain */
	uint32_t *link;
};

struct fort_hash_spot fort_hash_look_up_chain(const struct fort_map *map,
					      struct fort_hash_bucket *bucket, uint64_t key_hash,
					      const void *key);

static inline __attribute__((always_inline)) struct fort_hash_spot fort_hash_look_up(
	const struct fort_map *map, uint64_t key_hash, const void *key, uint32_t bytes)
{
	const struct fort_hash *hash = &map->hash;
	struct fort_hash_bucket *bucket = fort_hash_bucket(hash, key_hash);
	uint64_t tag = fort_hash_tag(key_hash);
	uint64_t found = fort_hash_match(fort_load(&bucket->tags), tag);

	for (; found; found &= found - 1) {
		uint32_t place = (uint32_t)__builtin_ctzll(found) / 8;
		uint32_t number = fort_load(&bucket->elements[place]);
		const struct fort_hash_element *element = fort_hash_element(hash, number);

		if (!element || !fort_key_equal(element->key, key, bytes))
			continue;
		/* The number may have been written for a tag that is still to come. */
		if (FORT_LIKELY((fort_load(&bucket->tags) >> 8 * place & 0xff) == tag))
			return (struct fort_hash_spot){number, place, NULL};
	}
	if (FORT_LIKELY(!fort_load(&bucket->chain)))
		return (struct fort_hash_spot){0};
	return fort_hash_look_up_chain(map, bucket, key_hash, key);
}

static inline int64_t fort_hash_value_offset(const struct fort_map *map, uint32_t number)
{
	return (int64_t)((uint64_t)(number - 1) * map->stride);
}

/* fort_map_ops.find, for keys of `bytes`. */
static inline __attribute__((always_inline)) int64_t fort_hash_find(const struct fort_map *map,
								    const void *key, uint32_t bytes)
{
	uint64_t key_hash = fort_key_hash(key, bytes, map->hash.seed);
	uint32_t number = fort_hash_look_up(map, key_hash, key, bytes).number;

	return FORT_LIKELY(number) ? fort_hash_value_offset(map, number) : -ENOENT;
}
