/* Hash maps: operations. The idea is in map/hash.h. */
#include "map/hash.h"

#include <errno.h>
#include <string.h>

#include "abi/uapi.h"
#include "base/sys.h"
#include "map/copy.h"
#include "map/hash_find.h"
#include "map/hash_walk.h"

/* Values up to this are copied with the lock held; larger ones before it is taken. */
#define COPY_LOCKED_BYTES 256u

/* Keys beyond FORT_MAP_KEY_BYTES_MAX are our limit, the number of entries the kernel's. */
static int check(const struct fort_map_shape *shape)
{
	if (shape->key_bytes > FORT_MAP_KEY_BYTES_MAX)
		return -E2BIG;
	return shape->max_entries > FORT_HASH_ENTRIES_MAX ? -E2BIG : 0;
}

static uint32_t power_of_two(uint64_t least)
{
	uint32_t power = 1;

	while (power < least)
		power *= 2;
	return power;
}

/* Elements that rest while readers may hold them: a quarter more than entries, and not so few that
 * a run which updates in a loop meets its own leavings, unless values are large. */
static uint64_t spare_elements(const struct fort_map *map)
{
	uint64_t least = (8u << 20) / map->stride;

	if (least > 512)
		least = 512;
	else if (least < 16)
		least = 16;
	return map->shape.max_entries / 4 > least ? map->shape.max_entries / 4 : least;
}

static void plan(struct fort_map *map, uint64_t *values_bytes, uint64_t *meta_bytes)
{
	struct fort_hash *hash = &map->hash;
	uint64_t n_elements = map->shape.max_entries + spare_elements(map);
	uint32_t n_buckets = power_of_two((map->shape.max_entries + 3ull) / 4);
	uint32_t n_shards = n_buckets / 8;

	if (!n_shards)
		n_shards = 1;
	else if (n_shards > FORT_SHARDS_MAX)
		n_shards = FORT_SHARDS_MAX;
	hash->shard_mask = n_shards - 1;
	hash->bucket_mask = n_buckets - 1;
	hash->shard_elements = (uint32_t)((n_elements + n_shards - 1) / n_shards);
	hash->n_elements = hash->shard_elements * n_shards;
	hash->element_bytes = (uint32_t)sizeof(struct fort_hash_element) +
			      (uint32_t)fort_round_up(map->shape.key_bytes, 8);
	*values_bytes = (uint64_t)hash->n_elements * map->stride;
	*meta_bytes = sizeof(struct fort_hash_meta) +
		      (uint64_t)n_shards * sizeof(struct fort_hash_shard) +
		      (uint64_t)n_buckets * sizeof(struct fort_hash_bucket) +
		      (uint64_t)hash->n_elements * hash->element_bytes;
}

static int start(struct fort_map *map, bool fresh)
{
	struct fort_hash_meta *meta = fort_hash_meta(map);
	struct fort_hash *hash = &map->hash;

	hash->shards = (struct fort_hash_shard *)(meta + 1);
	hash->buckets = (struct fort_hash_bucket *)(hash->shards + hash->shard_mask + 1);
	hash->elements = (uint8_t *)(hash->buckets + hash->bucket_mask + 1);
	if (fresh) {
		fort_hash_pool_init(map);
		if (!(map->shape.flags & BPF_F_ZERO_SEED) &&
		    fort_sys3(SYS_getrandom, (long)meta->seed, sizeof(meta->seed), 0) !=
			    sizeof(meta->seed))
			return -EIO;
	}
	memcpy(hash->seed, meta->seed, sizeof(hash->seed));
	return 0;
}

static uint64_t hash_of(const struct fort_map *map, const void *key)
{
	return fort_key_hash(key, map->shape.key_bytes, map->hash.seed);
}

struct fort_hash_spot fort_hash_look_up_chain(const struct fort_map *map,
					      struct fort_hash_bucket *bucket, uint64_t key_hash,
					      const void *key)
{
	const struct fort_hash *hash = &map->hash;
	uint32_t *link = &bucket->chain;

	for (uint32_t steps = 0; steps < hash->n_elements; steps++) {
		uint32_t number = fort_load(link);
		struct fort_hash_element *element = fort_hash_element(hash, number);

		if (!element)
			break;
		if (fort_load(&element->hash) == (uint32_t)key_hash &&
		    fort_key_equal(element->key, key, map->shape.key_bytes))
			return (struct fort_hash_spot){number, FORT_BUCKET_PLACES, link};
		link = &element->chain;
	}
	return (struct fort_hash_spot){0};
}

