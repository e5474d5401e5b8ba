/* Tail calls in a store that is in use: arrays that change while programs run, programs that go
 * meanwhile, children of a fork, runs that end in the callee.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "front.h"
#include "isolate/isolation.h"

#define ROUNDS  400u
#define CALLEES 3u

static struct side side;

static void open_side(const struct fort_engine *engine)
{
	side = (struct side){.name = "bpfort"};
	assert_int_equal(fort_store_create(&side.store), 0);
	assert_int_equal(fort_store_set_engine(side.store, engine, FORT_ISOLATION_SFI), 0);
}

static void close_side(void)
{
	while (side.n_fds)
		close(side.fds[--side.n_fds]);
	fort_store_free(side.store);
}

/* A descriptor of the caller's. */
static int load(const char *text, int tails)
{
	struct fort_text source = fort_text_new();
	const char *at = strstr(text, "TAILS");
	ATTR(attr);
	long fd;

	if (at)
		fort_text_add(&source, "%.*s%d%s", (int)(at - text), text, tails, at + 5);
	else
		fort_text_add(&source, "%s", text);
	attr.prog_load.prog_type = BPF_PROG_TYPE_SCHED_CLS;
	attr.prog_load.insns = PTR(program(source.data, &attr.prog_load.insn_cnt));
	attr.prog_load.license = PTR("GPL");
	fd = fort_store_bpf(side.store, FORT_CMD_PROG_LOAD, &attr, sizeof(attr));
	assert_true(fd >= 0);
	fort_text_free(&source);
	return (int)fd;
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

	open_side(engine);
	tails = new_tails();
	for (unsigned i = 0; i < FORT_LEN(runners); i++) {
		runners[i].fd = load(CALLER, tails);
		assert_int_equal(pthread_create(&runners[i].thread, NULL, run_on, &runners[i]), 0);
	}
	for (unsigned round = 0; round < ROUNDS; round++) {
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
		if (!(*e)->absent && fort_engine_has(*e, FORT_ISOLATION_SFI))
			change_while_running(*e);
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

		if ((*e)->absent || *e == &fort_engine_interp) /* which takes too long for this */
			continue;
		open_side(*e);
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

	open_side(&fort_engine_interp);
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
	struct fort_text mine = fort_text_new(), its = fort_text_new();
	int tails, parent, child, callee, status;
	uint32_t retval = 0;
	pid_t pid;

	open_side(&fort_engine_x64);
	tails = new_tails();
	fort_text_add(&mine, "%.*s%d%s", (int)(strstr(caller, "NUMBER") - caller), caller, 111,
		      strstr(caller, "NUMBER") + 6);
	fort_text_add(&its, "%.*s%d%s", (int)(strstr(caller, "NUMBER") - caller), caller, 222,
		      strstr(caller, "NUMBER") + 6);
	parent = load(mine.data, tails);
	child = load(its.data, tails);
	callee =
		load("mov r6, r1\nmov r7, 1000\nl: sub r7, 1\njne r7, 0, l\nldxw r0, [r6+48]\nexit",
		     tails);
	assert_int_equal(put(tails, 1, callee), 0);
	fort_store_before_fork(side.store);
	pid = fork();
	assert_true(pid >= 0);
	fort_store_after_fork(side.store, !pid);
	for (unsigned i = 0; i < 20000; i++)
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
	fort_text_free(&mine);
	fort_text_free(&its);
	close_side();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arrays_change),
		cmocka_unit_test(ends_are_told),
		cmocka_unit_test(counts_are_kept_apart),
		cmocka_unit_test(children_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
