/* Maps as objects, and what bpf(2) alone does not show of their elements. */
#include "hash_check.h"

#include <sys/stat.h>

static struct fort_shared *shared;

static int setup(void **state)
{
	shared = new_shared();
	return 0;
}

static int teardown(void **state)
{
	fort_shared_close(shared);
	return 0;
}

static void objects_are_sealed(void **state)
{
	struct fort_map *map = new_map(shared, BPF_MAP_TYPE_HASH, 8, 8, 100, 0);
	int fds[] = {map->values_fd, map->meta_fd};
	char path[64], target[128];
	struct stat st;
	ssize_t length;

	for (unsigned i = 0; i < 2; i++) {
		int seals = fcntl(fds[i], F_GET_SEALS);

		assert_int_equal(seals & (F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL),
				 F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
		assert_int_equal(fstat(fds[i], &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
		assert_int_equal(st.st_size, i ? map->meta_bytes : map->values_bytes);
		assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
		assert_int_equal(ftruncate(fds[i], 0), -1);
		assert_int_equal(ftruncate(fds[i], 1 << 20), -1);
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", map->values_fd);
	length = readlink(path, target, sizeof(target) - 1);
	assert_true(length > 0);
	target[length] = 0;
	assert_string_equal(target, "/memfd:bpf-map:test (deleted)");
	fort_map_close(map);
}

static void names(void **state)
{
	struct fort_map_shape shape = {BPF_MAP_TYPE_ARRAY, 4, 4, 1, 0, 0};
	struct fort_map *map;

	assert_int_equal(fort_map_create(&shape, "a name", shared, &map), -EINVAL);
	assert_int_equal(fort_map_create(&shape, "sixteen_letters_", shared, &map), -EINVAL);
	assert_int_equal(fort_map_create(&shape, "fifteen_letters", shared, &map), 0);
	fort_map_close(map);
	assert_int_equal(fort_map_create(&shape, "", shared, &map), 0);
	fort_map_close(map);
}

/* What a client maps from the descriptor is what bpf(2) reads. */
static void array_is_mapped(void **state)
{
	struct fort_map *map = new_map(shared, BPF_MAP_TYPE_ARRAY, 4, 12, 1000, BPF_F_MMAPABLE);
	uint32_t index = 999;
	uint8_t value[12], seen[12];
	uint8_t *at = mmap(NULL, 16 * 1000, PROT_READ | PROT_WRITE, MAP_SHARED, map->values_fd, 0);

	assert_ptr_not_equal(at, MAP_FAILED);
	memset(value, 7, sizeof(value));
	assert_int_equal(fort_map_update(map, &index, value, 0), 0);
	assert_memory_equal(at + 16 * 999, value, 12);
	at[16 * 999 + 3] = 9;
	assert_int_equal(fort_map_lookup(map, &index, seen, 0), 0);
	assert_int_equal(seen[3], 9);
	munmap(at, 16 * 1000);
	fort_map_close(map);
}

static void too_large_is_refused_unmade(void **state)
{
	struct fort_map_shape shape = {BPF_MAP_TYPE_ARRAY, 4, 1 << 20, 1 << 20, 0, 0};
	struct fort_map *map;

	assert_int_equal(fort_map_create(&shape, "", shared, &map), -ENOMEM);
	shape = (struct fort_map_shape){BPF_MAP_TYPE_HASH, 8, 1 << 20, 1 << 20, 0, 0};
	assert_int_equal(fort_map_create(&shape, "", shared, &map), -ENOMEM);
	shape = (struct fort_map_shape){BPF_MAP_TYPE_HASH, 8, 8, FORT_HASH_ENTRIES_MAX, 0, 0};
	assert_int_equal(fort_map_create(&shape, "", shared, &map), 0); /* 1.3 GiB untouched */
	fort_map_close(map);
}

static void frozen_rodata_is_constant(void **state)
{
	struct fort_map *map = new_map(shared, BPF_MAP_TYPE_ARRAY, 4, 64, 1, BPF_F_RDONLY_PROG);
	struct fort_map *other;
	uint8_t value[64] = {1, 2, 3}, seen[64];
	uint32_t zero = 0;
	void *at;

	assert_false(fort_map_window_of(map).writable);
	assert_int_equal(fort_map_update(map, &zero, value, 0), 0);
	at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, map->values_fd, 0);
	assert_ptr_not_equal(at, MAP_FAILED);
	assert_int_equal(fort_map_freeze(map), -EBUSY);
	assert_false(fort_map_frozen(map));
	map->meta->frozen = 1; /* that alone makes nothing constant */
	assert_null(fort_map_constants(map));
	map->meta->frozen = 0;
	munmap(at, 4096);

	assert_int_equal(fort_map_freeze(map), 0);
	assert_int_equal(fort_map_freeze(map), -EPERM);
	assert_true(fort_map_frozen(map));
	assert_memory_equal(fort_map_constants(map), value, 64);
	assert_int_equal(fort_map_update(map, &zero, value, 0), -EPERM);
	assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, map->values_fd, 0),
			 MAP_FAILED);
	assert_int_equal(pwrite(map->values_fd, "x", 1, 0), -1);
	at = mmap(NULL, 4096, PROT_READ, MAP_SHARED, map->values_fd, 0);
	assert_ptr_not_equal(at, MAP_FAILED);
	assert_memory_equal(at, value, 64);
	munmap(at, 4096);
	assert_int_equal(fort_map_lookup(map, &zero, seen, 0), 0);
	assert_memory_equal(seen, value, 64);
	map->meta->frozen = 0; /* whoever damages the metadata cannot thaw it */
	assert_int_equal(fort_map_update(map, &zero, value, 0), -EPERM);
	assert_int_equal(fort_map_open(&map->shape, dup(map->values_fd), dup(map->meta_fd), shared,
				       &other),
			 0);
	assert_int_equal(fort_map_lookup(other, &zero, seen, 0), 0);
	assert_memory_equal(fort_map_constants(other), value, 64);
	fort_map_close(other);
	fort_map_close(map);
}

static void opened_twice_is_one_map(void **state)
{
	static const struct fort_map_shape shapes[] = {
		{BPF_MAP_TYPE_ARRAY, 4, 8, 10, 0, 0},
		{BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 10, 0, 0},
		{BPF_MAP_TYPE_HASH, 4, 8, 10, 0, 0},
	};

	for (unsigned i = 0; i < FORT_LEN(shapes); i++) {
		struct fort_map *map, *other;
		uint8_t *value, *seen;
		uint32_t key = 3;

		assert_int_equal(fort_map_create(&shapes[i], "", shared, &map), 0);
		assert_int_equal(fort_map_open(&shapes[i], dup(map->values_fd), dup(map->meta_fd),
					       shared, &other),
				 0);
		value = malloc(fort_map_user_bytes(map));
		seen = malloc(fort_map_user_bytes(map));
		memset(value, 0x42, fort_map_user_bytes(map));
		assert_int_equal(fort_map_update(map, &key, value, 0), 0);
		assert_int_equal(fort_map_lookup(other, &key, seen, 0), 0);
		assert_memory_equal(value, seen, fort_map_user_bytes(map));
		assert_int_equal(fort_map_freeze(other), 0);
		assert_int_equal(fort_map_update(map, &key, value, 0), -EPERM);
		free(value);
		free(seen);
		fort_map_close(other);
		fort_map_close(map);
	}
}

static void foreign_objects_must_fit(void **state)
{
	struct fort_map *map = new_map(shared, BPF_MAP_TYPE_HASH, 4, 8, 10, 0), *other;
	struct fort_map_shape shape = map->shape;
	int unsealed = memfd_create("u", MFD_ALLOW_SEALING);
	int null = open("/dev/null", O_RDWR);

	assert_int_equal(ftruncate(unsealed, (off_t)map->values_bytes), 0);
	assert_int_equal(fort_map_open(&shape, unsealed, map->meta_fd, shared, &other), -EBADMSG);
	assert_int_equal(fort_map_open(&shape, null, map->meta_fd, shared, &other), -EBADMSG);
	assert_int_equal(fort_map_open(&shape, -1, map->meta_fd, shared, &other), -EBADF);
	assert_int_equal(fort_map_open(&shape, map->meta_fd, map->values_fd, shared, &other),
			 -EBADMSG);
	shape.value_bytes = 7; /* same sizes, another shape */
	assert_int_equal(fort_map_open(&shape, map->values_fd, map->meta_fd, shared, &other),
			 -EBADMSG);
	shape.max_entries = 0;
	assert_int_equal(fort_map_open(&shape, map->values_fd, map->meta_fd, shared, &other),
			 -EBADMSG);
	map->meta->version++;
	assert_int_equal(fort_map_open(&map->shape, map->values_fd, map->meta_fd, shared, &other),
			 -EBADMSG);
	close(unsealed);
	close(null);
	fort_map_close(map);
}

/* Values of one processor are apart from those of another, and programs see their own. */
static void processors_have_their_own(void **state)
{
	struct fort_map *map = new_map(shared, BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 3, 0);
	uint64_t *all = calloc(1, fort_map_user_bytes(map)), one = 99;
	uint32_t key = 2;

	for (uint32_t cpu = 0; cpu < map->n_cpus; cpu++) {
		one = 100 + cpu;
		assert_int_equal(map->ops->update(map, NULL, &key, &one, 0, cpu), 0);
		assert_int_equal(*(uint64_t *)(map->values + map->ops->find(map, &key, cpu)), one);
	}
	assert_int_equal(fort_map_lookup(map, &key, all, 0), 0);
	for (uint32_t cpu = 0; cpu < map->n_cpus; cpu++)
		assert_int_equal(all[cpu], 100 + cpu);
	assert_int_equal(map->ops->find(map, &key, map->n_cpus), -ENOENT);
	assert_int_equal(map->ops->update(map, NULL, &key, &one, 0, map->n_cpus), -E2BIG);
	key = 3;
	assert_int_equal(map->ops->find(map, &key, 0), -ENOENT);
	free(all);
	fort_map_close(map);
}

static uint64_t *hash_at(struct fort_map *map, uint64_t key)
{
	int64_t offset = map->ops->find(map, &key, 0);

	return offset < 0 ? NULL : (uint64_t *)(map->values + offset);
}

static int hash_set(struct fort_map *map, uint64_t key, uint64_t value)
{
	return fort_map_update(map, &key, &value, 0);
}

/* A run that holds a pointer keeps seeing the whole old value, whatever happens to the key. */
static void held_pointers_stay(void **state)
{
	struct fort_map *map = new_map(shared, BPF_MAP_TYPE_HASH, 8, 8, 4, 0);
	uint64_t *held, key = 1;
	struct fort_seat seat;
	uint32_t failed = 0;

	assert_true(fort_map_needs_seat(map));
	assert_int_equal(fort_seat_take(shared, &seat), 0);
	assert_int_equal(hash_set(map, 1, 111), 0);
	fort_seat_enter(&seat);
	held = hash_at(map, 1);
	assert_int_equal(*held, 111);
	assert_int_equal(hash_set(map, 1, 222), 0);
	assert_int_equal(*hash_at(map, 1), 222);
	assert_int_equal(fort_map_delete(map, &key), 0);
	assert_null(hash_at(map, 1));
	/* Others go on until all spare elements rest. */
	for (uint64_t i = 0; i < 3ull * map->hash.n_elements; i++) {
		int err = hash_set(map, 2 + i % 3, i);

		assert_true(!err || err == -ENOMEM);
		failed += err != 0;
		assert_int_equal(*held, 111);
	}
	assert_int_not_equal(failed, 0);
	assert_int_equal(fort_map_dropped(map), failed);
	assert_int_equal(hash_check(map).lost, 0);
	fort_seat_leave(&seat);
	for (uint64_t i = 0; i < 3ull * map->hash.n_elements; i++)
		assert_int_equal(hash_set(map, 2 + i % 3, i), 0);
	assert_int_equal(hash_check(map).lost, 0);
	fort_map_close(map);
}

/* A run's own leavings are used again when nothing else is left, as the kernel does. */
static void one_run_updates_for_ever(void **state)
{
	struct fort_map *map = new_map(shared, BPF_MAP_TYPE_HASH, 8, 8, 4, 0);
	struct fort_seat seat;

	assert_int_equal(fort_seat_take(shared, &seat), 0);
	fort_seat_enter(&seat);
	for (uint64_t i = 0; i < 10ull * map->hash.n_elements; i++) {
		uint64_t key = i % 4;

		assert_int_equal(map->ops->update(map, &seat, &key, &i, 0, 0), 0);
		assert_int_equal(*hash_at(map, key), i);
	}
	fort_seat_leave(&seat);
	fort_map_close(map);
}

/* A reader that was killed inside its run does not hold elements back. */
static void dead_reader_lets_go(void **state)
{
	struct fort_map *map = new_map(shared, BPF_MAP_TYPE_HASH, 8, 8, 4, 0);
	pid_t pid = fork();
	siginfo_t info;

	if (!pid) {
		struct fort_seat seat;

		fort_shared_forked(shared);
		if (fort_seat_take(shared, &seat))
			_exit(1);
		fort_seat_enter(&seat);
		_exit(0);
	}
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	for (uint64_t i = 0; i < 4ull * map->hash.n_elements; i++)
		assert_int_equal(hash_set(map, i % 4, i), 0);
	assert_true(reap(pid, false));
	fort_map_close(map);
}

/* Keys that share one bucket: its places and a chain behind them. */
static void chains(void **state)
{
	struct fort_map *map = new_map(shared, BPF_MAP_TYPE_HASH, 8, 8, 256, BPF_F_ZERO_SEED);
	uint64_t keys[40], next, previous;
	struct rng rng = {5};
	bool in[40] = {false};
	unsigned n = 0, live = 0;

	for (uint64_t key = 0; n < FORT_LEN(keys); key++)
		if (!((uint32_t)fort_key_hash(&key, 8, map->hash.seed) & map->hash.bucket_mask))
			keys[n++] = key;
	for (unsigned i = 0; i < 20000; i++) {
		unsigned k = rng_below(&rng, FORT_LEN(keys));

		if (rng_below(&rng, 2)) {
			assert_int_equal(hash_set(map, keys[k], i), 0);
			assert_int_equal(*hash_at(map, keys[k]), i);
			live += !in[k];
			in[k] = true;
		} else {
			assert_int_equal(fort_map_delete(map, &keys[k]), in[k] ? 0 : -ENOENT);
			live -= in[k];
			in[k] = false;
		}
		if (i % 100)
			continue;
		for (k = 0; k < FORT_LEN(keys); k++)
			assert_int_equal(hash_at(map, keys[k]) != NULL, in[k]);
		for (n = 0; !fort_map_next_key(map, n ? &previous : NULL, &next); n++)
			previous = next;
		assert_int_equal(n, live);
		assert_int_equal(hash_check(map).linked, live);
	}
	fort_map_close(map);
}

/* Exactly max_entries fit, wherever the keys fall. */
static void capacity_is_exact(void **state)
{
	static const uint32_t sizes[] = {1, 2, 3, 7, 8, 100, 1000, 5000};

	for (unsigned i = 0; i < FORT_LEN(sizes); i++) {
		struct fort_map *map = new_map(shared, BPF_MAP_TYPE_HASH, 8, 8, sizes[i], 0);

		for (unsigned round = 0; round < 3; round++) {
			hash_check_capacity(map);
			assert_int_equal(hash_check(map).linked, sizes[i]);
		}
		fort_map_close(map);
	}
}

/* Of 65536 keys `step` apart, how unevenly do they fall into 1024 buckets? */
static double unevenness(uint64_t step, uint32_t bytes, const uint64_t seed[2])
{
	uint32_t counts[1024] = {0};
	double chi = 0;

	for (uint64_t i = 0; i < 64 * 1024; i++) {
		uint8_t key[24] = {0};
		uint64_t number = i * step;

		memcpy(key, &number, 8);
		counts[fort_key_hash(key, bytes, seed) & 1023]++;
	}
	for (unsigned i = 0; i < 1024; i++)
		chi += ((double)counts[i] - 64) * ((double)counts[i] - 64) / 64;
	return chi;
}

/* Keys in patterns spread about as well as random ones: 1023 degrees of freedom have mean 1023 and
 * deviation 45. */
static void hash_spreads(void **state)
{
	static const uint64_t steps[] = {1, 3, 8, 4096, 1 << 16, 1ull << 32, 1ull << 47};
	struct rng rng = {3};

	for (unsigned s = 0; s < FORT_LEN(steps); s++)
		for (uint32_t bytes = steps[s] > 1 << 16 ? 8 : 4; bytes <= 24; bytes++)
			for (unsigned i = 0; i < 3; i++) {
				uint64_t seed[2] = {i ? rng_next(&rng) : 0, i ? rng_next(&rng) : 0};

				assert_true(unevenness(steps[s], bytes, seed) < 1023 + 8 * 45);
			}
}

static void seeds_differ(void **state)
{
	struct fort_map *a = new_map(shared, BPF_MAP_TYPE_HASH, 8, 8, 10, 0);
	struct fort_map *b = new_map(shared, BPF_MAP_TYPE_HASH, 8, 8, 10, 0);
	struct fort_map *zero = new_map(shared, BPF_MAP_TYPE_HASH, 8, 8, 10, BPF_F_ZERO_SEED);

	assert_memory_not_equal(a->hash.seed, b->hash.seed, 16);
	assert_int_equal(zero->hash.seed[0] | zero->hash.seed[1], 0);
	fort_map_close(a);
	fort_map_close(b);
	fort_map_close(zero);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects_are_sealed),
		cmocka_unit_test(names),
		cmocka_unit_test(array_is_mapped),
		cmocka_unit_test(too_large_is_refused_unmade),
		cmocka_unit_test(frozen_rodata_is_constant),
		cmocka_unit_test(opened_twice_is_one_map),
		cmocka_unit_test(foreign_objects_must_fit),
		cmocka_unit_test(processors_have_their_own),
		cmocka_unit_test(held_pointers_stay),
		cmocka_unit_test(one_run_updates_for_ever),
		cmocka_unit_test(dead_reader_lets_go),
		cmocka_unit_test(chains),
		cmocka_unit_test(capacity_is_exact),
		cmocka_unit_test(hash_spreads),
		cmocka_unit_test(seeds_differ),
	};

	return cmocka_run_group_tests_name("map_types", tests, setup, teardown);
}
