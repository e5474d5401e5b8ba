/* What becomes of programs whose runs end early: what is told of them, and what is done at which of
 * them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "abi/progs.h"
#include "helper/services.h"
#include "isa/asm.h"
#include "isolate/signals.h"
#include "load/loaded.h"
#include "load/package.h"
#include "load/unit.h"
#include "map/cpus.h"
#include "verify/verify.h"

/* Proven to end, and it does, with enough fuel. */
#define SOURCE  "mov r0, 0\nadd r0, 1\njlt r0, 100, -2\nexit"
#define HEAD_PC 1u /* of the loop, where the fuel runs out */
#define SLOTS   4u

static struct world {
	struct fort_arena arena;
	struct fort_map_shape shapes[2];
	struct fort_unit *unit;
	struct fort_proven proven;
	struct fort_shared *shared;
	struct fort_map *maps[2], *crashes;
	struct fort_ring_reader reader;
	struct fort_host host;
	struct fort_services services[SLOTS];
} world = {
	.shapes =
		{
			{.type = BPF_MAP_TYPE_ARRAY,
			 .key_bytes = 4,
			 .value_bytes = 8,
			 .max_entries = 1},
			{.type = BPF_MAP_TYPE_ARRAY,
			 .key_bytes = 4,
			 .value_bytes = 8,
			 .max_entries = 1,
			 .flags = BPF_F_RDONLY_PROG},
		},
};

static int open_world(void **state)
{
	struct fort_verify_options options = {.budget_insns = 1000000};
	struct fort_unit_request request = {
		.hook = {.prog = fort_prog_by_number(BPF_PROG_TYPE_SOCKET_FILTER)},
		.rights = FORT_ALL_VERIFIER_RIGHTS};
	struct fort_verify_result result;
	struct fort_assembly assembly;
	struct fort_asm_error asm_error;
	struct fort_unit_error error;
	struct fort_check check;
	uint32_t n_cpus;

	fort_arena_init(&world.arena, 64u << 20);
	assert_int_equal(fort_assemble(&world.arena, SOURCE, strlen(SOURCE), &assembly, &asm_error),
			 0);
	assert_int_equal(fort_cpus_possible(&n_cpus), 0);
	assert_int_equal(fort_shared_create(n_cpus, &world.shared), 0);
	for (unsigned i = 0; i < FORT_LEN(world.shapes); i++)
		assert_int_equal(
			fort_map_create(&world.shapes[i], "m", world.shared, &world.maps[i]), 0);
	request.maps = world.shapes;
	request.n_maps = FORT_LEN(world.shapes);
	request.insns = assembly.insns;
	request.n_insns = assembly.n_insns;
	world.unit = FORT_ARENA_NEW(&world.arena, struct fort_unit);
	assert_int_equal(fort_unit_build(&world.arena, &request, world.unit, &error), 0);
	assert_int_equal(fort_verify_search(&world.unit->env, &world.arena, &options, &result), 0);
	assert_int_equal(result.verdict, FORT_ACCEPT);
	assert_true(fort_certificate_check((struct fort_span){result.certificate.data,
							      result.certificate.bytes},
					   &world.unit->env, &world.arena, &check, &world.proven));
	fort_buf_free(&result.certificate);
	assert_int_equal(fort_crash_ring_create(world.shared, &world.crashes), 0);
	fort_ring_reader_init(&world.reader, world.crashes);
	fort_host_init(&world.host, world.shared, NULL);
	world.host.crashes = world.crashes;
	for (unsigned i = 0; i < SLOTS; i++)
		assert_int_equal(fort_services_init(&world.services[i], &world.host), 0);
	return 0;
}

static int close_world(void **state)
{
	for (unsigned i = 0; i < SLOTS; i++)
		fort_services_end(&world.services[i]);
	fort_map_close(world.crashes);
	for (unsigned i = 0; i < FORT_LEN(world.maps); i++)
		fort_map_close(world.maps[i]);
	fort_shared_close(world.shared);
	fort_arena_free(&world.arena);
	return 0;
}

static struct fort_loaded *load_at(const struct fort_engine *engine, uint64_t fuel,
				   struct fort_crash_policy policy, struct fort_crash_place place)
{
	struct fort_load_request request = {.proven = &world.proven,
					    .maps = world.maps,
					    .engine = engine,
					    .isolation = FORT_ISOLATION_SFI,
					    .n_slots = SLOTS,
					    .fuel = fuel,
					    .crash = policy,
					    .crash_place = place,
					    .shared = world.shared};
	struct fort_loaded *loaded;

