#include "store/road.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "abi/uapi.h"
#include "engine/cache_directory.h"
#include "engine/watch.h"
#include "helper/services.h"
#include "load/describe.h"
#include "load/package.h"
#include "load/runs.h"
#include "load/test_run.h"
#include "step/kernel.h"
#include "store/area.h"
#include "store/report.h"

struct fort_road_program {
	struct fort_loaded *loaded;
	void *memory;                     /* that it lies in */
	struct fort_package_parts *parts; /* what a package of it is made of; what is in it says */
	struct fort_buf package;          /* empty until somebody asks for it */
	pthread_mutex_t packing;
	struct fort_host *host;
	pthread_mutex_t lock;   /* of test runs: there is one slot */
	struct fort_area *area; /* whose slot that is, or NULL: its own. Set once, with the lock */
};

/* One load: what lives until it ends. */
struct load {
	const struct fort_road_request *request;
	struct fort_load_report *report;
	struct fort_road_memory memory;
	struct fort_unit_request wanted;
	struct fort_unit unit;
	struct fort_verify_result result;
	struct fort_proven proven;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* What is known of the maps. */
static int describe_maps(struct load *load)
{
	const struct fort_road_request *request = load->request;
	uint32_t n = request->n_maps + request->n_inner;
	struct fort_map_shape *shapes =
		FORT_ARENA_ARRAY(&load->memory.proof, n, struct fort_map_shape);
	const uint8_t **constants = FORT_ARENA_ARRAY(&load->memory.proof, n, const uint8_t *);

	if (!shapes || !constants)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		if (i < request->n_maps)
			constants[i] = fort_map_constants(request->maps[i]);
		shapes[i] = request->maps[i]->shape;
		shapes[i].frozen = constants[i] != NULL;
		shapes[i].inner = request->inner ? request->inner[i] : 0;
	}
	load->wanted.maps = shapes;
	load->wanted.constants = constants;
	return 0;
}

/* The store has found the target before: what is wrong with one was told then. */
static int meet_kernel(struct load *load)
{
	const struct fort_road_request *request = load->request;
	struct fort_btf_remark remark = {0};

	return fort_env_meet(&load->unit.env, &load->memory.proof, request->kernel,
			     request->target_id, &remark);
}

/* And of the functions. */
static int describe_functions(struct load *load)
{
	const struct fort_road_request *request = load->request;
	const struct fort_func_owner owner = {.prog_type = request->type->number,
					      .attach_type = request->expected_attach_type,
					      .kernel = request->kernel ? request->kernel->btf
									: NULL};
	struct fort_description described;
	int err = fort_describe(&load->memory.proof, request->info, &owner, &described);

	if (err)
		return err;
	load->wanted.prototypes = described.prototypes;
	load->wanted.words = described.words;
	load->wanted.n_prototypes = described.n_prototypes;
	return 0;
}

static int build_unit(struct load *load)
{
	const struct fort_road_request *request = load->request;
	struct fort_unit_error error;
	int err;

	load->wanted = (struct fort_unit_request){.insns = request->insns,
						  .n_insns = request->n_insns,
						  .hook = {.prog = request->type,
							   .attach = request->expected_attach_type,
							   .target = request->target_name},
						  .sleepable = request->flags & BPF_F_SLEEPABLE,
						  .n_maps = request->n_maps,
						  .n_inner = request->n_inner,
						  .records = request->records,
						  .rights = FORT_ALL_VERIFIER_RIGHTS,
						  .gpl = request->gpl};
	err = describe_maps(load);
	if (!err)
		err = describe_functions(load);
	if (err)
		return err;
	err = fort_unit_build(&load->memory.proof, &load->wanted, &load->unit, &error);
	if (err == -EINVAL)
		return fort_report_unit(request, &error, load->report);
	return err || !request->kernel ? err : meet_kernel(load);
}

