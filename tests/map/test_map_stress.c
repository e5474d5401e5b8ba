/* Several processes use the same maps while one after the other is killed at a random moment.
 * Values carry a checksum: none is ever torn, or another key's; nobody waits for ever; afterwards
 * the maps are in order and nothing is lost. TEST_SECONDS sets how long each test goes on.
 */
#include "hash_check.h"

#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>

#define WORKERS 4u
#define KEYS    200u
#define ENTRIES 150u

enum trouble { TORN = 1, FOREIGN, MOVED, BAD_ERROR, NO_SEAT };

struct scoreboard {
	uint64_t ops[WORKERS];
	uint64_t trouble, detail;
	uint64_t stop;
	uint64_t results[6]; /* 0, ENOENT, EEXIST, E2BIG, ENOMEM, EAGAIN or EBUSY */
};

static struct fort_shared *shared;
static struct scoreboard *board;

static void complain(enum trouble trouble, uint64_t detail)
{
	uint64_t none = 0;

	if (fort_cas(&board->trouble, &none, trouble))
		fort_store(&board->detail, detail);
}

struct value {
	uint64_t key, version, noise[3], sum;
};

static uint64_t sum_of(const struct value *value)
{
	uint64_t sum = value->key * 31 + value->version;

	for (unsigned i = 0; i < 3; i++)
		sum = (sum ^ value->noise[i]) * 0x9e3779b97f4a7c15ull;
	return sum;
}

static struct value make_value(struct rng *rng, uint64_t key)
{
	struct value value = {.key = key, .version = rng_next(rng)};

	for (unsigned i = 0; i < 3; i++)
		value.noise[i] = rng_next(rng);
	value.sum = sum_of(&value);
	return value;
}

static void check_value(const struct value *value, uint64_t key)
{
	if (value->sum != sum_of(value))
		complain(TORN, key);
	else if (value->key != key)
		complain(FOREIGN, key);
}

/* As a program does: a pointer that must stay the same until the run ends. */
static void look_up_in_run(struct fort_map *map, const struct fort_seat *seat, struct rng *rng,
			   uint64_t key)
{
	int64_t offset;

	fort_seat_enter(seat);
	offset = map->ops->find(map, &key, 0);
	if (offset >= 0) {
		struct value first = *(volatile struct value *)(map->values + offset), second;

		check_value(&first, key);
		if (!rng_below(rng, 16))
			sched_yield();
		second = *(volatile struct value *)(map->values + offset);
		if (memcmp(&first, &second, sizeof(first)))
			complain(MOVED, key);
	}
	fort_seat_leave(seat);
}

static void count_result(int err)
{
	static const int known[] = {0, -ENOENT, -EEXIST, -E2BIG, -ENOMEM};
	unsigned i = 0;

	while (i < FORT_LEN(known) && known[i] != err)
		i++;
	if (i == FORT_LEN(known) && err != -EAGAIN && err != -EBUSY)
		complain(BAD_ERROR, (uint64_t)-err);
	__atomic_fetch_add(&board->results[i], 1, __ATOMIC_RELAXED);
}

static void hash_op(struct fort_map *map, const struct fort_seat *seat, struct rng *rng)
{
	uint64_t key = rng_below(rng, KEYS), next;
	struct value value = make_value(rng, key);

	switch (rng_below(rng, 8)) {
	case 0:
	case 1: look_up_in_run(map, seat, rng, key); break;
	case 2:
		if (!fort_map_lookup(map, &key, &value, 0))
			check_value(&value, key);
		break;
	case 3:
	case 4: count_result(fort_map_update(map, &key, &value, rng_below(rng, 3))); break;
	case 5:
		fort_seat_enter(seat);
		count_result(map->ops->update(map, seat, &key, &value, 0, 0));
		fort_seat_leave(seat);
		break;
	case 6: count_result(fort_map_delete(map, &key)); break;
	default:
		if (!fort_map_next_key(map, &key, &next) && next >= KEYS)
			complain(FOREIGN, next);
	}
}

static pid_t start_worker(unsigned n, uint64_t seed, struct fort_map *map,
			  void (*work)(struct fort_map *map, const struct fort_seat *seat,
				       struct rng *rng, unsigned n))
{
	pid_t pid = fork();
	struct fort_seat seat;
	struct rng rng = {seed};

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fort_shared_forked(shared);
	if (fort_seat_take(shared, &seat)) {
		complain(NO_SEAT, n);
		_exit(1);
	}
	while (!fort_load(&board->stop)) {
		work(map, &seat, &rng, n);
		__atomic_fetch_add(&board->ops[n], 1, __ATOMIC_RELAXED);
	}
	_exit(0);
}

