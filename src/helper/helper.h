/* Helpers: what a BPF program may call. One function per row of helpers.def; each first checks its
 * arguments against the program's window, as its row says, and ends the run if one is wrong. The
 * run must have services (helper/services.h).
 */
#pragma once

#include "engine/run.h"

/* The function behind a helper's number, or NULL. An engine's fort_helper_lookup. */
fort_helper_fn *fort_helper_function(uint32_t number);
