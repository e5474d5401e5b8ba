/* Walking through a hash while the one who walks changes it, and others do: fort_map_ops.walk and
 * walked.
 *
 * A cursor is a place and the element that was there: bucket, place in it, number. The element
 * stays what it is until the run ends, also when it is deleted meanwhile, and so does its link in a
 * chain. As in the kernel, what is inserted during the walk may be met or not, and so may what is
 * deleted in the chain that is being walked.
 */
#pragma once

#include "map/map.h"

uint64_t fort_hash_walk(const struct fort_map *map, uint64_t cursor, void *key, uint64_t *looks);
int64_t fort_hash_walked(const struct fort_map *map, uint64_t cursor, uint32_t cpu);