	assert_int_equal(fort_loaded_open(&request, &loaded), 0);
	return loaded;
}

static struct fort_loaded *load(const struct fort_engine *engine, uint64_t fuel,
				struct fort_crash_policy policy)
{
	return load_at(engine, fuel, policy, (struct fort_crash_place){FORT_CRASH_PLACES, 0});
}

static uint32_t run_once(const struct fort_loaded *loaded, unsigned slot)
{
	struct fort_run run = {0};
	uint64_t r0 = fort_loaded_run(loaded, slot, &world.services[slot], &run);

	assert_int_equal(r0, run.abort.code ? 0 : 100);
	return run.abort.code;
}

/* The next event, of which there must be one. */
static struct fort_crash_event hear(void)
{
	struct fort_crash_event event;
	uint32_t bytes;

	assert_int_equal(fort_ring_read(&world.reader, &event, sizeof(event), &bytes), 1);
	assert_int_equal(bytes, sizeof(event));
	return event;
}

static void assert_silence(void)
{
	struct fort_crash_event event;
	uint32_t bytes;

	assert_int_equal(fort_ring_read(&world.reader, &event, sizeof(event), &bytes), 0);
}

/* Every set of actions, at exactly the third crash, in every engine. */
static void policies_are_applied_at_their_number(void **state)
{
	for (uint32_t actions = 0; actions <= FORT_CRASH_ALL; actions++) {
		const struct fort_engine *engine = fort_engines[actions % 2];
		bool stops = actions & FORT_CRASH_STOPPING, marks = actions & FORT_CRASH_MARK;
		struct fort_loaded *loaded =
			load(engine, 1, (struct fort_crash_policy){3, actions});

		fort_map_set_suspect(world.maps[0], false);
		for (unsigned run = 1; run <= 5; run++) {
			bool ran = run <= 3 || !stops;
			struct fort_crash_event event;

			assert_int_equal(fort_loaded_is_stopped(loaded), !ran);
			assert_int_equal(run_once(loaded, run % SLOTS),
					 ran ? FORT_ABORT_FUEL : FORT_ABORT_QUARANTINE);
			assert_int_equal(fort_map_is_suspect(world.maps[0]), marks && run >= 3);
			if (!ran)
				continue;
			event = hear();
			assert_int_equal(event.crashes, run);
			assert_int_equal(event.code, FORT_ABORT_FUEL);
			assert_int_equal(event.pc, HEAD_PC);
			assert_int_equal(event.pid, getpid());
			assert_int_equal(event.actions, run == 3 ? actions : 0);
		}
		assert_silence();
		fort_loaded_close(loaded);
	}
}

/* A program that no checker has seen: one is made up, as a mistake in the checker would. */
static void wild_programs_under_sfi(void **state)
{
	static const char source[] = "mov r1, 40\nldxdw r0, [r1-16]\nexit";
	const struct fort_crash_policy policy = {2, FORT_CRASH_DETACH | FORT_CRASH_MARK};
	struct fort_unit_request request = {
		.hook = {.prog = fort_prog_by_number(BPF_PROG_TYPE_SOCKET_FILTER)},
		.maps = world.shapes,
		.n_maps = FORT_LEN(world.shapes),
		.rights = FORT_ALL_VERIFIER_RIGHTS};
	struct fort_proven proven = world.proven;
	struct fort_assembly assembly;
	struct fort_asm_error asm_error;
	struct fort_unit_error error;
	struct fort_unit unit;

	assert_int_equal(fort_assemble(&world.arena, source, strlen(source), &assembly, &asm_error),
			 0);
	request.insns = assembly.insns;
	request.n_insns = assembly.n_insns;
	assert_int_equal(fort_unit_build(&world.arena, &request, &unit, &error), 0);
	for (uint32_t pc = 0; pc < unit.graph.program.n_insns; pc++)
		unit.env.access[pc].reached = true;
	world.proven.env = &unit.env;
	for (unsigned i = 0; fort_engines[i]; i++) {
		struct fort_loaded *loaded = load(fort_engines[i], 1000, policy);

		/* cmocka sets handlers of its own for each test. */
		assert_int_equal(fort_signals_install(), 0);
		fort_map_set_suspect(world.maps[0], false);
		for (unsigned run = 1; run <= 3; run++) {
			struct fort_crash_event event;

			assert_int_equal(run_once(loaded, 0),
					 run < 3 ? FORT_ABORT_MEMORY : FORT_ABORT_QUARANTINE);
			if (run == 3)
				continue;
			event = hear();
			assert_int_equal(event.pc, 1);
			assert_int_equal(event.address, 24);
			assert_int_equal(event.bytes, 8);
			assert_int_equal(event.actions, run == 2 ? policy.actions : 0);
		}
		assert_true(fort_map_is_suspect(world.maps[0]));
		fort_loaded_close(loaded);
	}
	world.proven = proven;
}

