/* The running kernel's bpf(2) and ours, given the same random calls on maps of the same shape:
 * every return code and every byte must agree. Needs root.
 */
#include "map_test.h"

#define OPS 8000

struct pair {
	struct fort_map *ours;
	int kernel; /* descriptor */
	bool keyed_by_index;
};

static struct fort_shared *shared;

static int kernel_create(const struct fort_map_shape *shape)
{
	union bpf_attr attr = {.map_type = shape->type,
			       .key_size = shape->key_bytes,
			       .value_size = shape->value_bytes,
			       .max_entries = shape->max_entries,
			       .map_flags = shape->flags};

	return (int)kernel_bpf(BPF_MAP_CREATE, &attr, sizeof(attr));
}

static int our_create(const struct fort_map_shape *shape, struct fort_map **out)
{
	*out = NULL;
	return fort_map_create(shape, "oracle", shared, out);
}

/* Where we differ from the kernel's verdict on a shape, and why. */
static bool differs_on_purpose(const struct fort_map_shape *shape, int kernel, int ours)
{
	/* Keys of hashes: ours end at 512 bytes, the kernel (since 6.x) has no limit of its own. */
	if (shape->type == BPF_MAP_TYPE_HASH && shape->key_bytes > FORT_MAP_KEY_BYTES_MAX)
		return ours == -E2BIG;
	/* All values of a map must fit a domain window; the kernel allows what memory it has. */
	if (ours == -ENOMEM)
		return (uint64_t)shape->value_bytes * shape->max_entries > FORT_MAP_BYTES_MAX / 4;
	return false;
}

static bool last_good; /* the last shape was accepted by both */

static void same_verdict(const struct fort_map_shape *shape)
{
	struct fort_map *map;
	int kernel = kernel_create(shape), ours = our_create(shape, &map);

	if (kernel >= 0)
		close(kernel);
	fort_map_close(map);
	last_good = kernel >= 0 && !ours;
	if ((kernel < 0 ? kernel : 0) == ours || differs_on_purpose(shape, kernel, ours))
		return;
	print_error("type %u key %u value %u entries %u flags %#x: kernel %d, ours %d\n",
		    shape->type, shape->key_bytes, shape->value_bytes, shape->max_entries,
		    shape->flags, kernel < 0 ? kernel : 0, ours);
	fail();
}

static void creation(void **state)
{
	static const uint32_t types[] = {BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_ARRAY,
					 BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_RINGBUF, 1000};
	static const uint32_t keys[] = {0, 1, 3, 4, 4, 4, 5, 8, 16, 511, 512};
	static const uint32_t values[] = {0,     1,     4,     7,         8,         32761,
					  32768, 32769, 65536, INT32_MAX, UINT32_MAX};
	static const uint32_t entries[] = {0, 1, 2, 3, 100, 4095, 4096, 8192, 12288, UINT32_MAX};
	struct rng rng = {1};
	unsigned both_good = 0;

	for (unsigned i = 0; i < 20000; i++) {
		struct fort_map_shape shape = {types[rng_below(&rng, FORT_LEN(types))],
					       keys[rng_below(&rng, FORT_LEN(keys))],
					       values[rng_below(&rng, FORT_LEN(values))],
					       entries[rng_below(&rng, FORT_LEN(entries))],
					       0,
					       0};
		uint32_t flags = rng_below(&rng, 4);

		if (shape.type == BPF_MAP_TYPE_RINGBUF && rng_below(&rng, 2))
			shape.key_bytes = shape.value_bytes = 0;
		while (flags--)
			shape.flags |= 1u << rng_below(&rng, rng_below(&rng, 8) ? 16 : 32);
		/* A token's descriptor and a value type of vmlinux are the front door's. */
		shape.flags &= ~(FORT_BPF_F_TOKEN_FD | 1u << 15);
		if ((uint64_t)shape.value_bytes * shape.max_entries > 1u << 20 &&
		    shape.max_entries != UINT32_MAX && shape.value_bytes <= INT32_MAX)
			continue; /* not for the kernel's memory */
		if (shape.max_entries == UINT32_MAX && shape.value_bytes && shape.key_bytes)
			continue;
		same_verdict(&shape);
		both_good += last_good;
	}
	assert_in_range(both_good, 500, 20000);
}

