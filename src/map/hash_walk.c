#include "map/hash_walk.h"

#include "map/copy.h"
#include "map/hash_find.h"

#define PLACE_BITS 4u
_Static_assert(FORT_BUCKET_PLACES < 1u << PLACE_BITS, "the chain is the place after the last");
_Static_assert((uint64_t)FORT_HASH_ENTRIES_MAX << PLACE_BITS <= UINT32_MAX + 1ull, "32 bits");

struct spot {
	uint32_t bucket, place, number;
};

static uint64_t cursor_of(struct spot spot)
{
	return (uint64_t)(spot.bucket << PLACE_BITS | spot.place) << 32 | spot.number;
}

static struct spot spot_of(uint64_t cursor)
{
	uint32_t high = (uint32_t)(cursor >> 32);

	return (struct spot){high >> PLACE_BITS, high & ((1u << PLACE_BITS) - 1), (uint32_t)cursor};
}

/* The next in the bucket of `spot`, from its place on; false at the bucket's end. */
static bool find_from(const struct fort_hash *hash, struct spot *spot)
{
	const struct fort_hash_bucket *bucket = &hash->buckets[spot->bucket];

	for (; spot->place < FORT_BUCKET_PLACES; spot->place++) {
		uint64_t tag = fort_load(&bucket->tags) >> 8 * spot->place & 0xff;

		spot->number = fort_load(&bucket->elements[spot->place]);
		if (tag && fort_hash_element(hash, spot->number))
			return true;
	}
	spot->number = fort_load(&bucket->chain);
	return fort_hash_element(hash, spot->number);
}

/* The one after `spot` in its bucket. */
static bool find_after(const struct fort_hash *hash, struct spot *spot)
{
	const struct fort_hash_element *element = fort_hash_element(hash, spot->number);

	if (spot->place < FORT_BUCKET_PLACES) {
		spot->place++;
		return find_from(hash, spot);
	}
	spot->number = element ? fort_load(&element->chain) : 0;
	return fort_hash_element(hash, spot->number);
}

uint64_t fort_hash_walk(const struct fort_map *map, uint64_t cursor, void *key, uint64_t *looks)
{
	const struct fort_hash *hash = &map->hash;
	struct spot spot = spot_of(cursor);
	bool found;

	if (spot.bucket > hash->bucket_mask)
		return 0;
	found = cursor ? find_after(hash, &spot) : find_from(hash, &spot);
	while (!found && spot.bucket < hash->bucket_mask && *looks) {
		--*looks;
		spot = (struct spot){.bucket = spot.bucket + 1};
		found = find_from(hash, &spot);
	}
	if (!found)
		return 0;
	fort_key_copy(key, fort_hash_element(hash, spot.number)->key, map->shape.key_bytes);
	return cursor_of(spot);
}

int64_t fort_hash_walked(const struct fort_map *map, uint64_t cursor, uint32_t cpu)
{
	uint32_t number = (uint32_t)cursor;

	return fort_hash_element(&map->hash, number) ? fort_hash_value_offset(map, number)
						     : -ENOENT;
}
