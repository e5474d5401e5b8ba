/* What is proven to be safe, and still cannot run here yet: helpers that only the verifier knows,
 * functions that are called back, instructions without an engine.
 */
#pragma once

#include "step/step.h"

/* False with *why, of class LATER, at the first instruction that cannot run. */
bool fort_env_runs(const struct fort_env *env, struct fort_violation *why);