static void creation_limits(void **state)
{
	const uint32_t limit = FORT_HASH_ENTRY_BYTES;

	for (uint32_t value = limit - 24; value < limit + 16; value++)
		same_verdict(&(struct fort_map_shape){BPF_MAP_TYPE_HASH, 8, value, 1, 0, 0});
	same_verdict(&(struct fort_map_shape){BPF_MAP_TYPE_ARRAY, 4, INT32_MAX - 0u, 0, 0, 0});
	same_verdict(&(struct fort_map_shape){BPF_MAP_TYPE_ARRAY, 4, 1u << 31, 1, 0, 0});
	for (uint32_t order = 8; order < 20; order++)
		same_verdict(
			&(struct fort_map_shape){BPF_MAP_TYPE_RINGBUF, 0, 0, 1u << order, 0, 0});
}

static union bpf_attr element_attr(int fd, const void *key, const void *value, uint64_t flags)
{
	return (union bpf_attr){.map_fd = (uint32_t)fd,
				.key = (uint64_t)(uintptr_t)key,
				.value = (uint64_t)(uintptr_t)value,
				.flags = flags};
}

static long kernel_element(int cmd, int fd, const void *key, const void *value, uint64_t flags)
{
	union bpf_attr attr = element_attr(fd, key, value, flags);

	return kernel_bpf(cmd, &attr, sizeof(attr));
}

static struct pair make_pair(uint32_t type, uint32_t key, uint32_t value, uint32_t entries,
			     uint32_t flags)
{
	struct fort_map_shape shape = {type, key, value, entries, flags, 0};
	struct pair pair = {.kernel = kernel_create(&shape),
			    .keyed_by_index = type != BPF_MAP_TYPE_HASH};

	assert_true(pair.kernel >= 0);
	assert_int_equal(our_create(&shape, &pair.ours), 0);
	return pair;
}

static void drop_pair(struct pair *pair)
{
	close(pair->kernel);
	fort_map_close(pair->ours);
}

/* Few different keys, so that calls meet; indices also beyond the end. */
static void random_key(const struct pair *pair, struct rng *rng, uint8_t *key)
{
	const struct fort_map_shape *shape = &pair->ours->shape;
	uint32_t n = rng_below(rng, shape->max_entries + shape->max_entries / 4 + 2);

	if (pair->keyed_by_index) {
		static const uint32_t edges[] = {UINT32_MAX, 1u << 31, UINT32_MAX - 1};

		if (!rng_below(rng, 20))
			n = edges[rng_below(rng, 3)];
		memcpy(key, &n, 4);
		return;
	}
	for (uint32_t i = 0; i < shape->key_bytes; i++)
		key[i] = (uint8_t)(i ? (n * 31 + i) >> i % 8 : n);
	if (shape->key_bytes > 4)
		memcpy(key + shape->key_bytes - 4, &n, 4);
}

static uint64_t random_flags(struct rng *rng)
{
	static const uint64_t flags[] = {0, 0, 0, 0, 1, 1,          2,         2,
					 3, 4, 5, 6, 8, 1ull << 32, UINT64_MAX};

	return flags[rng_below(rng, FORT_LEN(flags))];
}

struct buffers {
	uint8_t key[512], next[512], other_next[512];
	uint8_t *value, *ours, *kernel;
	uint64_t bytes;
};

static struct buffers make_buffers(const struct pair *pair)
{
	uint64_t bytes = fort_map_user_bytes(pair->ours);

