/* One helper call on its way from the gate to the implementation (internal to helper/). */
#pragma once

#include "abi/helpers.h"
#include "engine/run.h"
#include "helper/services.h"

struct fort_call {
	struct fort_run *run;
	uint64_t args[5];
	/* Argument kind MAP: the map, and where its values are in the window. */
	struct fort_map *map;
	uint32_t map_start;
	/* Argument kind RING_MEM: the reservation, no longer held. */
	struct fort_held held;
};

/* The implementations, one per row that says RUN: fort_do_MAP_LOOKUP_ELEM and so on. All pointers
 * and sizes among the arguments have been checked; memory may change under them. */
#define FORT_HELPER(id, name, number, returns, a1, a2, a3, a4, a5, progs, license, right, maps, \
		    flags, run)                                                                 \
	FORT_WHEN_##run(uint64_t fort_do_##id(struct fort_call *call);)
#include "abi/helpers.def"

/* Where a checked pointer points. */
static inline void *fort_call_at(const struct fort_call *call, unsigned arg)
{
	return fort_window_at(&call->run->domain->window, call->args[arg]);
}

static inline struct fort_services *fort_call_services(const struct fort_call *call)
{
	return call->run->services;
}

/* Ends the run because of argument `arg`, counted from 0. */
static inline uint64_t fort_call_refuse(const struct fort_call *call, unsigned arg)
{
	fort_run_abort(call->run, FORT_ABORT_HELPER_ARG, arg + 1);
	return 0;
}

static inline uint64_t fort_result(int err)
{
	return (uint64_t)(int64_t)err;
}

/* Gives up a ring reservation: fort_held.release of such. */
void fort_ring_release(struct fort_run *run, struct fort_held *held);
