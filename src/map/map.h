/* A map: values in one shared memory object, everything else in another.
 *
 * The values object is what clients mmap and what lies in domain windows: values from offset 0,
 * `fort_map_stride` apart (per-CPU: a block of max_entries values per processor). The metadata
 * object (index, keys, locks, free lists, trusted ring positions) is never in a window. Both are
 * sealed memfds, mapped at different addresses by the processes that share the map: only fixed
 * widths and offsets inside, and every word that another process can write is read once and
 * checked before use.
 */
#pragma once

#include "abi/maps.h"
#include "base/compiler.h"

struct fort_shared; /* epochs of all running programs: shared.h */

struct fort_map {
	struct fort_map_shape shape;
	const struct fort_map_info *info;
	const struct fort_map_ops *ops;
	int values_fd, meta_fd; /* owned */
	uint8_t *values;        /* this process's mapping of the values object */
	size_t values_bytes;
	void *meta; /* and of the metadata */
	size_t meta_bytes;
	struct fort_shared *shared; /* not owned */
	uint32_t n_cpus;            /* possible processors, for per-CPU maps */
};

/* One map type: a file of its own implements each. Keys and values point to private copies of
 * exactly key_bytes and value_bytes. Errors are those of the bpf(2) commands.
 */
struct fort_map_ops {
	uint32_t type; /* BPF_MAP_TYPE_* */
	/* Bytes of the two objects, computed in 64 bits before anything is allocated. */
	int (*sizes)(const struct fort_map_shape *shape, uint32_t n_cpus, uint64_t *values_bytes,
		     uint64_t *meta_bytes);
	/* First contents of fresh objects. */
	int (*init)(struct fort_map *map);
	/* Does the metadata of an opened map fit its shape? -EBADMSG otherwise. */
	int (*validate)(const struct fort_map *map);
	/* Offset in the values object of the value of `key` (per-CPU types: on processor `cpu`),
	 * or -ENOENT. The value stays in place until the caller's epoch ends. */
	int64_t (*find)(struct fort_map *map, const void *key, uint32_t cpu);
	int (*update)(struct fort_map *map, const void *key, const void *value, uint64_t flags);
	int (*delete)(struct fort_map *map, const void *key);
	/* The key after `key` (NULL or gone: the first), or -ENOENT at the end. */
	int (*next_key)(struct fort_map *map, const void *key, void *next);
};

/* Checks a shape as MAP_CREATE does and makes the two objects. `name` appears in
 * /proc/self/maps and readlink as "bpf-map:NAME". Returns 0 or the command's error.
 */
FORT_CHECKED int fort_map_create(const struct fort_map_shape *shape, const char *name,
				 struct fort_shared *shared, struct fort_map **out);
/* Another process's map, from its descriptors (owned by the map on success). -EBADMSG when the
 * objects do not fit the shape. */
FORT_CHECKED int fort_map_open(const struct fort_map_shape *shape, int values_fd, int meta_fd,
			       struct fort_shared *shared, struct fort_map **out);
void fort_map_close(struct fort_map *map);

/* What of the map lies in a domain window, and may programs write it? */
struct fort_map_window {
	uint64_t file_offset, bytes;
	bool writable;
};
struct fort_map_window fort_map_window_of(const struct fort_map *map);

/* bpf(2) side: `value` has fort_map_user_bytes(map) bytes: value_size, or for per-CPU types the
 * stride times the possible processors. */
uint64_t fort_map_user_bytes(const struct fort_map *map);
FORT_CHECKED int fort_map_lookup(struct fort_map *map, const void *key, void *value,
				 uint64_t flags);
FORT_CHECKED int fort_map_update(struct fort_map *map, const void *key, const void *value,
				 uint64_t flags);
FORT_CHECKED int fort_map_delete(struct fort_map *map, const void *key);
FORT_CHECKED int fort_map_next_key(struct fort_map *map, const void *key, void *next);
