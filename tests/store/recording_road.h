#pragma once

#include "store/road.h"

struct recording {
	/* what was asked */
	unsigned loads, unloads, runs;
	struct fort_road_request request; /* of the last load; pointers as in the store */
	char name[FORT_NAME_BYTES];
	struct fort_raw_insn insns[64];
	struct fort_test_request test;
	/* what to answer */
	int load_result, run_error;
	const char *say; /* into the log */
	struct fort_test_result test_result;
	const void *data_out;
};

extern struct recording recording;