	return (struct buffers){.value = malloc(bytes),
				.ours = malloc(bytes),
				.kernel = malloc(bytes),
				.bytes = bytes};
}

static void free_buffers(struct buffers *b)
{
	free(b->value);
	free(b->ours);
	free(b->kernel);
}

static void same_lookup(struct pair *pair, struct buffers *b, uint64_t flags)
{
	long kernel, ours;

	memset(b->ours, 0x55, b->bytes);
	memset(b->kernel, 0x55, b->bytes);
	kernel = kernel_element(BPF_MAP_LOOKUP_ELEM, pair->kernel, b->key, b->kernel, flags);
	ours = fort_map_lookup(pair->ours, b->key, b->ours, flags);
	assert_int_equal(ours, kernel);
	assert_memory_equal(b->ours, b->kernel, b->bytes);
}

static void same_update(struct pair *pair, struct buffers *b, struct rng *rng, uint64_t flags)
{
	long kernel;

	for (uint64_t i = 0; i < b->bytes; i++)
		b->value[i] = (uint8_t)rng_next(rng);
	kernel = kernel_element(BPF_MAP_UPDATE_ELEM, pair->kernel, b->key, b->value, flags);
	assert_int_equal(fort_map_update(pair->ours, b->key, b->value, flags), kernel);
}

static void same_delete(struct pair *pair, struct buffers *b)
{
	long kernel = kernel_element(BPF_MAP_DELETE_ELEM, pair->kernel, b->key, NULL, 0);

	assert_int_equal(fort_map_delete(pair->ours, b->key), kernel);
}

/* Hashes have no order: only where the answer does not depend on it. */
static void same_next(struct pair *pair, struct buffers *b, bool null)
{
	const void *key = null ? NULL : b->key;
	long kernel, ours;

	if (!null && !pair->keyed_by_index && !fort_map_lookup(pair->ours, b->key, b->ours, 0))
		return;
	kernel = kernel_element(BPF_MAP_GET_NEXT_KEY, pair->kernel, key, b->other_next, 0);
	ours = fort_map_next_key(pair->ours, key, b->next);
	assert_int_equal(ours, kernel);
	if (!ours && pair->keyed_by_index)
		assert_memory_equal(b->next, b->other_next, 4);
}

/* Every key of ours is one of the kernel's with the same value, and there are as many. */
static void same_contents(struct pair *pair, struct buffers *b)
{
	uint32_t n_ours = 0, n_kernel = 0, limit = pair->ours->shape.max_entries;
	const void *key = NULL;

	while (n_ours <= limit && !fort_map_next_key(pair->ours, key, b->key)) {
		same_lookup(pair, b, 0);
		n_ours++;
		key = b->key;
	}
	key = NULL;
	while (n_kernel <= limit &&
	       !kernel_element(BPF_MAP_GET_NEXT_KEY, pair->kernel, key, b->key, 0)) {
		n_kernel++;
		key = b->key;
	}
	assert_int_equal(n_ours, n_kernel);
}

static void same_freeze(struct pair *pair, struct buffers *b, struct rng *rng)
{
	for (unsigned i = 0; i < 2; i++) {
		union bpf_attr attr = {.map_fd = (uint32_t)pair->kernel};
		long kernel = kernel_bpf(BPF_MAP_FREEZE, &attr, sizeof(attr));

		assert_int_equal(fort_map_freeze(pair->ours), kernel);
	}
	random_key(pair, rng, b->key);
	same_update(pair, b, rng, 0);
	same_update(pair, b, rng, 4);
	same_update(pair, b, rng, 77);
	same_delete(pair, b);
	same_lookup(pair, b, 0);
	same_contents(pair, b);
}