static void hash_work(struct fort_map *map, const struct fort_seat *seat, struct rng *rng,
		      unsigned n)
{
	hash_op(map, seat, rng);
}

static void nap_us(unsigned us)
{
	struct timespec nap = {0, (long)us * 1000};

	nanosleep(&nap, NULL);
}

static uint64_t all_ops(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < WORKERS; i++)
		sum += fort_load(&board->ops[i]);
	return sum;
}

static void new_board(void)
{
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	assert_ptr_not_equal(board, MAP_FAILED);
}

static void no_trouble(void)
{
	if (board->trouble)
		print_error("trouble %u, detail %u\n", (unsigned)board->trouble,
			    (unsigned)board->detail);
	assert_int_equal(board->trouble, 0);
}

/* Kills and replaces workers until the time is over. Returns the number of kills. */
static unsigned kill_for(double seconds, pid_t *pids, struct fort_map *map,
			 void (*work)(struct fort_map *, const struct fort_seat *, struct rng *,
				      unsigned))
{
	double end = seconds_now() + seconds, progress_by = seconds_now() + 5;
	struct rng rng = {(uint64_t)getpid()};
	uint64_t before = 0;
	unsigned kills = 0;

	while (seconds_now() < end) {
		unsigned n = rng_below(&rng, WORKERS);

		nap_us(rng_below(&rng, 4000));
		assert_true(reap(pids[n], true));
		pids[n] = start_worker(n, rng_next(&rng), map, work);
		kills++;
		no_trouble();
		if (seconds_now() > progress_by) {
			assert_true(all_ops() > before);
			before = all_ops();
			progress_by = seconds_now() + 5;
		}
	}
	return kills;
}

static void hash_survives_kills(void **state)
{
	struct fort_map *map =
		new_map(shared, BPF_MAP_TYPE_HASH, 8, sizeof(struct value), ENTRIES, 0);
	struct hash_census census;
	pid_t pids[WORKERS];
	unsigned kills;

	new_board();
	for (unsigned n = 0; n < WORKERS; n++)
		pids[n] = start_worker(n, n, map, hash_work);
	kills = kill_for(test_seconds(2), pids, map, hash_work);
	fort_store(&board->stop, 1);
	for (unsigned n = 0; n < WORKERS; n++)
		assert_true(reap(pids[n], false));
	no_trouble();
	census = hash_check(map);
	assert_in_range(census.lost, 0, kills);
	for (unsigned i = 0; i < 4; i++) /* worked at all */
		assert_int_not_equal(board->results[i], 0);
	print_message("# %u kills, %lu operations, %u elements lost before the search\n", kills,
		      (unsigned long)all_ops(), census.lost);
	hash_check_capacity(map);
	fort_map_close(map);
}

/* Records: who wrote them, in which order, and a checksum of the rest. */
struct record {
	uint32_t producer, words;
	uint64_t sequence, sum;
	uint64_t noise[];
};

#define RECORD_WORDS_MAX 40u

static uint64_t record_sum(const struct record *record)
{
	uint64_t sum = record->producer * 7u + record->words + record->sequence;

	for (uint32_t i = 0; i < record->words; i++)
		sum = (sum ^ record->noise[i]) * 0x9e3779b97f4a7c15ull;
	return sum;
}

/* Sequence numbers go on across deaths: they are in shared memory, one per producer. */
static uint64_t *sequences;

static void ring_work(struct fort_map *map, const struct fort_seat *seat, struct rng *rng,
		      unsigned n)
{
	uint32_t words = rng_below(rng, RECORD_WORDS_MAX + 1), offset;
	uint32_t bytes = (uint32_t)sizeof(struct record) + 8 * words;
	uint64_t sequence = sequences[n] + 1;
	struct record *record;

	if (fort_ring_reserve(map, seat, bytes, &offset)) {
		sched_yield();
		return;
	}
	record = (struct record *)(map->ring.data + offset);
	*record = (struct record){.producer = n, .words = words};
	for (uint32_t i = 0; i < words; i++)
		record->noise[i] = rng_next(rng);
	if (!rng_below(rng, 8)) {
		fort_ring_discard(map, offset, bytes, 0);
		return;
	}
	record->sequence = sequence;
	record->sum = record_sum(record);
	fort_ring_submit(map, offset, bytes, rng_below(rng, 3));
	sequences[n] = sequence; /* killed before: the number comes twice */
}

