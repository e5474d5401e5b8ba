/* Attach and detach under all that a process may do meanwhile: threads, signals, jumps, forks. */
#include "tests/attach/harness.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* How long each victim is worked on; attach and detach follow each other without a pause. */
#define LOOP_US 1500000ull

static void retire(struct aim *aim, struct victim *victim, const struct remains *before)
{
	harness_aim_close(aim);
	harness_progress(victim, 1);
	harness_assert_clean(victim->pid, before);
	harness_end(victim);
}

/* With the threads paused at both ends, every call is a hit; while they run, none is lost that
 * began after attach returned and ended before detach was asked for. */
static void count_calls(const char *build, int threads, bool is_return)
{
	struct victim victim = harness_start(build, "work", threads);
	struct remains before = harness_remains(victim.pid);
	struct aim aim = harness_aim(victim.pid);
	uint64_t late = harness_now_us() + LOOP_US, rounds = 0;

	while (harness_now_us() < late || rounds < 4) {
		uint64_t start, inner_start, inner_end, end;
		struct fort_probe_counts counts;
		struct fort_probe *probe;
		bool exact = rounds++ % 2;

		if (exact)
			harness_hold(&victim, (uint32_t)threads);
		start = harness_calls(&victim);
		probe = harness_probe(&aim, NULL, "victim_work", is_return, COUNTING_RECORD, 0);
		inner_start = harness_calls(&victim);
		if (exact)
			harness_go_on(&victim);
		usleep(1000);
		if (exact)
			harness_hold(&victim, (uint32_t)threads);
		inner_end = harness_calls(&victim);
		counts = fort_probe_counts(probe);
		assert_int_equal(counts.missed, 0);
		if (exact)
			assert_int_equal(counts.hits, inner_end - start);
		/* a call under way is counted by the victim only when it has returned */
		assert_true(counts.hits + (uint64_t)threads >= inner_end - inner_start);
		harness_unprobe(probe);
		end = harness_calls(&victim);
		assert_true(counts.hits <= end - start + (uint64_t)threads);
		if (exact)
			harness_go_on(&victim);
	}
	retire(&aim, &victim, &before);
}

static void one_thread(void **state)
{
	count_calls("VICTIM", 1, false);
	count_calls("VICTIM_ENDBR", 1, true);
}

static void eight_threads(void **state)
{
	count_calls("VICTIM", 8, false);
	count_calls("VICTIM_NOPIE", 8, true);
	count_calls("VICTIM_STATIC", 8, true);
}

/* Attaches and detaches entry and return of a function of the victim, over and over. */
static uint64_t churn(const struct aim *aim, const struct victim *victim, const char *function,
		      const char *other)
{
	uint64_t late = harness_now_us() + LOOP_US, hits = 0;

	while (harness_now_us() < late) {
		struct fort_probe *entry, *exit, *more;

		entry = harness_probe(aim, NULL, function, false, COUNTING_RECORD, 0);
		exit = harness_probe(aim, NULL, function, true, COUNTING_RECORD, 0);
		more = harness_probe(aim, NULL, other, true, COUNTING_RECORD, 0);
		usleep(2000);
		hits += harness_unprobe_counts(entry).hits;
		hits += harness_unprobe_counts(exit).hits;
		hits += harness_unprobe_counts(more).hits;
	}
	assert_int_equal(victim->control->wrong, 0);
	return hits;
}

static const struct {
	const char *name, *mode;
	int threads;
	const char *function, *other;
} storms[] = {
	{"deep recursion", "deep", 1, "victim_recurse", "victim_leaf"},
	{"longjmp out of probed functions", "jump", 4, "victim_jump", "victim_recurse"},
	{"threads that exit and are cancelled inside", "churn", 1, "victim_exit_thread",
	 "victim_recurse"},
	{"signal handlers that hit, too", "signals", 4, "victim_work", "handler"},
	{"on an alternate stack", "altstack", 1, "victim_work", "handler"},
	{"handlers that jump out of hits", "sigjump", 1, "victim_work", "victim_recurse"},
	{"fork, vfork, posix_spawn", "fork", 1, "victim_work", "victim_fork"},
	{"interrupted waits", "block", 1, "victim_work", "block_nanosleep"},
};

static void storm(void **state)
{
	size_t i = (size_t)(uintptr_t)*state;
	struct victim victim = harness_start("VICTIM", storms[i].mode, storms[i].threads);
	struct remains before = {0};
	struct aim aim;
	uint64_t hits;

	harness_hold(&victim, !strcmp(storms[i].mode, "churn") || !strcmp(storms[i].mode, "fork"));
	before = harness_remains(victim.pid);
	harness_go_on(&victim);
	aim = harness_aim(victim.pid);
	hits = churn(&aim, &victim, storms[i].function, storms[i].other);
	assert_true(hits > 10);
	harness_aim_close(&aim);
	usleep(50000);
	harness_hold(&victim, !strcmp(storms[i].mode, "churn") || !strcmp(storms[i].mode, "fork"));
	harness_assert_clean(victim.pid, &before);
	harness_go_on(&victim);
	harness_end(&victim);
}

int main(void)
{
	struct CMUnitTest tests[2 + sizeof(storms) / sizeof(storms[0])] = {
		cmocka_unit_test(one_thread),
		cmocka_unit_test(eight_threads),
	};

	for (size_t i = 0; i < sizeof(storms) / sizeof(storms[0]); i++)
		tests[2 + i] = (struct CMUnitTest){.name = storms[i].name,
						   .test_func = storm,
						   .initial_state = (void *)(uintptr_t)i};
	return HARNESS_MAIN(tests);
}
