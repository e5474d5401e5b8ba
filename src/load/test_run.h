/* Test runs: a packet or a context from outside, the program, and what it left.
 *
 * The program sees an image of its context (abi/ctx/): numbers where the ABI has them, pointers to
 * the packet area of its domain. Inputs have been checked against the ABI by the caller.
 */
#pragma once

#include "load/loaded.h"

#define FORT_TEST_HEADROOM 256u /* before the packet, and room for metadata */

struct fort_test_input {
	const void *data; /* packet with its Ethernet header; NULL for types without */
	uint32_t data_bytes;
	const void *ctx; /* the ABI's context, or NULL */
	uint32_t ctx_bytes;
	uint32_t repeat; /* at least 1 */
};

struct fort_test_output {
	uint64_t result;                /* r0 of the last run */
	uint64_t ns, total_ns;          /* of one run, averaged; of all */
	struct fort_abort abort;        /* of the run that ended early; code 0: none */
	uint32_t ended_in;              /* id of the program that it was in, if another; or 0 */
	uint32_t runs;                  /* that were started */
	uint32_t data_bytes, ctx_bytes; /* written to the rooms given */
};

/* Runs in slot 0. `data_out` has room for data_bytes and `ctx_out` for the ABI's context (or
 * ctx_bytes); either may be NULL. Returns 0, or -EINVAL for a packet that does not fit.
 */
FORT_CHECKED int fort_test_run(struct fort_loaded *loaded, struct fort_services *services,
			       const struct fort_test_input *input, void *data_out, void *ctx_out,
			       struct fort_test_output *out);
