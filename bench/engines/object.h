/* The compiled programs: an ELF file of clang's, read where it says what the programs are made of.
 * It is our own build's: what is wrong with it ends the measurement.
 */
#pragma once

#include "isa/insn.h"
#include "programs.h"

#define BENCH_INSNS_MAX 4096u

/* The maps that programs name, in the order of the list. */
enum bench_program_map {
#define X(name, ...) BENCH_MAP_##name,
	BENCH_MAPS_LIST(X)
#undef X
		BENCH_PROGRAM_MAPS
};

struct bench_object {
	const uint8_t *bytes;
};

/* False, with the reason on stderr. */
bool bench_object_open(const char *path, struct bench_object *out);
/* The instructions of section bpf/NAME, with maps by index. Returns how many, or 0. */
uint32_t bench_object_program(const struct bench_object *object, const char *name,
			      struct fort_raw_insn out[BENCH_INSNS_MAX]);
