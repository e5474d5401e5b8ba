/* A store that only judges, beside the running kernel: maps of every type, maps in maps, and
 * programs of types and with maps that bpfort does not run.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "abi/maps.h"
#include "abi/uapi.h"
#include "front.h"

/* Of each type one shape that fits it, and what is off by a little. */
static const struct fort_map_shape shapes[] = {
	{.type = BPF_MAP_TYPE_HASH, .key_bytes = 4, .value_bytes = 8, .max_entries = 16},
	{.type = BPF_MAP_TYPE_ARRAY, .key_bytes = 4, .value_bytes = 8, .max_entries = 16},
	{.type = BPF_MAP_TYPE_PROG_ARRAY, .key_bytes = 4, .value_bytes = 4, .max_entries = 16},
	{.type = BPF_MAP_TYPE_PERF_EVENT_ARRAY, .key_bytes = 4, .value_bytes = 4, .max_entries = 2},
	{.type = BPF_MAP_TYPE_PERCPU_HASH, .key_bytes = 4, .value_bytes = 8, .max_entries = 16},
	{.type = BPF_MAP_TYPE_PERCPU_ARRAY, .key_bytes = 4, .value_bytes = 8, .max_entries = 16},
	{.type = BPF_MAP_TYPE_STACK_TRACE, .key_bytes = 4, .value_bytes = 80, .max_entries = 16},
	{.type = BPF_MAP_TYPE_CGROUP_ARRAY, .key_bytes = 4, .value_bytes = 4, .max_entries = 16},
	{.type = BPF_MAP_TYPE_LRU_HASH, .key_bytes = 4, .value_bytes = 8, .max_entries = 16},
	{.type = BPF_MAP_TYPE_LRU_PERCPU_HASH, .key_bytes = 4, .value_bytes = 8, .max_entries = 16},
	{.type = BPF_MAP_TYPE_LPM_TRIE,
	 .key_bytes = 8,
	 .value_bytes = 8,
	 .max_entries = 16,
	 .flags = BPF_F_NO_PREALLOC},
	{.type = BPF_MAP_TYPE_DEVMAP, .key_bytes = 4, .value_bytes = 4, .max_entries = 16},
	{.type = BPF_MAP_TYPE_SOCKMAP, .key_bytes = 4, .value_bytes = 4, .max_entries = 16},
	{.type = BPF_MAP_TYPE_CPUMAP, .key_bytes = 4, .value_bytes = 4, .max_entries = 2},
	{.type = BPF_MAP_TYPE_SOCKHASH, .key_bytes = 4, .value_bytes = 4, .max_entries = 16},
	{.type = BPF_MAP_TYPE_REUSEPORT_SOCKARRAY,
	 .key_bytes = 4,
	 .value_bytes = 4,
	 .max_entries = 16},
	{.type = BPF_MAP_TYPE_QUEUE, .value_bytes = 8, .max_entries = 16},
	{.type = BPF_MAP_TYPE_STACK, .value_bytes = 8, .max_entries = 16},
	{.type = BPF_MAP_TYPE_DEVMAP_HASH, .key_bytes = 4, .value_bytes = 4, .max_entries = 16},
	{.type = BPF_MAP_TYPE_RINGBUF, .max_entries = 4096},
	{.type = BPF_MAP_TYPE_BLOOM_FILTER, .value_bytes = 8, .max_entries = 16},
	{.type = BPF_MAP_TYPE_USER_RINGBUF, .max_entries = 4096},
	{.type = FORT_BPF_MAP_TYPE_ARENA, .max_entries = 4, .flags = BPF_F_MMAPABLE},
	/* their values need BTF */
	{.type = BPF_MAP_TYPE_SK_STORAGE,
	 .key_bytes = 4,
	 .value_bytes = 8,
	 .flags = BPF_F_NO_PREALLOC},
	{.type = BPF_MAP_TYPE_STRUCT_OPS, .key_bytes = 4, .value_bytes = 8, .max_entries = 1},
	/* no shapes */
	{.type = BPF_MAP_TYPE_QUEUE, .key_bytes = 4, .value_bytes = 8, .max_entries = 16},
	{.type = BPF_MAP_TYPE_LPM_TRIE, .key_bytes = 8, .value_bytes = 8, .max_entries = 16},
	{.type = BPF_MAP_TYPE_STACK_TRACE, .key_bytes = 4, .value_bytes = 81, .max_entries = 16},
	{.type = BPF_MAP_TYPE_RINGBUF, .max_entries = 4097},
	{.type = 0, .key_bytes = 4, .value_bytes = 8, .max_entries = 16},
	{.type = 4000, .key_bytes = 4, .value_bytes = 8, .max_entries = 16},
};

