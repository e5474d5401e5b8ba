/* Map types, from maps.def, and the shape of one map: all that creation fixes. */
#pragma once

#include "base/compiler.h"
#include "base/limits.h"

enum fort_map_id {
#define FORT_MAP(id, ...) FORT_MAP_##id,
#include "abi/maps.def"
	FORT_MAPS
};

enum fort_map_class {
	FORT_CLASS_NONE = 0,
#define FORT_MAP_CLASS(name, bit) FORT_CLASS_##name = 1u << (bit),
#include "abi/maps.def"
};

enum fort_size_rule { FORT_SIZE_ZERO, FORT_SIZE_FOUR, FORT_SIZE_SOME };

struct fort_map_info {
	const char *name;
	uint32_t number;              /* BPF_MAP_TYPE_* */
	uint32_t classes;             /* bits of enum fort_map_class */
	uint8_t key_rule, value_rule; /* enum fort_size_rule */
	uint32_t flags;               /* BPF_F_* accepted at creation */
};

extern const struct fort_map_info fort_maps[FORT_MAPS];

const struct fort_map_info *fort_map_by_number(uint32_t number);

/* What creation fixes for a map's life; part of what a certificate is bound to. */
struct fort_map_shape {
	uint32_t type; /* BPF_MAP_TYPE_* */
	uint32_t key_bytes, value_bytes, max_entries;
	uint32_t flags;  /* BPF_F_* */
	uint32_t frozen; /* 1: the only value will not change again, programs may take it for
			    constant */
};

static inline const struct fort_map_info *fort_map_info_of(const struct fort_map_shape *shape)
{
	return fort_map_by_number(shape->type);
}

/* Distance between values: the kernel's round_up(value_size, 8). */
static inline uint32_t fort_map_stride(const struct fort_map_shape *shape)
{
	return (uint32_t)fort_round_up(shape->value_bytes, 8);
}
