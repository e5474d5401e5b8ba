/* Random hostile programs: rows of isa.def with registers that hold addresses of the host, of other
 * programs, of nothing; calls of helpers with arguments that are good, nearly good and bad; loops
 * and calls without end.
 */
#pragma once

#include "cage.h"

#define HOSTILE_SLOTS_MAX 192u

struct hostile {
	struct fort_insn insns[HOSTILE_SLOTS_MAX];
	uint32_t n;
	/* Something in it may differ from run to run: time, random numbers, memory of the host. */
	bool varies;
};

struct hostile_maker {
	struct rng rng;
	struct bad_address bad[BAD_ADDRESSES_MAX];
	uint32_t n_bad;
};

void hostile_init(struct hostile_maker *maker, const struct cage *cage, uint64_t seed);
/* The next program; it may have no graph (caged_build says so). */
void hostile_make(struct hostile_maker *maker, struct hostile *out);