static struct fort_hash_spot look_up(const struct fort_map *map, uint64_t key_hash, const void *key)
{
	return fort_hash_look_up(map, key_hash, key, map->shape.key_bytes);
}

static int64_t find(const struct fort_map *map, const void *key, uint32_t cpu)
{
	return fort_hash_find(map, key, map->shape.key_bytes);
}

static int copy_value(const struct fort_map *map, uint64_t key_hash, const void *key, void *value)
{
	uint32_t number = look_up(map, key_hash, key).number;

	if (!number)
		return -ENOENT;
	fort_copy(value, map->values + fort_hash_value_offset(map, number), map->shape.value_bytes);
	return 0;
}

/* The caller is in no run: what it copies may be used again meanwhile, which shows in the lock. */
static int read_value(struct fort_map *map, const struct fort_seat *seat, const void *key,
		      void *value)
{
	uint64_t key_hash = hash_of(map, key);
	struct fort_hash_shard *shard = fort_hash_shard(&map->hash, key_hash);
	int err;

	for (unsigned tries = 0; tries < FORT_READ_TRIES; tries++) {
		uint64_t begun = fort_lock_read_begin(&shard->lock);
		int result = copy_value(map, key_hash, key, value);

		if (fort_lock_read_ok(&shard->lock, begun))
			return result;
		fort_pause();
	}
	err = fort_shard_lock(map, seat, shard);
	if (err)
		return err;
	err = copy_value(map, key_hash, key, value);
	fort_shard_unlock(shard);
	return err;
}

/* Makes the entry visible: its element is complete. */
static void link_new(struct fort_hash_bucket *bucket, uint64_t tag,
		     struct fort_hash_element *element, uint32_t number)
{
	uint64_t tags = fort_load(&bucket->tags), empty = fort_hash_match(tags, 0);
	unsigned place = empty ? (unsigned)__builtin_ctzll(empty) / 8 : 0;

	if (!empty) {
		fort_store(&element->chain, fort_load(&bucket->chain));
		fort_store(&bucket->chain, number);
		return;
	}
	fort_store(&bucket->elements[place], number);
	fort_store(&bucket->tags, tags | tag << 8 * place);
}

static void unlink_spot(struct fort_hash_bucket *bucket, const struct fort_hash_spot *spot,
			const struct fort_hash_element *element)
{
	if (spot->link)
		fort_store(spot->link, fort_load(&element->chain));
	else
		fort_store(&bucket->tags, fort_load(&bucket->tags) & ~(0xffull << 8 * spot->place));
}

/* Puts a complete element in the place of the entry's old one. */
static void swap_spot(struct fort_hash_bucket *bucket, const struct fort_hash_spot *spot,
		      const struct fort_hash_element *old, struct fort_hash_element *element,
		      uint32_t number)
{
	if (spot->link) {
		fort_store(&element->chain, fort_load(&old->chain));
		fort_store(spot->link, number);
	} else {
		fort_store(&bucket->elements[spot->place], number);
	}
}

struct update {
	const uint8_t *key; /* private copies */
	const void *value;
	uint64_t key_hash, flags;
	uint32_t number; /* element at hand, 0: none yet */
	bool filled;
};

static void fill(struct fort_map *map, struct update *update)
{
	struct fort_hash_element *element = fort_hash_element(&map->hash, update->number);

	fort_store(&element->hash, (uint32_t)update->key_hash);
	fort_key_copy(element->key, update->key, map->shape.key_bytes);
	fort_copy(map->values + fort_hash_value_offset(map, update->number), update->value,
		  map->shape.value_bytes);
	update->filled = true;
}

static void put(struct fort_map *map, const struct fort_seat *seat, struct fort_hash_shard *shard,
		struct update *update, const struct fort_hash_spot *spot)
{
	struct fort_hash_bucket *bucket = fort_hash_bucket(&map->hash, update->key_hash);
	struct fort_hash_element *element = fort_hash_element(&map->hash, update->number);
	struct fort_hash_element *old = fort_hash_element(&map->hash, spot->number);

	if (!update->filled)
		fill(map, update);
	if (old) {
		fort_store(&old->mover, seat->token);
		swap_spot(bucket, spot, old, element, update->number);
		fort_store(&element->mover, 0);
		fort_shard_retire(shard, old, spot->number);
	} else {
		link_new(bucket, fort_hash_tag(update->key_hash), element, update->number);
		fort_store(&shard->live, fort_load(&shard->live) + 1);
		fort_store(&element->mover, 0);
	}
	update->number = 0;
}

