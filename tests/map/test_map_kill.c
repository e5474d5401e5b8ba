/* A writer that dies before any of its instructions: whoever comes after finds the map in order:
 * the old value or the new one, nothing lost that does not come back, no waiting for ever.
 *
 * The victim is single-stepped with ptrace(2) through an operation. After each step its world is
 * copied: the map's two objects and the table of seats, in which the victim's process is replaced
 * by one that is dead. What is verified is the copy. (Real kills are test_map_stress.c's part.)
 */
#include "hash_check.h"

#include <sys/prctl.h>
#include <sys/ptrace.h>

#define VALUE_BYTES 64u

/* Instructions of the longest operation; sanitizers add their own. */
#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define STEPS_MAX 100000u
#endif
#endif
#ifndef STEPS_MAX
#define STEPS_MAX 20000u
#endif

static struct fort_shared *shared;

/* One operation, on a map prepared for it. Runs in the victim between two stops. */
struct scenario {
	const char *name;
	struct fort_map *(*prepare)(void);
	void (*act)(struct fort_map *map, const struct fort_seat *seat);
	/* After the kill, or after the end of the operation. */
	void (*verify)(struct fort_map *map, bool completed);
};

static void victim(const struct scenario *scenario, struct fort_map *map)
{
	struct fort_seat seat;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fort_shared_forked(shared);
	if (fort_seat_take(shared, &seat) || ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(1);
	raise(SIGSTOP);
	scenario->act(map, &seat);
	raise(SIGSTOP);
	_exit(0);
}

/* One step; true at the stop behind the operation. */
static bool step(pid_t pid)
{
	int status;

	assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSTOPPED(status));
	return WSTOPSIG(status) == SIGSTOP;
}

/* The table as it would be if process `pid` were dead. */
static struct fort_shared *shared_without(pid_t pid)
{
	struct fort_shared *copy = new_shared();
	uint32_t used = shared->table->used;

	memcpy(copy->table, shared->table,
	       offsetof(struct fort_shared_table, seats) + used * sizeof(struct fort_shared_seat));
	for (uint32_t i = 0; i < used; i++)
		if (copy->table->seats[i].owner >> 32 == (uint64_t)pid)
			copy->table->seats[i].owner++; /* another start time */
	return copy;
}

static void verify_copy(const struct scenario *scenario, const struct fort_map *map, pid_t pid,
			bool completed)
{
	struct fort_shared *world = shared_without(pid), *ours = shared;
	struct fort_map *copy;

	assert_int_equal(fort_map_create(&map->shape, "copy", world, &copy), 0);
	memcpy(copy->values, map->values, map->values_bytes);
	memcpy(copy->meta, map->meta, map->meta_bytes);
	shared = world;
	scenario->verify(copy, completed);
	shared = ours;
	fort_map_close(copy);
	fort_shared_close(world);
}

static void run(const struct scenario *scenario)
{
	struct fort_map *map = scenario->prepare();
	bool completed = false;
	pid_t pid = fork();
	int status;

	if (!pid)
		victim(scenario, map);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSTOPPED(status));
	for (unsigned steps = 0; !completed; steps++) {
		assert_in_range(steps, 0, STEPS_MAX);
		completed = step(pid);
		verify_copy(scenario, map, pid, completed);
	}
	assert_true(reap(pid, true));
	fort_map_close(map);
}

/* Values of hashes tell their key and version in every word. */
static void fill_value(uint64_t *value, uint32_t bytes, uint64_t key, uint64_t version)
{
	for (uint32_t i = 0; i < bytes / 8; i++)
		value[i] = key * 1000 + version;
}

static void set(struct fort_map *map, const struct fort_seat *seat, uint64_t key, uint64_t version)
{
	uint64_t value[1024 / 8];

	fill_value(value, map->shape.value_bytes, key, version);
	if (map->ops->update(map, seat, &key, value, 0, 0))
		abort();
}

