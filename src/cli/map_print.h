/* The contents of an object's maps, by their BTF.
 *
 * A map whose key is a typedef called log2_UNIT and whose values are integers holds counts of
 * numbers between 2^key and 2^(key + 1): it is printed as a histogram of UNIT.
 */
#pragma once

#include "cli/value.h"

struct bpf_map;

/* Adds the map's entries as text; those that are all zero are counted only. Maps without keys, and
 * read-only data, add nothing. `suspect`: see fort_map_is_suspect. */
void fort_map_print(const struct bpf_map *map, const struct fort_types *types, bool suspect,
		    struct fort_text *out);
/* {"map", "type", "suspect", "zero_entries", "entries": [{"key", "value"}]}, or NULL for such a
 * map. */
json_t *fort_map_json(const struct bpf_map *map, const struct fort_types *types, bool suspect);