static int search(struct load *load)
{
	const struct fort_road_request *request = load->request;
	struct fort_source source = fort_report_source(request->info);
	struct fort_narrator narrator = {.log = request->log,
					 .level = request->log_level,
					 .env = &load->unit.env,
					 .names = &request->names,
					 .source = &source};
	struct fort_verify_options options = {.budget_insns = FORT_BUDGET_INSNS,
					      .narrator = &narrator,
					      .explains = true};
	uint64_t start = now_ns();
	int err = fort_verify_search(&load->unit.env, &load->memory.proof, &options, &load->result);

	load->report->verify_ns = now_ns() - start;
	load->report->insns_processed = load->result.insns_processed;
	load->report->states = load->result.total_states;
	load->report->peak_states = load->result.peak_states;
	load->report->certificate_bytes = load->result.certificate.bytes;
	load->report->memory_bytes = load->memory.proof.used_bytes;
	if (!err && load->result.verdict == FORT_REJECT)
		err = fort_report_rejection(request, &load->unit.env, &load->result, NULL,
					    load->report);
	return err;
}

/* Nothing goes on that the checker has not seen to the end. */
static int check(struct load *load)
{
	struct fort_span bytes = {load->result.certificate.data, load->result.certificate.bytes};
	struct fort_check check;
	uint64_t start = now_ns();
	bool good = fort_certificate_check(bytes, &load->unit.env, &load->memory.check, &check,
					   &load->proven);

	load->report->check_ns = now_ns() - start;
	if (good)
		return 0;
	if (check.fault == FORT_CHECK_MEMORY)
		return -ENOMEM;
	load->result.violation =
		(struct fort_violation){.diag = FORT_DIAG_CERTIFICATE, .pc = check.pc};
	return fort_report_rejection(load->request, &load->unit.env, &load->result,
				     fort_check_fault_text(check.fault), load->report);
}

/* Safe, but nothing here can run it yet. */
static int refuse_idle(struct load *load)
{
	if (fort_env_runs(&load->unit.env, &load->result.violation))
		return 0;
	load->result.state = NULL;
	load->result.n_path = 0;
	return fort_report_rejection(load->request, &load->unit.env, &load->result, NULL,
				     load->report);
}

/* Few programs go to other processes: those that do are packed then. Instructions are the owner's;
 * of what lies in the load's memory there are copies behind the parts. */
struct fort_package_parts {
	struct fort_package_view view;
	struct fort_buf certificate;
	struct fort_map_shape maps[];
};

static void *behind(void *at, const void *from, size_t bytes)
{
	if (bytes)
		memcpy(at, from, bytes);
	return at;
}

static struct fort_package_parts *keep_parts(struct load *load)
{
	const struct fort_unit_request *unit = &load->wanted;
	size_t maps_bytes = unit->n_maps * sizeof(unit->maps[0]);
	size_t prototypes_bytes = unit->n_prototypes * sizeof(unit->prototypes[0]);
	struct fort_package_parts *parts = malloc(sizeof(*parts) + maps_bytes + prototypes_bytes);

	if (!parts)
		return NULL;
	parts->certificate = load->result.certificate;
	load->result.certificate = (struct fort_buf){0};
	parts->view = (struct fort_package_view){
		.unit = *unit,
		/* Who runs it elsewhere has another engine, and keys of its own or none. */
		.isolation = fort_isolation_without_keys(load->request->isolation),
		.crash = load->request->crash,
		.crash_place = load->request->crash_place,
		.fuel = FORT_FUEL_DEFAULT,
		.certificate = {parts->certificate.data, parts->certificate.bytes},
	};
	parts->view.unit.maps = behind(parts->maps, unit->maps, maps_bytes);
	parts->view.unit.prototypes =
		behind((uint8_t *)parts->maps + maps_bytes, unit->prototypes, prototypes_bytes);
	return parts;
}

static void drop_parts(struct fort_package_parts *parts)
{
	if (parts)
		fort_buf_free(&parts->certificate);
	free(parts);
}

