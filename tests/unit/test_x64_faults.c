/* The x64 engine among what a host process has of its own: signal handlers, threads, segment gs,
 * protections of pages.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MACHINE_ENGINE fort_engine_x64
#include "base/text.h"
#include "engine/x64_run.h"
#include "machine.h"

#define STORM_THREADS 4
#define STORM_FAULTS  10000

/* Faults at slot 2. */
static const char faulting[] = "mov r0, 7\nmov r6, 0\nstxdw [r6+24], r0\nexit";

static void assert_faulted(const struct fort_run *run, uint64_t r0)
{
	assert_int_equal(r0, 0);
	assert_int_equal(run->abort.code, FORT_ABORT_MEMORY);
	assert_int_equal(run->abort.pc, 2);
	assert_int_equal(run->abort.address, 24);
	assert_int_equal(run->abort.bytes, 8);
}

/* --- the host's own faults --- */

static sigjmp_buf back;
static siginfo_t seen;
static int seen_blocked; /* was SIGUSR1, in the handler's mask, blocked? */

static void note_fault(int number, siginfo_t *info, void *context)
{
	sigset_t mask;

	seen = *info;
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	seen_blocked = sigismember(&mask, SIGUSR1);
	siglongjmp(back, 1);
}

static void set_host_handler(int number, int flags)
{
	struct sigaction action = {.sa_sigaction = note_fault, .sa_flags = SA_SIGINFO | flags};

	sigaddset(&action.sa_mask, SIGUSR1);
	assert_int_equal(sigaction(number, &action, NULL), 0);
}

