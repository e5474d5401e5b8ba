/* BTF of map keys and values. */
#pragma once

#include "abi/maps.h"
#include "btf/btf.h"

/* May a map of this shape have keys of type `key` (0: unknown) and values of type `value`? The
 * rules of map_check_btf (kernel/bpf/syscall.c) and of the map types' own checks.
 * Returns 0; -EINVAL; -EOPNOTSUPP for values that hold what bpfort does not run yet (locks, timers,
 * kernel pointers, lists and trees); -ENOMEM.
 */
FORT_CHECKED int fort_btf_check_map(const struct fort_btf *btf, const struct fort_map_shape *shape,
				    uint32_t key, uint32_t value);

/* Name of the first special field inside values of type `id` ("bpf_spin_lock", "kptr", ...), or
 * NULL in *name. Returns 0 or -ENOMEM. */
FORT_CHECKED int fort_btf_find_special(const struct fort_btf *btf, uint32_t id, const char **name);
