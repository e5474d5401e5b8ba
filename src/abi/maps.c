#include "abi/maps.h"

#include <errno.h>

#include "abi/uapi.h"
#include "abi/words.h"

/* Short names for the columns of the tables. */
enum {
#define FORT_MAP_CLASS(name, bit) name = FORT_CLASS_##name,
#include "abi/maps.def"
	NONE = FORT_CLASS_NONE,
};

enum {
	NO_PREALLOC = BPF_F_NO_PREALLOC,
	NO_COMMON_LRU = BPF_F_NO_COMMON_LRU,
	NUMA_NODE = BPF_F_NUMA_NODE,
	FD_ACCESS = BPF_F_RDONLY | BPF_F_WRONLY,
	ACCESS = FD_ACCESS | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG,
	STACK_BUILD_ID = BPF_F_STACK_BUILD_ID,
	ZERO_SEED = BPF_F_ZERO_SEED,
	CLONE = BPF_F_CLONE,
	MMAPABLE = BPF_F_MMAPABLE,
	PRESERVE_ELEMS = BPF_F_PRESERVE_ELEMS,
	INNER_MAP = BPF_F_INNER_MAP,
	LINK = FORT_BPF_F_LINK,
	SEGV_ON_FAULT = FORT_BPF_F_SEGV_ON_FAULT,
	NO_USER_CONV = FORT_BPF_F_NO_USER_CONV,
};

enum {
	INNER = FORT_TRAIT_INNER,
	SLEEPY = FORT_TRAIT_SLEEPY,
	DIRECT = FORT_TRAIT_DIRECT,
	FIXED = FORT_TRAIT_FIXED,
	BARRED = FORT_TRAIT_BARRED,
};

#define HOLDS(id) (1u << FORT_SPECIAL_##id)

enum {
	LOCKS = HOLDS(SPIN_LOCK) | HOLDS(RES_SPIN_LOCK),
	TIMERS = HOLDS(TIMER) | HOLDS(WORKQUEUE) | HOLDS(TASK_WORK),
	KPTRS = HOLDS(KPTR_UNTRUSTED) | HOLDS(KPTR) | HOLDS(PERCPU_KPTR) | HOLDS(REFCOUNT),
	GRAPHS = HOLDS(LIST_HEAD) | HOLDS(RB_ROOT),
	UPTR = HOLDS(UPTR),
};

const struct fort_special_info fort_specials[FORT_SPECIALS] = {
#define FORT_SPECIAL(id, name, bytes, align, barred, words) \
	[FORT_SPECIAL_##id] = {(name), (bytes), (align), (barred), (words)},
#include "abi/maps.def"
};

const struct fort_map_info fort_maps[FORT_MAPS] = {
#define FORT_MAP(id_, number_, name_, class_, key_, value_, entries_, flags_, needed_, btf_, \
		 gives_, holds_, traits_, right_, run_)                                      \
	[FORT_MAP_##id_] = {.name = (name_),                                                 \
			    .number = (number_),                                             \
			    .classes = (class_),                                             \
			    .flags = (flags_),                                               \
			    .needed = (needed_),                                             \
			    .holds = (holds_),                                               \
			    .key_rule = FORT_SIZE_##key_,                                    \
			    .value_rule = FORT_SIZE_##value_,                                \
			    .entries = FORT_ENTRIES_##entries_,                              \
			    .btf = FORT_MAP_BTF_##btf_,                                      \
			    .gives = FORT_GIVES_##gives_,                                    \
			    .traits = (traits_),                                             \
			    .right = FORT_MAP_RIGHT_##right_,                                \
			    .runs = FORT_##run_},
#include "abi/maps.def"
};

/* The rows are in the order of numbers, from 1. */
const struct fort_map_info *fort_map_by_number(uint32_t number)
{
	return number && number <= FORT_MAPS ? &fort_maps[number - 1] : NULL;
}

const struct fort_map_info *fort_map_runs(uint32_t number)
{
	const struct fort_map_info *info = fort_map_by_number(number);

	return info && info->runs ? info : NULL;
}

static const struct {
	uint32_t low, high, step;
	int beyond;
} sizes[] = {
#define FORT_SIZE(id, low, high, step, beyond) \
	[FORT_SIZE_##id] = {(low), (high), (step), -(beyond)},
#include "abi/maps.def"
};

static int size_verdict(enum fort_size_rule rule, uint32_t bytes)
{
	if (bytes < sizes[rule].low || (bytes - sizes[rule].low) % sizes[rule].step)
		return -EINVAL;
	return bytes > sizes[rule].high ? sizes[rule].beyond : 0;
}

static bool entries_fit(enum fort_entries_rule rule, uint32_t entries)
{
	switch (rule) {
	case FORT_ENTRIES_NONE: return !entries;
	case FORT_ENTRIES_ONE: return entries == 1;
	case FORT_ENTRIES_PAGES:
		return entries && !(entries & (entries - 1)) && !(entries % FORT_PAGE_BYTES);
	default: return entries;
	}
}

static bool flags_fit(const struct fort_map_info *info, uint32_t flags)
{
	static const uint32_t apart[] = {BPF_F_RDONLY | BPF_F_WRONLY,
					 BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG,
					 BPF_F_NUMA_NODE | BPF_F_NO_COMMON_LRU};

	for (unsigned i = 0; i < FORT_LEN(apart); i++)
		if ((flags & apart[i]) == apart[i])
			return false;
	return !(flags & ~info->flags) && (flags & info->needed) == info->needed;
}

int fort_map_verdict(const struct fort_map_shape *shape)
{
	const struct fort_map_info *info = fort_map_info_of(shape);
	int key, value;

	if (!info || !flags_fit(info, shape->flags) ||
	    !entries_fit(info->entries, shape->max_entries))
		return -EINVAL;
	key = size_verdict(info->key_rule, shape->key_bytes);
	value = size_verdict(info->value_rule, shape->value_bytes);
	if (key == -EINVAL || value == -EINVAL)
		return -EINVAL;
	if (!value && info->value_rule == FORT_SIZE_HASH_VALUE &&
	    shape->key_bytes >= FORT_HASH_ENTRY_BYTES - shape->value_bytes)
		value = -E2BIG;
	return key ? key : value;
}
