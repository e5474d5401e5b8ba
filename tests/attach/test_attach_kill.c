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
#include "attach/boot.h"
#include "attach/inject.h"

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

/* An injector goes on when its loader is killed, and becomes our child. It may not yet have come to
 * the victim, so that nothing there tells of it. */
static void await_injectors(pid_t victim)
{
	char path[64];
	FILE *children;
	int pid;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	children = fopen(path, "re");
	assert_non_null(children);
	while (fscanf(children, "%d", &pid) == 1)
		if (pid != victim)
			assert_int_equal(waitpid(pid, NULL, __WALL), pid);
	fclose(children);
}

/* Until all that a killed loader left has ended: its injector, and its agents. */
static void await_clean(pid_t pid, const struct remains *before)
{
	uint64_t late = harness_now_us() + SETTLED_US;
	struct remains now;

	await_injectors(pid);
	now = harness_remains(pid);
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

	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
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
	prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static void killed_loaders(void **state)
{
	loaders("VICTIM", "work", 4);
}

static void killed_loaders_of_a_process_that_waits(void **state)
{
	loaders("VICTIM_STATIC", "block", 1);
}

/* Where the agent's image starts: anonymous code with the gate's magic. */
static uint64_t image_of(const struct fort_process *process)
{
	char magic[FORT_GATE_MAGIC_BYTES];
	struct fort_regions regions;
	uint64_t found = 0;

	assert_int_equal(fort_regions_read(process, &regions), 0);
	for (size_t i = 0; i < regions.n && !found; i++)
		if (!regions.region[i].inode && regions.region[i].rights & PROT_EXEC &&
		    !fort_process_read(process, regions.region[i].start, magic, sizeof(magic)) &&
		    !memcmp(magic, FORT_GATE_MAGIC, sizeof(magic)))
			found = regions.region[i].start;
	fort_regions_free(&regions);
	assert_int_not_equal(found, 0);
	return found;
}

/* A loader saw the last page of an agent that had left. Until it could stop the threads another
 * loader took that page away, and put its own agent in the place. */
static void an_agent_where_a_page_was_left(void **state)
{
	struct victim victim = harness_start("VICTIM", "work", 2);
	struct remains before = harness_remains(victim.pid);
	struct fort_text why = fort_text_new();
	struct aim aim = harness_aim(victim.pid);
	struct fort_process process;
	struct fort_probe *probe;
	uint64_t image;

	assert_int_equal(fort_process_open(victim.pid, &process, &why), 0);
	image = image_of(&process);
	fort_inject_sweep(&process, image);
	assert_int_equal(image_of(&process), image);
	probe = harness_probe(&aim, NULL, "victim_work", false, COUNTING_RECORD, 0);
	harness_progress(&victim, 3);
	harness_unprobe(probe);
	assert_true(harness_runs(&aim) > 0);
	harness_aim_close(&aim);
	harness_assert_clean(victim.pid, &before);
	harness_end(&victim);
	fort_process_close(&process);
	fort_text_free(&why);
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
		cmocka_unit_test(an_agent_where_a_page_was_left),
		cmocka_unit_test(killed_targets),
	};

	srand(1);
	return HARNESS_MAIN(tests);
}
