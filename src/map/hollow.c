/* Maps of which only the shape is real: for stores that judge programs and run none. They take what
 * they are given, and hold nothing. There are two objects like everywhere else, because descriptors
 * are recognised by them, but the one of the values is empty.
 */
#include <errno.h>

#include "map/map.h"

static void plan(struct fort_map *map, uint64_t *values_bytes, uint64_t *meta_bytes)
{
	*values_bytes = 0;
	*meta_bytes = sizeof(struct fort_map_meta);
}

static int start(struct fort_map *map, bool fresh)
{
	return 0;
}

static int64_t find(const struct fort_map *map, const void *key, uint32_t cpu)
{
	return -ENOENT;
}

static int read_value(struct fort_map *map, const struct fort_seat *seat, const void *key,
		      void *value)
{
	return -ENOENT;
}

static int update(struct fort_map *map, const struct fort_seat *seat, const void *key,
		  const void *value, uint64_t flags, uint32_t cpu)
{
	return 0;
}

static int delete_nothing(struct fort_map *map, const struct fort_seat *seat, const void *key)
{
	return -ENOENT;
}

static int next_key(struct fort_map *map, const struct fort_seat *seat, const void *key, void *next)
{
	return -ENOENT;
}

const struct fort_map_ops fort_map_hollow = {
	.plan = plan,
	.start = start,
	.find = find,
	.read = read_value,
	.update = update,
	.delete = delete_nothing,
	.next_key = next_key,
};
