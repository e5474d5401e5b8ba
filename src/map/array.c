/* Arrays: values side by side, all there from the start. Nothing is ever unlinked, so no lock, no
 * epoch and no metadata beyond the header. */
#include <errno.h>
#include <string.h>

#include "abi/uapi.h"
#include "base/sys.h"
#include "map/copy.h"
#include "map/map.h"

static void plan(struct fort_map *map, uint64_t *values_bytes, uint64_t *meta_bytes)
{
	*values_bytes = (uint64_t)map->shape.max_entries * map->stride;
	*meta_bytes = sizeof(struct fort_map_meta);
}

/* Blocks of different processors share no cache line. */
static void plan_percpu(struct fort_map *map, uint64_t *values_bytes, uint64_t *meta_bytes)
{
	map->cpu_bytes = fort_round_up((uint64_t)map->shape.max_entries * map->stride, 64);
	*values_bytes = map->cpu_bytes * map->n_cpus;
	*meta_bytes = sizeof(struct fort_map_meta);
}

static int start(struct fort_map *map, bool fresh)
{
	return 0;
}

static uint32_t index_of(const void *key)
{
	return fort_load((const uint32_t *)key);
}

static int64_t find(const struct fort_map *map, const void *key, uint32_t cpu)
{
	uint32_t index = index_of(key);

	if (FORT_UNLIKELY(index >= map->shape.max_entries))
		return -ENOENT;
	return (int64_t)((uint64_t)index * map->stride);
}

static int64_t find_percpu(const struct fort_map *map, const void *key, uint32_t cpu)
{
	int64_t offset = find(map, key, cpu);

	if (offset < 0 || cpu >= map->n_cpus)
		return -ENOENT;
	return offset + (int64_t)(cpu * map->cpu_bytes);
}

static int read_value(struct fort_map *map, const struct fort_seat *seat, const void *key,
		      void *value)
{
	int64_t offset = find(map, key, 0);

	if (offset < 0)
		return -ENOENT;
	fort_copy(value, map->values + offset, map->shape.value_bytes);
	return 0;
}

static int read_percpu(struct fort_map *map, const struct fort_seat *seat, const void *key,
		       void *value)
{
	int64_t offset = find(map, key, 0);

	if (offset < 0)
		return -ENOENT;
	for (uint32_t cpu = 0; cpu < map->n_cpus; cpu++)
		fort_copy((uint8_t *)value + (uint64_t)cpu * map->stride,
			  map->values + offset + cpu * map->cpu_bytes, map->stride);
	return 0;
}

/* The kernel's order: flags, index, existence. */
static int64_t find_to_update(const struct fort_map *map, const void *key, uint64_t flags)
{
	int64_t offset;

	if ((flags & ~(uint64_t)BPF_F_LOCK) > BPF_EXIST)
		return -EINVAL;
	offset = find(map, key, 0);
	if (offset < 0)
		return -E2BIG;
	if (flags & BPF_NOEXIST)
		return -EEXIST;
	return flags & BPF_F_LOCK ? -EINVAL : offset;
}

static int update(struct fort_map *map, const struct fort_seat *seat, const void *key,
		  const void *value, uint64_t flags, uint32_t cpu)
{
	int64_t offset = find_to_update(map, key, flags);

	if (offset < 0)
		return (int)offset;
	if (map->shape.flags & BPF_F_RDONLY_PROG) {
		long wrote = fort_sys4(SYS_pwrite64, map->values_fd, (long)value,
				       (long)map->shape.value_bytes, offset);

		return wrote < 0 ? (int)wrote : 0;
	}
	fort_copy(map->values + offset, value, map->shape.value_bytes);
	return 0;
}

static int update_percpu(struct fort_map *map, const struct fort_seat *seat, const void *key,
			 const void *value, uint64_t flags, uint32_t cpu)
{
	int64_t offset = find_to_update(map, key, flags);

	if (offset < 0)
		return (int)offset;
	if (cpu != FORT_CPUS_ALL) {
		if (cpu >= map->n_cpus)
			return -E2BIG;
		fort_copy(map->values + offset + cpu * map->cpu_bytes, value,
			  map->shape.value_bytes);
		return 0;
	}
	for (cpu = 0; cpu < map->n_cpus; cpu++)
		fort_copy(map->values + offset + cpu * map->cpu_bytes,
			  (const uint8_t *)value + (uint64_t)cpu * map->stride, map->stride);
	return 0;
}

static int delete_nothing(struct fort_map *map, const struct fort_seat *seat, const void *key)
{
	return -EINVAL;
}

static int next_key(struct fort_map *map, const struct fort_seat *seat, const void *key, void *next)
{
	uint32_t index = key ? index_of(key) : UINT32_MAX;
	uint32_t following = index < map->shape.max_entries ? index + 1 : 0;

	if (following == map->shape.max_entries)
		return -ENOENT;
	memcpy(next, &following, sizeof(following));
	return 0;
}

/* A cursor is one more than the index. */
static uint64_t walk(const struct fort_map *map, uint64_t cursor, void *key, uint64_t *looks)
{
	uint32_t index = (uint32_t)cursor;

	if (cursor >= map->shape.max_entries)
		return 0;
	memcpy(key, &index, sizeof(index));
	return cursor + 1;
}

static int64_t walked(const struct fort_map *map, uint64_t cursor, uint32_t cpu)
{
	uint32_t index = (uint32_t)cursor - 1;

	return map->ops->find(map, &index, cpu);
}

const struct fort_map_ops fort_map_array = {
	.type = BPF_MAP_TYPE_ARRAY,
	.plan = plan,
	.start = start,
	.find = find,
	.read = read_value,
	.update = update,
	.delete = delete_nothing,
	.next_key = next_key,
	.walk = walk,
	.walked = walked,
};

const struct fort_map_ops fort_map_percpu_array = {
	.type = BPF_MAP_TYPE_PERCPU_ARRAY,
	.plan = plan_percpu,
	.start = start,
	.find = find_percpu,
	.read = read_percpu,
	.update = update_percpu,
	.delete = delete_nothing,
	.next_key = next_key,
	.walk = walk,
	.walked = walked,
};
