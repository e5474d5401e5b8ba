/* Programs that crash in other processes: without a proof, under sfi, in an agent that believes
 * everything. What their policy says is done at exactly its number, their owner hears of it, and
 * the process goes on.
 */
#include "tests/attach/loader.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/uapi.h"

/* Counts its runs, then reads its stack through r7. On the way into the process r7 becomes a
 * number: the read is of an address where nothing is, in any window. */
#define BAD_OFFSET 24u
#define CRASHING                                                                          \
	"stdw [r10-16], 0\nstw [r10-4], 0\nlddw r1, map_fd %d\nmov r2, r10\nadd r2, -4\n" \
	"call 1\njeq r0, 0, out\nmov r1, 1\nlock add [r0+0], r1\nmov r7, r10\n"           \
	"ldxdw r0, [r7-16]\nout: mov r0, 0\nexit"
#define BAD_PC 11u /* slot of that read */
#define COUNTING_ONLY                                                           \
	"stw [r10-4], 0\nlddw r1, map_fd %d\nmov r2, r10\nadd r2, -4\ncall 1\n" \
	"jeq r0, 0, out\nmov r1, 1\nlock add [r0+0], r1\nout: mov r0, 0\nexit"

#define THREADS 4
#define LATE_US 30000000u

struct world {
	struct loader loader;
	struct fort_store_attacher hooks; /* the real ones */
	int map, prog;
};

/* The package on its way: mov r7, r10 becomes mov r7, 40. */
static int attach_without_proof(void *owner, const struct fort_attach_request *request,
				void **attachment)
{
	const struct world *world = owner;
	struct fort_span package;
	uint8_t *bytes;

	assert_int_equal(fort_road_package(request->program, &package), 0);
	bytes = (uint8_t *)(uintptr_t)package.data;
	for (size_t at = 0; at + 8 <= package.bytes; at += 8)
		if (!memcmp(bytes + at, "\xbf\xa7\0\0\0\0\0\0", 8))
			memcpy(bytes + at, "\xb7\x07\0\0\x28\0\0\0", 8);
	return world->hooks.attach(world->hooks.owner, request, attachment);
}

static void detach_as_ever(void *owner, void *attachment)
{
	const struct world *world = owner;

	world->hooks.detach(world->hooks.owner, attachment);
}

static void open_world(struct world *world, uint32_t after, uint32_t actions)
{
	const struct fort_crash_policy policy = {after, actions};
	struct fort_store_attacher hooks = {attach_without_proof, detach_as_ever, world};

	world->loader = loader_open_with(harness_read("BELIEVING_AGENT"));
	world->hooks = fort_attacher_hooks(world->loader.attacher);
	fort_store_set_attacher(world->loader.store, &hooks);
	fort_store_set_crash_policy(world->loader.store, &policy);
	world->map = loader_map(&world->loader, BPF_MAP_TYPE_ARRAY, 4, 8, 1);
	world->prog = loader_prog(&world->loader, BPF_PROG_TYPE_KPROBE, CRASHING, world->map);
}

static void close_world(struct world *world)
{
	close(world->prog);
	close(world->map);
	loader_close(&world->loader);
}

static int link_to(const struct world *world, int prog, const struct victim *victim)
{
	const struct loader_place place = {victim->pid, victim->pid, "victim_work", false, 0};

	return loader_link(&world->loader, prog, &place);
}

static uint64_t runs(const struct world *world)
{
	return loader_get(&world->loader, world->map, 0);
}

static void await_runs(const struct world *world, uint64_t n)
{
	uint64_t late = harness_now_us() + LATE_US;

	while (runs(world) < n && harness_now_us() < late)
		usleep(500);
	assert_true(runs(world) >= n);
}

static void await_unpatched(pid_t pid)
{
	uint64_t late = harness_now_us() + LATE_US;

	while (harness_remains(pid).changed_bytes && harness_now_us() < late)
		usleep(1000);
	assert_int_equal(harness_remains(pid).changed_bytes, 0);
}

/* Takes all crashes: each a wild read, all numbers from 1, the policy at its own alone. How many.
 */