static int compile(struct load *load, struct fort_road_program *program)
{
	const struct fort_road_request *request = load->request;
	size_t bytes = FORT_LOADED_BYTES(request->n_insns);
	char directory[FORT_CACHE_PATH_BYTES];
	struct fort_load_request wanted = {
		.proven = &load->proven,
		.maps = request->maps,
		.engine = request->engine,
		.isolation = request->isolation,
		.n_slots = 1,
		.packet_bytes = FORT_TEST_HEADROOM + FORT_TEST_DATA_BYTES,
		.fuel = FORT_FUEL_DEFAULT,
		.keys = fort_isolations[request->isolation].keys ? request->keys : NULL,
		.crash = request->crash,
		.crash_place = request->crash_place,
		.shared = request->host->shared,
		.blind = request->blind,
		.seal = request->seal,
		.counts = request->counts,
		.cache = fort_cache_directory(directory),
		.tails = true,
		.scratch = &load->memory.scratch,
		.spares = request->spares,
		.pool = request->pool,
		.memory_bytes = bytes,
	};
	uint64_t start = now_ns();
	int err;

	program->memory = wanted.memory = malloc(bytes);
	if (!program->memory)
		return -ENOMEM;
	err = fort_loaded_open(&wanted, &program->loaded);

	load->report->compile_ns = now_ns() - start;
	return err;
}

static int take_in(struct load *load, struct fort_road_program **out)
{
	struct fort_road_program *program = calloc(1, sizeof(*program));
	int err;

	if (!program)
		return -ENOMEM;
	pthread_mutex_init(&program->lock, NULL);
	pthread_mutex_init(&program->packing, NULL);
	program->host = load->request->host;
	fort_buf_init(&program->package, SIZE_MAX);
	err = compile(load, program);
	program->parts = err ? NULL : keep_parts(load);
	if (!err && !program->parts)
		err = -ENOMEM;
	if (err) {
		fort_road_unload(program);
		return err;
	}
	load->report->verdict = FORT_LOAD_ACCEPTED;
	*out = program;
	return 0;
}

static int prove(struct load *load)
{
	int err = build_unit(load);

	err = err ? err
		  : fort_info_match(load->request->info, &load->unit.graph.program,
				    load->request->log);
	err = err ? err : search(load);
	err = err ? err : check(load);
	return err || load->request->vet ? err : refuse_idle(load);
}

static void take_memory(struct load *load)
{
	struct fort_road_memory *kept = load->request->memory;

	pthread_mutex_lock(kept->lock);
	load->memory = *kept;
	*kept = (struct fort_road_memory){.lock = kept->lock};
	pthread_mutex_unlock(kept->lock);
	load->memory.proof.limit_bytes = FORT_SEARCH_BYTES_MAX;
	load->memory.check.limit_bytes = FORT_SEARCH_BYTES_MAX;
	load->memory.scratch.limit_bytes = SIZE_MAX;
}

/* Whoever comes last with something to keep frees what was there. */
static void give_memory(struct load *load)
{
	struct fort_road_memory *kept = load->request->memory, ours = load->memory;

	fort_arena_reset(&ours.proof, FORT_ARENA_KEPT_BYTES);
	fort_arena_reset(&ours.check, FORT_ARENA_KEPT_BYTES);
	fort_arena_reset(&ours.scratch, FORT_ARENA_KEPT_BYTES);
	pthread_mutex_lock(kept->lock);
	load->memory = *kept;
	*kept = ours;
	pthread_mutex_unlock(kept->lock);
	fort_arena_free(&load->memory.proof);
	fort_arena_free(&load->memory.check);
	fort_arena_free(&load->memory.scratch);
}

int fort_road_load(const struct fort_road_request *request, struct fort_load_report *report,
		   struct fort_road_program **out)
{
	struct load load = {.request = request, .report = report};
	int err;

