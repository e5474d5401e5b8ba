/* What becomes of a target, and of several loaders of one: exec, exit, unwinding, spawning. */
#include "tests/attach/harness.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static enum fort_target_state await_change(struct fort_target *target)
{
	uint64_t late = harness_now_us() + 5000000;
	struct pollfd poll_fd = {.fd = fort_target_fd(target), .events = POLLIN};

	while (fort_target_poll(target) == FORT_TARGET_OPEN && harness_now_us() < late)
		poll(&poll_fd, 1, 100);
	return fort_target_poll(target);
}

static void exec_ends_the_target(void **state)
{
	struct victim victim = harness_start("VICTIM", "exec", 1);
	struct aim aim = harness_aim(victim.pid);
	struct fort_probe *probe =
		harness_probe(&aim, NULL, "victim_work", true, COUNTING_RECORD, 0);
	struct remains now;

	harness_progress(&victim, 10);
	victim.control->events = 1;
	assert_int_equal(await_change(aim.target), FORT_TARGET_REPLACED);
	assert_true(fort_probe_counts(probe).hits > 0);
	harness_unprobe(probe);
	harness_aim_close(&aim);
	harness_progress(&victim, 1000);
	now = harness_remains(victim.pid);
	assert_int_equal(now.changed_bytes, 0);
	assert_int_equal(now.executable_bytes, 0);
	aim = harness_aim(victim.pid);
	harness_aim_close(&aim);
	harness_end(&victim);
}

static void exit_ends_the_target(void **state)
{
	struct victim victim = harness_start("VICTIM", "work", 4);
	struct aim aim = harness_aim(victim.pid);
	struct fort_probe *probe =
		harness_probe(&aim, NULL, "victim_work", true, COUNTING_RECORD, 0);

	harness_progress(&victim, 10);
	harness_end(&victim); /* status 0: the agent's thread does not change it */
	assert_int_equal(await_change(aim.target), FORT_TARGET_EXITED);
	assert_true(fort_probe_counts(probe).hits > 0);
	harness_unprobe(probe);
	harness_aim_close(&aim);
}

static void agent_does_not_keep_a_process_alive(void **state)
{
	struct victim victim = harness_start("VICTIM", "vanish", 1);
	struct aim aim = harness_aim(victim.pid), second = harness_aim(victim.pid);

	harness_probe(&aim, NULL, "victim_work", true, COUNTING_RECORD, 0);
	victim.control->events = 1;
	assert_int_equal(await_change(aim.target), FORT_TARGET_EXITED);
	harness_aim_close(&aim);
	harness_aim_close(&second);
	harness_end(&victim);
}

static void main_thread_may_have_ended(void **state)
{
	struct victim victim = harness_start("VICTIM", "headless", 1);
	struct remains before;
	struct aim aim;
	struct fort_probe *probe;

	usleep(20000);
	harness_progress(&victim, 10);
	aim = harness_aim(victim.pid);
	probe = harness_probe(&aim, NULL, "victim_work", true, COUNTING_RECORD, 0);
	harness_progress(&victim, 1000);
	assert_true(fort_probe_counts(probe).hits > 900);
	harness_unprobe(probe);
	harness_aim_close(&aim);
	before = harness_remains(victim.pid);
	assert_int_equal(before.changed_bytes, 0);
	harness_end(&victim);
}

/* Detaches while a thread may be kept within a hit. */
static void unprobe_held(struct fort_probe *probe)
{
	struct fort_text why = fort_text_new();
	int err = fort_probe_detach(probe, &why);

	if (err && err != -EBUSY)
		fail_msg("detach: %d %s", err, why.data);
	fort_text_free(&why);
}

/* A handler runs while its thread is stopped inside the bytes that change. */
static void code_under_a_handler(void **state)
{
	struct victim victim = harness_start("VICTIM", "handler", 1);
	struct remains before = harness_remains(victim.pid);
	struct aim aim = harness_aim(victim.pid);

	for (int i = 0; i < 60; i++) {
		struct fort_probe *probe = NULL;

		if (i % 2)
			probe = harness_probe(&aim, NULL, "victim_work", i % 4 == 1,
					      COUNTING_RECORD, 0);
		victim.control->signals = 0;
		victim.control->hold = 1;
		kill(victim.pid, SIGUSR1);
		while (victim.control->signals != 1)
			usleep(50);
		if (probe)
			unprobe_held(probe);
		else
			probe = harness_probe(&aim, NULL, "victim_work", i % 4 == 0,
					      COUNTING_RECORD, 0);
		victim.control->hold = 0;
		while (victim.control->signals != 2)
			usleep(50);
		harness_progress(&victim, 100);
		if (i % 2 == 0)
			harness_unprobe(probe);
	}
	harness_aim_close(&aim);
	harness_assert_clean(victim.pid, &before);
	harness_end(&victim);
}

