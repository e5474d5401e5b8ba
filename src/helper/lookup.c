/* Lookups in hashes whose keys have a common size: a gate of their own, which checks the key as the
 * general one does, and knows all else. */
#include "abi/uapi.h"
#include "helper/helper.h"
#include "map/hash_find.h"

static inline __attribute__((always_inline)) uint64_t look_up(uint64_t handle, uint64_t key,
							      struct fort_run *run, uint32_t bytes)
{
	const struct fort_domain *domain = run->domain;
	uint32_t index = (uint32_t)handle;
	int64_t offset;

	if (FORT_UNLIKELY(!fort_window_allows_word(&domain->window, key, bytes, FORT_READ))) {
		fort_run_abort(run, FORT_ABORT_HELPER_ARG, 2);
		return 0;
	}
	offset = fort_hash_find(run->maps[index], fort_window_at(&domain->window, key), bytes);
	if (offset < 0)
		return 0;
	return fort_domain_address(domain, domain->map_start[index] + (uint32_t)offset);
}

static uint64_t look_up_4(uint64_t handle, uint64_t key, uint64_t a3, uint64_t a4, uint64_t a5,
			  struct fort_run *run)
{
	return look_up(handle, key, run, 4);
}

static uint64_t look_up_8(uint64_t handle, uint64_t key, uint64_t a3, uint64_t a4, uint64_t a5,
			  struct fort_run *run)
{
	return look_up(handle, key, run, 8);
}

fort_helper_fn *fort_helper_lookup_in(const struct fort_map *map)
{
	if (map->shape.type != BPF_MAP_TYPE_HASH)
		return NULL;
	switch (map->shape.key_bytes) {
	case 4: return look_up_4;
	case 8: return look_up_8;
	default: return NULL;
	}
}
