/* Programs that walk through maps (bpf_for_each_map_elem), in every engine: while others insert,
 * change and delete elements of the map, and beside other loops that are expanded.
 *
 *   test_store_walks [--isolation NAME]    default: sfi; less often under others, which may be slow
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "front.h"
#include "func_infos.h"
#include "isolate/isolation.h"

#define STEADY   40u  /* keys that are there all the time: 0 to 39 */
#define MOVING   200u /* that come and go: 1000 to 1199 */
#define ENTRIES  256u
#define KEYS_SUM (STEADY * (STEADY - 1) / 2)

static struct side side;
static enum fort_isolation isolation = FORT_ISOLATION_SFI;
static unsigned rounds = 500;

static bool is_there(const struct fort_engine *engine)
{
	return !engine->absent && fort_engine_has(engine, isolation);
}

static void open_side(const struct fort_engine *engine)
{
	side = (struct side){.name = "bpfort"};
	assert_int_equal(fort_store_create(&side.store), 0);
	assert_int_equal(fort_store_set_engine(side.store, engine, isolation), 0);
}

static void close_side(void)
{
	while (side.n_fds)
		close(side.fds[--side.n_fds]);
	fort_store_free(side.store);
}

static int load(const char *text, int map, int array)
{
	static const char *const names[] = {"MAP", "ARRAY"};
	const int numbers[] = {map, array};
	char *source = with_numbers(text, names, numbers, FORT_LEN(names));
	uint32_t infos[FUNC_INFOS_MAX][2];
	ATTR(attr);
	long fd;

	attr.prog_load.prog_type = BPF_PROG_TYPE_SCHED_CLS;
	attr.prog_load.insns = PTR(program(source, &attr.prog_load.insn_cnt));
	attr.prog_load.license = PTR("GPL");
	attr.prog_load.prog_btf_fd = (uint32_t)make_btf(&side);
	attr.prog_load.func_info = PTR(infos);
	attr.prog_load.func_info_rec_size = 8;
	attr.prog_load.func_info_cnt =
		func_infos_find((const void *)(uintptr_t)attr.prog_load.insns,
				attr.prog_load.insn_cnt, infos);
	fd = side_bpf(&side, FORT_CMD_PROG_LOAD, &attr, sizeof(attr));
	if (fd < 0)
		fail_msg("%ld: %s\n%s", fd, fort_store_last_load(side.store)->diag.message, source);
	free(source);
	return (int)fd;
}

static uint32_t run(int prog)
{
	uint8_t packet[64] = {0};
	ATTR(attr);

	attr.test.prog_fd = (uint32_t)prog;
	attr.test.data_in = PTR(packet);
	attr.test.data_size_in = sizeof(packet);
	attr.test.repeat = 1;
	assert_int_equal(fort_store_bpf(side.store, FORT_CMD_PROG_TEST_RUN, &attr, 80), 0);
	return attr.test.retval;
}

static uint64_t value_of(uint32_t key)
{
	return (uint64_t)key << 32 | (key ^ 0x5a5a5a5a);
}

static long put(int map, uint32_t key, uint64_t value)
{
	ATTR(attr);

	attr.elem.map_fd = (uint32_t)map;
	attr.elem.key = PTR(&key);
	attr.elem.value = PTR(&value);
	return fort_store_bpf(side.store, FORT_CMD_MAP_UPDATE_ELEM, &attr, 32);
}

static long drop(int map, uint32_t key)
{
	ATTR(attr);

	attr.elem.map_fd = (uint32_t)map;
	attr.elem.key = PTR(&key);
	return fort_store_bpf(side.store, FORT_CMD_MAP_DELETE_ELEM, &attr, 32);
}

static uint32_t count(int map)
{
	uint32_t key, next, n = 0;
	ATTR(attr);

	attr.elem.map_fd = (uint32_t)map;
	attr.elem.value = PTR(&next);
	for (; n <= ENTRIES; n++) {
		if (fort_store_bpf(side.store, FORT_CMD_MAP_GET_NEXT_KEY, &attr, 32))
			break;
		key = next;
		attr.elem.key = PTR(&key);
	}
	return n;
}

/* --- beside writers --- */

/* In the low half of the result what is met of the keys that are there all the time; above, whether
 * a value was not its key's. The first walk looks on; the second deletes what moves. */
#define WALK(extra)                                                                               \
	"stdw [r10-8], 0\nlddw r1, map_fd MAP\nlddw r2, func each\nmov r3, r10\nadd r3, -8\nmov " \
	"r4, 0\n"                                                                                 \
	"call 164\nldxdw r0, [r10-8]\nexit\n"                                                     \
	"each: ldxw r5, [r2+0]\nldxdw r6, [r3+0]\nldxdw r7, [r4+0]\nmov r8, r5\nxor r8, "         \
	"0x5a5a5a5a\n"                                                                            \
	"mov r9, r5\nlsh r9, 32\nor r9, r8\njeq r9, r6, good\nmov r8, 0x10000\nor r7, r8\n"       \
	"good: jge r5, 1000, moves\nadd r7, 1\nstxdw [r4+0], r7\nmov r0, 0\nexit\n"               \
	"moves: stxdw [r4+0], r7\n" extra "mov r0, 0\nexit"
