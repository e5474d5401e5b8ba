/* A unit from a PROG_LOAD whose maps are the running kernel's. */
#pragma once

#include "attr_info.h"
#include "load/unit.h"
#include "oracle.h"

struct our_unit {
	struct fort_arena arena; /* of everything here */
	struct fort_raw_insn *insns;
	struct fort_map_shape maps[2 * FORT_MAPS_PER_PROG_MAX]; /* n_maps, then n_inner */
	const uint8_t *constants[FORT_MAPS_PER_PROG_MAX];
	const struct fort_btf_record *records[FORT_MAPS_PER_PROG_MAX];
	int fds[FORT_MAPS_PER_PROG_MAX]; /* the caller's */
	uint32_t n_maps, n_inner;
	char strange_map[ORACLE_REASON_BYTES]; /* what of a map is not supported; "": nothing */
	struct attr_info info;
	struct fort_unit unit;
	uint64_t build_ns; /* decoding, and the graph */
};

enum our_unit_state {
	OUR_UNIT_READY,
	OUR_UNIT_MALFORMED, /* *error says why */
	OUR_UNIT_LATER,     /* `reason` says what is not supported yet */
	OUR_UNIT_CANNOT,    /* `reason` says what went wrong on the way */
};

/* Builds the unit as it is judged with the rights of `half`. Close in any case. */
enum our_unit_state our_unit_open(struct our_unit *ours, const union bpf_attr *attr, enum half half,
				  struct fort_unit_error *error, char *reason);
void our_unit_close(struct our_unit *ours);

/* The kernel's function that the instruction at `pc` calls, for `reason`; false: it calls none. */
bool our_unit_kfunc(const struct our_unit *ours, uint32_t pc, char *reason);
