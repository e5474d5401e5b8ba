/* Loaders and targets that are killed at any moment: survivors keep nothing of the other. */
#include "tests/attach/loader.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/uapi.h"

#define ROUNDS     220
#define LATEST_US  12000 /* injection, a few probes, leaving: a round of the loader is shorter */
#define SETTLED_US 10000000ull

/* What a loader does until it is killed. Other loaders of the victim may be in its way. */
static void load_for_ever(pid_t victim)
{
	struct loader loader = loader_open();
	int prog = loader_prog(&loader, BPF_PROG_TYPE_KPROBE, "mov r0, 0\nexit");

	for (unsigned i = 0;; i++) {
		struct loader_place place = {victim, victim, i & 1 ? "victim_work" : "victim_leaf",
					     (i & 2) != 0, i};
		long links[3];

		for (int n = 0; n < 3; n++) {
			place.returns = n & 1;
			links[n] = loader_attach(&loader, prog, &place);
		}
		for (int n = 0; n < 3; n++)
			if (links[n] >= 0)
				close((int)links[n]);
		fort_store_reap(loader.store);
	}
}

/* Until all that a killed loader left has ended: its agents, and its injector. */
static void await_clean(pid_t pid, const struct remains *before)
{
	uint64_t late = harness_now_us() + SETTLED_US;
	struct remains now = harness_remains(pid);

	while ((now.threads != before->threads || now.changed_bytes || now.fds != before->fds) &&
	       harness_now_us() < late) {
		usleep(2000);
		now = harness_remains(pid);
	}
	assert_int_equal(now.threads, before->threads);
	assert_int_equal(now.changed_bytes, 0);
	assert_int_equal(now.fds, before->fds);
}

static void loaders(const char *build, const char *mode, int threads)
{
	struct victim victim = harness_start(build, mode, threads);
	struct remains before = harness_remains(victim.pid);
	struct aim aim;

	for (int i = 0; i < ROUNDS / 2; i++) {
		pid_t pid = fork();

		if (!pid) {
			prctl(PR_SET_DUMPABLE, 1);
			load_for_ever(victim.pid);
		}
		usleep((useconds_t)(rand() % LATEST_US));
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		/* mostly the next loader comes before the agents of this one have left */
		if (i % 10 == 0)
			await_clean(victim.pid, &before);
		harness_progress(&victim, 1);
	}
	await_clean(victim.pid, &before);
	/* Pages that nobody could unmap are taken away by the loaders that come later. */
	for (int i = 0; i < 200 && harness_remains(victim.pid).executable_bytes; i++) {
		aim = harness_aim(victim.pid);
		harness_aim_close(&aim);
	}
	harness_assert_clean(victim.pid, &before);
	harness_end(&victim);
}

static void killed_loaders(void **state)
{
	loaders("VICTIM", "work", 4);
}

static void killed_loaders_of_a_process_that_waits(void **state)
{
	loaders("VICTIM_STATIC", "block", 1);
}

/* Sanitizers map memory of their own as they go, without a name. */
#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define ONLY_NAMED true
#endif
#endif
#ifndef ONLY_NAMED
#define ONLY_NAMED false
#endif

static unsigned mappings(void)
{
	FILE *file = fopen("/proc/self/maps", "re");
	char line[512];
	unsigned n = 0;

	while (file && fgets(line, sizeof(line), file))
		n += !ONLY_NAMED || strpbrk(line, "/[") != NULL;
	if (file)
		fclose(file);
	return n;
}

/* Attaches and detaches until the target is gone. */
static void attach_until_it_ends(pid_t pid)
{
	struct fort_target_options options = {.agent = harness_agent()};
	struct fort_text why = fort_text_new();
	struct fort_target *target;

	while (!fort_target_open(pid, &options, &target, &why)) {
		for (int i = 0; i < 4; i++) {
			struct fort_probe_spec spec = {.function = "victim_work",
						       .is_return = i & 1};
			struct fort_probe *probe;
			int fd = memfd_create("counting", MFD_CLOEXEC), err;

			err = ftruncate(fd, sizeof(struct counting));
			if (!err)
				err = fort_target_load(target,
						       (struct fort_span){(const uint8_t *)"c", 1},
						       &fd, 1, &spec.package, &why);
			close(fd);
			if (!err && !fort_probe_attach(target, &spec, &probe, &why) && i != 3)
				(void)fort_probe_detach(probe, &why);
		}
		(void)fort_target_close(target, &why);
		fort_text_clear(&why);
	}
	assert_true(why.length > 0);
	fort_text_free(&why);
}

static void killed_targets(void **state)
{
	uint64_t fds = 0, longest = 0;
	unsigned maps = 0;

	for (int i = 0; i < ROUNDS; i++) {
		struct victim victim = harness_start("VICTIM", "work", 3);
		uint64_t start = harness_now_us();
		pid_t killer = fork();

		if (!killer) {
			usleep((useconds_t)(rand() % LATEST_US));
			kill(victim.pid, SIGKILL);
			_exit(0);
		}
		attach_until_it_ends(victim.pid);
		if (harness_now_us() - start > longest)
			longest = harness_now_us() - start;
		assert_int_equal(waitpid(killer, NULL, 0), killer);
		harness_kill(&victim);
		assert_int_equal(waitpid(-1, NULL, __WALL),
				 -1); /* no process is left of any kind */
		if (i == 10) {
			fds = harness_remains(getpid()).fds;
			maps = mappings();
		}
	}
	print_message("# the loader noticed after at most %d ms\n", (int)(longest / 1000));
	assert_int_equal(harness_remains(getpid()).fds, fds);
	assert_true(mappings() <= maps + 4);
}

int main(void)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_loaders),
		cmocka_unit_test(killed_loaders_of_a_process_that_waits),
		cmocka_unit_test(killed_targets),
	};

	srand(1);
	return HARNESS_MAIN(tests);
}
