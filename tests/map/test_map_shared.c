/* Seats, epochs and locks that outlive their holders. */
#include "map_test.h"

#include <pthread.h>
#include <sys/prctl.h>

#include "map/memfd.h"
#include "map/process.h"

static void seats_are_distinct(void **state)
{
	struct fort_shared *shared = new_shared();
	struct fort_seat first, second, again;

	assert_int_equal(fort_seat_take(shared, &first), 0);
	assert_int_equal(fort_seat_take(shared, &second), 0);
	assert_int_not_equal(first.index, second.index);
	assert_false(fort_token_dead(shared, first.token));
	fort_seat_release(&first);
	assert_true(fort_token_dead(shared, first.token));
	assert_int_equal(fort_seat_take(shared, &again), 0);
	assert_int_equal(again.index, first.index);
	assert_true(fort_token_dead(shared, first.token)); /* an owner ago */
	assert_false(fort_token_dead(shared, again.token));
	assert_true(fort_token_dead(shared, FORT_TOKEN_LOST));
	assert_true(fort_token_dead(shared, 0));
	fort_shared_close(shared);
}

static void table_fills_up(void **state)
{
	struct fort_shared *shared = new_shared();
	struct fort_seat seat;

	for (unsigned i = 0; i < FORT_SEATS_MAX; i++)
		assert_int_equal(fort_seat_take(shared, &seat), 0);
	assert_int_equal(fort_seat_take(shared, &seat), -ENOSPC);
	fort_seat_release(&seat);
	assert_int_equal(fort_seat_take(shared, &seat), 0);
	fort_shared_close(shared);
}

static void pool_lends(void **state)
{
	struct fort_shared *shared = new_shared();
	const struct fort_seat *lent[FORT_SEAT_POOL], *more;

	for (unsigned i = 0; i < FORT_SEAT_POOL; i++) {
		assert_int_equal(fort_seat_borrow(shared, &lent[i]), 0);
		for (unsigned j = 0; j < i; j++)
			assert_ptr_not_equal(lent[i], lent[j]);
	}
	assert_int_equal(fort_seat_borrow(shared, &more), -EAGAIN);
	fort_seat_return(lent[17]);
	assert_int_equal(fort_seat_borrow(shared, &more), 0);
	assert_ptr_equal(more, lent[17]);
	fort_shared_close(shared);
}

static void epoch_waits_for_runs(void **state)
{
	struct fort_shared *shared = new_shared();
	struct fort_seat reader, writer;
	uint64_t stamp;

	assert_int_equal(fort_seat_take(shared, &reader), 0);
	assert_int_equal(fort_seat_take(shared, &writer), 0);
	stamp = fort_epoch_now(shared);
	assert_true(fort_epoch_passed(shared, stamp, NULL, false));

	fort_seat_enter(&reader);
	stamp = fort_epoch_now(shared);
	assert_false(fort_epoch_passed(shared, stamp, NULL, false));
	assert_false(fort_epoch_passed(shared, stamp, NULL, true)); /* alive */
	assert_false(fort_epoch_passed(shared, stamp, &writer, true));
	assert_true(fort_epoch_passed(shared, stamp, &reader, false));
	fort_seat_enter(&writer); /* later: does not count */
	fort_seat_leave(&reader);
	assert_true(fort_epoch_passed(shared, stamp, NULL, false));
	assert_false(fort_epoch_passed(shared, fort_epoch_now(shared), NULL, false));
	fort_shared_close(shared);
}