static void exceptions(void **state)
{
	struct victim victim = harness_start("VICTIM_CXX", "throw", 3);
	struct remains before = harness_remains(victim.pid);
	uint64_t late = harness_now_us() + 2000000, hits = 0, missed = 0;
	struct aim aim = harness_aim(victim.pid);

	while (harness_now_us() < late) {
		static const char *const names[] = {"victim_throw", "victim_catch",
						    "victim_rethrow", "__cxa_throw", "victim_calm"};
		struct fort_probe *probes[FORT_LEN(names)];
		struct fort_probe_counts counts;

		for (size_t i = 0; i < FORT_LEN(names); i++)
			probes[i] = harness_probe(&aim, i == 3 ? "libstdc++" : NULL, names[i], true,
						  COUNTING_RECORD, 0);
		harness_progress(&victim, 20);
		for (size_t i = 0; i < FORT_LEN(names) - 1; i++)
			missed += harness_unprobe_counts(probes[i]).missed;
		counts = harness_unprobe_counts(probes[FORT_LEN(names) - 1]);
		hits += counts.hits;
		assert_int_equal(counts.missed, 0);
	}
	assert_true(hits > 100);
	assert_true(missed > 100); /* calls under way when something is thrown */
	harness_aim_close(&aim);
	harness_assert_clean(victim.pid, &before);
	harness_end(&victim);
}

/* Probes are still attached when the agent leaves: calls that it caught are under way, and the
 * guards of unwinders go with it. */
static void exceptions_while_agents_leave(void **state)
{
	static const char *const names[] = {"victim_throw", "victim_catch", "victim_rethrow"};
	struct victim victim = harness_start("VICTIM_CXX", "throw", 3);
	struct remains before = harness_remains(victim.pid);
	uint64_t late = harness_now_us() + 3000000;

	for (int i = 0; i < 10 || harness_now_us() < late; i++) {
		struct aim aim = harness_aim(victim.pid);

		for (size_t n = 0; n < FORT_LEN(names); n++)
			(void)harness_probe(&aim, NULL, names[n], true, COUNTING_SLOW, 0);
		harness_progress(&victim, 3);
		harness_aim_close(&aim);
	}
	harness_progress(&victim, 20);
	harness_assert_clean(victim.pid, &before);
	harness_end(&victim);
}

static void backtrace_with_a_late_unwinder(void **state)
{
	struct victim victim = harness_start("VICTIM", "trace", 1);
	struct aim aim = harness_aim(victim.pid);
	struct fort_probe *probe =
		harness_probe(&aim, NULL, "victim_trace", true, COUNTING_RECORD, 0);

	for (int i = 0; i < 10; i++) {
		victim.control->events++;
		harness_progress(&victim, 1);
	}
	assert_int_equal(victim.control->wrong, 0);
	assert_int_equal(fort_probe_counts(probe).missed, 110);
	assert_int_equal(fort_probe_counts(probe).hits, 0);
	harness_unprobe(probe);
	harness_aim_close(&aim);
	harness_end(&victim);
}

static void little_stack(void **state)
{
	struct victim victim = harness_start("VICTIM", "stack", 1);
	struct aim aim = harness_aim(victim.pid);
	uint64_t plain, probed;
	struct fort_probe *probe;

	harness_progress(&victim, 3);
	plain = victim.control->events;
	probe = harness_probe(&aim, NULL, "victim_leaf", true, COUNTING_RECORD, 0);
	harness_progress(&victim, 3);
	probed = victim.control->events;
	print_message("# a hit writes %d bytes of stack below the call\n", (int)probed);
	assert_true(plain < 200);
	assert_true(probed > 168 && probed < 168 + 1024);
	harness_unprobe(probe);
	harness_aim_close(&aim);
	harness_end(&victim);
}

/* An agent whose code was patched over looks again within a second. */
static void await_restored(pid_t pid)
{
	uint64_t late = harness_now_us() + 10000000;

	while (harness_remains(pid).changed_bytes && harness_now_us() < late)
		usleep(10000);
}

