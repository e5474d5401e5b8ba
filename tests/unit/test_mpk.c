/* Protection keys: what is closed to whom, that every way out of a program ends as it began, and
 * what happens when there are not enough of them. Needs a processor that has them; tests/guest
 * makes one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <cpuid.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MACHINE_ENGINE fort_engine_x64
#define MACHINE_MPK
#include "engine/inspect.h"
#include "engine/x64_keys.h"
#include "machine.h"

#define PAGE 4096u

/* --- what a thread with certain rights can reach --- */

#define REACHED 0
#define BY_KEY  100 /* and the key */
#define FAULTED 1

static void tell_fault(int number, siginfo_t *info, void *context)
{
	_exit(info->si_code == SEGV_PKUERR ? BY_KEY + (int)info->si_pkey : FAULTED);
}

/* In a child, so that nothing of it stays. */
static int try_access(const void *at, bool write, uint32_t rights)
{
	struct sigaction action = {.sa_sigaction = tell_fault, .sa_flags = SA_SIGINFO};
	volatile uint8_t *byte = (volatile uint8_t *)(uintptr_t)at;
	int status;
	pid_t pid = fork();

	if (!pid) {
		sigaction(SIGSEGV, &action, NULL);
		fort_keys_set(rights);
		if (write)
			*byte = 1;
		else
			(void)*byte;
		_exit(REACHED);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void expect_access(const void *at, uint32_t rights, int expected)
{
	assert_int_equal(try_access(at, false, rights), expected);
	assert_int_equal(try_access(at, true, rights), expected);
}

static void windows_are_closed_to_all_but_their_programs(void **state)
{
	struct machine a, b;
	const uint8_t *in_a, *in_b;
	uint32_t of_a, of_b, new_thread;

	fort_keys_set(FORT_KEYS_CLOSED);
	new_thread = fort_keys_get();
	machine_load(&a, "exit", NULL, 0);
	machine_load(&b, "exit", NULL, 0);
	in_a = fort_window_at(&a.domain.window, fort_domain_ctx(&a.domain, 0));
	in_b = fort_window_at(&b.domain.window, fort_domain_ctx(&b.domain, 0));
	of_a = a.domain.window.key;
	of_b = b.domain.window.key;
	assert_int_not_equal(of_a, of_b);
	assert_int_not_equal(of_a, machine_keys.runtime);

	expect_access(in_a, new_thread, BY_KEY + (int)of_a);
	expect_access(in_a, a.domain.key_rights, REACHED);
	expect_access(in_b, a.domain.key_rights, BY_KEY + (int)of_b);
	expect_access(a.domain.window.rights, a.domain.key_rights,
		      BY_KEY + (int)machine_keys.runtime);
	expect_access(a.domain.window.rights, new_thread & ~a.domain.key_open, REACHED);
	expect_access(in_a, new_thread & ~a.domain.key_open, REACHED);
	expect_access(in_b, new_thread & ~a.domain.key_open, BY_KEY + (int)of_b);
	fort_domain_close(&a.domain);
	fort_domain_close(&b.domain);
	fort_arena_free(&a.arena);
	fort_arena_free(&b.arena);
	fort_keys_set(0);
}

/* The kernel copies as the thread could. */
static void system_calls_meet_closed_keys(void **state)
{
	struct machine m;
	const void *at;
	int fds[2];

	machine_load(&m, "exit", NULL, 0);
	at = fort_window_at(&m.domain.window, fort_domain_ctx(&m.domain, 0));
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], at, 1), 1);
	fort_keys_set(FORT_KEYS_CLOSED);
	assert_int_equal(write(fds[1], at, 1), -1);
	assert_int_equal(errno, EFAULT);
	fort_keys_set(0);
	close(fds[0]);
	close(fds[1]);
	fort_domain_close(&m.domain);
	fort_arena_free(&m.arena);
}

/* --- what rights a program has while it runs --- */

static uint32_t rights_at_fault;
static struct sigaction engines_own;

