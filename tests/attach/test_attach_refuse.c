/* What cannot be attached to is refused in words, and stays as it was. */
#include "tests/attach/loader.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static void refused_process(pid_t pid, int err, const char *words)
{
	struct fort_target_options options = {.agent = harness_agent()};
	struct fort_text why = fort_text_new();
	struct fort_target *target = NULL;

	assert_int_equal(fort_target_open(pid, &options, &target, &why), err);
	if (!strstr(why.data, words))
		fail_msg("'%s' is not in '%s'", words, why.data);
	fort_text_free(&why);
}

static void processes(void **state)
{
	struct victim victim = harness_start("VICTIM", "seccomp", 1);
	struct remains before = harness_remains(victim.pid);
	pid_t child;

	refused_process(victim.pid, -EOPNOTSUPP, "seccomp");
	harness_assert_clean(victim.pid, &before);
	harness_end(&victim);

	victim = harness_start("VICTIM", "undumpable", 1);
	refused_process(victim.pid, -EPERM, "not dumpable");
	harness_end(&victim);

	victim = harness_start("VICTIM", "work", 1);
	kill(victim.pid, SIGSTOP);
	assert_int_equal(waitpid(victim.pid, NULL, WUNTRACED), victim.pid);
	refused_process(victim.pid, -EAGAIN, "kill -CONT");
	kill(victim.pid, SIGCONT);
	assert_int_equal(ptrace(PTRACE_SEIZE, victim.pid, NULL, NULL), 0);
	child = fork(); /* we are the tracer: another loader is refused */
	if (!child) {
		struct fort_target_options options = {.agent = harness_agent()};
		struct fort_text why = fort_text_new();
		struct fort_target *target = NULL;
		int err = fort_target_open(victim.pid, &options, &target, &why);

		_exit(err == -EBUSY && strstr(why.data, "it is traced by process") ? 0 : 1);
	} else {
		int status = -1;

		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
	}
	harness_kill(&victim);

	refused_process(getpid(), -EINVAL, "it is this process");
	refused_process(1, -EPERM, "it belongs to user 0");
	refused_process(0, -ESRCH, "no such process");
	refused_process(-1, -ESRCH, "no such process");
	refused_process(0x3fffffff, -ESRCH, "no such process");
}

static void zombies(void **state)
{
	pid_t child = fork();

	if (!child)
		_exit(0);
	usleep(50000);
	refused_process(child, -ESRCH, "zombie");
	assert_int_equal(waitpid(child, NULL, 0), child);
	refused_process(child, -ESRCH, "no such process");
}

static const struct {
	const char *name, *module, *function;
	uint64_t offset;
	bool returns;
	int err;
	const char *words;
} places[] = {
	{"no such function", NULL, "victim_nowhere", 0, false, -ENOENT, "no function"},
	{"no such file", "/no/such/file", "f", 0, false, -ENOENT, "no code mapped"},
	{"not code", NULL, NULL, 8, false, -EINVAL, "not in its code"},
	{"too short for a jump", NULL, "victim_short", 0, false, -EOPNOTSUPP, "too short"},
	{"branch into the window", NULL, "victim_knot", 0, false, -EOPNOTSUPP,
	 "its own first bytes"},
	{"loop to the start", NULL, "victim_round", 0, false, -EOPNOTSUPP,
	 "loops to its own start"},
	{"returns twice", "libc", "_setjmp", 0, true, -EOPNOTSUPP, "more than once"},
	{"chooses at start", "libc", "memcpy", 0, false, -EOPNOTSUPP, "IFUNC"},
};

static void functions(void **state)
{
	struct victim victim = harness_start("VICTIM", "work", 2);
	struct remains before = harness_remains(victim.pid);
	struct aim aim = harness_aim(victim.pid);

	for (size_t i = 0; i < FORT_LEN(places); i++) {
		struct fort_probe_spec spec = {.module = places[i].module,
					       .function = places[i].function,
					       .offset = places[i].offset,
					       .is_return = places[i].returns,
					       .package = aim.package,
					       .program = COUNTING_RECORD};
		struct fort_text why = fort_text_new();
		struct fort_probe *probe;
		int err = fort_probe_attach(aim.target, &spec, &probe, &why);

		if (err != places[i].err || !strstr(why.data, places[i].words))
			fail_msg("%s: %d %s", places[i].name, err, why.data);
		fort_text_free(&why);
	}
	harness_progress(&victim, 10);
	harness_aim_close(&aim);
	harness_assert_clean(victim.pid, &before);
	harness_end(&victim);
}

/* The middle of a function is no place yet, and the words say where one is. */
static void middle_of_a_function(void **state)
{
	struct victim victim = harness_start("VICTIM", "work", 1);
	struct aim aim = harness_aim(victim.pid);
	struct fort_probe *probe;
	struct fort_probe_spec spec = {.package = aim.package};
	struct fort_text why = fort_text_new();

	spec.offset = loader_offset(victim.pid, "victim_work") + 1;
	assert_int_equal(fort_probe_attach(aim.target, &spec, &probe, &why), -EINVAL);
	assert_non_null(strstr(why.data, "victim_work, at file offset"));
	fort_text_free(&why);
	harness_aim_close(&aim);
	harness_end(&victim);
}

int main(void)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(processes),
		cmocka_unit_test(zombies),
		cmocka_unit_test(functions),
		cmocka_unit_test(middle_of_a_function),
	};

	return HARNESS_MAIN(tests);
}