enum want { WANT_NOTHING, WANT_ELEMENT, WANT_QUOTA };

/* With the shard locked. Returns the command's result, unless *want says what is missing. */
static int try_update(struct fort_map *map, const struct fort_seat *seat,
		      struct fort_hash_shard *shard, struct update *update, enum want *want)
{
	struct fort_hash_spot spot = look_up(map, update->key_hash, update->key);

	*want = WANT_NOTHING;
	if (spot.number && update->flags & BPF_NOEXIST)
		return -EEXIST;
	if (!spot.number && update->flags & BPF_EXIST)
		return -ENOENT;
	if (!spot.number && fort_load(&shard->live) >= fort_load(&shard->quota)) {
		*want = WANT_QUOTA;
		return 0;
	}
	if (!update->number)
		update->number = fort_shard_take(map, seat, shard);
	if (!update->number) {
		*want = WANT_ELEMENT;
		return 0;
	}
	put(map, seat, shard, update, &spot);
	return 0;
}

/* An element at hand that was not needed goes back. */
static void give_back(struct fort_map *map, struct fort_hash_shard *shard, struct update *update)
{
	struct fort_hash_element *element = fort_hash_element(&map->hash, update->number);

	if (element)
		fort_shard_give(shard, element, update->number);
	update->number = 0;
}

/* Loads do not pass the locked instruction that takes the lock: have them begin before. */
static void prefetch(const struct fort_map *map, const struct fort_hash_shard *shard,
		     uint64_t key_hash)
{
	const struct fort_hash_element *spare =
		fort_hash_element(&map->hash, fort_load(&shard->free));

	__builtin_prefetch(fort_hash_bucket(&map->hash, key_hash), 1);
	if (spare)
		__builtin_prefetch(spare, 1);
}

static int round_of(struct fort_map *map, const struct fort_seat *seat,
		    struct fort_hash_shard *shard, struct update *update, enum want *want)
{
	int err;

	prefetch(map, shard, update->key_hash);
	err = fort_shard_lock(map, seat, shard);
	if (err)
		return err;
	err = try_update(map, seat, shard, update, want);
	if (*want == WANT_NOTHING)
		give_back(map, shard, update);
	fort_shard_unlock(shard);
	return err;
}

static int fetch(struct fort_map *map, const struct fort_seat *seat, struct fort_hash_shard *shard,
		 struct update *update, enum want want)
{
	if (want == WANT_QUOTA)
		return fort_hash_pool_quota(map, seat, shard);
	return fort_hash_pool_take(map, seat, &update->number);
}

static int run_update(struct fort_map *map, const struct fort_seat *seat,
		      struct fort_hash_shard *shard, struct update *update)
{
	enum want want;
	int err = 0;

	for (unsigned tries = 0; tries < FORT_UPDATE_TRIES && !err; tries++) {
		err = round_of(map, seat, shard, update, &want);
		if (err || want == WANT_NOTHING)
			return err;
		err = fetch(map, seat, shard, update, want);
	}
	return err ? err : -EBUSY;
}

/* After an error with an element at hand. */
static void put_back(struct fort_map *map, const struct fort_seat *seat,
		     struct fort_hash_shard *shard, struct update *update)
{
	struct fort_hash_element *element = fort_hash_element(&map->hash, update->number);

	if (!element)
		return;
	if (!fort_lock_try(seat, &shard->lock)) {
		fort_store(&element->mover, FORT_TOKEN_LOST);
		return;
	}
	give_back(map, shard, update);
	fort_shard_unlock(shard);
}

static int update_value(struct fort_map *map, const struct fort_seat *seat, const void *key,
			const void *value, uint64_t flags, uint32_t cpu)
{
	uint8_t copy[FORT_MAP_KEY_BYTES_MAX];
	struct update update = {.key = copy, .value = value, .flags = flags};
	struct fort_hash_shard *shard;
	int err;

	if ((flags & ~(uint64_t)BPF_F_LOCK) > BPF_EXIST || flags & BPF_F_LOCK)
		return -EINVAL;
	fort_key_copy(copy, key, map->shape.key_bytes);
	update.key_hash = hash_of(map, copy);
	shard = fort_hash_shard(&map->hash, update.key_hash);
	if (map->shape.value_bytes > COPY_LOCKED_BYTES &&
	    !fort_hash_pool_take(map, seat, &update.number))
		fill(map, &update);
	err = run_update(map, seat, shard, &update);
	if (err)
		put_back(map, seat, shard, &update);
	return err;
}