static void two_loaders(void **state)
{
	struct victim victim = harness_start("VICTIM", "work", 2);
	struct remains before = harness_remains(victim.pid);
	uint64_t late = harness_now_us() + 60000000;

	for (int order = 0; order < 4; order++) {
		struct aim aims[2] = {harness_aim(victim.pid), harness_aim(victim.pid)};
		struct fort_probe *probes[2];
		uint64_t runs[2];

		for (int i = 0; i < 2; i++)
			probes[i] = harness_probe(&aims[i], NULL, "victim_work", order & 2,
						  COUNTING_RECORD, 0);
		for (int i = 0; i < 2; i++)
			runs[i] = fort_probe_counts(probes[i]).hits;
		harness_progress(&victim, 2000);
		for (int i = 0; i < 2; i++)
			assert_true(fort_probe_counts(probes[i]).hits > runs[i] + 1000);
		if (order & 1) { /* last in, first out */
			harness_aim_close(&aims[1]);
			harness_aim_close(&aims[0]);
		} else {
			struct fort_text why = fort_text_new();

			assert_int_equal(fort_target_close(aims[0].target, &why), -EBUSY);
			assert_non_null(strstr(why.data, "another tool"));
			fort_text_free(&why);
			harness_progress(&victim, 1000);
			harness_aim_close(&aims[1]);
			await_restored(victim.pid);
		}
		harness_progress(&victim, 1000);
	}
	while (harness_remains(victim.pid).threads != before.threads && harness_now_us() < late)
		usleep(10000);
	/* The pages that first agents could not unmap are swept by later loaders. */
	for (int i = 0; i < 4; i++) {
		struct aim aim = harness_aim(victim.pid);

		harness_aim_close(&aim);
	}
	harness_assert_clean(victim.pid, &before);
	harness_end(&victim);
}

static void spawned(void **state)
{
	char *arguments[] = {(char *)(uintptr_t) "/bin/echo", (char *)(uintptr_t) "spawned", NULL};
	struct fort_target_options options = {.agent = harness_agent()};
	struct fort_text why = fort_text_new();
	struct fort_probe *entry, *exit;
	struct aim aim = {0};
	int err, status, pipe_fd[2], saved = dup(1);
	char line[32] = {0};
	pid_t pid;

	assert_int_equal(pipe(pipe_fd), 0);
	fflush(stdout);
	dup2(pipe_fd[1], 1);
	err = fort_target_spawn(arguments, &options, &aim.target, &why);
	dup2(saved, 1);
	if (err)
		fail_msg("spawn: %d %s", err, why.data);
	close(pipe_fd[1]);
	pid = fort_target_pid(aim.target);
	harness_aim_load(&aim);
	entry = harness_probe(&aim, "libc", "write", false, COUNTING_RECORD, 0);
	exit = harness_probe(&aim, "libc", "write", true, COUNTING_RECORD, 0);
	assert_int_equal(fort_target_start(aim.target, &why), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(read(pipe_fd[0], line, sizeof(line) - 1), 8);
	assert_string_equal(line, "spawned\n");
	assert_int_equal(fort_probe_counts(entry).hits, 1);
	assert_int_equal(fort_probe_counts(exit).hits, 1);
	harness_aim_close(&aim);
	close(pipe_fd[0]);
	close(saved);
	fort_text_free(&why);
}

static void spawn_that_fails(void **state)
{
	char *arguments[] = {(char *)(uintptr_t) "/no/such/program", NULL};
	struct fort_target_options options = {.agent = harness_agent()};
	struct fort_text why = fort_text_new();
	struct fort_target *target;

	assert_int_equal(fort_target_spawn(arguments, &options, &target, &why), -ENOENT);
	assert_non_null(strstr(why.data, "No such file"));
	assert_int_equal(waitpid(-1, NULL, 0), -1);
	fort_text_free(&why);
}

int main(void)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(exec_ends_the_target),
		cmocka_unit_test(exit_ends_the_target),
		cmocka_unit_test(agent_does_not_keep_a_process_alive),
		cmocka_unit_test(main_thread_may_have_ended),
		cmocka_unit_test(code_under_a_handler),
		cmocka_unit_test(exceptions),
		cmocka_unit_test(exceptions_while_agents_leave),
		cmocka_unit_test(backtrace_with_a_late_unwinder),
		cmocka_unit_test(little_stack),
		cmocka_unit_test(two_loaders),
		cmocka_unit_test(spawned),
		cmocka_unit_test(spawn_that_fails),
	};

	return HARNESS_MAIN(tests);
}
