/* A map: values in one shared memory object, everything else in another.
 *
 * The values object is what clients mmap and what lies in domain windows: values from offset 0,
 * `stride` apart (per-CPU: a block of max_entries values per processor; ring buffers: map/ring.h).
 * The metadata object (index, keys, locks, free lists, trusted ring positions) is never in a
 * window. Both are sealed memfds, mapped at different addresses by the processes that share the
 * map: only fixed widths and offsets inside, and every word that another process can write is
 * read once and checked before use. Where things are follows from the shape alone, never from
 * what the objects say.
 *
 * Who damages the metadata of a map can make its users see wrong values and errors, and wait
 * FORT_LOCK_WAIT_NS per call; not crash, loop for ever or touch anything else.
 *
 * A plain array that programs may not write (.rodata) is mapped for reading only, and bpf(2)
 * writes it through its descriptor: once it is frozen, F_SEAL_WRITE lets nobody change it, and the
 * verifier may take its values for constants.
 */
#pragma once

#include "abi/maps.h"
#include "map/shared.h"

struct fort_hash_shard;
struct fort_hash_bucket;

/* What this process knows of a hash (map/hash.h). */
struct fort_hash {
	uint64_t seed[2];
	uint32_t n_elements, element_bytes, shard_elements;
	uint32_t bucket_mask, shard_mask;
	struct fort_hash_shard *shards;
	struct fort_hash_bucket *buckets;
	uint8_t *elements;
};

/* And of a ring buffer (map/ring.h). */
struct fort_ring {
	struct fort_ring_meta *meta;
	uint64_t *reserved; /* a word per 8 bytes of data */
	uint64_t *consumer_pos, *producer_pos;
	uint8_t *data; /* twice `bytes`: the second half takes what crosses the end */
	uint32_t bytes;
};

struct fort_tail; /* engine/tail.h */

/* Programs by index (map/prog_array.h): of this process, so in its own memory. */
struct fort_progs {
	const struct fort_tail **tails;
	uint64_t bytes;
};

struct fort_map {
	struct fort_map_shape shape;
	const struct fort_map_info *info;
	const struct fort_map_ops *ops;
	int values_fd, meta_fd; /* owned */
	int wake_fd;            /* ring buffers: eventfd of the consumer, owned; -1: none */
	uint32_t stride;
	uint32_t n_cpus;    /* possible processors */
	uint64_t cpu_bytes; /* per-CPU types: distance between processors' blocks */
	uint8_t *values;    /* this process's mapping of the values object */
	uint64_t values_bytes;
	struct fort_map_meta *meta; /* and of the metadata */
	uint64_t meta_bytes;
	struct fort_shared *shared; /* not owned */
	union {
		struct fort_hash hash;
		struct fort_ring ring;
		struct fort_progs progs;
	};
};

/* What the metadata of every type starts with. */
struct fort_map_meta {
	uint32_t magic, version;
	struct fort_map_shape shape;
	uint32_t n_cpus;
	uint32_t frozen;  /* by MAP_FREEZE: bpf(2) may not write any more */
	uint32_t suspect; /* a program that could write it crashed (load/crash.h) */
	_Alignas(
		64) uint64_t dropped; /* ring records or new elements for which there was no room */
};
_Static_assert(sizeof(struct fort_map_meta) == 128, "shared layout");

#define FORT_CPUS_ALL UINT32_MAX

/* One map type: a file of its own implements each. `key` and `value` point to private copies;
 * `seat` is the caller's, NULL only for types that take no lock (`locks` is false). Errors are
 * those of the bpf(2) commands; -EAGAIN when a lock could not be had.
 */
