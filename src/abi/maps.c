#include "abi/maps.h"

#include "abi/uapi.h"

/* Short names for the columns of the table. */
enum {
#define FORT_MAP_CLASS(name, bit) name = FORT_CLASS_##name,
#include "abi/maps.def"
	NO_PREALLOC = BPF_F_NO_PREALLOC,
	NUMA_NODE = BPF_F_NUMA_NODE,
	RDONLY = BPF_F_RDONLY,
	WRONLY = BPF_F_WRONLY,
	ZERO_SEED = BPF_F_ZERO_SEED,
	RDONLY_PROG = BPF_F_RDONLY_PROG,
	WRONLY_PROG = BPF_F_WRONLY_PROG,
	MMAPABLE = BPF_F_MMAPABLE,
	INNER_MAP = BPF_F_INNER_MAP,
};

const struct fort_map_info fort_maps[FORT_MAPS] = {
#define FORT_MAP(id_, number_, name_, class_, key_, value_, flags_) \
	[FORT_MAP_##id_] = {.name = (name_),                        \
			    .number = (number_),                    \
			    .classes = (class_),                    \
			    .key_rule = FORT_SIZE_##key_,           \
			    .value_rule = FORT_SIZE_##value_,       \
			    .flags = (flags_)},
#include "abi/maps.def"
};

const struct fort_map_info *fort_map_by_number(uint32_t number)
{
	for (unsigned i = 0; i < FORT_MAPS; i++)
		if (fort_maps[i].number == number)
			return &fort_maps[i];
	return NULL;
}
