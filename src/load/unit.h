/* A unit: one program with everything its meaning depends on, from raw instructions to the
 * environment in which it is verified or checked. The loader and the process that runs the program
 * build the same unit from the same bytes.
 */
#pragma once

#include "isa/graph.h"
#include "step/step.h"

struct fort_unit_request {
	const struct fort_raw_insn *insns; /* maps are indices (LDIMM_MAP_IDX forms) */
	uint32_t n_insns;                  /* 1 to FORT_PROG_INSNS_MAX */
	struct fort_hook hook;             /* program type, and where it is attached */
	bool sleepable;
	/* n_maps that instructions name, at most FORT_MAPS_PER_PROG_MAX, and n_inner that are in
	 * them, no more. */
	const struct fort_map_shape *maps;
	uint32_t n_maps, n_inner;
	/* As in struct fort_env; they outlive the unit. */
	const uint8_t *const *constants;
	const struct fort_btf_record *const *records;
	uint32_t cpus;   /* that there may be; 0: FORT_CPUS_MAX */
	uint32_t rights; /* enum fort_verifier_right */
	bool gpl;
};

/* Everything is the arena's. */
struct fort_unit {
	struct fort_graph graph;
	struct fort_env env; /* points to graph: a unit is not copied */
};

/* Why there is no unit. */
struct fort_unit_error {
	bool decoding; /* else the graph */
	struct fort_decode_error decode;
	struct fort_graph_error graph;
};

/* Returns 0, -ENOMEM, or -EINVAL with *error. */
FORT_CHECKED int fort_unit_build(struct fort_arena *arena, const struct fort_unit_request *request,
				 struct fort_unit *out, struct fort_unit_error *error);