/* The version of a key, 0 if it is not there; fails on a torn value. */
static uint64_t version_of(struct fort_map *map, uint64_t key)
{
	uint64_t value[1024 / 8];

	if (fort_map_lookup(map, &key, value, 0))
		return 0;
	for (uint32_t i = 1; i < map->shape.value_bytes / 8; i++)
		assert_int_equal(value[i], value[0]);
	assert_int_equal(value[0] / 1000, key);
	return value[0] % 1000;
}

/* Keys 0, 1, 2, ... of which the first `n` fall into bucket 0 when the seed is zero. */
static uint64_t colliding[16];

static void find_colliding(const struct fort_map *map)
{
	unsigned n = 0;

	for (uint64_t key = 1; n < FORT_LEN(colliding); key++)
		if (!((uint32_t)fort_key_hash(&key, 8, map->hash.seed) & map->hash.bucket_mask))
			colliding[n++] = key;
}

static struct fort_map *prepare(uint32_t entries, uint32_t value_bytes, unsigned n_set)
{
	struct fort_map *map =
		new_map(shared, BPF_MAP_TYPE_HASH, 8, value_bytes, entries, BPF_F_ZERO_SEED);
	const struct fort_seat *seat;

	assert_int_equal(fort_seat_borrow(shared, &seat), 0);
	find_colliding(map);
	for (unsigned i = 0; i < n_set; i++)
		set(map, seat, colliding[i], 1);
	fort_seat_return(seat);
	return map;
}

static struct fort_map *few(void)
{
	return prepare(128, VALUE_BYTES, 3);
}

static struct fort_map *chained(void)
{
	return prepare(128, VALUE_BYTES, FORT_BUCKET_PLACES + 4);
}

static struct fort_map *large(void)
{
	return prepare(128, 1024, 3);
}

/* One short of the operation that rotates the lists of the shard. */
static struct fort_map *about_to_rotate(void)
{
	struct fort_map *map = few();
	const struct fort_seat *seat;

	assert_int_equal(fort_seat_borrow(shared, &seat), 0);
	while (!fort_shard_rotates(&map->hash.shards[0]))
		set(map, seat, colliding[0], 1);
	fort_seat_return(seat);
	return map;
}

static struct fort_map *rotated_before(void)
{
	struct fort_map *map = about_to_rotate();
	const struct fort_seat *seat;

	assert_int_equal(fort_seat_borrow(shared, &seat), 0);
	set(map, seat, colliding[0], 1);
	while (!fort_shard_rotates(&map->hash.shards[0]))
		set(map, seat, colliding[0], 1);
	fort_seat_return(seat);
	return map;
}

/* Shard 0 has used up its quota and its elements: both must come from elsewhere. */
static struct fort_map *exhausted(void)
{
	struct fort_map *map = few();
	struct fort_hash_shard *shard = &map->hash.shards[0];
	const struct fort_seat *seat;

	assert_true(map->hash.shard_mask > 0);
	assert_int_equal(fort_seat_borrow(shared, &seat), 0);
	for (uint64_t key = 1; shard->live < shard->quota; key++)
		if (!((uint32_t)fort_key_hash(&key, 8, map->hash.seed) & map->hash.shard_mask))
			set(map, seat, key, 1);
	for (uint32_t n; (n = fort_shard_take(map, seat, shard));)
		fort_shard_give(shard + 1, fort_hash_element(&map->hash, n), n);
	fort_seat_return(seat);
	return map;
}

static void set_new(struct fort_map *map, const struct fort_seat *seat)
{
	set(map, seat, colliding[15], 2);
}

static void set_first(struct fort_map *map, const struct fort_seat *seat)
{
	set(map, seat, colliding[0], 2);
}

static void set_in_chain(struct fort_map *map, const struct fort_seat *seat)
{
	set(map, seat, colliding[FORT_BUCKET_PLACES + 1], 2);
}

static void delete_first(struct fort_map *map, const struct fort_seat *seat)
{
	if (map->ops->delete (map, seat, &colliding[0]))
		abort();
}

