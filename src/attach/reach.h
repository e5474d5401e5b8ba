/* Can the bytes that a jump would overwrite be reached other than through the function's start? By
 * branches of the function itself, by its jump tables, or because another symbol is there. Branches
 * from other functions into the middle of these bytes, without a symbol, are not looked for: no
 * compiler makes them.
 */
#pragma once

#include "attach/displace.h"
#include "attach/module.h"

/* `patch` is the link address of the first byte that changes. */
FORT_CHECKED enum fort_refusal fort_reach_check(const struct fort_process *process,
						const struct fort_module *module,
						const struct fort_function *function,
						uint64_t patch);