/* Where the processor keeps the rights among the registers that a signal saves. */
static uint32_t saved_rights(const ucontext_t *context)
{
	uint32_t bytes, offset = 0, c, d;

	assert_true(__get_cpuid_count(0xd, 9, &bytes, &offset, &c, &d));
	return *(const uint32_t *)((const uint8_t *)context->uc_mcontext.fpregs + offset);
}

static void spy(int number, siginfo_t *info, void *context)
{
	rights_at_fault = saved_rights(context);
	engines_own.sa_sigaction(number, info, context);
}

/* Runs `source`, which is to fault, and returns the rights it had when it did. */
static uint32_t rights_in(struct machine *m, uint32_t before)
{
	struct sigaction action = {.sa_sigaction = spy, .sa_flags = SA_SIGINFO};

	assert_int_equal(sigaction(SIGSEGV, &action, &engines_own), 0);
	rights_at_fault = UINT32_MAX;
	fort_keys_set(before);
	machine_run(m);
	assert_int_equal(fort_keys_get(), before);
	fort_keys_set(0);
	assert_int_equal(sigaction(SIGSEGV, &engines_own, NULL), 0);
	assert_int_equal(m->run.abort.code, FORT_ABORT_MEMORY);
	return rights_at_fault;
}

static uint32_t rights_in_helper[2];
static unsigned n_helped;

static uint64_t look(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
		     struct fort_run *run)
{
	rights_in_helper[n_helped++ & 1] = fort_keys_get();
	/* The table of rights, and the window, are there for helpers. */
	assert_true(fort_window_allows(&run->domain->window, run->ctx, 8, FORT_RW));
	return a1 + 10 * a2 + 100 * a3 + 1000 * a4 + 10000 * a5;
}

static fort_helper_fn *look_for_all(uint32_t number)
{
	return look;
}

static void programs_run_with_their_window_and_key_0(void **state)
{
	static const char *const sources[] = {
		"mov r0, 0\nldxdw r0, [r0+8]\nexit",
		"mov r1, 1\nmov r2, 2\nmov r3, 3\nmov r4, 4\nmov r5, 5\ncall 1\nmov r1, 0\nstxdw "
		"[r1+8], r0\nexit",
		/* Two calls with nothing between: the first leaves open, the second closes. */
		"mov r1, 0\nmov r2, 0\ncall 1\nmov r1, 1\nmov r2, 2\nmov r3, 3\nmov r4, 4\n"
		"mov r5, 5\ncall 2\nmov r1, 0\nstxdw [r1+8], r0\nexit",
	};

	for (unsigned i = 0; i < FORT_LEN(sources); i++) {
		/* The host may have some of its own keys closed: to helpers too. */
		uint32_t before = i == 1 ? FORT_KEYS_CLOSED : 0x40000000;
		struct machine m;

		machine_load(&m, sources[i], NULL, 0);
		m.helper = look_for_all;
		assert_int_equal(machine_compile(&m, FORT_ISOLATION_SFI), 0);
		n_helped = 0;
		assert_int_equal(rights_in(&m, before), m.domain.key_rights);
		assert_int_equal(n_helped, i);
		for (unsigned call = 0; call < i; call++)
			assert_int_equal(rights_in_helper[call], before & ~m.domain.key_open);
		machine_free(&m);
	}
}

static void closing_waits_for_the_next_call(void **state)
{
	static const struct {
		const char *between;
		bool lazy;
	} cases[] = {
		{"mov r1, 7\nmov r2, r0", true},
		{"", true},
		{"ldxdw r1, [r10-8]", false},
		{"jeq r0, 1, +1\nmov r3, 1", false},
	};

	for (unsigned i = 0; i < FORT_LEN(cases); i++) {
		struct fort_code_view view;
		fort_helper_fn *const *slots;
		char source[256];
		struct machine m;
		bool lazy = false;

		snprintf(source, sizeof(source), "call 1\n%s\ncall 2\nmov r0, 3\nexit",
			 cases[i].between);
		machine_load(&m, source, NULL, 0);
		m.helper = look_for_all;
		assert_int_equal(machine_compile(&m, FORT_ISOLATION_SFI), 0);
		m.engine->view(m.code, &view);
		slots = (fort_helper_fn *const *)(const void *)view.bytes;
		for (uint32_t slot = 0; slot < view.n_slots; slot++) {
			assert_ptr_equal(view.slots[slot], look);
			lazy |= slots[-1 - (int)slot] == fort_x64_gate(slot, true);
		}
		if (lazy != cases[i].lazy)
			fail_msg("between two calls: %s", cases[i].between);
		assert_int_equal(machine_run(&m), 3);
		machine_free(&m);
	}
}