struct tally {
	uint64_t last[WORKERS], records, twice, bad;
};

static void count_record(struct tally *tally, const struct record *record, uint32_t bytes,
			 bool kills)
{
	assert_in_range(bytes, sizeof(*record), sizeof(*record) + 8 * RECORD_WORDS_MAX);
	assert_in_range(record->producer, 0, WORKERS - 1);
	assert_int_equal(bytes, sizeof(*record) + 8 * record->words);
	assert_int_equal(record->sum, record_sum(record));
	tally->records++;
	if (kills && record->sequence == tally->last[record->producer])
		tally->twice++;
	else
		assert_int_equal(record->sequence, tally->last[record->producer] + 1);
	tally->last[record->producer] = record->sequence;
}

static void consume(struct fort_ring_reader *reader, struct tally *tally, bool kills)
{
	union {
		struct record record;
		uint8_t bytes[sizeof(struct record) + 8 * RECORD_WORDS_MAX];
	} buffer;
	uint32_t bytes;
	int got;

	while ((got = fort_ring_read(reader, &buffer, sizeof(buffer), &bytes)) == 1)
		count_record(tally, &buffer.record, bytes, kills);
	assert_int_equal(got, 0);
}

static void start_ring(struct fort_map **map, struct fort_ring_reader *reader, pid_t *pids)
{
	new_board();
	sequences = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	*map = new_map(shared, BPF_MAP_TYPE_RINGBUF, 0, 0, 1 << 16, 0);
	assert_int_equal(fort_ring_make_wake(*map), 0);
	fort_ring_reader_init(reader, *map);
	for (unsigned n = 0; n < WORKERS; n++)
		pids[n] = start_worker(n, n, *map, ring_work);
}

/* Per producer all records arrive, in order, none twice. */
static void ring_keeps_order(void **state)
{
	double end = seconds_now() + test_seconds(1);
	struct fort_ring_reader reader, *readers = &reader;
	struct tally tally = {0};
	struct fort_map *map;
	pid_t pids[WORKERS];

	start_ring(&map, &reader, pids);
	while (seconds_now() < end) {
		assert_in_range(fort_ring_wait(&readers, 1, -1, 100000000), 0, 1);
		consume(&reader, &tally, false);
	}
	fort_store(&board->stop, 1);
	for (unsigned n = 0; n < WORKERS; n++)
		assert_true(reap(pids[n], false));
	consume(&reader, &tally, false);
	for (unsigned n = 0; n < WORKERS; n++)
		assert_int_equal(tally.last[n], sequences[n]);
	assert_int_equal(fort_ring_query(map, BPF_RB_AVAIL_DATA), 0);
	print_message("# %lu records, %lu found no room\n", (unsigned long)tally.records,
		      (unsigned long)fort_map_dropped(map));
	fort_map_close(map);
}

/* Killed producers leave records BUSY: the consumer passes over them. */
static void ring_survives_kills(void **state)
{
	double end = seconds_now() + test_seconds(2), next_kill = 0, last_record = seconds_now();
	struct fort_ring_reader reader, *readers = &reader;
	struct rng rng = {(uint64_t)getpid()};
	struct tally tally = {0};
	struct fort_map *map;
	pid_t pids[WORKERS];
	unsigned kills = 0;

	start_ring(&map, &reader, pids);
	while (seconds_now() < end) {
		uint64_t before = tally.records;

		assert_in_range(fort_ring_wait(&readers, 1, -1, 3000000), 0, 1);
		consume(&reader, &tally, true);
		if (tally.records > before)
			last_record = seconds_now();
		assert_true(seconds_now() - last_record < 5);
		if (seconds_now() < next_kill)
			continue;
		next_kill = seconds_now() + rng_below(&rng, 4000) * 1e-6;
		assert_true(reap(pids[kills % WORKERS], true));
		pids[kills % WORKERS] =
			start_worker(kills % WORKERS, rng_next(&rng), map, ring_work);
		kills++;
	}
	for (unsigned n = 0; n < WORKERS; n++)
		assert_true(reap(pids[n], true));
	end = seconds_now() + 5;
	while (fort_ring_query(map, BPF_RB_AVAIL_DATA) && seconds_now() < end)
		consume(&reader, &tally, true);
	assert_int_equal(fort_ring_query(map, BPF_RB_AVAIL_DATA), 0);
	assert_in_range(tally.twice, 0, kills);
	print_message("# %u kills, %lu records\n", kills, (unsigned long)tally.records);
	fort_map_close(map);
}

