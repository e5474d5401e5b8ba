/* Tail calls in a store that is in use: arrays that change while programs run, programs that go
 * meanwhile, children of a fork, runs that end in the callee.
 *
 *   test_store_tails [--isolation NAME]     default: sfi; less often under others, which may be
 * slow
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "front.h"
#include "isolate/isolation.h"

#define CALLEES 3u

static struct side side;
static enum fort_isolation isolation = FORT_ISOLATION_SFI;
static unsigned rounds = 400;

static bool is_there(const struct fort_engine *engine)
{
	return !engine->absent && fort_engine_has(engine, isolation);
}

static void open_side(const struct fort_engine *engine, enum fort_isolation isolated)
{
	side = (struct side){.name = "bpfort"};
	assert_int_equal(fort_store_create(&side.store), 0);
	assert_int_equal(fort_store_set_engine(side.store, engine, isolated), 0);
}

static void close_side(void)
{
	while (side.n_fds)
		close(side.fds[--side.n_fds]);
	fort_store_free(side.store);
}

/* A descriptor of the caller's. */
static int load_with(const char *text, int tails, int array)
{
	static const char *const names[] = {"TAILS", "ARRAY"};
	const int numbers[] = {tails, array};
	char *source = with_numbers(text, names, numbers, 2);
	ATTR(attr);
	long fd;

	attr.prog_load.prog_type = BPF_PROG_TYPE_SCHED_CLS;
	attr.prog_load.insns = PTR(program(source, &attr.prog_load.insn_cnt));
	attr.prog_load.license = PTR("GPL");
	fd = fort_store_bpf(side.store, FORT_CMD_PROG_LOAD, &attr, sizeof(attr));
	if (fd < 0)
		fail_msg("%ld\n%s", fd, source);
	free(source);
	return (int)fd;
}

static int load(const char *text, int tails)
{
	return load_with(text, tails, -1);
}

static int new_tails(void)
{
	return make_map(&side, BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 4, 0);
}

static long put(int tails, uint32_t index, int fd)
{
	ATTR(attr);

	attr.elem.map_fd = (uint32_t)tails;
	attr.elem.key = PTR(&index);
	attr.elem.value = PTR(&fd);
	return fort_store_bpf(side.store, FORT_CMD_MAP_UPDATE_ELEM, &attr, 32);
}

static long take_out(int tails, uint32_t index)
{
	ATTR(attr);

	attr.elem.map_fd = (uint32_t)tails;
	attr.elem.key = PTR(&index);
	return fort_store_bpf(side.store, FORT_CMD_MAP_DELETE_ELEM, &attr, 32);
}

static long run_times(int fd, uint32_t times, uint32_t *retval)
{
	uint8_t packet[64] = {0};
	ATTR(attr);
	long result;

	attr.test.prog_fd = (uint32_t)fd;
	attr.test.data_in = PTR(packet);
	attr.test.data_size_in = sizeof(packet);
	attr.test.repeat = times;
	result = fort_store_bpf(side.store, FORT_CMD_PROG_TEST_RUN, &attr, 80);
	*retval = attr.test.retval;
	return result;
}

#define CALLER "mov r6, r1\nlddw r2, map_fd TAILS\nmov r3, 1\ncall 12\nmov r0, 1\nexit"

static const char *const callees[CALLEES] = {
	"mov r0, 10\nexit",
	"stdw [r10-512], 1\nldxdw r0, [r10-512]\nadd r0, 10\nexit",
	"mov r1, 12\ncall local f\nexit\nf: stxdw [r10-8], r1\nldxdw r0, [r10-8]\nexit",
};

/* --- an array that changes --- */

struct runner {
	pthread_t thread;
	int fd;
	bool stop;
	uint64_t seen[16];
	long error;
};

static void *run_on(void *owner)
{
	struct runner *runner = owner;

	while (!__atomic_load_n(&runner->stop, __ATOMIC_RELAXED) && !runner->error) {
		uint32_t retval = 0;

		runner->error = run_times(runner->fd, 50, &retval);
		runner->seen[retval % 16]++;
	}
	return NULL;
}

/* Every callee is loaded for one round only, and nobody has it but the array; two programs run, and
 * the callee by itself as well. */
