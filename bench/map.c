/* Nanoseconds per map operation inside one process: the least and the median of many rounds.
 * usage: map [entries [operation]]; default 1000, all. Repeats what the table in docs says of maps.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "abi/uapi.h"
#include "map/map.h"
#include "map/ring.h"

#define ROUNDS 41

static uint32_t entries = 1000;
static struct fort_shared *shared;
static struct fort_seat seat;
static uint64_t *keys;
static const char *only = "";
static uint64_t sink;

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void measure(const char *what, void (*op)(struct fort_map *map, uint32_t i),
		    struct fort_map *map)
{
	uint32_t ops = 400000;
	double times[ROUNDS];

	if (!strstr(what, only))
		return;
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint32_t index = 0;
		double start = now_ns();

		for (uint32_t i = 0; i < ops; i++) {
			op(map, index);
			if (++index == entries)
				index = 0;
		}
		times[round] = (now_ns() - start) / ops;
	}
	qsort(times, ROUNDS, sizeof(times[0]), by_value);
	printf("%-34s %7.1f %7.1f\n", what, times[0], times[ROUNDS / 2]);
}

static struct fort_map *make(struct fort_map_shape shape)
{
	struct fort_map *map;

	if (fort_map_create(&shape, "bench", shared, &map)) {
		fputs("cannot make a map\n", stderr);
		exit(2);
	}
	return map;
}

static void nothing(struct fort_map *map, uint32_t i)
{
	sink += keys[i];
}

static void enter_leave(struct fort_map *map, uint32_t i)
{
	fort_seat_enter(&seat);
	fort_seat_leave(&seat);
}

static void array_lookup(struct fort_map *map, uint32_t i)
{
	sink += (uint64_t)map->ops->find(map, &i, 0);
}

static void array_update(struct fort_map *map, uint32_t i)
{
	sink += (uint64_t)map->ops->update(map, &seat, &i, &keys[i], 0, 0);
}

static void hash_lookup(struct fort_map *map, uint32_t i)
{
	sink += *(uint64_t *)(map->values + map->ops->find(map, &keys[i], 0));
}

static void hash_miss(struct fort_map *map, uint32_t i)
{
	uint64_t key = ~keys[i];

	sink += (uint64_t)map->ops->find(map, &key, 0);
}

static void hash_update(struct fort_map *map, uint32_t i)
{
	sink += (uint64_t)map->ops->update(map, &seat, &keys[i], &keys[i], 0, 0);
}

static void hash_delete_insert(struct fort_map *map, uint32_t i)
{
	sink += (uint64_t)map->ops->delete (map, &seat, &keys[i]);
	sink += (uint64_t)map->ops->update(map, &seat, &keys[i], &keys[i], 0, 0);
}

static void hash_user_lookup(struct fort_map *map, uint32_t i)
{
	uint64_t value;

	sink += (uint64_t)fort_map_lookup(map, &keys[i], &value, 0);
}

static struct fort_ring_reader reader;

static void ring_record(struct fort_map *map, uint32_t i)
{
	uint32_t offset;

	if (fort_ring_reserve(map, &seat, 16, &offset)) {
		reader.position = map->ring.meta->producer_pos;
		fort_store(map->ring.consumer_pos, reader.position);
		return;
	}
	*(uint64_t *)(map->ring.data + offset) = i;
	fort_ring_submit(map, offset, 16, 0);
}

static void ring_consume(struct fort_map *map, uint32_t i)
{
	uint64_t record[2];
	uint32_t bytes;

	ring_record(map, i);
	sink += (uint64_t)fort_ring_read(&reader, record, sizeof(record), &bytes);
}

int main(int argc, char **argv)
{
	struct fort_map *array, *hash, *ring;

	if (argc > 1)
		entries = (uint32_t)strtoul(argv[1], NULL, 0);
	if (argc > 2)
		only = argv[2];
	if (!entries || fort_shared_create(2, &shared) || fort_seat_take(shared, &seat))
		return 2;
	keys = calloc(entries, sizeof(*keys));
	for (uint32_t i = 0; i < entries; i++)
		keys[i] = (i + 1) * 0x9e3779b97f4a7c15ull;
	array = make((struct fort_map_shape){BPF_MAP_TYPE_ARRAY, 4, 8, entries, 0, 0});
	hash = make((struct fort_map_shape){BPF_MAP_TYPE_HASH, 8, 8, entries, 0, 0});
	ring = make((struct fort_map_shape){BPF_MAP_TYPE_RINGBUF, 0, 0, 256 << 10, 0, 0});
	fort_ring_reader_init(&reader, ring);
	printf("%-34s %7s %7s  ns, %u entries\n", "operation", "least", "median", entries);
	measure("(loop)", nothing, NULL);
	measure("run: enter and leave", enter_leave, NULL);
	measure("array lookup", array_lookup, array);
	measure("array update", array_update, array);
	for (uint32_t i = 0; i < entries; i++)
		hash_update(hash, i);
	measure("hash lookup, hit", hash_lookup, hash);
	measure("hash lookup, miss", hash_miss, hash);
	measure("hash update", hash_update, hash);
	measure("hash delete + insert", hash_delete_insert, hash);
	measure("hash lookup for bpf(2)", hash_user_lookup, hash);
	measure("ring reserve + submit, 16 bytes", ring_record, ring);
	measure("ring reserve + submit + read", ring_consume, ring);
	fprintf(stderr, "%c", sink == 42 ? '.' : '\n');
	return 0;
}