static void pausing_work(struct fort_map *map, const struct fort_seat *seat, struct rng *rng,
			 unsigned n)
{
	unsigned pauses = rng_below(rng, 2) ? 0 : rng_below(rng, 2000);

	ring_work(map, seat, rng, n);
	for (unsigned i = 0; i < pauses; i++)
		fort_pause();
	if (!rng_below(rng, 64))
		nap_us(rng_below(rng, 200));
}

/* A consumer that sleeps with a record to read and nobody to wake it is found: it sleeps for
 * seconds, without the bound that real consumers have. */
static void no_wake_up_is_lost(void **state)
{
	double end = seconds_now() + test_seconds(1);
	struct fort_ring_reader reader;
	struct tally tally = {0};
	struct rng rng = {9};
	struct fort_map *map;
	unsigned slept = 0;
	pid_t pid;

	new_board();
	sequences = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	map = new_map(shared, BPF_MAP_TYPE_RINGBUF, 0, 0, 1 << 16, 0);
	assert_int_equal(fort_ring_make_wake(map), 0);
	fort_ring_reader_init(&reader, map);
	pid = start_worker(0, 1, map, pausing_work);
	while (seconds_now() < end) {
		struct pollfd wake = {.fd = map->wake_fd, .events = POLLIN};

		consume(&reader, &tally, false);
		for (unsigned i = rng_below(&rng, 200); i; i--)
			fort_pause();
		if (fort_ring_sleep(&reader)) {
			slept++;
			assert_int_equal(poll(&wake, 1, 10000), 1);
		}
		fort_ring_awake(&reader);
	}
	fort_store(&board->stop, 1);
	assert_true(reap(pid, false));
	assert_true(slept > 10);
	print_message("# %lu records, %u sleeps\n", (unsigned long)tally.records, slept);
	fort_map_close(map);
}

/* Below its capacity a ring loses nothing, however records fall over its end. */
static void nothing_lost_below_capacity(void **state)
{
	struct fort_map *map = new_map(shared, BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0);
	struct fort_ring_reader reader;
	const struct fort_seat *seat;
	struct rng rng = {4};
	uint8_t record[4096];
	uint32_t bytes, offset;

	assert_int_equal(fort_seat_borrow(shared, &seat), 0);
	fort_ring_reader_init(&reader, map);
	for (unsigned round = 0; round < 20000; round++) {
		uint32_t used = 0, sizes[64], n = 0;

		while (n < FORT_LEN(sizes)) {
			sizes[n] = rng_below(&rng, rng_below(&rng, 4) ? 100 : 3000);
			if (used + (uint32_t)fort_round_up(sizes[n] + 8, 8) > 4096 - 8)
				break;
			used += (uint32_t)fort_round_up(sizes[n] + 8, 8);
			assert_int_equal(fort_ring_reserve(map, seat, sizes[n], &offset), 0);
			memset(map->ring.data + offset, (int)(round + n), sizes[n]);
			fort_ring_submit(map, offset, sizes[n], 0);
			n++;
		}
		assert_int_equal(fort_ring_query(map, BPF_RB_AVAIL_DATA), used);
		for (uint32_t i = 0; i < n; i++) {
			assert_int_equal(fort_ring_read(&reader, record, sizeof(record), &bytes),
					 1);
			assert_int_equal(bytes, sizes[i]);
			for (uint32_t j = 0; j < bytes; j++)
				assert_int_equal(record[j], (uint8_t)(round + i));
		}
		assert_int_equal(fort_ring_read(&reader, record, sizeof(record), &bytes), 0);
	}
	assert_int_equal(fort_map_dropped(map), 0);
	fort_seat_return(seat);
	fort_map_close(map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hash_survives_kills),         cmocka_unit_test(ring_keeps_order),
		cmocka_unit_test(ring_survives_kills),         cmocka_unit_test(no_wake_up_is_lost),
		cmocka_unit_test(nothing_lost_below_capacity),
	};

	shared = new_shared();
	return cmocka_run_group_tests_name("map_stress", tests, NULL, NULL);
}