/* A child that takes a seat, does something, says so and waits to be killed. */
static pid_t child_that(void (*act)(const struct fort_seat *seat, void *arg),
			struct fort_shared *shared, void *arg)
{
	int done[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(done), 0);
	pid = fork();
	if (!pid) {
		struct fort_seat seat;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fort_shared_forked(shared);
		if (fort_seat_take(shared, &seat))
			_exit(1);
		act(&seat, arg);
		if (write(done[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_true(pid > 0);
	assert_int_equal(read(done[0], &byte, 1), 1);
	close(done[0]);
	close(done[1]);
	return pid;
}

static void enter(const struct fort_seat *seat, void *arg)
{
	fort_seat_enter(seat);
}

/* `reaped`: the process is gone; otherwise it is a zombie. */
static void dead_reader(bool urgent, bool reaped)
{
	struct fort_shared *shared = new_shared();
	pid_t pid = child_that(enter, shared, NULL);
	uint64_t stamp = fort_epoch_now(shared);
	siginfo_t info;
	unsigned tries = 0;

	assert_false(fort_epoch_passed(shared, stamp, NULL, true));
	kill(pid, SIGKILL);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	if (reaped)
		assert_true(reap(pid, true));
	while (!fort_epoch_passed(shared, stamp, NULL, urgent) && tries < 1000)
		tries++;
	if (urgent)
		assert_int_equal(tries, 0);
	assert_in_range(tries, 0, 999);
	if (!reaped)
		assert_true(reap(pid, true));
	fort_shared_close(shared);
}

static void dead_readers_do_not_count(void **state)
{
	dead_reader(true, true);
	dead_reader(true, false);
	dead_reader(false, true);
	dead_reader(false, false);
}

static void take_lock(const struct fort_seat *seat, void *arg)
{
	uint32_t died;

	if (fort_lock_take(seat, arg, &died))
		_exit(1);
}

static void dead_holder_is_followed(void **state)
{
	struct fort_shared *shared = new_shared();
	struct fort_seat seat;
	uint64_t *lock =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	double start;
	uint32_t died;
	pid_t pid;

	assert_int_equal(fort_seat_take(shared, &seat), 0);
	for (unsigned i = 0; i < 3; i++) {
		pid = child_that(take_lock, shared, lock);
		assert_false(fort_lock_try(&seat, lock));
		if (i == 2) { /* stopped: alive */
			kill(pid, SIGSTOP);
			start = seconds_now();
			assert_int_equal(fort_lock_take(&seat, lock, &died), -EAGAIN);
			assert_in_range((int)((seconds_now() - start) * 1000), 900, 5000);
		}
		assert_true(reap(pid, true));
		assert_int_equal(fort_lock_take(&seat, lock, &died), 0);
		assert_int_not_equal(died, 0);
		assert_true(fort_token_dead(shared, died));
		fort_lock_drop(lock);
		assert_int_equal(fort_lock_take(&seat, lock, &died), 0);
		assert_int_equal(died, 0);
		fort_lock_drop(lock);
	}
	fort_shared_close(shared);
}

/* The dead holder's seat has a new owner, who lives. */
static void seat_of_dead_holder_is_taken(void **state)
{
	struct fort_shared *shared = new_shared();
	struct fort_seat seat, heir;
	uint64_t *lock =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint32_t index, died;
	pid_t pid;

	assert_int_equal(fort_seat_take(shared, &seat), 0);
	pid = child_that(take_lock, shared, lock);
	index = ((uint32_t)*lock & 0xffff) - 1;
	assert_true(reap(pid, true));
	assert_int_equal(fort_seat_take(shared, &heir), 0);
	assert_int_equal(heir.index, index);
	assert_int_equal(fort_lock_take(&seat, lock, &died), 0);
	assert_int_not_equal(died, 0);
	fort_shared_close(shared);
}

struct counted {
	uint64_t lock, sum;
	uint64_t words[8];
};

static void lock_excludes(void **state)
{
	struct fort_shared *shared = new_shared();
	struct counted *c =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pids[4];

	for (unsigned p = 0; p < 4; p++) {
		pids[p] = fork();
		if (pids[p])
			continue;
		struct fort_seat seat;
		uint32_t died;

		fort_shared_forked(shared);
		if (fort_seat_take(shared, &seat))
			_exit(1);
		for (unsigned i = 0; i < 50000; i++) {
			uint64_t begun = fort_lock_read_begin(&c->lock);
			uint64_t first = fort_load(&c->words[0]), last = fort_load(&c->words[7]);

			if (fort_lock_read_ok(&c->lock, begun) && first != last)
				_exit(2);
			if (fort_lock_take(&seat, &c->lock, &died) || died)
				_exit(3);
			c->sum++;
			for (unsigned w = 0; w < 8; w++)
				fort_store(&c->words[w], c->sum);
			fort_lock_drop(&c->lock);
		}
		_exit(0);
	}
	for (unsigned p = 0; p < 4; p++)
		assert_true(reap(pids[p], false));
	assert_int_equal(c->sum, 4 * 50000);
	fort_shared_close(shared);
}

static void *sleep_on(void *arg)
{
	for (;;)
		pause();
	return NULL;
}

/* A process whose first thread has ended is a zombie to look at, but lives. */
static void first_thread_may_end(void **state)
{
	struct timespec nap = {0, 1000000};
	char path[64], line[256];
	bool zombie = false;
	pid_t pid = fork();

	if (!pid) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, sleep_on, NULL))
			_exit(1);
		pthread_exit(NULL);
	}
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	for (unsigned i = 0; i < 2000 && !zombie; i++) {
		FILE *file = fopen(path, "r");

		assert_non_null(file);
		zombie = fgets(line, sizeof(line), file) && strstr(line, ") Z ");
		fclose(file);
		nanosleep(&nap, NULL);
	}
	assert_true(zombie);
	assert_false(fort_process_dead((uint64_t)pid << 32));
	assert_true(reap(pid, true));
	assert_true(fort_process_dead((uint64_t)pid << 32));
}

static void pid_is_not_enough(void **state)
{
	uint64_t self = fort_process_self();

	assert_int_equal(self >> 32, getpid());
	assert_int_not_equal((uint32_t)self, 0);
	assert_false(fort_process_dead(self));
	assert_true(fort_process_dead(self + 1)); /* same pid, other start */
	assert_true(fort_process_dead(0));
	assert_true(fort_process_dead(UINT64_MAX));
}

static void table_from_elsewhere(void **state)
{
	struct fort_shared *shared = new_shared(), *opened;
	struct fort_seat mine, other;
	int fd, unsealed, null = open("/dev/null", 2);

	assert_int_equal(fort_shared_open(dup(shared->fd), &opened), 0);
	assert_int_equal(opened->n_cpus, shared->n_cpus);
	assert_int_equal(fort_seat_take(shared, &mine), 0);
	assert_int_equal(fort_seat_take(opened, &other), 0);
	assert_int_not_equal(mine.index, other.index);
	fort_shared_close(opened);

	/* The right size and seals, but nothing in it. */
	assert_int_equal(fort_memfd_new("t", (uint64_t)lseek(shared->fd, 0, SEEK_END), true, &fd),
			 0);
	assert_int_equal(fort_shared_open(fd, &opened), -EBADMSG);
	unsealed = memfd_create("t", MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(unsealed, lseek(shared->fd, 0, SEEK_END)), 0);
	assert_int_equal(fort_shared_open(unsealed, &opened), -EBADMSG);
	assert_int_equal(fort_shared_open(null, &opened), -EBADMSG);
	assert_int_equal(fort_shared_open(-1, &opened), -EBADF);
	shared->table->n_cpus = FORT_CPUS_MAX + 1;
	assert_int_equal(fort_shared_open(shared->fd, &opened), -EBADMSG);
	assert_int_equal(fort_shared_create(0, &opened), -EINVAL);
	assert_int_equal(fort_shared_create(FORT_CPUS_MAX + 1, &opened), -EINVAL);
	close(fd);
	close(unsealed);
	close(null);
	fort_shared_close(shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(seats_are_distinct),
		cmocka_unit_test(table_fills_up),
		cmocka_unit_test(pool_lends),
		cmocka_unit_test(epoch_waits_for_runs),
		cmocka_unit_test(dead_readers_do_not_count),
		cmocka_unit_test(dead_holder_is_followed),
		cmocka_unit_test(seat_of_dead_holder_is_taken),
		cmocka_unit_test(lock_excludes),
		cmocka_unit_test(first_thread_may_end),
		cmocka_unit_test(pid_is_not_enough),
		cmocka_unit_test(table_from_elsewhere),
	};

	return cmocka_run_group_tests_name("map_shared", tests, NULL, NULL);
}
