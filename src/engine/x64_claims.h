/* What the emitter says about an image to whoever reads it back (engine/inspect.h): where it may be
 * entered, and what registers have there.
 */
#pragma once

#include "engine/inspect.h"
#include "engine/x64_exit.h"

struct fort_x64_claims {
	struct fort_inspect_label *labels;
	struct fort_inspect_function functions[FORT_SUBPROGS_MAX + 1];
	uint32_t n_labels, n_functions;
	size_t bytes; /* of the labels, and what it took to find them */
};

/* Once the image is laid out and written. Returns 0 or -ENOMEM. */
FORT_CHECKED int fort_x64_claims_make(const struct fort_x64 *x, struct fort_x64_claims *claims);
void fort_x64_claims_free(struct fort_x64_claims *claims);
