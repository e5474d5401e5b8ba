/* Walking through a hash: fort_map_ops.walk and walked. */
#pragma once

#include "map/map.h"

uint64_t fort_hash_walk(const struct fort_map *map, uint64_t cursor, void *key, uint64_t *looks);
int64_t fort_hash_walked(const struct fort_map *map, uint64_t cursor, uint32_t cpu);