static uint32_t take_crashes(const struct world *world, uint32_t after, uint32_t actions)
{
	struct fort_store_crash crash;
	uint32_t n = 0, sum = 0, acted = 0;

	while (fort_store_next_crash(world->loader.store, &crash)) {
		const struct fort_crash_event *event = &crash.event;

		assert_int_equal(event->code, FORT_ABORT_MEMORY);
		assert_int_equal(event->pc, BAD_PC);
		assert_int_equal(event->address, BAD_OFFSET);
		assert_int_equal(event->bytes, 8);
		assert_true(crash.attached);
		assert_true(crash.prog_id != 0);
		assert_true(!strncmp(event->comm, "victim", 6) ||
			    !strncmp(event->comm, "VICTIM", 6));
		assert_int_equal(event->actions, event->crashes == after ? actions : 0);
		acted += event->crashes == after;
		sum += event->crashes;
		n++;
	}
	assert_int_equal(sum, n * (n + 1) / 2);
	assert_int_equal(acted, after && n >= after);
	return n;
}

static void detached_at_its_number(void **state)
{
	enum { AFTER = 50, ACTIONS = FORT_CRASH_DETACH | FORT_CRASH_MARK };
	struct victim victim = harness_start("VICTIM", "work", THREADS);
	struct remains before = harness_remains(victim.pid);
	struct pollfd heard = {.events = POLLIN};
	struct loader_place place = {victim.pid, victim.pid, "victim_work", false, 0};
	struct fort_text why = fort_text_new();
	struct world world;
	uint64_t others, ran;
	int link, other, other_map;

	open_world(&world, AFTER, ACTIONS);
	other_map = loader_map(&world.loader, BPF_MAP_TYPE_ARRAY, 4, 8, 1);
	other = loader_prog(&world.loader, BPF_PROG_TYPE_KPROBE, COUNTING_ONLY, other_map);
	heard.fd = fort_attacher_fd(world.loader.attacher);
	assert_int_equal(poll(&heard, 1, 0), 0);
	link = link_to(&world, world.prog, &victim);
	await_runs(&world, AFTER);
	assert_int_equal(poll(&heard, 1, 5000), 1);
	/* The agent does it by itself, with the link still there. */
	await_unpatched(victim.pid);
	ran = runs(&world);
	assert_in_range(ran, AFTER, AFTER + THREADS - 1);
	harness_progress(&victim, 1000);
	assert_int_equal(runs(&world), ran);
	assert_int_equal(take_crashes(&world, AFTER, ACTIONS), ran);
	fort_attacher_listen(world.loader.attacher);
	assert_int_equal(poll(&heard, 1, 0), 0);
	/* The map is suspect, can be read, and only that one. */
	assert_true(fort_map_is_suspect(loader_map_of(&world.loader, world.map)));
	assert_false(fort_map_is_suspect(loader_map_of(&world.loader, other_map)));
	/* It does not come back; others do. */
	assert_int_equal(loader_attach(&world.loader, world.prog, &place), -EPERM);
	fort_attacher_why(world.loader.attacher, &why);
	assert_non_null(strstr(why.data, "50 runs of the program ended early"));
	fort_text_free(&why);
	close(link);
	link = link_to(&world, other, &victim);
	others = loader_get(&world.loader, other_map, 0);
	harness_progress(&victim, 1000);
	assert_true(loader_get(&world.loader, other_map, 0) > others + 900);
	close(link);
	close(other);
	close(other_map);
	close_world(&world);
	harness_assert_clean(victim.pid, &before);
	harness_end(&victim);
}