static int create(struct side *side, const struct fort_map_shape *shape, uint64_t extra, int inner)
{
	ATTR(attr);

	attr.map_create.map_type = shape->type;
	attr.map_create.key_size = shape->key_bytes;
	attr.map_create.value_size = shape->value_bytes;
	attr.map_create.max_entries = shape->max_entries;
	attr.map_create.map_flags = shape->flags;
	attr.map_create.map_extra = extra;
	attr.map_create.inner_map_fd = (uint32_t)inner;
	return (int)note_result(side, side_bpf(side, FORT_CMD_MAP_CREATE, &attr, sizeof(attr)),
				"type %u extra %lu", shape->type, extra);
}

static void every_type(struct side *side)
{
	for (unsigned i = 0; i < FORT_LEN(shapes); i++)
		create(side, &shapes[i], 0, -1);
	for (unsigned i = 0; i < FORT_LEN(shapes); i++)
		create(side, &shapes[i], 3, -1);
}

static void maps_of_maps(struct side *side)
{
	static const struct fort_map_shape outer = {.type = BPF_MAP_TYPE_ARRAY_OF_MAPS,
						    .key_bytes = 4,
						    .value_bytes = 4,
						    .max_entries = 4};
	static const struct fort_map_shape hash = {.type = BPF_MAP_TYPE_HASH_OF_MAPS,
						   .key_bytes = 8,
						   .value_bytes = 4,
						   .max_entries = 4};
	uint32_t key = 1;
	int array, whole;
	ATTR(attr);

	create(side, &outer, 0, -1);
	for (unsigned i = 0; i < FORT_LEN(shapes); i++) {
		int inner = create(side, &shapes[i], 0, -1);

		if (inner < 0)
			continue;
		create(side, &outer, 0, inner);
		create(side, &hash, 0, inner);
	}
	array = create(side, &shapes[1], 0, -1);
	whole = create(side, &outer, 0, array);
	create(side, &hash, 0, whole);
	attr.elem.map_fd = (uint32_t)whole;
	attr.elem.key = PTR(&key);
	attr.elem.value = PTR(&array);
	note_result(side, side_bpf(side, FORT_CMD_MAP_UPDATE_ELEM, &attr, sizeof(attr)), "fill");
}

/* MAP becomes the descriptor of `map`, or of one with such maps in it. */
struct subject {
	const char *name;
	uint32_t type, attach;
	const char *text;
	uint32_t map;
	bool nested;
};

#define LOOKUP "stw [r10-4], 1\nlddw r1, map_fd MAP\nmov r2, r10\nadd r2, -4\ncall 1\n"

static const struct subject subjects[] = {
	{"a type that does not run", BPF_PROG_TYPE_PERF_EVENT, 0, "mov r0, 0\nexit"},
	{"a type that must be attached somewhere", BPF_PROG_TYPE_CGROUP_SKB, BPF_CGROUP_INET_EGRESS,
	 "mov r0, 1\nexit"},
	{"its results are limited", BPF_PROG_TYPE_CGROUP_SOCK, BPF_CGROUP_INET_SOCK_CREATE,
	 "mov r0, 2\nexit"},
	{"a stack", BPF_PROG_TYPE_SOCKET_FILTER, 0,
	 "stdw [r10-8], 0\nlddw r1, map_fd MAP\nmov r2, r10\nadd r2, -8\ncall 89\n"
	 "ldxdw r0, [r10-8]\nexit",
	 BPF_MAP_TYPE_STACK},
	{"a stack has no keys", BPF_PROG_TYPE_SOCKET_FILTER, 0, LOOKUP "mov r0, 0\nexit",
	 BPF_MAP_TYPE_STACK},
	{"a map in a map", BPF_PROG_TYPE_SOCKET_FILTER, 0,
	 LOOKUP "jeq r0, 0, out\nmov r1, r0\nmov r2, r10\nadd r2, -4\ncall 1\njeq r0, 0, out\n"
		"ldxdw r0, [r0+0]\nout: exit",
	 BPF_MAP_TYPE_ARRAY, true},
	{"behind the value of a map in a map", BPF_PROG_TYPE_SOCKET_FILTER, 0,
	 LOOKUP "jeq r0, 0, out\nmov r1, r0\nmov r2, r10\nadd r2, -4\ncall 1\njeq r0, 0, out\n"
		"ldxdw r0, [r0+4]\nout: exit",
	 BPF_MAP_TYPE_ARRAY, true},
	{"a map in a map that may not be there", BPF_PROG_TYPE_SOCKET_FILTER, 0,
	 LOOKUP "mov r1, r0\nmov r2, r10\nadd r2, -4\ncall 1\nmov r0, 0\nexit", BPF_MAP_TYPE_ARRAY,
	 true},
};