static void change_while_running(const struct fort_engine *engine)
{
	struct runner runners[2] = {0};
	uint64_t seen[16] = {0};
	int tails;

	open_side(engine, isolation);
	tails = new_tails();
	for (unsigned i = 0; i < FORT_LEN(runners); i++) {
		runners[i].fd = load(CALLER, tails);
		assert_int_equal(pthread_create(&runners[i].thread, NULL, run_on, &runners[i]), 0);
	}
	for (unsigned round = 0; round < rounds; round++) {
		int fd = load(callees[round % CALLEES], tails);
		uint32_t retval;

		assert_int_equal(put(tails, 1, fd), 0);
		assert_int_equal(run_times(fd, 1, &retval), 0);
		assert_int_equal(retval, 10 + round % CALLEES);
		close(fd);
		usleep(200);
		if (round % 5 == 4)
			assert_int_equal(take_out(tails, 1), 0);
	}
	for (unsigned i = 0; i < FORT_LEN(runners); i++) {
		__atomic_store_n(&runners[i].stop, true, __ATOMIC_RELAXED);
		pthread_join(runners[i].thread, NULL);
		assert_int_equal(runners[i].error, 0);
		for (unsigned j = 0; j < 16; j++)
			seen[j] += runners[i].seen[j];
		close(runners[i].fd);
	}
	print_message("# %s: %llu without, %llu, %llu, %llu\n", engine->name,
		      (unsigned long long)seen[1], (unsigned long long)seen[10],
		      (unsigned long long)seen[11], (unsigned long long)seen[12]);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(seen[i] != 0, i == 1 || (i >= 10 && i < 10 + CALLEES));
	close_side();
}

static void arrays_change(void **state)
{
	for (const struct fort_engine *const *e = fort_engines; *e; e++)
		if (is_there(*e))
			change_while_running(*e);
}

/* --- functions --- */

/* What a function's tail call returns to has its window, its maps and its rights again: it looks up
 * in its array, and calls a helper, between two of them and behind. */
static void functions_are_returned_from(void **state)
{
	static const char caller[] =
		"mov r6, r1\ncall local f\nmov r7, r0\nmov r1, r6\ncall local f\nadd r7, r0\n"
		"stw [r10-4], 1\nlddw r1, map_fd ARRAY\nmov r2, r10\nadd r2, -4\ncall 1\n"
		"jeq r0, 0, out\nldxdw r1, [r0+0]\nadd r1, 1\nstxdw [r0+0], r1\nadd r7, r1\n"
		"call 8\nout: mov r0, r7\nexit\nf: mov r6, r1\nlddw r2, map_fd TAILS\n"
		"mov r3, 1\ncall 12\nmov r0, 1\nexit";
	static const char callee[] = "stw [r10-4], 0\nlddw r1, map_fd ARRAY\nmov r2, r10\n"
				     "add r2, -4\ncall 1\njeq r0, 0, out\nldxdw r1, [r0+0]\n"
				     "add r1, 100\nstxdw [r0+0], r1\nmov r0, r1\nout: exit";

	for (const struct fort_engine *const *e = fort_engines; *e; e++) {
		int tails, array, fds[2];
		uint32_t retval;

		if (!is_there(*e))
			continue;
		open_side(*e, isolation);
		tails = new_tails();
		array = make_map(&side, BPF_MAP_TYPE_ARRAY, 4, 8, 4, 0);
		fds[0] = load_with(caller, tails, array);
		fds[1] = load_with(callee, tails, array);
		assert_int_equal(put(tails, 1, fds[1]), 0);
		for (uint32_t i = 0; i < 3; i++) {
			assert_int_equal(run_times(fds[0], 1, &retval), 0);
			assert_int_equal(retval, 100 * (4 * i + 3) + i + 1);
		}
		close(fds[0]);
		close(fds[1]);
		close_side();
	}
}

/* --- in the callee --- */

static uint32_t id_of(int fd)
{
	uint32_t info[64] = {0};
	ATTR(attr);

	attr.info.bpf_fd = (uint32_t)fd;
	attr.info.info_len = sizeof(info);
	attr.info.info = PTR(info);
	assert_int_equal(fort_store_bpf(side.store, FORT_CMD_OBJ_GET_INFO_BY_FD, &attr, 16), 0);
	return info[1];
}

