/* Faults of x64 images, and stops from outside: what becomes of a thread that was interrupted in
 * code of a program (isolate/signals.h). It goes on at the image's way out, as if the code had left
 * by itself.
 *
 * A fault at an access noted by the compiler ends the run as an access to nothing, with its
 * address. Any other is one that the engine did not expect: it ends the run as a trap.
 */
#pragma once

#include "engine/x64_op.h"
#include "isolate/signals.h"

struct fort_x64_faults {
	struct fort_signal_range range;         /* of the image */
	uint64_t way_out;                       /* where runs are ended early */
	const struct fort_x64_access *accesses; /* by place */
	const struct fort_code_place *places;   /* ascending */
	uint32_t n_accesses, n_places;
};

/* Fills in the range's functions and lists it. `faults` must live until it is unlisted. Returns
 * fort_signals_list's errors.
 */
FORT_CHECKED int fort_x64_faults_list(struct fort_x64_faults *faults, uint32_t *place);