#define DELETE "stxw [r10-4], r5\nmov r2, r10\nadd r2, -4\ncall 3\n"

struct writer {
	pthread_t thread;
	int map;
	uint32_t first; /* key: each has its own */
	bool stop;
	uint64_t n_put, n_dropped, n_full;
};

static void *write_on(void *owner)
{
	struct writer *w = owner;

	for (uint32_t i = 0; !__atomic_load_n(&w->stop, __ATOMIC_RELAXED); i++) {
		uint32_t key = w->first + i * 7 % (MOVING / 2);
		long err = put(w->map, key, value_of(key));

		/* What is deleted is free once no run may look at it: there may be none. */
		if (err)
			w->n_full++;
		else
			w->n_put++;
		w->n_dropped += !drop(w->map, w->first + i * 13 % (MOVING / 2));
	}
	return NULL;
}

static void walk_beside_writers(const struct fort_engine *engine)
{
	struct writer writers[2] = {0};
	int map, progs[2];

	open_side(engine);
	map = make_map(&side, BPF_MAP_TYPE_HASH, 4, 8, ENTRIES, 0);
	progs[0] = load(WALK(""), map, -1);
	progs[1] = load(WALK(DELETE), map, -1);
	for (uint32_t key = 0; key < STEADY; key++)
		assert_int_equal(put(map, key, value_of(key)), 0);
	for (unsigned i = 0; i < FORT_LEN(writers); i++) {
		writers[i].map = map;
		writers[i].first = 1000 + i * MOVING / 2;
		assert_int_equal(pthread_create(&writers[i].thread, NULL, write_on, &writers[i]),
				 0);
	}
	for (unsigned round = 0; round < rounds; round++) {
		assert_int_equal(run(progs[round & 1]), STEADY);
		if (round % 16 == 0)
			usleep(100);
	}
	for (unsigned i = 0; i < FORT_LEN(writers); i++) {
		__atomic_store_n(&writers[i].stop, true, __ATOMIC_RELAXED);
		pthread_join(writers[i].thread, NULL);
		print_message("# %s: %llu put, %llu deleted, %llu without room\n", engine->name,
			      (unsigned long long)writers[i].n_put,
			      (unsigned long long)writers[i].n_dropped,
			      (unsigned long long)writers[i].n_full);
		assert_true(writers[i].n_put && writers[i].n_dropped);
	}
	/* Nothing is lost on the way: when all is quiet, the walk finds the rest, and ends it. */
	assert_int_equal(run(progs[1]), STEADY);
	assert_int_equal(count(map), STEADY);
	close_side();
}

static void walks_beside_writers(void **state)
{
	for (const struct fort_engine *const *e = fort_engines; *e; e++)
		if (is_there(*e))
			walk_beside_writers(*e);
}

/* --- all kinds of expanded loops --- */

/* Walks through a hash and an array, the second in a function that a loop calls back, and a counted
 * jump around it all. */
static const char loops[] =
	"mov r6, 0\nmov r7, 0\nstdw [r10-8], 0\nstdw [r10-16], 0\nl: may_goto out\n"
	"lddw r1, map_fd MAP\nlddw r2, func sum\nmov r3, r10\nadd r3, -8\nmov r4, 0\n"
	"call 164\nadd r6, r0\nmov r1, 3\nlddw r2, func again\nmov r3, r10\nadd r3, -16\n"
	"mov r4, 0\ncall 181\nlsh r0, 10\nadd r6, r0\nadd r7, 1\njlt r7, 5, l\n"
	"out: ldxdw r0, [r10-8]\nmul r0, 31\nldxdw r1, [r10-16]\nadd r0, r1\nmul r0, 31\n"
	"add r0, r6\nexit\n"
	"sum: ldxw r5, [r2+0]\nldxdw r6, [r4+0]\nadd r6, r5\nstxdw [r4+0], r6\nmov r0, 0\n"
	"exit\nagain: mov r3, r2\nlddw r1, map_fd ARRAY\nlddw r2, func sum\nmov r4, 0\n"
	"call 164\nmov r0, 0\nexit";

static void loops_in_loops(void **state)
{
	for (const struct fort_engine *const *e = fort_engines; *e; e++) {
		int map, array, prog;

		if (!is_there(*e))
			continue;
		open_side(*e);
		map = make_map(&side, BPF_MAP_TYPE_HASH, 4, 8, ENTRIES, 0);
		array = make_map(&side, BPF_MAP_TYPE_ARRAY, 4, 8, 10, 0);
		prog = load(loops, map, array);
		for (uint32_t key = 0; key < STEADY; key++)
			assert_int_equal(put(map, key, key), 0);
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(run(prog), (5 * KEYS_SUM * 31 + 5 * 3 * 45) * 31 +
							    5 * STEADY + 5 * (3 << 10));
		close_side();
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(walks_beside_writers),
		cmocka_unit_test(loops_in_loops),
	};

	if (argc == 3 && !strcmp(argv[1], "--isolation")) {
		assert_int_equal(fort_isolation_by_name(argv[2], &isolation), 0);
		rounds = 40;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
