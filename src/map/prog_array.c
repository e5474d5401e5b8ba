#include "map/prog_array.h"

#include <errno.h>
#include <string.h>

#include "abi/uapi.h"
#include "base/pages.h"

static void plan(struct fort_map *map, uint64_t *values_bytes, uint64_t *meta_bytes)
{
	*values_bytes = 0;
	*meta_bytes = sizeof(struct fort_map_meta);
}

static int start(struct fort_map *map, bool fresh)
{
	uint64_t bytes = (uint64_t)map->shape.max_entries * sizeof(map->progs.tails[0]);
	void *pages;
	int err;

	if (!fresh) /* another process's */
		return -EOPNOTSUPP;
	err = bytes > FORT_MAP_META_MAX ? -ENOMEM : fort_pages_alloc(bytes, &pages);
	if (err)
		return err;
	map->progs = (struct fort_progs){.tails = pages, .bytes = bytes};
	return 0;
}

static void stop(struct fort_map *map)
{
	if (map->progs.tails)
		fort_pages_free(map->progs.tails, map->progs.bytes);
}

/* Programs look up nothing in it. */
static int64_t find(const struct fort_map *map, const void *key, uint32_t cpu)
{
	return -ENOENT;
}

/* bpf(2) reads, updates and deletes through the store. */
static int read_value(struct fort_map *map, const struct fort_seat *seat, const void *key,
		      void *value)
{
	return -EOPNOTSUPP;
}

static int update(struct fort_map *map, const struct fort_seat *seat, const void *key,
		  const void *value, uint64_t flags, uint32_t cpu)
{
	return -EOPNOTSUPP;
}

static int delete_value(struct fort_map *map, const struct fort_seat *seat, const void *key)
{
	return -EOPNOTSUPP;
}

/* Indices, whether there is a program or not (K: array_map_get_next_key). */
static int next_key(struct fort_map *map, const struct fort_seat *seat, const void *key, void *next)
{
	uint32_t index = UINT32_MAX, following;

	if (key)
		memcpy(&index, key, sizeof(index));
	following = index < map->shape.max_entries ? index + 1 : 0;
	if (following == map->shape.max_entries)
		return -ENOENT;
	memcpy(next, &following, sizeof(following));
	return 0;
}

const struct fort_map_ops fort_map_prog_array = {
	.type = BPF_MAP_TYPE_PROG_ARRAY,
	.pins = true,
	.plan = plan,
	.start = start,
	.stop = stop,
	.find = find,
	.read = read_value,
	.update = update,
	.delete = delete_value,
	.next_key = next_key,
};