static void *nothing_mapped(void)
{
	void *at = mmap(NULL, FORT_PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(at, MAP_FAILED);
	return at;
}

static void the_host_sees_its_own_faults(void **state)
{
	volatile char *nowhere = nothing_mapped();
	struct machine m;

	set_host_handler(SIGSEGV, 0);
	machine_load(&m, faulting, NULL, 0);
	assert_int_equal(machine_compile(&m, FORT_ISOLATION_SFI), 0);
	for (unsigned i = 0; i < 3; i++) {
		seen.si_signo = 0;
		if (!sigsetjmp(back, 1)) {
			*nowhere = 1;
			fail();
		}
		assert_int_equal(seen.si_signo, SIGSEGV);
		assert_ptr_equal(seen.si_addr, nowhere);
		assert_int_equal(seen_blocked, 1);
		seen.si_signo = 0;
		m.run.abort = (struct fort_abort){0};
		assert_faulted(&m.run, machine_run(&m));
		assert_int_equal(seen.si_signo, 0);
	}
	machine_free(&m);
}

/* A signal that somebody sent while a program's access is next is not the program's. */
static void sent_signals_are_the_hosts(void **state)
{
	static const int numbers[] = {SIGSEGV, SIGBUS};
	struct machine m;

	machine_load(&m, faulting, NULL, 0);
	for (unsigned i = 0; i < FORT_LEN(numbers); i++) {
		set_host_handler(numbers[i], 0);
		assert_int_equal(machine_compile(&m, FORT_ISOLATION_SFI), 0);
		seen.si_signo = 0;
		if (!sigsetjmp(back, 1)) {
			raise(numbers[i]);
			fail();
		}
		assert_int_equal(seen.si_signo, numbers[i]);
		m.engine->free(m.code);
	}
	m.code = NULL;
	machine_free(&m);
}

static uint64_t crash(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
		      struct fort_run *run)
{
	*(volatile char *)(uintptr_t)a1 = 1;
	return 0;
}

static fort_helper_fn *crash_helper(uint32_t number)
{
	return number == 1 ? crash : NULL;
}

/* A helper that faults is a bug of ours, not the program's: nobody covers it up. */
static void faults_in_helpers_are_the_hosts(void **state)
{
	struct machine m;

	set_host_handler(SIGSEGV, 0);
	machine_load(&m, "mov r1, 16\ncall 1\nexit", NULL, 0);
	m.helper = crash_helper;
	assert_int_equal(machine_compile(&m, FORT_ISOLATION_SFI), 0);
	seen.si_signo = 0;
	if (!sigsetjmp(back, 1)) {
		machine_run(&m);
		fail();
	}
	assert_int_equal(seen.si_signo, SIGSEGV);
	assert_ptr_equal(seen.si_addr, (void *)16);
	machine_free(&m);
}

/* How a child ends that has `handler` for SIGSEGV, compiles, and does `what`. */
static int child_status(void (*handler)(int), void (*what)(void))
{
	pid_t child = fork();
	int status = 0;

	if (!child) {
		struct machine m;

		signal(SIGSEGV, handler);
		machine_load(&m, faulting, NULL, 0);
		if (machine_compile(&m, FORT_ISOLATION_SFI))
			_exit(2);
		machine_run(&m);
		if (m.run.abort.code != FORT_ABORT_MEMORY)
			_exit(3);
		what();
		_exit(0);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static volatile char *volatile nowhere_near = (volatile char *)16;

static void fault(void)
{
	*nowhere_near = 1;
}

static void send(void)
{
	raise(SIGSEGV);
}

static void without_a_handler_the_host_dies_as_ever(void **state)
{
	int status = child_status(SIG_DFL, fault);

	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	status = child_status(SIG_DFL, send);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	status = child_status(SIG_IGN, fault); /* the kernel does not let faults be ignored */
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	status = child_status(SIG_IGN, send);
	assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
}

/* --- handlers that come later --- */

static struct sigaction later_old;
static volatile unsigned later_seen;

/* A handler as programs have them: looks, then gives it to the one before. */
static void later(int number, siginfo_t *info, void *context)
{
	later_seen++;
	if (later_seen > 100)
		_exit(4); /* in circles */
	if (later_old.sa_flags & SA_SIGINFO)
		later_old.sa_sigaction(number, info, context);
	else if (later_old.sa_handler != SIG_DFL)
		later_old.sa_handler(number);
	else
		signal(number, SIG_DFL);
}

static void come_later(void)
{
	struct sigaction action = {.sa_sigaction = later, .sa_flags = SA_SIGINFO};

	later_seen = 0;
	if (sigaction(SIGSEGV, &action, &later_old))
		_exit(5);
}

/* They see faults of programs too, and pass them on. */
static void handlers_that_pass_on_work(void **state)
{
	struct machine m;

	set_host_handler(SIGSEGV, 0);
	machine_load(&m, faulting, NULL, 0);
	assert_int_equal(machine_compile(&m, FORT_ISOLATION_SFI), 0);
	come_later();
	assert_faulted(&m.run, machine_run(&m));
	assert_int_equal(later_seen, 1);
	/* In front again: not seen by the other any more, but the host's own fault is, by both. */
	assert_int_equal(fort_signals_install(), 0);
	m.run.abort = (struct fort_abort){0};
	assert_faulted(&m.run, machine_run(&m));
	assert_int_equal(later_seen, 1);
	seen.si_signo = 0;
	if (!sigsetjmp(back, 1)) {
		*(volatile char *)nothing_mapped() = 1;
		fail();
	}
	assert_int_equal(seen.si_signo, SIGSEGV);
	assert_int_equal(later_seen, 2);
	machine_free(&m);
}

static void install(void)
{
	if (fort_signals_install())
		_exit(6);
}

static void come_again_and_again_and_fault(void)
{
	for (unsigned i = 0; i < 3; i++) {
		come_later();
		install();
	}
	later_seen = 0;
	fault();
}

static void come_twice_and_fault(void)
{
	come_later();
	install();
	come_later(); /* what it passes on to has replaced it */
	fault();
}

/* A host that installs its handler again has it and ours in a circle; a fault still ends. */
static void handlers_do_not_go_in_circles(void **state)
{
	static void (*const whats[])(void) = {come_again_and_again_and_fault, come_twice_and_fault};

	for (unsigned i = 0; i < FORT_LEN(whats); i++) {
		int status = child_status(SIG_DFL, whats[i]);

		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSEGV)
			fail_msg("%u: status %x", i, status);
	}
}

/* Each handler that is new takes one entry; those that were there take none. */
static void hosts_may_change_handlers_for_ever(void)
{
	struct sigaction one = {.sa_sigaction = later, .sa_flags = SA_SIGINFO};

	for (unsigned i = 0; i < 2 * FORT_SIGNAL_ENTRIES_MAX; i++) {
		sigaction(SIGSEGV, &one, NULL);
		install();
	}
	for (unsigned i = 0; i < 2 * FORT_SIGNAL_ENTRIES_MAX; i++) {
		one.sa_flags ^= SA_NODEFER;
		sigaction(SIGSEGV, &one, NULL);
		if (fort_signals_install() == -ENOSPC)
			_exit(7);
	}
}

static void entries_are_bounded(void **state)
{
	int status = child_status(SIG_DFL, hosts_may_change_handlers_for_ever);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
}

/* --- storms --- */

struct storm {
	struct machine m;
	pthread_t thread;
	unsigned wrong;
};

/* Each thread in a slot of its own, on the same code; deep in frames every other time. */
static void *storm(void *argument)
{
	struct storm *storm = argument;

	for (unsigned i = 0; i < STORM_FAULTS; i++) {
		struct fort_run run = storm->m.run;
		uint64_t r0;

		run.ctx = i & 1;
		r0 = storm->m.engine->run(storm->m.code, &run);
		storm->wrong += r0 || run.abort.code != FORT_ABORT_MEMORY ||
				run.abort.pc != (i & 1 ? 6u : 2u) ||
				run.fuel != MACHINE_FUEL - 4 * (i & 1);
	}
	return NULL;
}

static void faults_on_many_threads_end_their_runs_only(void **state)
{
	static const char source[] = "mov r0, r1\njne r1, 0, +2\nldxb r0, [r0+1]\nexit\n"
				     "call local f\nexit\nf: stb [r3+2], 1\nmov r0, 9\nja +0\nexit";
	static struct storm storms[STORM_THREADS];

	for (unsigned i = 0; i < STORM_THREADS; i++) {
		machine_load(&storms[i].m, source, NULL, 0);
		assert_int_equal(machine_compile(&storms[i].m, FORT_ISOLATION_SFI), 0);
		storms[i].wrong = 0;
	}
	for (unsigned i = 0; i < STORM_THREADS; i++)
		assert_int_equal(pthread_create(&storms[i].thread, NULL, storm, &storms[i]), 0);
	for (unsigned i = 0; i < STORM_THREADS; i++) {
		assert_int_equal(pthread_join(storms[i].thread, NULL), 0);
		assert_int_equal(storms[i].wrong, 0);
		machine_free(&storms[i].m);
	}
}

/* Images come and go while others fault. */
static void *churn(void *argument)
{
	_Atomic bool *done = argument;
	struct machine m;

	machine_load(&m, faulting, NULL, 0);
	while (!*done) {
		assert_int_equal(machine_compile(&m, FORT_ISOLATION_SFI), 0);
		m.run.abort = (struct fort_abort){0};
		machine_run(&m);
		assert_int_equal(m.run.abort.code, FORT_ABORT_MEMORY);
		m.engine->free(m.code);
	}
	m.code = NULL;
	machine_free(&m);
	return NULL;
}

static void images_come_and_go_beside_faults(void **state)
{
	static _Atomic bool done;
	pthread_t thread;
	struct machine m;

	machine_load(&m, faulting, NULL, 0);
	assert_int_equal(machine_compile(&m, FORT_ISOLATION_SFI), 0);
	assert_int_equal(pthread_create(&thread, NULL, churn, &done), 0);
	for (unsigned i = 0; i < STORM_FAULTS; i++) {
		m.run.abort = (struct fort_abort){0};
		assert_faulted(&m.run, machine_run(&m));
	}
	done = true;
	pthread_join(thread, NULL);
	machine_free(&m);
}

/* --- what the host has in registers and pages --- */

static void the_hosts_gs_is_kept(void **state)
{
	bool fast = fort_x64_gs_is_fast();
	uint64_t before = fort_x64_gs_get(fast);
	struct machine m;

	machine_load(&m, faulting, NULL, 0);
	assert_int_equal(machine_compile(&m, FORT_ISOLATION_SFI), 0);
	fort_x64_gs_set(fast, 0x123456789000);
	assert_faulted(&m.run, machine_run(&m));
	assert_int_equal(fort_x64_gs_get(fast), 0x123456789000);
	/* A host without a gs of its own does not mind the window's. */
	fort_x64_gs_set(fast, 0);
	m.run.abort = (struct fort_abort){0};
	assert_faulted(&m.run, machine_run(&m));
	assert_ptr_equal(fort_x64_gs_get(fast), m.domain.window.base);
	fort_x64_gs_set(fast, before);
	machine_free(&m);
}

static void gs_is_the_same_by_both_ways(void **state)
{
	uint64_t before = fort_x64_gs_get(false);

	if (!fort_x64_gs_is_fast()) {
		print_message("processor or kernel without FSGSBASE: one way only\n");
		skip();
	}
	assert_int_equal(fort_x64_gs_get(true), before);
	fort_x64_gs_set(false, 0x111111111000);
	assert_int_equal(fort_x64_gs_get(true), 0x111111111000);
	fort_x64_gs_set(true, 0x222222222000);
	assert_int_equal(fort_x64_gs_get(false), 0x222222222000);
	fort_x64_gs_set(true, before);
}

/* Mappings of code in this process, as /proc/self/maps has their rights; '-' also before each. */
static unsigned code_mappings(char rights[][5], unsigned max)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	unsigned n = 0;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		if (strstr(line, "bpfort-code") && n < max)
			assert_int_equal(sscanf(line, "%*s %4s", rights[n++]), 1);
	fclose(maps);
	return n;
}

/* What is mapped where there is no program: a pack that waits for the next. */
#ifdef MACHINE_POOL
#define IDLE_MAPPINGS 2
#else
#define IDLE_MAPPINGS 0
#endif

static void code_is_never_writable(void **state)
{
	char rights[8][5];
	struct machine m;

	assert_int_equal(code_mappings(rights, 8), IDLE_MAPPINGS);
	machine_load(&m, "call 1\nexit", NULL, 0);
	m.helper = crash_helper;
	assert_int_equal(machine_compile(&m, FORT_ISOLATION_SFI), 0);
	assert_int_equal(code_mappings(rights, 8), 2);
	assert_string_equal(rights[0], "r--s"); /* addresses of helpers */
	assert_string_equal(rights[1], "r-xs");
	machine_free(&m);
	assert_int_equal(code_mappings(rights, 8), IDLE_MAPPINGS);
}

/* --- jumps at the borders of their forms --- */

/* Forward and back over n instructions of 4 bytes: the same way as the interpreter goes. */
static void jumps_reach_over_any_distance(void **state)
{
	for (unsigned n = 0; n < 80; n++) {
		char source[2048];
		struct fort_text text = fort_text_on(source, sizeof(source));
		struct machine m;
		uint64_t expected = 3ull * n;

		fort_text_add(&text, "mov r6, 3\nagain: jeq r6, 9, end\n");
		for (unsigned i = 0; i < n; i++)
			fort_text_add(&text, "add r0, 1\n");
		fort_text_add(&text,
			      "add r6, -1\njne r6, 0, again\nmov r6, 9\nja again\nend: exit");
		machine_load(&m, source, NULL, 0);
		assert_int_equal(machine_compile(&m, FORT_ISOLATION_SFI), 0);
		assert_int_equal(machine_run(&m), expected);
		assert_int_equal(m.run.abort.code, FORT_ABORT_NONE);
		assert_int_equal(m.run.fuel, MACHINE_FUEL - 3 * (n + 5));
		machine_free(&m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_host_sees_its_own_faults),
		cmocka_unit_test(sent_signals_are_the_hosts),
		cmocka_unit_test(faults_in_helpers_are_the_hosts),
		cmocka_unit_test(without_a_handler_the_host_dies_as_ever),
		cmocka_unit_test(handlers_that_pass_on_work),
		cmocka_unit_test(handlers_do_not_go_in_circles),
		cmocka_unit_test(entries_are_bounded),
		cmocka_unit_test(faults_on_many_threads_end_their_runs_only),
		cmocka_unit_test(images_come_and_go_beside_faults),
		cmocka_unit_test(the_hosts_gs_is_kept),
		cmocka_unit_test(gs_is_the_same_by_both_ways),
		cmocka_unit_test(code_is_never_writable),
		cmocka_unit_test(jumps_reach_over_any_distance),
	};

	if (machine_must_skip())
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
