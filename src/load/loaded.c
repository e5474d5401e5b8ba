#include "load/loaded.h"

#include <errno.h>
#include <string.h>

#include "abi/uapi.h"
#include "base/sys.h"
#include "engine/watch.h"
#include "helper/helper.h"
#include "helper/services.h"
#include "load/runs.h"
#include "map/map.h"

/* The proof took the value for constant, and for this one. */
static bool same_constants(const struct fort_env *env, uint32_t index, const struct fort_map *map)
{
	const uint8_t *here = fort_map_constants(map);

	return here && env->constants && env->constants[index] &&
	       !memcmp(here, env->constants[index], map->shape.value_bytes);
}

/* The maps that are there must be those that the proof is about. */
static bool maps_fit(const struct fort_env *env, struct fort_map *const *maps)
{
	for (uint32_t i = 0; i < env->n_maps; i++) {
		struct fort_map_shape shape = maps[i]->shape;

		shape.frozen = env->maps[i].frozen;
		if (fort_map_is_hollow(maps[i]) || memcmp(&shape, &env->maps[i], sizeof(shape)) ||
		    (shape.frozen && !same_constants(env, i, maps[i])))
			return false;
	}
	return true;
}

static int open_domain(struct fort_loaded *loaded, const struct fort_load_request *request)
{
	const struct fort_prog_info *prog = request->proven->env->hook.prog;
	struct fort_domain_map windows[FORT_MAPS_PER_PROG_MAX];
	struct fort_domain_layout layout = {
		.n_slots = request->n_slots,
		.n_levels = request->tails ? FORT_TAIL_LEVELS_MAX : 1,
		.ctx_bytes = prog->ctx->image_bytes,
		.packet_bytes = prog->packet != FORT_PACKET_NONE ? request->packet_bytes : 0,
		.packet_writable = prog->packet == FORT_PACKET_RW,
		.hidden = loaded->hardened.hidden,
		.keys = request->keys,
		.spares = request->spares,
	};

	for (uint32_t i = 0; i < loaded->n_maps; i++) {
		struct fort_map_window window = fort_map_window_of(loaded->maps[i]);

		windows[i] = (struct fort_domain_map){.fd = loaded->maps[i]->values_fd,
						      .file_offset = window.file_offset,
						      .bytes = window.bytes,
						      .writable = window.writable};
		loaded->pins |= fort_map_needs_seat(loaded->maps[i]);
	}
	return fort_domain_open(&layout, windows, loaded->n_maps, &loaded->domain);
}

static void count_crashes(struct fort_loaded *loaded, const struct fort_load_request *request)
{
	uint32_t index = request->crash_place.index;

	loaded->crash = request->crash;
	loaded->crashes = (struct fort_crash_counter){{FORT_CRASH_PLACES, 0}, &loaded->own_crashes};
	if (request->shared && index < FORT_CRASH_PLACES)
		loaded->crashes =
			(struct fort_crash_counter){request->crash_place,
						    &request->shared->table->crashes[index]};
}

/* Keeps what outlives the proof's own memory. */
static int keep_program(struct fort_loaded *loaded, const struct fort_load_request *request)
{
	struct fort_program *program = &loaded->hardened.program;
	int err = fort_harden(request->proven, &loaded->arena, &loaded->hardened);

	if (err)
		return err;
	program->subprogs = fort_arena_copy(&loaded->arena, program->subprogs,
					    program->n_subprogs * sizeof(program->subprogs[0]));
	if (!program->subprogs)
		return -ENOMEM;
	/* A program without functions of its own cannot reach more than one frame. */
	if (request->counts) {
		loaded->counts = FORT_ARENA_ARRAY(&loaded->arena, program->n_insns, uint64_t);
		if (!loaded->counts)
			return -ENOMEM;
	}
	loaded->stack_bytes = FORT_STACK_BYTES * (program->n_subprogs > 1 ? FORT_FRAMES_MAX : 1);
	return 0;
}