static void ends_are_told(void **state)
{
	for (const struct fort_engine *const *e = fort_engines; *e; e++) {
		const struct fort_test_result *last;
		int tails, caller, callee;
		uint32_t retval;

		if (!is_there(*e) || *e == &fort_engine_interp) /* which takes too long for this */
			continue;
		open_side(*e, isolation);
		tails = new_tails();
		caller = load(CALLER, tails);
		callee = load("mov r0, 0\nlddw r7, 0x40000000\nl: sub r7, 1\njne r7, 0, l\nexit",
			      tails);
		assert_int_equal(put(tails, 1, callee), 0);
		assert_int_equal(run_times(caller, 1, &retval), -EFAULT);
		last = fort_store_last_run(side.store);
		assert_int_equal(last->abort.code, FORT_ABORT_FUEL);
		assert_int_equal(last->abort.pc, 3);
		assert_int_equal(last->ended_in, id_of(callee));
		assert_int_equal(run_times(callee, 1, &retval), -EFAULT);
		assert_int_equal(fort_store_last_run(side.store)->ended_in, 0);
		close(caller);
		close(callee);
		close_side();
	}
}

/* Each program counts its own instructions. */
static void counts_are_kept_apart(void **state)
{
	struct fort_store_program programs[2];
	int tails, fds[2];
	uint32_t retval;

	open_side(&fort_engine_interp, FORT_ISOLATION_SFI);
	fort_store_set_counting(side.store, true);
	tails = new_tails();
	fds[0] = load(CALLER, tails);
	fds[1] = load("mov r0, 5\nja +0\nexit", tails);
	assert_int_equal(put(tails, 1, fds[1]), 0);
	assert_int_equal(run_times(fds[0], 7, &retval), 0);
	assert_int_equal(retval, 5);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(fort_store_program(side.store, fds[i], &programs[i]), 0);
	for (unsigned pc = 0; pc < 7; pc++) /* the second slot of the address is none */
		assert_int_equal(programs[0].loaded->counts[pc], pc == 2 || pc > 4 ? 0 : 7);
	for (unsigned pc = 0; pc < 3; pc++)
		assert_int_equal(programs[1].loaded->counts[pc], 7);
	close(fds[0]);
	close(fds[1]);
	close_side();
}

/* --- children --- */

/* Parent and child run at once, each on memory of its own: the context of one never shows in the
 * other. */
static void children_run(void **state)
{
	static const char caller[] = "mov r6, r1\nstw [r1+48], NUMBER\nlddw r2, map_fd TAILS\n"
				     "mov r3, 1\ncall 12\nmov r0, 1\nexit";
	static const char *const names[] = {"NUMBER", "TAILS"};
	char *sources[2];
	int tails, parent, child, callee, status;
	uint32_t retval = 0;
	pid_t pid;

	open_side(&fort_engine_x64, isolation);
	tails = new_tails();
	for (int i = 0; i < 2; i++)
		sources[i] = with_numbers(caller, names, (const int[]){111 * (i + 1), tails}, 2);
	parent = load(sources[0], tails);
	child = load(sources[1], tails);
	callee =
		load("mov r6, r1\nmov r7, 1000\nl: sub r7, 1\njne r7, 0, l\nldxw r0, [r6+48]\nexit",
		     tails);
	assert_int_equal(put(tails, 1, callee), 0);
	fort_store_before_fork(side.store);
	pid = fork();
	assert_true(pid >= 0);
	fort_store_after_fork(side.store, !pid);
	for (unsigned i = 0; i < 50 * rounds; i++)
		if (run_times(pid ? parent : child, 1, &retval) || retval != (pid ? 111 : 222)) {
			if (!pid)
				_exit(1);
			fail_msg("the parent sees %u", retval);
		}
	if (!pid)
		_exit(0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(parent);
	close(child);
	close(callee);
	free(sources[0]);
	free(sources[1]);
	close_side();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arrays_change), cmocka_unit_test(functions_are_returned_from),
		cmocka_unit_test(ends_are_told), cmocka_unit_test(counts_are_kept_apart),
		cmocka_unit_test(children_run),
	};

	if (argc == 3 && !strcmp(argv[1], "--isolation")) {
		assert_int_equal(fort_isolation_by_name(argv[2], &isolation), 0);
		rounds = 40;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