	take_memory(&load);
	err = prove(&load);
	fort_report_statistics(request, &load.result, report);
	if (!err && request->vet)
		report->verdict = FORT_LOAD_ACCEPTED;
	else
		err = err ? err : take_in(&load, out);
	fort_buf_free(&load.result.certificate);
	give_memory(&load);
	return err;
}

void fort_road_unload(struct fort_road_program *program)
{
	if (!program)
		return;
	if (program->area) /* no table has it any more; who found it there may be in it */
		fort_grace_wait(&program->area->grace);
	fort_loaded_close(program->loaded);
	free(program->memory);
	drop_parts(program->parts);
	fort_buf_free(&program->package);
	pthread_mutex_destroy(&program->packing);
	pthread_mutex_destroy(&program->lock);
	free(program);
}

const struct fort_loaded *fort_road_loaded(const struct fort_road_program *program)
{
	return program->loaded;
}

int fort_road_package(struct fort_road_program *program, struct fort_span *out)
{
	struct fort_buf *package = &program->package;
	int err;

	pthread_mutex_lock(&program->packing);
	if (!package->bytes)
		fort_package_write(package, &program->parts->view);
	err = package->err;
	if (err) { /* perhaps there is memory another time */
		fort_buf_free(package);
		fort_buf_init(package, SIZE_MAX);
	}
	pthread_mutex_unlock(&program->packing);
	if (!err)
		*out = (struct fort_span){package->data, package->bytes};
	return err;
}

int fort_road_join(struct fort_road_program *program, struct fort_area *area, uint32_t id)
{
	int err = 0;

	if (__atomic_load_n(&program->area, __ATOMIC_ACQUIRE))
		return 0;
	pthread_mutex_lock(&program->lock);
	if (!program->area)
		err = fort_area_admit(area, &program->loaded->domain);
	if (!err) {
		program->loaded->tail.id = id;
		program->loaded->grace = &area->grace;
		__atomic_store_n(&program->area, area, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&program->lock);
	return err;
}

int fort_road_rejoin(struct fort_road_program *program)
{
	return program->area ? fort_area_admit(program->area, &program->loaded->domain) : 0;
}

const struct fort_tail *fort_road_tail(const struct fort_road_program *program)
{
	return &program->loaded->tail;
}

static void lock_slot(struct fort_road_program *program)
{
	pthread_mutex_lock(&program->lock);
	if (program->area)
		pthread_mutex_lock(&program->area->lock);
}

static void unlock_slot(struct fort_road_program *program)
{
	if (program->area)
		pthread_mutex_unlock(&program->area->lock);
	pthread_mutex_unlock(&program->lock);
}

int fort_road_test_run(struct fort_road_program *program, const struct fort_test_request *request,
		       struct fort_test_result *result)
{
	const struct fort_test_input input = {.data = request->data_in,
					      .data_bytes = request->data_in_bytes,
					      .ctx = request->ctx_in,
					      .ctx_bytes = request->ctx_in_bytes,
					      .repeat = request->repeat};
	struct fort_services services;
	struct fort_test_output out;
	int err = fort_services_init(&services, program->host);

	if (err)
		return err;
	services.watched = fort_watch_take(program->host->watch);
	lock_slot(program);
	err = fort_test_run(program->loaded, &services, &input, request->data_out, request->ctx_out,
			    &out);
	unlock_slot(program);
	fort_watch_give(program->host->watch, services.watched);
	fort_services_end(&services);
	if (err)
		return err;
	*result = (struct fort_test_result){.retval = (uint32_t)out.result,
					    .duration_ns = out.ns < UINT32_MAX ? (uint32_t)out.ns
									       : UINT32_MAX,
					    .data_out_bytes = out.data_bytes,
					    .ctx_out_bytes = out.ctx_bytes,
					    .runs = out.runs,
					    .total_ns = out.total_ns,
					    .abort = out.abort,
					    .ended_in = out.ended_in};
	return out.abort.code ? -EFAULT : 0;
}
