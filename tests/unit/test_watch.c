/* The watchdog, on all engines: what never ends is ended, what is in a helper is let finish, and
 * the host's signals stay the host's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/watch.h"
#include "machine.h"

#define LIMIT_NS  20000000u
#define PERIOD_NS 5000000u
#define THREADS   4

static const struct fort_engine *const engines[] = {&fort_engine_interp, &fort_engine_x64,
						    &fort_engine_llvm};

static unsigned n_engines(void)
{
	return FORT_LEN(engines) - !!fort_engine_llvm.absent;
}

static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct fort_watch *open_watch(void)
{
	struct fort_watch *watch;

	assert_int_equal(fort_watch_open(LIMIT_NS, PERIOD_NS, &watch), 0);
	return watch;
}

/* Ready to run without end. */
static void load(struct machine *m, const struct fort_engine *engine, const char *source,
		 fort_helper_lookup *helper)
{
	machine_load(m, source, NULL, 0);
	m->engine = engine;
	m->helper = helper ? helper : m->helper;
	assert_int_equal(machine_compile(m, FORT_ISOLATION_SFI), 0);
	m->run.fuel = UINT64_MAX;
}

static uint64_t run_watched(struct machine *m, struct fort_watched *place)
{
	uint64_t r0;

	assert_non_null(place);
	fort_watched_enter(place, &m->run);
	r0 = machine_run(m);
	fort_watched_leave(place);
	return r0;
}

/* --- programs that do not end --- */

static const struct {
	const char *what, *source;
	uint32_t pc; /* where it is found at the earliest */
	bool idle;   /* LLVM sees that it does nothing but use up its fuel, and does that at once */
} endless[] = {
	{"a jump to itself", "ja -1", 0, true},
	{"a loop of plain work", "l: add r0, 1\nmul r0, 3\nstxdw [r10-8], r0\nja l", 0},
	{"a loop deep in frames", "call local f\nexit\nf: call local g\nexit\ng: add r0, 1\nja g",
	 4, true},
	{"a loop of calls", "l: call local f\nja l\nf: mov r0, 1\nexit", 0, true},
	{"an atomic operation again and again", "mov r1, 1\nl: lock fetch_or [r10-8], r1\nja l", 1},
};

static void what_does_not_end_is_ended(void **state)
{
	struct fort_watch *watch = open_watch();
	struct fort_watched *place = fort_watch_take(watch);

	for (unsigned e = 0; e < n_engines(); e++)
		for (unsigned i = 0; i < FORT_LEN(endless); i++) {
			uint64_t start = cpu_ns();
			struct machine m;

			load(&m, engines[e], endless[i].source, NULL);
			run_watched(&m, place);
			if (endless[i].idle && engines[e] == &fort_engine_llvm &&
			    m.run.abort.code == FORT_ABORT_FUEL) {
				machine_free(&m);
				continue;
			}
			if (m.run.abort.code != FORT_ABORT_TIME || m.run.abort.pc < endless[i].pc)
				fail_msg("%s on %s: %s at %u", endless[i].what, engines[e]->name,
					 fort_abort_name(m.run.abort.code), m.run.abort.pc);
			assert_true(cpu_ns() - start >= LIMIT_NS);
			machine_free(&m);
		}
	fort_watch_give(watch, place);
	fort_watch_close(watch);
}

/* Many short runs together take longer than one may. */
static void short_runs_go_on(void **state)
{
	struct fort_watch *watch = open_watch();
	struct fort_watched *place = fort_watch_take(watch);
	uint64_t end = cpu_ns() + 5 * (uint64_t)LIMIT_NS;
	struct machine m;

	load(&m, &fort_engine_x64, "mov r0, 7\nexit", NULL);
	while (cpu_ns() < end) {
		assert_int_equal(run_watched(&m, place), 7);
		assert_int_equal(m.run.abort.code, FORT_ABORT_NONE);
	}
	machine_free(&m);
	fort_watch_give(watch, place);
	fort_watch_close(watch);
}

/* --- helpers --- */

static bool finished;

static uint64_t take_long(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
			  struct fort_run *run)
{
	uint64_t end = cpu_ns() + 4 * (uint64_t)LIMIT_NS;

	while (cpu_ns() < end)
		;
	finished = true;
	return 7;
}

static fort_helper_fn *long_helper(uint32_t number)
{
	return number == 1 ? take_long : NULL;
}

