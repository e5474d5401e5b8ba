/* A program's surroundings without a program: a domain with maps, services and a run, and calls of
 * helpers by number. */
#pragma once

#include "map_test.h"

#include "helper/helper.h"
#include "helper/services.h"
#include "helper/trace.h"

#define WORLD_MAPS_MAX 7u

struct world {
	struct fort_shared *shared;
	struct fort_map *maps[WORLD_MAPS_MAX];
	uint32_t n_maps;
	struct fort_domain domain;
	struct fort_host host;
	struct fort_services services;
	struct fort_run run;
};

/* Opens a domain with these maps, which become the world's; its slots have levels. */
static inline void world_open_levels(struct world *w, struct fort_shared *shared,
				     struct fort_map *const *maps, uint32_t n_maps,
				     uint32_t n_levels)
{
	struct fort_domain_layout layout = {.n_slots = 2,
					    .n_levels = n_levels,
					    .ctx_bytes = 64,
					    .packet_bytes = 4096,
					    .hidden = true};
	struct fort_domain_map windows[WORLD_MAPS_MAX];

	*w = (struct world){.shared = shared, .n_maps = n_maps};
	for (uint32_t i = 0; i < n_maps; i++) {
		struct fort_map_window part = fort_map_window_of(maps[i]);

		w->maps[i] = maps[i];
		windows[i] = (struct fort_domain_map){.fd = maps[i]->values_fd,
						      .file_offset = part.file_offset,
						      .bytes = part.bytes,
						      .writable = part.writable};
	}
	assert_int_equal(fort_domain_open(&layout, windows, n_maps, &w->domain), 0);
	fort_host_init(&w->host, shared, NULL);
	assert_int_equal(fort_services_init(&w->services, &w->host), 0);
	w->run = (struct fort_run){.domain = &w->domain,
				   .maps = w->maps,
				   .n_maps = n_maps,
				   .ctx = fort_domain_ctx(&w->domain, 0),
				   .services = &w->services};
}

static inline void world_open(struct world *w, struct fort_shared *shared,
			      struct fort_map *const *maps, uint32_t n_maps)
{
	world_open_levels(w, shared, maps, n_maps, 1);
}

static inline void world_close(struct world *w)
{
	fort_run_release_all(&w->run);
	fort_services_end(&w->services);
	fort_domain_close(&w->domain);
	for (uint32_t i = 0; i < w->n_maps; i++)
		fort_map_close(w->maps[i]);
}

/* The program's stack: addresses as it sees them, `below` the top; and where that is for us. */
static inline uint64_t stack_address(const struct world *w, uint32_t below)
{
	return fort_domain_stack_top(&w->domain, 0) - below;
}

static inline void *stack_at(const struct world *w, uint32_t below)
{
	return fort_window_at(&w->domain.window, stack_address(w, below));
}

static inline void *window_at(const struct world *w, uint64_t address)
{
	return fort_window_at(&w->domain.window, address);
}

static inline uint64_t call(struct world *w, uint32_t number, uint64_t a1, uint64_t a2, uint64_t a3,
			    uint64_t a4, uint64_t a5)
{
	fort_helper_fn *helper = fort_helper_function(number);

	assert_non_null(helper);
	return helper(a1, a2, a3, a4, a5, &w->run);
}

/* The position of the argument that ended the run, 0 if none did. */
static inline uint32_t refused(struct world *w)
{
	uint32_t detail = w->run.abort.code == FORT_ABORT_HELPER_ARG ? w->run.abort.detail : 0;

	assert_true(!w->run.abort.code || detail);
	w->run.abort = (struct fort_abort){0};
	return detail;
}
