/* What is proven to be safe, and still cannot run here yet: program types and helpers that only the
 * verifier knows, functions that are called back, instructions without an engine.
 */
#pragma once

#include "step/step.h"

/* False with *why, of class LATER, at the first instruction that cannot run. What no path leads to
 * does not count. `env` is that of a proof. */
bool fort_env_runs(const struct fort_env *env, struct fort_violation *why);
