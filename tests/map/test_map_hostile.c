/* Somebody who may write a map's metadata, its values and the table of seats writes random words
 * there, while others use the map. They may get errors and wrong values, and wait; they may not
 * crash, leave the map's memory (the sanitizer build looks at that), or loop for ever.
 */
#include "map_test.h"

#include <sys/prctl.h>

#define USERS     2u
#define STALLED_S 20.0 /* one call may wait a second for each lock that seems held */
#define BUFFER    4096u

struct scoreboard {
	uint64_t ops[USERS], flips, stop;
	int results[600];
};

static struct fort_shared *shared;
static struct scoreboard *board;
static struct fort_map *maps[6];

static void count(int result)
{
	if (result <= 0 && result > -600)
		__atomic_fetch_add(&board->results[-result], 1, __ATOMIC_RELAXED);
}

static void element_op(struct fort_map *map, const struct fort_seat *seat, struct rng *rng)
{
	uint8_t key[16] = {0}, next[16], value[BUFFER] = {1};
	uint64_t flags = rng_below(rng, 3);
	int64_t offset;

	key[0] = (uint8_t)rng_below(rng, 250);
	switch (rng_below(rng, 6)) {
	case 0:
		fort_seat_enter(seat);
		offset = map->ops->find(map, key, 0);
		if (offset >= 0)
			count(map->values[offset + map->shape.value_bytes - 1] ? 0 : -ENOENT);
		fort_seat_leave(seat);
		break;
	case 1: count(fort_map_lookup(map, key, value, 0)); break;
	case 2: count(fort_map_update(map, key, value, flags)); break;
	case 3: count(map->ops->update(map, seat, key, value, flags, 0)); break;
	case 4: count(fort_map_delete(map, key)); break;
	default: count(fort_map_next_key(map, key, next));
	}
}

static void ring_op(struct fort_map *map, const struct fort_seat *seat, struct rng *rng,
		    struct fort_ring_reader *reader)
{
	uint8_t record[BUFFER];
	uint32_t offset, bytes = rng_below(rng, 300);

	if (rng_below(rng, 2)) {
		for (unsigned i = 0; i < 4; i++)
			count(fort_ring_read(reader, record, rng_below(rng, BUFFER), &bytes));
		if (fort_ring_sleep(reader))
			fort_ring_awake(reader);
		return;
	}
	count(fort_ring_reserve(map, seat, bytes, &offset) ? -EAGAIN : 0);
	if (fort_ring_reserve(map, seat, bytes, &offset))
		return;
	memset(map->ring.data + offset, 1, bytes);
	if (rng_below(rng, 4))
		fort_ring_submit(map, offset, bytes, 0);
	else if (rng_below(rng, 2))
		fort_ring_discard(map, offset, bytes, 0);
	count((int)(fort_ring_query(map, rng_below(rng, 5)) & 0));
}

static void use_maps(unsigned n)
{
	struct fort_ring_reader reader;
	struct rng rng = {n + 1};
	struct fort_seat seat;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fort_shared_forked(shared);
	if (fort_seat_take(shared, &seat))
		_exit(1);
	fort_ring_reader_init(&reader, maps[5]);
	while (!fort_load(&board->stop)) {
		unsigned which = rng_below(&rng, 6);

		if (which == 5)
			ring_op(maps[5], &seat, &rng, &reader);
		else
			element_op(maps[which], &seat, &rng);
		if (!rng_below(&rng, 1000)) {
			struct fort_seat another;

			count(fort_seat_take(shared, &another));
		}
		__atomic_fetch_add(&board->ops[n], 1, __ATOMIC_RELAXED);
	}
	_exit(0);
}

/* Structure is at the start of metadata: flips fall there more often. */
static uint64_t *random_word(struct rng *rng)
{
	struct fort_map *map = maps[rng_below(rng, 6)];
	uint8_t *at = (uint8_t *)map->meta;
	uint64_t bytes = map->meta_bytes;

	switch (rng_below(rng, 8)) {
	case 0:
		at = (uint8_t *)shared->table;
		bytes = 128 + 64 * 8;
		break;
	case 1:
		at = map->values;
		bytes = map->values_bytes;
		break;
	case 2:
	case 3:
	case 4: bytes = bytes < 2048 ? bytes : 2048; break;
	default: break;
	}
	return (uint64_t *)(at + 8 * rng_below(rng, (uint32_t)(bytes / 8)));
}

