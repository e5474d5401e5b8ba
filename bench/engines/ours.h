/* bpfort's side: maps, programs on the road from instructions to code, runs. What runs here has
 * been verified and checked as any other program.
 */
#pragma once

#include "helper/services.h"
#include "load/test_run.h"
#include "object.h"

struct bench_ours {
	struct fort_shared *shared;
	struct fort_host host;
	struct fort_services services;
	struct fort_map *maps[BENCH_PROGRAM_MAPS];
	struct fort_arena arena;   /* of one program's proof */
	struct fort_arena scratch; /* of engines, as a store keeps it */
	struct fort_proven proven;
};

/* All of these end the process when something is wrong. */
void bench_ours_open(struct bench_ours *ours);
/* Proves a program; what is loaded is loaded from it, until it is dropped. */
void bench_ours_prove(struct bench_ours *ours, const struct fort_raw_insn *insns, uint32_t n);
void bench_ours_drop(struct bench_ours *ours);
struct fort_loaded *bench_ours_load(struct bench_ours *ours, const struct fort_engine *engine,
				    enum fort_isolation isolation);
/* Runs once over the packet; afterwards its context is in place, and *run is ready for more. */
void bench_ours_first_run(struct bench_ours *ours, struct fort_loaded *loaded, const void *packet,
			  uint32_t bytes, struct fort_run *run);
/* Puts a run back to the start of the program. */
void bench_ours_bind(struct bench_ours *ours, const struct fort_loaded *loaded,
		     struct fort_run *run);
/* The value of map `bench_data`. */
struct bench_data *bench_ours_data(const struct bench_ours *ours);