static void helpers_get_their_arguments(void **state)
{
	struct machine m;

	machine_load(&m, "mov r1, 1\nmov r2, 2\nmov r3, 3\nmov r4, 4\nmov r5, 5\ncall 1\nexit",
		     NULL, 0);
	m.helper = look_for_all;
	assert_int_equal(machine_compile(&m, FORT_ISOLATION_SFI), 0);
	assert_int_equal(machine_run(&m), 54321);
	machine_free(&m);
}

/* --- every way out --- */

static uint64_t refuse(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
		       struct fort_run *run)
{
	fort_run_abort(run, FORT_ABORT_HELPER_ARG, 1);
	return 0;
}

static fort_helper_fn *refuse_all(uint32_t number)
{
	return number == 1 ? refuse : NULL;
}

static void rights_are_the_same_after_every_end(void **state)
{
	static const struct {
		const char *source;
		uint32_t code;
	} cases[] = {
		{"mov r0, 1\nexit", FORT_ABORT_NONE},
		{"jeq r3, 0, -1\nexit", FORT_ABORT_FUEL},
		{"mov r1, 0\nstxdw [r1+0], r1\nexit", FORT_ABORT_MEMORY},
		{"mov r1, 0\nlock add [r1+0], r1\nexit", FORT_ABORT_MEMORY},
		{"call 1\nexit", FORT_ABORT_HELPER_ARG},
		{"call 2\nexit", FORT_ABORT_HELPER},
	};

	for (unsigned i = 0; i < FORT_LEN(cases); i++) {
		struct machine m;

		machine_load(&m, cases[i].source, NULL, 0);
		m.helper = refuse_all;
		m.unproven = true;
		assert_int_equal(machine_compile(&m, FORT_ISOLATION_SFI), 0);
		fort_keys_set(FORT_KEYS_CLOSED);
		machine_run(&m);
		assert_int_equal(fort_keys_get(), FORT_KEYS_CLOSED);
		fort_keys_set(0);
		assert_int_equal(m.run.abort.code, cases[i].code);
		machine_free(&m);
	}
}

/* The kernel writes what a signal saves with the rights that handlers have. */
static void *fault_on_another_stack(void *arg)
{
	static char no_stack[] = "no stack", no_fault[] = "no fault";
	struct machine *m = arg;
	stack_t stack = {.ss_sp = malloc(64 << 10), .ss_size = 64 << 10};

	if (sigaltstack(&stack, NULL))
		return no_stack;
	machine_run(m);
	stack.ss_flags = SS_DISABLE;
	sigaltstack(&stack, NULL);
	free(stack.ss_sp);
	return m->run.abort.code == FORT_ABORT_MEMORY ? NULL : no_fault;
}