static void flip(struct rng *rng)
{
	uint64_t *word = random_word(rng), value = fort_load(word);

	switch (rng_below(rng, 5)) {
	case 0: value = rng_next(rng); break;
	case 1: value ^= 1ull << rng_below(rng, 64); break;
	case 2: value = rng_below(rng, 300); break;
	case 3: value = (uint64_t)rng_below(rng, 300) << 32 | rng_below(rng, 300); break;
	default: value = fort_load(random_word(rng));
	}
	fort_store(word, value);
	board->flips++;
	for (unsigned m = 0; m < FORT_LEN(maps); m++) /* not the end of all updates */
		maps[m]->meta->frozen = 0;
}

static void make_maps(void)
{
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	assert_ptr_not_equal(board, MAP_FAILED);
	maps[0] = new_map(shared, BPF_MAP_TYPE_ARRAY, 4, 8, 200, 0);
	maps[1] = new_map(shared, BPF_MAP_TYPE_PERCPU_ARRAY, 4, 16, 200, 0);
	maps[2] = new_map(shared, BPF_MAP_TYPE_HASH, 8, 8, 100, 0);
	maps[3] = new_map(shared, BPF_MAP_TYPE_HASH, 4, 300, 200, 0);
	maps[4] = new_map(shared, BPF_MAP_TYPE_HASH, 13, 24, 2, 0);
	maps[5] = new_map(shared, BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0);
}

static void nobody_crashes(void **state)
{
	double end = seconds_now() + test_seconds(3), moved = seconds_now();
	uint64_t before[USERS] = {0}, seen[USERS];
	struct rng rng = {(uint64_t)getpid()};
	pid_t pids[USERS];
	int status;

	make_maps();
	for (unsigned n = 0; n < USERS; n++) {
		pids[n] = fork();
		if (!pids[n])
			use_maps(n);
	}
	while (seconds_now() < end) {
		struct timespec nap = {0, 20000};

		flip(&rng);
		nanosleep(&nap, NULL);
		for (unsigned n = 0; n < USERS; n++) {
			assert_int_equal(waitpid(pids[n], &status, WNOHANG), 0);
			seen[n] = fort_load(&board->ops[n]);
		}
		if (seen[0] != before[0] && seen[1] != before[1]) {
			memcpy(before, seen, sizeof(before));
			moved = seconds_now();
		}
		assert_true(seconds_now() - moved < STALLED_S);
	}
	fort_store(&board->stop, 1);
	for (unsigned n = 0; n < USERS; n++)
		assert_true(reap(pids[n], false));
	print_message("# %lu words changed during %lu calls\n", (unsigned long)board->flips,
		      (unsigned long)(before[0] + before[1]));
	for (unsigned i = 0; i < FORT_LEN(board->results); i++)
		if (board->results[i])
			print_message("#   %d: %d times\n", -(int)i, board->results[i]);
}

/* Metadata of nothing but ones, or of small numbers: every index is one too many, every list
 * bites its own tail. */
static void constant_metadata(void **state)
{
	static const uint64_t fills[] = {UINT64_MAX, 0x0000000100000001, 0x0000000200000002,
					 0x0101010101010101, 1ull << 63};

	for (unsigned f = 0; f < FORT_LEN(fills); f++) {
		struct fort_ring_reader reader;
		struct fort_seat seat;
		struct rng rng = {f};
		double start = seconds_now();

		make_maps();
		assert_int_equal(fort_seat_take(shared, &seat), 0);
		fort_ring_reader_init(&reader, maps[5]);
		for (unsigned m = 2; m < 6; m++)
			for (uint64_t i = sizeof(struct fort_map_meta) / 8;
			     i < maps[m]->meta_bytes / 8; i++)
				((uint64_t *)maps[m]->meta)[i] = fills[f];
		for (unsigned i = 0; i < 300 && seconds_now() < start + 3; i++) {
			element_op(maps[2 + i % 3], &seat, &rng);
			ring_op(maps[5], &seat, &rng, &reader);
		}
		assert_true(seconds_now() < start + STALLED_S);
		fort_seat_release(&seat);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(constant_metadata),
		cmocka_unit_test(nobody_crashes),
	};

	shared = new_shared();
	return cmocka_run_group_tests_name("map_hostile", tests, NULL, NULL);
}