static const struct fort_map_shape *shape_of(uint32_t type)
{
	for (unsigned i = 0; i < FORT_LEN(shapes); i++)
		if (shapes[i].type == type)
			return &shapes[i];
	return NULL;
}

static int map_of(struct side *side, const struct subject *subject)
{
	static const struct fort_map_shape outer = {.type = BPF_MAP_TYPE_ARRAY_OF_MAPS,
						    .key_bytes = 4,
						    .value_bytes = 4,
						    .max_entries = 4};
	int map = subject->map ? create(side, shape_of(subject->map), 0, -1) : -1;

	return subject->nested ? create(side, &outer, 0, map) : map;
}

static const struct subject *subject;

static void judge(struct side *side)
{
	int map = map_of(side, subject);
	const char *at = strstr(subject->text, "MAP");
	char text[1024];
	ATTR(attr);

	if (at)
		snprintf(text, sizeof(text), "%.*s%d%s", (int)(at - subject->text), subject->text,
			 map, at + strlen("MAP"));
	else
		snprintf(text, sizeof(text), "%s", subject->text);
	attr.prog_load.prog_type = subject->type;
	attr.prog_load.expected_attach_type = subject->attach;
	attr.prog_load.insns = PTR(program(text, &attr.prog_load.insn_cnt));
	attr.prog_load.license = PTR("GPL");
	note_result(side, side_bpf(side, FORT_CMD_PROG_LOAD, &attr, sizeof(attr)), "load");
}

static void maps_of_every_type(void **state)
{
	compare_judges("maps of every type", every_type);
}

static void maps_in_maps(void **state)
{
	compare_judges("maps in maps", maps_of_maps);
}

static void program_is_judged_alike(void **state)
{
	subject = *state;
	compare_judges(subject->name, judge);
}

/* What is judged does not run, not even what could. */
static void nothing_runs(void **state)
{
	static struct side ours;
	ATTR(attr);
	int prog;

	ours = (struct side){.name = "bpfort", .seen = fort_text_new()};
	assert_int_equal(fort_store_create(&ours.store), 0);
	fort_store_set_vetting(ours.store, NULL);
	prog = make_prog(&ours, "mov r0, 0\nexit");
	assert_int_equal(fort_store_last_load(ours.store)->verdict, FORT_LOAD_ACCEPTED);
	assert_true(fort_store_last_load(ours.store)->certificate_bytes > 0);
	attr.test.prog_fd = (uint32_t)prog;
	assert_int_equal(side_bpf(&ours, FORT_CMD_PROG_TEST_RUN, &attr, sizeof(attr)), -EOPNOTSUPP);
	fort_store_free(ours.store);
	fort_text_free(&ours.seen);
	while (ours.n_fds)
		close(ours.fds[--ours.n_fds]);
}

int main(void)
{
	static struct CMUnitTest tests[FORT_LEN(subjects) + 3] = {
		cmocka_unit_test(maps_of_every_type),
		cmocka_unit_test(maps_in_maps),
		cmocka_unit_test(nothing_runs),
	};

	if (geteuid()) {
		printf("1..0 # SKIP the running kernel loads programs only for root\n");
		return 0;
	}
	for (unsigned i = 0; i < FORT_LEN(subjects); i++)
		tests[3 + i] =
			(struct CMUnitTest){.name = subjects[i].name,
					    .test_func = program_is_judged_alike,
					    .initial_state = (void *)(uintptr_t)&subjects[i]};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