static void run_pair(struct pair pair, uint64_t seed)
{
	struct buffers b = make_buffers(&pair);
	struct rng rng = {seed};
	uint64_t ops = OPS / (1 + b.bytes / 8192);

	for (uint64_t i = 0; i < ops; i++) {
		uint32_t choice = rng_below(&rng, 100);

		random_key(&pair, &rng, b.key);
		if (choice < 35)
			same_update(&pair, &b, &rng, random_flags(&rng));
		else if (choice < 70)
			same_lookup(&pair, &b, rng_below(&rng, 8) ? 0 : random_flags(&rng));
		else if (choice < 90)
			same_delete(&pair, &b);
		else
			same_next(&pair, &b, choice == 99);
		if (i % 500 == 499)
			same_contents(&pair, &b);
	}
	same_freeze(&pair, &b, &rng);
	free_buffers(&b);
	drop_pair(&pair);
}

static void operations(void **state)
{
	static const struct fort_map_shape shapes[] = {
		{BPF_MAP_TYPE_ARRAY, 4, 1, 1, 0, 0},
		{BPF_MAP_TYPE_ARRAY, 4, 7, 3, 0, 0},
		{BPF_MAP_TYPE_ARRAY, 4, 8, 100, 0, 0},
		{BPF_MAP_TYPE_ARRAY, 4, 4096, 5, BPF_F_MMAPABLE, 0},
		{BPF_MAP_TYPE_ARRAY, 4, 13, 9, BPF_F_RDONLY_PROG, 0},
		{BPF_MAP_TYPE_PERCPU_ARRAY, 4, 1, 1, 0, 0},
		{BPF_MAP_TYPE_PERCPU_ARRAY, 4, 7, 10, 0, 0},
		{BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 33, 0, 0},
		{BPF_MAP_TYPE_PERCPU_ARRAY, 4, 32768, 2, 0, 0},
		{BPF_MAP_TYPE_HASH, 1, 1, 1, 0, 0},
		{BPF_MAP_TYPE_HASH, 4, 7, 2, 0, 0},
		{BPF_MAP_TYPE_HASH, 8, 8, 10, 0, 0},
		{BPF_MAP_TYPE_HASH, 7, 4096, 50, 0, 0},
		{BPF_MAP_TYPE_HASH, 12, 300, 333, BPF_F_NO_PREALLOC, 0},
		{BPF_MAP_TYPE_HASH, 512, 1, 100, 0, 0},
		{BPF_MAP_TYPE_HASH, 8, 16, 1000, BPF_F_ZERO_SEED, 0},
		{BPF_MAP_TYPE_HASH, 4, 1 << 20, 2, 0, 0},
	};

	for (unsigned i = 0; i < FORT_LEN(shapes); i++) {
		const struct fort_map_shape *s = &shapes[i];

		run_pair(make_pair(s->type, s->key_bytes, s->value_bytes, s->max_entries, s->flags),
			 i);
	}
}

static void rings_have_no_elements(void **state)
{
	struct pair pair = make_pair(BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0);
	uint64_t word = 0;

	assert_int_equal(fort_map_lookup(pair.ours, NULL, &word, 0),
			 kernel_element(BPF_MAP_LOOKUP_ELEM, pair.kernel, NULL, &word, 0));
	assert_int_equal(fort_map_update(pair.ours, NULL, &word, 0),
			 kernel_element(BPF_MAP_UPDATE_ELEM, pair.kernel, NULL, &word, 0));
	assert_int_equal(fort_map_delete(pair.ours, NULL),
			 kernel_element(BPF_MAP_DELETE_ELEM, pair.kernel, NULL, NULL, 0));
	assert_int_equal(fort_map_next_key(pair.ours, NULL, &word),
			 kernel_element(BPF_MAP_GET_NEXT_KEY, pair.kernel, NULL, &word, 0));
	drop_pair(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(creation),
		cmocka_unit_test(creation_limits),
		cmocka_unit_test(operations),
		cmocka_unit_test(rings_have_no_elements),
	};

	shared = new_shared();
	return cmocka_run_group_tests_name("map_oracle", tests, NULL, NULL);
}
