/* Helpers: what a BPF program may call. One function per row of helpers.def; each first checks its
 * arguments against the program's window, as its row says, and ends the run if one is wrong. The
 * run must have services (helper/services.h).
 */
#pragma once

#include "engine/engine.h"

/* The function behind a helper's number, or NULL. An engine's fort_helper_lookup. */
fort_helper_fn *fort_helper_function(uint32_t number);
/* What engines may know of it: a fort_helper_shaper. */
struct fort_helper_shape fort_helper_shape(uint32_t number);

struct fort_map;
/* What does bpf_map_lookup_elem in this map, faster for what it knows of it; NULL: nothing is
 * faster. As fort_map_lookup.function it relies on its first argument. */
fort_helper_fn *fort_helper_lookup_in(const struct fort_map *map);
