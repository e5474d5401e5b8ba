/* What becomes of programs whose runs end early: who is told, and when they are not run any more.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/bpf.h>
#include <pthread.h>
#include <string.h>

#include "abi/progs.h"
#include "helper/services.h"
#include "isa/asm.h"
#include "load/loaded.h"
#include "load/package.h"
#include "load/unit.h"
#include "map/cpus.h"
#include "verify/verify.h"

/* Proven to end, and it does, with enough fuel. */
#define SOURCE "mov r0, 0\nadd r0, 1\njlt r0, 100, -2\nexit"
#define SLOTS  4u

static struct world {
	struct fort_arena arena;
	struct fort_unit *unit;
	struct fort_proven proven;
	struct fort_shared *shared;
	struct fort_host host;
	struct fort_services services[SLOTS];
} world;

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
	assert_int_equal(fort_cpus_possible(&n_cpus), 0);
	assert_int_equal(fort_shared_create(n_cpus, &world.shared), 0);
	fort_host_init(&world.host, world.shared, NULL);
	for (unsigned i = 0; i < SLOTS; i++)
		assert_int_equal(fort_services_init(&world.services[i], &world.host), 0);
	return 0;
}

static int close_world(void **state)
{
	for (unsigned i = 0; i < SLOTS; i++)
		fort_services_end(&world.services[i]);
	fort_shared_close(world.shared);
	fort_arena_free(&world.arena);
	return 0;
}

static struct fort_loaded *load(const struct fort_engine *engine, uint64_t fuel,
				const struct fort_crash_policy *policy)
{
	struct fort_load_request request = {.proven = &world.proven,
					    .engine = engine,
					    .isolation = FORT_ISOLATION_SFI,
					    .n_slots = SLOTS,
					    .fuel = fuel,
					    .crash = *policy};
	struct fort_loaded *loaded;

	assert_int_equal(fort_loaded_open(&request, &loaded), 0);
	return loaded;
}

static uint32_t run_once(const struct fort_loaded *loaded, unsigned slot)
{
	struct fort_run run = {0};
	uint64_t r0 = fort_loaded_run(loaded, slot, &world.services[slot], &run);

	assert_int_equal(r0, run.abort.code ? 0 : 100);
	return run.abort.code;
}

struct heard {
	uint32_t n, last_crashes, n_quarantined, code;
};

static void hear(void *owner, const struct fort_loaded *loaded, const struct fort_abort *abort,
		 uint32_t crashes, bool quarantined)
{
	struct heard *heard = owner;

	__atomic_fetch_add(&heard->n, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&heard->n_quarantined, quarantined, __ATOMIC_RELAXED);
	heard->last_crashes = crashes;
	heard->code = abort->code;
}

static void crashes_are_told_and_end_in_quarantine(void **state)
{
	for (unsigned i = 0; fort_engines[i]; i++) {
		struct heard heard = {0};
		struct fort_crash_policy policy = {3, hear, &heard};
		struct fort_loaded *loaded = load(fort_engines[i], 1, &policy);

		for (unsigned run = 1; run <= 3; run++) {
			assert_false(fort_loaded_is_quarantined(loaded));
			assert_int_equal(run_once(loaded, 0), FORT_ABORT_FUEL);
			assert_int_equal(heard.last_crashes, run);
			assert_int_equal(heard.code, FORT_ABORT_FUEL);
			assert_int_equal(heard.n_quarantined, run == 3);
		}
		for (unsigned run = 0; run < 5; run++)
			assert_int_equal(run_once(loaded, run % SLOTS), FORT_ABORT_QUARANTINE);
		assert_int_equal(heard.n, 3);
		fort_loaded_close(loaded);
	}
}

static void without_a_policy_programs_stay(void **state)
{
	struct heard heard = {0};
	struct fort_crash_policy policy = {0, hear, &heard}, nothing = {0};
	struct fort_loaded *loaded = load(&fort_engine_interp, 1, &policy);

	for (unsigned run = 1; run <= 100; run++)
		assert_int_equal(run_once(loaded, 0), FORT_ABORT_FUEL);
	assert_int_equal(heard.n, 100);
	assert_int_equal(heard.n_quarantined, 0);
	fort_loaded_close(loaded);
	loaded = load(&fort_engine_interp, 1, &nothing);
	assert_int_equal(run_once(loaded, 0), FORT_ABORT_FUEL);
	fort_loaded_close(loaded);
}

static void good_runs_do_not_count(void **state)
{
	struct heard heard = {0};
	struct fort_crash_policy policy = {1, hear, &heard};
	struct fort_loaded *loaded = load(&fort_engine_interp, FORT_FUEL_DEFAULT, &policy);

	for (unsigned run = 0; run < 100; run++)
		assert_int_equal(run_once(loaded, 0), FORT_ABORT_NONE);
	assert_int_equal(heard.n, 0);
	assert_false(fort_loaded_is_quarantined(loaded));
	fort_loaded_close(loaded);
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

/* Each crash is told once; runs that were under way when the last one counted may crash too. */
static void threads_count_together(void **state)
{
	struct heard heard = {0};
	struct fort_crash_policy policy = {SLOTS * RUNS_EACH / 2, hear, &heard};
	struct fort_loaded *loaded = load(&fort_engine_interp, 1, &policy);
	struct runner runners[SLOTS];
	pthread_t threads[SLOTS];
	uint32_t crashed = 0;

	for (unsigned i = 0; i < SLOTS; i++) {
		runners[i] = (struct runner){loaded, i, 0};
		assert_int_equal(pthread_create(&threads[i], NULL, run_often, &runners[i]), 0);
	}
	for (unsigned i = 0; i < SLOTS; i++) {
		pthread_join(threads[i], NULL);
		crashed += runners[i].crashed;
	}
	assert_int_equal(heard.n, crashed);
	assert_in_range(crashed, policy.quarantine_after, policy.quarantine_after + SLOTS - 1);
	assert_int_equal(run_once(loaded, 0), FORT_ABORT_QUARANTINE);
	fort_loaded_close(loaded);
}

static void packages_carry_the_policy(void **state)
{
	struct fort_package_view view = {.unit = {.hook = world.unit->env.hook},
					 .quarantine_after = 7},
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
	assert_int_equal(back.quarantine_after, 7);
	fort_buf_free(&buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crashes_are_told_and_end_in_quarantine),
		cmocka_unit_test(without_a_policy_programs_stay),
		cmocka_unit_test(good_runs_do_not_count),
		cmocka_unit_test(threads_count_together),
		cmocka_unit_test(packages_carry_the_policy),
	};

	return cmocka_run_group_tests(tests, open_world, close_world);
}