/* As others call it. `domain` lies in `loaded`, and stays there. */
static void describe(struct fort_loaded *loaded)
{
	bool stops = loaded->crash.actions & FORT_CRASH_STOPPING;

	loaded->tail = (struct fort_tail){.engine = loaded->engine,
					  .code = loaded->code,
					  .domain = &loaded->domain,
					  .maps = loaded->maps,
					  .n_maps = loaded->n_maps,
					  .ctx = fort_domain_ctx(&loaded->domain, 0),
					  .stack_top = fort_domain_stack_top(&loaded->domain, 0),
					  .counts = loaded->counts,
					  .stack_bytes = loaded->stack_bytes,
					  .isolation = loaded->isolation,
					  .crashes_max = stops ? loaded->crash.after : 0,
					  .crashes = loaded->crashes.word,
					  .generation = loaded->crashes.place.generation};
}

/* How an engine may look up in a map. */
static struct fort_map_lookup lookup_of(const struct fort_map *map)
{
	struct fort_map_lookup lookup = {.n = map->shape.max_entries, .stride = map->stride};

	switch (map->shape.type) {
	case BPF_MAP_TYPE_ARRAY: return lookup;
	case BPF_MAP_TYPE_PERCPU_ARRAY:
		lookup.n_cpus = map->n_cpus;
		lookup.cpu_bytes = map->cpu_bytes;
		return lookup;
	default: return (struct fort_map_lookup){.function = fort_helper_lookup_in(map)};
	}
}

static int build(struct fort_loaded *loaded, const struct fort_load_request *request)
{
	struct fort_map_lookup lookups[FORT_MAPS_PER_PROG_MAX];
	struct fort_compile compile = {.program = &loaded->hardened.program,
				       .domain = &loaded->domain,
				       .isolation = request->isolation,
				       .helper = fort_helper_function,
				       .shape = fort_helper_shape,
				       .lookups = lookups,
				       .cache = request->cache,
				       .scratch = request->scratch,
				       .pool = request->pool,
				       .proven = true,
				       .blind = request->blind,
				       .seal = request->seal};
	int err = keep_program(loaded, request);

	for (uint32_t i = 0; i < loaded->n_maps; i++)
		lookups[i] = lookup_of(loaded->maps[i]);

	if (err)
		return err;
	err = open_domain(loaded, request);
	if (err)
		return err;
	err = loaded->engine->compile(&compile, &loaded->code);
	if (err)
		fort_domain_close(&loaded->domain);
	else
		describe(loaded);
	return err;
}

int fort_loaded_open(const struct fort_load_request *request, struct fort_loaded **out)
{
	const struct fort_env *env = request->proven->env;
	struct fort_arena arena;
	struct fort_loaded *loaded;
	struct fort_violation why;
	int err;

	if (!fort_env_runs(env, &why))
		return -EOPNOTSUPP;
	if (!maps_fit(env, request->maps))
		return -EBADMSG;
	if (request->memory)
		fort_arena_init_on(&arena, FORT_SEARCH_BYTES_MAX, request->memory,
				   request->memory_bytes);
	else
		fort_arena_init(&arena, FORT_SEARCH_BYTES_MAX);
	loaded = FORT_ARENA_NEW(&arena, struct fort_loaded);
	if (!loaded) {
		fort_arena_free(&arena);
		return -ENOMEM;
	}
	*loaded = (struct fort_loaded){.arena = arena,
				       .engine = request->engine,
				       .isolation = request->isolation,
				       .n_maps = env->n_maps,
				       .fuel = request->fuel};
	memcpy(loaded->binding, request->proven->binding, sizeof(loaded->binding));
	loaded->maps = fort_arena_copy(&loaded->arena, request->maps,
				       env->n_maps * sizeof(request->maps[0]));
	count_crashes(loaded, request);
	err = loaded->maps ? build(loaded, request) : -ENOMEM;
	if (err) {
		arena = loaded->arena;
		fort_arena_free(&arena);
		return err;
	}
	*out = loaded;
	return 0;
}