static void helpers_are_let_finish(void **state)
{
	struct fort_watch *watch = open_watch();
	struct fort_watched *place = fort_watch_take(watch);

	for (unsigned e = 0; e < n_engines(); e++) {
		struct machine m;

		load(&m, engines[e], "stdw [r10-8], 0\ncall 1\nl: stdw [r10-8], 1\nja l",
		     long_helper);
		finished = false;
		assert_int_equal(run_watched(&m, place), 0);
		assert_true(finished);
		assert_int_equal(m.run.abort.code, FORT_ABORT_TIME);
		/* x64 looks when the helper returns, the interpreter at the latest at the jump. */
		assert_in_range(m.run.abort.pc, 1, 3);
		machine_free(&m);
	}
	fort_watch_give(watch, place);
	fort_watch_close(watch);
}

/* --- threads --- */

static void *run_endlessly(void *argument)
{
	struct fort_watch *watch = argument;
	struct fort_watched *place = fort_watch_take(watch);
	struct machine m;

	load(&m, &fort_engine_x64, "ja -1", NULL);
	run_watched(&m, place);
	assert_int_equal(m.run.abort.code, FORT_ABORT_TIME);
	machine_free(&m);
	fort_watch_give(watch, place);
	return NULL;
}

static void threads_are_ended_each_by_itself(void **state)
{
	struct fort_watch *watch = open_watch();
	pthread_t threads[THREADS];

	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_endlessly, watch), 0);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	fort_watch_close(watch);
}

/* The thread sleeps when there is nothing to watch, and comes back. */
static void the_watchdog_wakes_up(void **state)
{
	struct fort_watch *watch = open_watch();

	for (unsigned i = 0; i < 2; i++) {
		struct fort_watched *place = fort_watch_take(watch);
		struct machine m;

		load(&m, &fort_engine_x64, "ja -1", NULL);
		run_watched(&m, place);
		assert_int_equal(m.run.abort.code, FORT_ABORT_TIME);
		machine_free(&m);
		fort_watch_give(watch, place);
		if (!i)
			usleep(1300000);
	}
	fort_watch_close(watch);
}

static void after_fork_a_child_has_its_own(void **state)
{
	struct fort_watch *watch = open_watch();
	struct fort_watched *place = fort_watch_take(watch);
	int status;
	pid_t child = fork();

	if (!child) {
		alarm(20);
		fort_watch_forked(watch);
		run_endlessly(watch);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
	fort_watch_give(watch, place);
	fort_watch_close(watch);
}

/* --- the host's signals --- */

static volatile sig_atomic_t heard;

static void hear(int number)
{
	heard++;
}

static void the_hosts_signals_arrive(void **state)
{
	struct fort_watch *watch;
	struct fort_watched *place;
	struct machine m;

	signal(FORT_SIGNAL_STOP, hear);
	watch = open_watch();
	place = fort_watch_take(watch);
	heard = 0;
	raise(FORT_SIGNAL_STOP);
	assert_int_equal(heard, 1);
	load(&m, &fort_engine_x64, "ja -1", NULL);
	run_watched(&m, place);
	assert_int_equal(m.run.abort.code, FORT_ABORT_TIME);
	assert_int_equal(heard, 1);
	machine_free(&m);
	fort_watch_give(watch, place);
	fort_watch_close(watch);
	raise(FORT_SIGNAL_STOP);
	assert_int_equal(heard, 2);
	signal(FORT_SIGNAL_STOP, SIG_DFL);
}

static sigjmp_buf back;

static void jump_back(int number)
{
	siglongjmp(back, 1);
}

/* A host that sets a handler later, for itself only, loses nothing, and neither do its programs. */
static void handlers_set_later_are_gone_before(void **state)
{
	volatile char *nowhere =
		mmap(NULL, FORT_PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct fort_watch *watch = open_watch();
	struct fort_watched *place = fort_watch_take(watch);
	struct machine m;

	load(&m, &fort_engine_x64, "mov r6, 0\nldxb r0, [r6+1]\nexit", NULL);
	for (unsigned i = 0; i < 3; i++) {
		struct sigaction action = {.sa_handler = jump_back};

		assert_int_equal(sigaction(SIGSEGV, &action, NULL), 0);
		usleep(20 * PERIOD_NS / 1000);
		m.run.abort = (struct fort_abort){0};
		run_watched(&m, place);
		assert_int_equal(m.run.abort.code, FORT_ABORT_MEMORY);
		if (!sigsetjmp(back, 1)) {
			*nowhere = 1;
			fail();
		}
	}
	machine_free(&m);
	fort_watch_give(watch, place);
	fort_watch_close(watch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_does_not_end_is_ended),
		cmocka_unit_test(short_runs_go_on),
		cmocka_unit_test(helpers_are_let_finish),
		cmocka_unit_test(threads_are_ended_each_by_itself),
		cmocka_unit_test(the_watchdog_wakes_up),
		cmocka_unit_test(after_fork_a_child_has_its_own),
		cmocka_unit_test(the_hosts_signals_arrive),
		cmocka_unit_test(handlers_set_later_are_gone_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