static void delete_in_chain(struct fort_map *map, const struct fort_seat *seat)
{
	if (map->ops->delete (map, seat, &colliding[FORT_BUCKET_PLACES + 1]))
		abort();
}

/* Makes the map look for lost elements, and find all. */
static void search_finds_all(struct fort_map *map)
{
	uint64_t value[1024 / 8] = {0}, key = colliding[1];
	const struct fort_seat *reader;
	int err = 0;

	assert_int_equal(fort_seat_borrow(shared, &reader), 0);
	fort_seat_enter(reader); /* nothing is used again */
	for (uint32_t i = 0; i < 2 * map->hash.n_elements && !err; i++)
		err = fort_map_update(map, &key, value, 0);
	assert_int_equal(err, -ENOMEM);
	fort_seat_leave(reader);
	fort_seat_return(reader);
	assert_int_equal(hash_check(map).lost, 0);
}

/* The rest of the map: untouched, in order, and all of it can be used. */
static void verify_rest(struct fort_map *map, uint64_t changed)
{
	struct hash_census census;

	for (unsigned i = 0; i < FORT_LEN(colliding); i++)
		if (colliding[i] != changed)
			assert_in_range(version_of(map, colliding[i]), 0, 1);
	census = hash_check(map);
	assert_in_range(census.lost, 0, 1);
	if (census.lost)
		search_finds_all(map);
	hash_check_capacity(map);
	assert_in_range(hash_check(map).lost, 0, 0);
}

static void verify_set(struct fort_map *map, uint64_t key, uint64_t before, bool completed)
{
	uint64_t version = version_of(map, key);

	assert_true(version == 2 || (!completed && version == before));
	verify_rest(map, key);
}

static void verify_new(struct fort_map *map, bool completed)
{
	verify_set(map, colliding[15], 0, completed);
}

static void verify_first(struct fort_map *map, bool completed)
{
	verify_set(map, colliding[0], 1, completed);
}

static void verify_in_chain(struct fort_map *map, bool completed)
{
	verify_set(map, colliding[FORT_BUCKET_PLACES + 1], 1, completed);
}

static void verify_deleted(struct fort_map *map, uint64_t key, bool completed)
{
	uint64_t version = version_of(map, key);

	assert_true(version == 0 || (!completed && version == 1));
	verify_rest(map, key);
}

static void verify_first_deleted(struct fort_map *map, bool completed)
{
	verify_deleted(map, colliding[0], completed);
}

static void verify_chain_deleted(struct fort_map *map, bool completed)
{
	verify_deleted(map, colliding[FORT_BUCKET_PLACES + 1], completed);
}

#define RECORD_BYTES 40u

static struct fort_map *ring_with_one(void)
{
	struct fort_map *map = new_map(shared, BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0);
	const struct fort_seat *seat;
	uint32_t offset;

	assert_int_equal(fort_seat_borrow(shared, &seat), 0);
	assert_int_equal(fort_ring_reserve(map, seat, RECORD_BYTES, &offset), 0);
	memset(map->ring.data + offset, 1, RECORD_BYTES);
	fort_ring_submit(map, offset, RECORD_BYTES, 0);
	fort_seat_return(seat);
	return map;
}

static void ring_submit(struct fort_map *map, const struct fort_seat *seat)
{
	uint32_t offset;

	if (fort_ring_reserve(map, seat, RECORD_BYTES, &offset))
		abort();
	memset(map->ring.data + offset, 2, RECORD_BYTES);
	fort_ring_submit(map, offset, RECORD_BYTES, 0);
}

static void ring_discard(struct fort_map *map, const struct fort_seat *seat)
{
	uint32_t offset;

	if (fort_ring_reserve(map, seat, RECORD_BYTES, &offset))
		abort();
	fort_ring_discard(map, offset, RECORD_BYTES, 0);
}