void fort_loaded_close(struct fort_loaded *loaded)
{
	struct fort_arena arena;

	if (!loaded)
		return;
	loaded->engine->free(loaded->code);
	fort_domain_close(&loaded->domain);
	arena = loaded->arena; /* which holds `loaded` itself */
	fort_arena_free(&arena);
}

void *fort_loaded_ctx(const struct fort_loaded *loaded, uint32_t slot)
{
	return fort_window_at(&loaded->domain.window, fort_domain_ctx(&loaded->domain, slot));
}

/* --- running --- */

static void enter_grace(struct fort_grace *grace)
{
	if (grace)
		__atomic_fetch_add(&grace->serial, 1, __ATOMIC_SEQ_CST);
}

static void leave_grace(struct fort_grace *grace)
{
	if (grace)
		__atomic_fetch_add(&grace->serial, 1, __ATOMIC_RELEASE);
}

void fort_grace_wait(const struct fort_grace *grace)
{
	const long moment[2] = {0, 20000}; /* struct timespec */
	uint64_t serial = __atomic_load_n(&grace->serial, __ATOMIC_SEQ_CST);

	while (serial & 1 && __atomic_load_n(&grace->serial, __ATOMIC_ACQUIRE) == serial)
		fort_sys2(SYS_nanosleep, (long)moment, 0);
}

/* The program that a run ended in. */
static const struct fort_loaded *ended_in(const struct fort_loaded *first,
					  const struct fort_run *run)
{
	const struct fort_tail *at = run->tails.at;

	if (!at)
		return first;
	return (const void *)((const char *)at - offsetof(struct fort_loaded, tail));
}

uint64_t fort_loaded_run(const struct fort_loaded *loaded, uint32_t slot,
			 struct fort_services *services, struct fort_run *run)
{
	uint64_t top = fort_domain_stack_top(&loaded->domain, slot);
	uint8_t *stack = fort_window_at(&loaded->domain.window, top);
	uint32_t rights;
	uint64_t result;

	if (FORT_UNLIKELY(fort_loaded_is_stopped(loaded))) {
		run->abort = (struct fort_abort){.code = FORT_ABORT_QUARANTINE};
		return 0;
	}
	rights = fort_domain_enter(&loaded->domain);
	memset(stack - loaded->stack_bytes, 0, loaded->stack_bytes);
	run->domain = &loaded->domain;
	run->maps = loaded->maps;
	run->n_maps = loaded->n_maps;
	run->slot = slot;
	run->counts = loaded->counts;
	run->fuel = loaded->fuel;
	run->ctx = fort_domain_ctx(&loaded->domain, slot);
	run->ctx_length = 0;
	run->abort = (struct fort_abort){0};
	run->n_held = 0; /* what `held` holds beyond means nothing: it is not cleared */
	run->services = services;
	run->tails = (struct fort_run_tails){.zeroed = loaded->stack_bytes};
	enter_grace(loaded->grace);
	if (loaded->pins)
		fort_services_enter(services);
	if (services->watched)
		fort_watched_enter(services->watched, run);
	result = loaded->engine->run(loaded->code, run);
	if (services->watched)
		fort_watched_leave(services->watched);
	fort_run_release_all(run);
	if (loaded->pins)
		fort_services_leave(services);
	fort_domain_leave(&loaded->domain, rights);
	if (FORT_UNLIKELY(run->abort.code)) {
		const struct fort_loaded *ended = ended_in(loaded, run);

		run->abort.pc = fort_hardened_origin(&ended->hardened, run->abort.pc);
		run->maps = ended->maps;
		run->n_maps = ended->n_maps;
		fort_crash_note(&ended->crash, &ended->crashes, run);
	}
	leave_grace(loaded->grace);
	return result;
}