static int delete_key(struct fort_map *map, const struct fort_seat *seat, const void *key)
{
	uint64_t key_hash = hash_of(map, key);
	struct fort_hash_shard *shard = fort_hash_shard(&map->hash, key_hash);
	struct fort_hash_element *element;
	struct fort_hash_spot spot;
	int err;

	__builtin_prefetch(fort_hash_bucket(&map->hash, key_hash), 1);
	err = fort_shard_lock(map, seat, shard);
	if (err)
		return err;
	spot = look_up(map, key_hash, key);
	element = fort_hash_element(&map->hash, spot.number);
	if (element) {
		fort_store(&element->mover, seat->token);
		unlink_spot(fort_hash_bucket(&map->hash, key_hash), &spot, element);
		fort_store(&shard->live, fort_load(&shard->live) - 1);
		fort_shard_retire(shard, element, spot.number);
	}
	fort_shard_unlock(shard);
	return element ? 0 : -ENOENT;
}

/* The first entry of a bucket, or the one after `spot`; 0 at the bucket's end. */
static uint32_t next_in_bucket(const struct fort_map *map, const struct fort_hash_bucket *bucket,
			       const struct fort_hash_spot *spot)
{
	uint64_t tags = fort_load(&bucket->tags);
	uint32_t place = spot ? spot->place + 1 : 0;

	if (spot && spot->link) {
		const struct fort_hash_element *element =
			fort_hash_element(&map->hash, spot->number);

		return element ? fort_load(&element->chain) : 0;
	}
	for (; place < FORT_BUCKET_PLACES; place++)
		if (tags >> 8 * place & 0xff)
			return fort_load(&bucket->elements[place]);
	return fort_load(&bucket->chain);
}

/* One look into a bucket: the key after `after` (NULL: the first). 1: there is none; -ENOENT:
 * `after` is not there. */
static int peek(const struct fort_map *map, struct fort_hash_bucket *bucket, const void *after,
		uint64_t key_hash, void *next)
{
	const struct fort_hash_element *element;
	struct fort_hash_spot spot;

	if (after) {
		spot = look_up(map, key_hash, after);
		if (!spot.number)
			return -ENOENT;
	}
	element = fort_hash_element(&map->hash, next_in_bucket(map, bucket, after ? &spot : NULL));
	if (!element)
		return 1;
	fort_key_copy(next, element->key, map->shape.key_bytes);
	return 0;
}

static int look_into(struct fort_map *map, const struct fort_seat *seat, uint32_t index,
		     const void *after, uint64_t key_hash, void *next)
{
	struct fort_hash_bucket *bucket = &map->hash.buckets[index];
	struct fort_hash_shard *shard = fort_hash_shard(&map->hash, index);
	int err;

	for (unsigned tries = 0; tries < FORT_READ_TRIES; tries++) {
		uint64_t begun = fort_lock_read_begin(&shard->lock);
		int result = peek(map, bucket, after, key_hash, next);

		if (fort_lock_read_ok(&shard->lock, begun))
			return result;
		fort_pause();
	}
	err = fort_shard_lock(map, seat, shard);
	if (err)
		return err;
	err = peek(map, bucket, after, key_hash, next);
	fort_shard_unlock(shard);
	return err;
}

static int next_key(struct fort_map *map, const struct fort_seat *seat, const void *key, void *next)
{
	uint64_t key_hash = key ? hash_of(map, key) : 0;
	uint32_t index = 0;
	int err = -ENOENT;

	if (key) {
		index = (uint32_t)key_hash & map->hash.bucket_mask;
		err = look_into(map, seat, index, key, key_hash, next);
		if (err != 1 && err != -ENOENT)
			return err;
		index = err == 1 ? index + 1 : 0; /* gone: from the start */
	}
	for (; index <= map->hash.bucket_mask; index++) {
		err = look_into(map, seat, index, NULL, 0, next);
		if (err != 1)
			return err;
	}
	return -ENOENT;
}

const struct fort_map_ops fort_map_hash = {
	.type = BPF_MAP_TYPE_HASH,
	.locks = true,
	.pins = true,
	.check = check,
	.plan = plan,
	.start = start,
	.find = find,
	.read = read_value,
	.update = update_value,
	.delete = delete_key,
	.next_key = next_key,
	.walk = fort_hash_walk,
	.walked = fort_hash_walked,
};
