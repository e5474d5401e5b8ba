/* What a program's BTF says of its subprograms, in the form in which the semantics and packages
 * have it (struct fort_prototype).
 */
#pragma once

#include "btf/info.h"
#include "step/step.h"

struct fort_description {
	const struct fort_prototype *prototypes; /* one per function record; NULL: there are none */
	const struct fort_prototype_words *words; /* the same; they point into the BTF */
	uint32_t n_prototypes;
	bool has_exceptions; /* the program names a function for exceptions */
};

/* Everything is the arena's. Returns 0 or -ENOMEM. */
FORT_CHECKED int fort_describe(struct fort_arena *arena, const struct fort_info *info,
			       const struct fort_func_owner *owner, struct fort_description *out);
