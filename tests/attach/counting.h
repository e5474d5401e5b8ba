/* What the test agent's programs write, in memory that test and target share. */
#pragma once

#include <stdint.h>

#include "attach/protocol.h"

enum counting_program {
	COUNTING_NOTHING, /* an empty program */
	COUNTING_RECORD,  /* counts and keeps the last registers */
	COUNTING_SLOW,    /* stays in the program for some microseconds */
	COUNTING_PROGRAMS
};

struct counting {
	uint64_t runs[FORT_RUN_SLOTS][8]; /* [0]: by slot, a cache line each */
	uint64_t inside[FORT_RUN_SLOTS];  /* runs in a slot at this moment */
	uint64_t overlaps;                /* more than one: must stay 0 */
	uint64_t abandoned;
	uint64_t cookie, ip; /* of the last hit */
	uint64_t regs[FORT_HIT_REGS];
	uint64_t sum[FORT_RUN_SLOTS][8]; /* [0]: first arguments, [1]: results, added up */
	uint64_t open_packages;
};
