/* Program arrays: what bpf_tail_call can go on with, by index.
 *
 * Programs are those of one process, which compiled them, so nothing of this is shared: the values
 * object is empty, and the table is memory of the process. Entries are the store's to set: it knows
 * programs, and keeps them as long as they are in a table, or a run may have found them there
 * (store/tails.h). Programs read entries while they are set.
 */
#pragma once

#include "map/map.h"

/* NULL: there is none. `index` is below max_entries. */
static inline const struct fort_tail *fort_prog_array_get(const struct fort_map *map,
							  uint32_t index)
{
	return __atomic_load_n(&map->progs.tails[index], __ATOMIC_ACQUIRE);
}

static inline void fort_prog_array_set(struct fort_map *map, uint32_t index,
				       const struct fort_tail *tail)
{
	__atomic_store_n(&map->progs.tails[index], tail, __ATOMIC_SEQ_CST);
}

static inline bool fort_map_is_prog_array(const struct fort_map *map)
{
	return map->ops == &fort_map_prog_array;
}