static void marks_are_of_what_could_be_written(void **state)
{
	struct fort_loaded *loaded =
		load(&fort_engine_interp, 1, (struct fort_crash_policy){1, FORT_CRASH_MARK});
	uint64_t value = 7, got = 0;
	uint32_t key = 0;

	fort_map_set_suspect(world.maps[0], false);
	assert_int_equal(run_once(loaded, 0), FORT_ABORT_FUEL);
	assert_true(fort_map_is_suspect(world.maps[0]));
	assert_false(fort_map_is_suspect(world.maps[1])); /* BPF_F_RDONLY_PROG */
	/* User space goes on, and the mark stays. */
	assert_int_equal(fort_map_update(world.maps[0], &key, &value, 0), 0);
	assert_int_equal(fort_map_lookup(world.maps[0], &key, &got, 0), 0);
	assert_int_equal(got, 7);
	assert_true(fort_map_is_suspect(world.maps[0]));
	fort_map_set_suspect(world.maps[0], false);
	assert_false(fort_map_is_suspect(world.maps[0]));
	(void)hear();
	fort_loaded_close(loaded);
}

static void without_a_policy_programs_stay(void **state)
{
	struct fort_loaded *loaded =
		load(&fort_engine_interp, 1, (struct fort_crash_policy){0, FORT_CRASH_ALL});

	for (unsigned run = 1; run <= 100; run++) {
		assert_int_equal(run_once(loaded, 0), FORT_ABORT_FUEL);
		assert_int_equal(hear().crashes, run);
	}
	assert_silence();
	fort_loaded_close(loaded);
}

static void good_runs_do_not_count(void **state)
{
	struct fort_loaded *loaded = load(&fort_engine_interp, FORT_FUEL_DEFAULT,
					  (struct fort_crash_policy){1, FORT_CRASH_QUARANTINE});

	for (unsigned run = 0; run < 100; run++)
		assert_int_equal(run_once(loaded, 0), FORT_ABORT_NONE);
	assert_silence();
	assert_false(fort_loaded_is_stopped(loaded));
	fort_loaded_close(loaded);
}

/* Two programs that share a place, as those of two processes do, count together; one that kept its
 * place too long does not. */
static void a_place_is_counted_in_by_all(void **state)
{
	const struct fort_crash_policy policy = {4, FORT_CRASH_DETACH};
	struct fort_crash_place place = {9, fort_crash_place_open(world.shared, 9)};
	struct fort_loaded *here = load_at(&fort_engine_interp, 1, policy, place);
	struct fort_loaded *there = load_at(&fort_engine_interp, 1, policy, place);
	struct fort_loaded *later;

	for (unsigned run = 1; run <= 4; run++) {
		assert_int_equal(run_once(run % 2 ? here : there, 0), FORT_ABORT_FUEL);
		assert_int_equal(hear().actions, run == 4 ? FORT_CRASH_DETACH : 0);
	}
	assert_true(fort_loaded_is_stopped(here) && fort_loaded_is_stopped(there));
	place.generation = fort_crash_place_open(world.shared, 9);
	later = load_at(&fort_engine_interp, 1, policy, place);
	assert_int_equal(run_once(here, 0), FORT_ABORT_QUARANTINE);
	assert_false(fort_loaded_is_stopped(later));
	assert_int_equal(run_once(later, 0), FORT_ABORT_FUEL);
	assert_int_equal(hear().crashes, 1);
	fort_loaded_close(here);
	fort_loaded_close(there);
	fort_loaded_close(later);
}

#define RUNS_EACH 1000u

struct runner {
	const struct fort_loaded *loaded;
	unsigned slot;
	uint32_t crashed;
};