/* The next record within a second: its first byte, after checking that all are alike. */
static int next_record(struct fort_ring_reader *reader)
{
	double end = seconds_now() + 1;
	uint8_t record[RECORD_BYTES];
	uint32_t bytes;
	int got = 0;

	while (!got && seconds_now() < end)
		got = fort_ring_read(reader, record, sizeof(record), &bytes);
	assert_int_equal(got, 1);
	assert_int_equal(bytes, RECORD_BYTES);
	for (unsigned i = 1; i < RECORD_BYTES; i++)
		assert_int_equal(record[i], record[0]);
	return record[0];
}

/* The victim's record is whole or absent, and the ring goes on, round the end too. */
static void verify_ring(struct fort_map *map, bool must, bool may)
{
	struct fort_ring_reader reader;
	const struct fort_seat *seat;
	uint32_t offset;
	int got;

	assert_int_equal(fort_seat_borrow(shared, &seat), 0);
	fort_ring_reader_init(&reader, map);
	assert_int_equal(fort_ring_reserve(map, seat, RECORD_BYTES, &offset), 0);
	memset(map->ring.data + offset, 3, RECORD_BYTES);
	fort_ring_submit(map, offset, RECORD_BYTES, 0);
	assert_int_equal(next_record(&reader), 1);
	got = next_record(&reader);
	assert_true(got == 3 ? !must : got == 2 && may);
	if (got == 2)
		assert_int_equal(next_record(&reader), 3);
	for (unsigned i = 0; i < 200; i++) {
		assert_int_equal(fort_ring_reserve(map, seat, RECORD_BYTES, &offset), 0);
		memset(map->ring.data + offset, (int)i, RECORD_BYTES);
		fort_ring_submit(map, offset, RECORD_BYTES, 0);
		assert_int_equal(next_record(&reader), i & 0xff);
	}
	fort_seat_return(seat);
}

static void verify_submitted(struct fort_map *map, bool completed)
{
	verify_ring(map, completed, true);
}

static void verify_discarded(struct fort_map *map, bool completed)
{
	verify_ring(map, false, false);
}

static void take_another_seat(struct fort_map *map, const struct fort_seat *seat)
{
	struct fort_seat another;

	if (fort_seat_take(shared, &another))
		abort();
	fort_seat_enter(&another);
	fort_seat_leave(&another);
	fort_seat_release(&another);
}

static void verify_seats(struct fort_map *map, bool completed)
{
	assert_true(fort_epoch_passed(shared, fort_epoch_now(shared), NULL, true));
	verify_rest(map, 0);
}

static const struct scenario scenarios[] = {
	{"insert", few, set_new, verify_new},
	{"insert into a chain", chained, set_new, verify_new},
	{"update", few, set_first, verify_first},
	{"update in a chain", chained, set_in_chain, verify_in_chain},
	{"update a large value", large, set_first, verify_first},
	{"update and rest", about_to_rotate, set_first, verify_first},
	{"update, free and rest", rotated_before, set_first, verify_first},
	{"insert with quota and element from elsewhere", exhausted, set_new, verify_new},
	{"delete", few, delete_first, verify_first_deleted},
	{"delete in a chain", chained, delete_in_chain, verify_chain_deleted},
	{"ring submit", ring_with_one, ring_submit, verify_submitted},
	{"ring discard", ring_with_one, ring_discard, verify_discarded},
	{"seat", few, take_another_seat, verify_seats},
};

static void test(void **state)
{
	run(*state);
}

int main(void)
{
	struct CMUnitTest tests[FORT_LEN(scenarios)];

	for (unsigned i = 0; i < FORT_LEN(scenarios); i++)
		tests[i] = (struct CMUnitTest){.name = scenarios[i].name,
					       .test_func = test,
					       .initial_state = (void *)(uintptr_t)&scenarios[i]};
	shared = new_shared();
	return _cmocka_run_group_tests("map_kill", tests, FORT_LEN(tests), NULL, NULL);
}
