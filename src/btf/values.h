/* BTF of map keys and values. */
#pragma once

#include "abi/maps.h"
#include "btf/record.h"

/* May a map of this shape have keys of type `key` (0: unknown) and values of type `value`? The
 * rules of map_check_btf (kernel/bpf/syscall.c) and of the map types' own checks. *record: the
 * special fields of a value, in terms of `kernel` as in fort_btf_read_record; if they break a rule
 * of it, there are none.
 * Returns 0; -EINVAL; for special fields -EACCES (maps that programs may not read or may not
 * write), -EOPNOTSUPP (not in this map type), or an error of fort_btf_check_owned.
 */
FORT_CHECKED int fort_btf_check_map(const struct fort_btf *btf, const struct fort_btf *kernel,
				    const struct fort_map_shape *shape, uint32_t key,
				    uint32_t value, struct fort_btf_record *record);