struct fort_map_ops {
	uint32_t type; /* BPF_MAP_TYPE_* */
	bool locks;    /* operations need a seat */
	bool pins;     /* runs that use such a map must enter theirs */
	/* What limits a shape besides the type's row in maps.def; NULL: nothing. */
	int (*check)(const struct fort_map_shape *shape);
	/* Bytes of the two objects, and whatever else follows from the shape alone. */
	void (*plan)(struct fort_map *map, uint64_t *values_bytes, uint64_t *meta_bytes);
	/* Both objects are mapped; `fresh`: they are new and zeroed. -EBADMSG if they make no
	 * sense. */
	int (*start)(struct fort_map *map, bool fresh);
	/* What start took beyond the objects goes; also where it never came to that. NULL: nothing.
	 */
	void (*stop)(struct fort_map *map);
	/* Offset in the values object of the value of `key` (per-CPU types: on processor `cpu`),
	 * or -ENOENT. The value stays in place until the caller's run ends. `key` may change
	 * while it is read. */
	int64_t (*find)(const struct fort_map *map, const void *key, uint32_t cpu);
	/* For bpf(2): copies a value of fort_map_user_bytes. */
	int (*read)(struct fort_map *map, const struct fort_seat *seat, const void *key,
		    void *value);
	/* Per-CPU types: `cpu`, or FORT_CPUS_ALL with a value of fort_map_user_bytes. */
	int (*update)(struct fort_map *map, const struct fort_seat *seat, const void *key,
		      const void *value, uint64_t flags, uint32_t cpu);
	int (*delete)(struct fort_map *map, const struct fort_seat *seat, const void *key);
	/* For programs that walk through a map: where the element after `cursor` (0: the first) is,
	 * never 0, and its key, which may change while it is written; 0 at the end, or when it
	 * would take more looks than *looks, which becomes what is left of them. And the offset of
	 * the value of the element at a cursor. NULL for types that cannot be walked. */
	uint64_t (*walk)(const struct fort_map *map, uint64_t cursor, void *key, uint64_t *looks);
	int64_t (*walked)(const struct fort_map *map, uint64_t cursor, uint32_t cpu);
	/* The key after `key` (NULL or gone: the first), or -ENOENT at the end. */
	int (*next_key)(struct fort_map *map, const struct fort_seat *seat, const void *key,
			void *next);
};

extern const struct fort_map_ops fort_map_array, fort_map_percpu_array, fort_map_hash,
	fort_map_ringbuf, fort_map_prog_array, fort_map_hollow;

/* Checks a shape as MAP_CREATE does. BPF_F_ZERO_SEED needs a right that the caller checks. */
FORT_CHECKED int fort_map_check(const struct fort_map_shape *shape, const char *name);
/* Checks, and makes the two objects. `name` (at most 15 of [A-Za-z0-9_.]) appears in
 * /proc/self/maps and readlink as "bpf-map:NAME". Returns 0 or the command's error; -ENOMEM,
 * before anything is allocated, for what cannot fit a domain window.
 */
FORT_CHECKED int fort_map_create(const struct fort_map_shape *shape, const char *name,
				 struct fort_shared *shared, struct fort_map **out);
/* A map of any type that the kernel has, for programs that are judged and never run: it takes what
 * it is given and holds nothing. The exception is a .rodata, whose values the verdict depends on.
 */
FORT_CHECKED int fort_map_create_hollow(const struct fort_map_shape *shape, const char *name,
					struct fort_shared *shared, struct fort_map **out);
bool fort_map_is_hollow(const struct fort_map *map);
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

/* Must a run that uses this map enter a seat first? */
static inline bool fort_map_needs_seat(const struct fort_map *map)
{
	return map->ops->pins;
}

/* bpf(2) side: `value` has fort_map_user_bytes(map) bytes: value_size, or for per-CPU types the
 * stride times the possible processors. Keys and values must not change during the call.
 */
uint64_t fort_map_user_bytes(const struct fort_map *map);
FORT_CHECKED int fort_map_lookup(struct fort_map *map, const void *key, void *value,
				 uint64_t flags);
FORT_CHECKED int fort_map_update(struct fort_map *map, const void *key, const void *value,
				 uint64_t flags);
FORT_CHECKED int fort_map_delete(struct fort_map *map, const void *key);
FORT_CHECKED int fort_map_next_key(struct fort_map *map, const void *key, void *next);
/* -EPERM when frozen already, -EBUSY when somebody has mapped a .rodata for writing. */
FORT_CHECKED int fort_map_freeze(struct fort_map *map);
bool fort_map_frozen(const struct fort_map *map);
/* The only value of a map that nobody can change any more, value_bytes long, or NULL. It is the
 * object's seals that say so, not its metadata. */
const uint8_t *fort_map_constants(const struct fort_map *map);
/* Is what the map holds to be doubted, since a program that could write it crashed? The map works
 * as before; the mark stays until somebody clears it. */
bool fort_map_is_suspect(const struct fort_map *map);
void fort_map_set_suspect(struct fort_map *map, bool suspect);
/* Ring records or new elements that found no room, since creation. */
uint64_t fort_map_dropped(const struct fort_map *map);
