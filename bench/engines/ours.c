#include "ours.h"

#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>

#include "abi/progs.h"
#include "load/unit.h"
#include "map/cpus.h"
#include "map/map.h"
#include "verify/verify.h"

static const struct fort_map_shape shapes[BENCH_PROGRAM_MAPS] = {
#define X(name, type, key, value, entries, by_value) \
	{BPF_MAP_TYPE_##type, key, value, entries, 0, 0},
	BENCH_MAPS_LIST(X)
#undef X
};

static void die(const char *what, int err)
{
	fprintf(stderr, "bench_engines: %s: %d\n", what, err);
	exit(2);
}

void bench_ours_open(struct bench_ours *ours)
{
	uint32_t n_cpus;
	int err = fort_cpus_possible(&n_cpus);

	err = err ? err : fort_shared_create(n_cpus, &ours->shared);
	if (err)
		die("no shared memory", err);
	fort_arena_init(&ours->scratch, SIZE_MAX);
	fort_host_init(&ours->host, ours->shared, NULL);
	err = fort_services_init(&ours->services, &ours->host);
	for (unsigned i = 0; i < BENCH_PROGRAM_MAPS && !err; i++)
		err = fort_map_create(&shapes[i], "bench", ours->shared, &ours->maps[i]);
	if (err)
		die("no maps", err);
}

void bench_ours_prove(struct bench_ours *ours, const struct fort_raw_insn *insns, uint32_t n)
{
	struct fort_unit_request request = {
		.insns = insns,
		.n_insns = n,
		.hook = {.prog = fort_prog_by_number(BPF_PROG_TYPE_XDP)},
		.maps = shapes,
		.n_maps = BENCH_PROGRAM_MAPS,
		.rights = FORT_ALL_VERIFIER_RIGHTS,
		.gpl = true};
	struct fort_verify_options options = {.budget_insns = FORT_BUDGET_INSNS};
	struct fort_unit *unit;
	struct fort_unit_error error;
	struct fort_verify_result result;
	struct fort_check check;
	int err;

	fort_arena_init(&ours->arena, FORT_SEARCH_BYTES_MAX);
	unit = FORT_ARENA_NEW(&ours->arena, struct fort_unit);
	err = unit ? fort_unit_build(&ours->arena, &request, unit, &error) : -1;
	if (!err)
		err = fort_verify_search(&unit->env, &ours->arena, &options, &result);
	if (err)
		die("a program is none", err);
	if (result.verdict != FORT_ACCEPT)
		die("the verifier refuses a program, at", (int)result.violation.pc);
	if (!fort_certificate_check((struct fort_span){result.certificate.data,
						       result.certificate.bytes},
				    &unit->env, &ours->arena, &check, &ours->proven))
		die("a certificate is wrong", check.fault);
	fort_buf_free(&result.certificate);
}

void bench_ours_drop(struct bench_ours *ours)
{
	fort_arena_free(&ours->arena);
}

struct fort_loaded *bench_ours_load(struct bench_ours *ours, const struct fort_engine *engine,
				    enum fort_isolation isolation)
{
	struct fort_load_request request = {.proven = &ours->proven,
					    .maps = ours->maps,
					    .engine = engine,
					    .isolation = isolation,
					    .n_slots = 1,
					    .packet_bytes = FORT_TEST_HEADROOM + FORT_PAGE_BYTES,
					    .fuel = FORT_FUEL_DEFAULT,
					    .scratch = &ours->scratch};
	struct fort_loaded *loaded;
	int err = fort_loaded_open(&request, &loaded);

	if (err)
		die("an engine cannot compile", err);
	fort_arena_reset(&ours->scratch, FORT_ARENA_KEPT_BYTES);
	return loaded;
}

void bench_ours_first_run(struct bench_ours *ours, struct fort_loaded *loaded, const void *packet,
			  uint32_t bytes, struct fort_run *run)
{
	struct fort_test_input input = {.data = packet, .data_bytes = bytes, .repeat = 1};
	struct fort_test_output output;
	int err = fort_test_run(loaded, &ours->services, &input, NULL, NULL, &output);

	if (err || output.abort.code)
		die("a run failed", err ? err : (int)output.abort.code);
	*run = (struct fort_run){.services = &ours->services};
	bench_ours_bind(ours, loaded, run);
}

void bench_ours_bind(struct bench_ours *ours, const struct fort_loaded *loaded,
		     struct fort_run *run)
{
	run->domain = &loaded->domain;
	run->maps = ours->maps;
	run->n_maps = BENCH_PROGRAM_MAPS;
	run->ctx = fort_domain_ctx(&loaded->domain, 0);
	run->tails = (struct fort_run_tails){.zeroed = loaded->stack_bytes};
}

struct bench_data *bench_ours_data(const struct bench_ours *ours)
{
	return (struct bench_data *)ours->maps[BENCH_MAP_bench_data]->values;
}