static void threads_and_their_stacks(void **state)
{
	struct machine m;
	pthread_t thread;
	void *result = &m;

	machine_load(&m, "mov r1, 0\nldxdw r0, [r1+0]\nexit", NULL, 0);
	assert_int_equal(machine_compile(&m, FORT_ISOLATION_SFI), 0);
	fort_keys_set(FORT_KEYS_CLOSED); /* which the thread inherits */
	assert_int_equal(pthread_create(&thread, NULL, fault_on_another_stack, &m), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	fort_keys_set(0);
	assert_null(result);
	machine_free(&m);
}

/* --- not enough keys --- */

static void windows_share_colors_when_they_must(void **state)
{
	enum { MACHINES = 2 * FORT_KEY_COLORS_MAX + 1 };
	static struct machine machines[MACHINES];
	uint32_t of_color[16] = {0};

	for (unsigned i = 0; i < MACHINES; i++) {
		machine_load(&machines[i], "stxdw [r1+0], r10\nldxdw r0, [r1+0]\nexit", NULL, 0);
		assert_int_equal(machine_compile(&machines[i], FORT_ISOLATION_SFI), 0);
		of_color[machines[i].domain.window.key]++;
	}
	assert_int_equal(machine_keys.n_colors, FORT_KEY_COLORS_MAX);
	assert_int_equal(of_color[0] + of_color[machine_keys.runtime], 0);
	for (uint32_t i = 0; i < machine_keys.n_colors; i++)
		assert_in_range(of_color[machine_keys.colors[i]], 2, 3);
	for (unsigned i = 0; i < MACHINES; i++) {
		assert_int_equal(machine_run(&machines[i]),
				 fort_domain_stack_top(&machines[i].domain, 0));
		machine_free(&machines[i]);
	}
	for (uint32_t i = 0; i < machine_keys.n_colors; i++)
		assert_int_equal(machine_keys.uses[i], 0);
}

static void without_keys_it_is_refused(void **state)
{
	struct fort_domain_layout layout = {.n_slots = 1};
	struct fort_keys keys;
	struct fort_domain domain;
	int taken[16], n = 0;

	fort_keys_close(&machine_keys);
	while (n < 16 && (taken[n] = pkey_alloc(0, 0)) >= 0)
		n++;
	assert_int_equal(n, 15);
	assert_int_equal(fort_keys_probe(), -ENOSPC);
	assert_int_equal(fort_keys_open(&keys), -ENOSPC);
	assert_false(fort_engine_has(&fort_engine_x64, FORT_ISOLATION_MPK));
	assert_int_equal(pkey_free(taken[--n]), 0);
	assert_int_equal(fort_keys_open(&keys), 0);
	layout.keys = &keys;
	assert_int_equal(fort_domain_open(&layout, NULL, 0, &domain), -ENOSPC);
	assert_int_equal(pkey_free(taken[--n]), 0);
	assert_int_equal(fort_domain_open(&layout, NULL, 0, &domain), 0);
	fort_domain_close(&domain);
	fort_keys_close(&keys);
	while (n)
		assert_int_equal(pkey_free(taken[--n]), 0);
	assert_true(fort_engine_has(&fort_engine_x64, FORT_ISOLATION_MPK));
}

/* --- images --- */

/* Constants that spell the instructions that would open keys. */
static void no_image_can_open_keys(void **state)
{
	static const char *const sources[] = {
		"lddw r1, 0xef010fef010f\nmov r0, r1\nexit",
		"mov r0, 0x00ef010f\nexit",
		"mov r0, 0x28ae0f\nadd r0, 0x28ae0f\nexit",
	};
	static const uint64_t results[] = {0xef010fef010f, 0xef010f, 0x515c1e};

	for (unsigned i = 0; i < FORT_LEN(sources); i++) {
		struct fort_code_view view;
		struct machine m;

		machine_load(&m, sources[i], NULL, 0);
		m.unproven = true;
		assert_int_equal(machine_compile(&m, FORT_ISOLATION_SFI), 0);
		m.engine->view(m.code, &view);
		assert_int_equal(fort_inspect_barred(view.bytes, view.n_bytes, 0), view.n_bytes);
		assert_int_equal(machine_run(&m), results[i]);
		machine_free(&m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(windows_are_closed_to_all_but_their_programs),
		cmocka_unit_test(system_calls_meet_closed_keys),
		cmocka_unit_test(programs_run_with_their_window_and_key_0),
		cmocka_unit_test(closing_waits_for_the_next_call),
		cmocka_unit_test(helpers_get_their_arguments),
		cmocka_unit_test(rights_are_the_same_after_every_end),
		cmocka_unit_test(threads_and_their_stacks),
		cmocka_unit_test(windows_share_colors_when_they_must),
		cmocka_unit_test(without_keys_it_is_refused),
		cmocka_unit_test(no_image_can_open_keys),
	};

	if (machine_must_skip())
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