static void *run_often(void *arg)
{
	struct runner *runner = arg;

	for (unsigned i = 0; i < RUNS_EACH; i++)
		runner->crashed += run_once(runner->loaded, runner->slot) == FORT_ABORT_FUEL;
	return NULL;
}

/* Each crash is told once, with a number of its own, and one of them is the occasion; runs that
 * were under way then may crash too. */
static void threads_count_together(void **state)
{
	const struct fort_crash_policy policy = {SLOTS * 50, FORT_CRASH_QUARANTINE};
	struct fort_loaded *loaded = load(&fort_engine_interp, 1, policy);
	struct runner runners[SLOTS];
	pthread_t threads[SLOTS];
	uint32_t crashed = 0, acted = 0;
	bool seen[SLOTS * 51] = {false};

	for (unsigned i = 0; i < SLOTS; i++) {
		runners[i] = (struct runner){loaded, i, 0};
		assert_int_equal(pthread_create(&threads[i], NULL, run_often, &runners[i]), 0);
	}
	for (unsigned i = 0; i < SLOTS; i++) {
		pthread_join(threads[i], NULL);
		crashed += runners[i].crashed;
	}
	assert_in_range(crashed, policy.after, policy.after + SLOTS - 1);
	for (uint32_t i = 0; i < crashed; i++) {
		struct fort_crash_event event = hear();

		assert_in_range(event.crashes, 1, crashed);
		assert_false(seen[event.crashes]);
		seen[event.crashes] = true;
		acted += event.actions != 0;
		assert_int_equal(event.actions != 0, event.crashes == policy.after);
	}
	assert_int_equal(acted, 1);
	assert_silence();
	assert_int_equal(run_once(loaded, 0), FORT_ABORT_QUARANTINE);
	fort_loaded_close(loaded);
}

static void packages_carry_the_policy(void **state)
{
	struct fort_package_view view = {.unit = {.hook = world.unit->env.hook},
					 .crash = {7, FORT_CRASH_DETACH | FORT_CRASH_MARK},
					 .crash_place = {11, 13}},
				 back;
	struct fort_raw_insn insns[1] = {{0}};
	struct fort_buf buf;
	size_t offset;

	view.unit.insns = insns;
	view.unit.n_insns = 1;
	fort_buf_init(&buf, 1u << 16);
	fort_package_write(&buf, &view);
	assert_int_equal(fort_package_read((struct fort_span){buf.data, buf.bytes}, &back, &offset),
			 0);
	assert_memory_equal(&back.crash, &view.crash, sizeof(view.crash));
	assert_memory_equal(&back.crash_place, &view.crash_place, sizeof(view.crash_place));
	fort_buf_free(&buf);
	view.crash.actions = FORT_CRASH_ALL + 1;
	fort_buf_init(&buf, 1u << 16);
	fort_package_write(&buf, &view);
	assert_int_equal(fort_package_read((struct fort_span){buf.data, buf.bytes}, &back, &offset),
			 -EBADMSG);
	fort_buf_free(&buf);
}

static void names_of_actions(void **state)
{
	static const struct {
		const char *names;
		int err;
		uint32_t actions;
	} rows[] = {
		{"keep", 0, 0},
		{"quarantine", 0, FORT_CRASH_QUARANTINE},
		{"detach,mark", 0, FORT_CRASH_DETACH | FORT_CRASH_MARK},
		{"mark,mark", 0, FORT_CRASH_MARK},
		{"", -EINVAL, 0},
		{"detach,", -EINVAL, 0},
		{"keep,mark", -EINVAL, 0},
		{"detac", -EINVAL, 0},
		{"Detach", -EINVAL, 0},
	};

	for (size_t i = 0; i < FORT_LEN(rows); i++) {
		uint32_t actions = 0;

		assert_int_equal(fort_crash_actions_by_name(rows[i].names, &actions), rows[i].err);
		assert_int_equal(actions, rows[i].actions);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(policies_are_applied_at_their_number),
		cmocka_unit_test(wild_programs_under_sfi),
		cmocka_unit_test(marks_are_of_what_could_be_written),
		cmocka_unit_test(without_a_policy_programs_stay),
		cmocka_unit_test(good_runs_do_not_count),
		cmocka_unit_test(a_place_is_counted_in_by_all),
		cmocka_unit_test(threads_count_together),
		cmocka_unit_test(packages_carry_the_policy),
		cmocka_unit_test(names_of_actions),
	};

	return cmocka_run_group_tests(tests, open_world, close_world);
}