/* The probe stays, and runs nothing. */
static void quarantined_at_its_number(void **state)
{
	enum { AFTER = 7 };
	struct victim victim = harness_start("VICTIM", "work", THREADS);
	struct remains before = harness_remains(victim.pid);
	struct world world;
	uint64_t ran;
	int link;

	open_world(&world, AFTER, FORT_CRASH_QUARANTINE);
	link = link_to(&world, world.prog, &victim);
	await_runs(&world, AFTER);
	harness_progress(&victim, 1000);
	ran = runs(&world);
	assert_in_range(ran, AFTER, AFTER + THREADS - 1);
	harness_progress(&victim, 1000);
	assert_int_equal(runs(&world), ran);
	assert_int_equal(take_crashes(&world, AFTER, FORT_CRASH_QUARANTINE), ran);
	assert_true(harness_remains(victim.pid).changed_bytes > 0);
	assert_false(fort_map_is_suspect(loader_map_of(&world.loader, world.map)));
	close(link);
	close_world(&world);
	harness_assert_clean(victim.pid, &before);
	harness_end(&victim);
}

/* One program in two processes, which count together; each detaches it, also the one that the last
 * crash was not in. */
static void processes_count_together(void **state)
{
	enum { AFTER = 300 };
	struct victim victims[2] = {harness_start("VICTIM", "work", 1),
				    harness_start("VICTIM", "work", 1)};
	struct world world;
	int links[2];

	open_world(&world, AFTER, FORT_CRASH_DETACH);
	for (int i = 0; i < 2; i++) {
		harness_hold(&victims[i], 1);
		links[i] = link_to(&world, world.prog, &victims[i]);
	}
	for (int i = 0; i < 2; i++)
		harness_go_on(&victims[i]);
	for (int i = 0; i < 2; i++)
		await_unpatched(victims[i].pid);
	assert_in_range(runs(&world), AFTER, AFTER + 1);
	assert_int_equal(take_crashes(&world, AFTER, FORT_CRASH_DETACH), runs(&world));
	for (int i = 0; i < 2; i++) {
		close(links[i]);
		harness_end(&victims[i]);
	}
	close_world(&world);
}

/* Nobody stops it, and nobody listens: the ring runs over, which is counted; the loader detaches
 * while it runs, again and again. */
static void crowds_of_crashes(void **state)
{
	struct victim victim = harness_start("VICTIM", "work", THREADS);
	struct remains before = harness_remains(victim.pid);
	struct fort_store_crash crash;
	struct world world;
	uint64_t heard = 0;

	open_world(&world, 0, 0);
	for (int i = 0; i < 10; i++) {
		int link = link_to(&world, world.prog, &victim);

		await_runs(&world, runs(&world) + 2000);
		harness_progress(&victim, 1);
		close(link);
		fort_store_reap(world.loader.store);
	}
	while (fort_store_next_crash(world.loader.store, &crash))
		heard++;
	assert_true(heard > 100);
	assert_int_equal(heard + fort_store_crashes_lost(world.loader.store), runs(&world));
	close_world(&world);
	harness_assert_clean(victim.pid, &before);
	harness_end(&victim);
}

static void loader_is_killed(void **state)
{
	static const uint32_t actions[] = {0, FORT_CRASH_QUARANTINE, FORT_CRASH_DETACH};
	struct victim victim = harness_start("VICTIM", "work", THREADS);
	struct remains before = harness_remains(victim.pid);

	for (int i = 0; i < 12; i++) {
		uint64_t late = harness_now_us() + LATE_US;
		pid_t pid = fork();

		if (!pid) {
			struct world world;

			prctl(PR_SET_DUMPABLE, 1);
			open_world(&world, 5, actions[i % 3]);
			(void)link_to(&world, world.prog, &victim);
			for (;;)
				pause();
		}
		while (!harness_remains(victim.pid).changed_bytes && harness_now_us() < late &&
		       actions[i % 3] != FORT_CRASH_DETACH)
			usleep(500);
		usleep((useconds_t)(rand() % 20000));
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		await_unpatched(victim.pid);
		harness_progress(&victim, 100);
	}
	while (harness_remains(victim.pid).threads != before.threads)
		usleep(1000);
	harness_end(&victim);
}

int main(void)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(detached_at_its_number),
		cmocka_unit_test(quarantined_at_its_number),
		cmocka_unit_test(processes_count_together),
		cmocka_unit_test(crowds_of_crashes),
		cmocka_unit_test(loader_is_killed),
	};

	return HARNESS_MAIN(tests);
}
