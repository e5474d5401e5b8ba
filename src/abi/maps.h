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

enum fort_size_rule {
#define FORT_SIZE(id, ...) FORT_SIZE_##id,
#include "abi/maps.def"
};

enum fort_entries_rule {
	FORT_ENTRIES_NONE,
	FORT_ENTRIES_ONE,
	FORT_ENTRIES_SOME,
	FORT_ENTRIES_PAGES,
};

/* Rules on the BTF of key and value. */
enum fort_map_btf {
	FORT_MAP_BTF_NONE, /* there is no BTF that fits: keys have no bytes, or the map looks at
			      none */
	FORT_MAP_BTF_REFUSED,
	FORT_MAP_BTF_ARRAY,
	FORT_MAP_BTF_TRIE,
	FORT_MAP_BTF_GROUP,
	FORT_MAP_BTF_VALUE,
	FORT_MAP_BTF_KEYED,
	FORT_MAP_BTF_NEEDED,
	FORT_MAP_BTF_STRUCT,
};

enum fort_map_gives {
	FORT_GIVES_VALUE,
	FORT_GIVES_MAP,
	FORT_GIVES_SOCKET,
	FORT_GIVES_XDP_SOCK,
};

/* What values hold besides numbers, by number; in masks 1 << that. */
enum fort_special {
#define FORT_SPECIAL(id, ...) FORT_SPECIAL_##id,
#include "abi/maps.def"
	FORT_SPECIALS
};

struct fort_special_info {
	const char *name; /* the kernel's struct; of pointers the type tag */
	uint8_t bytes, align;
	uint32_t barred;   /* enum fort_prog_bit: programs that may not use maps with it */
	const char *words; /* "tracing progs cannot use WORDS yet"; NULL when none are barred */
};

extern const struct fort_special_info fort_specials[FORT_SPECIALS];

enum fort_map_trait {
	FORT_TRAIT_INNER = 1,
	FORT_TRAIT_SLEEPY = 2,
	FORT_TRAIT_DIRECT = 4,
	FORT_TRAIT_FIXED = 8,
	FORT_TRAIT_BARRED = 16,
};

enum fort_map_right { FORT_MAP_RIGHT_BASE, FORT_MAP_RIGHT_BPF, FORT_MAP_RIGHT_NET };

struct fort_map_info {
	const char *name;
	uint32_t number;              /* BPF_MAP_TYPE_* */
	uint32_t classes;             /* bits of enum fort_map_class */
	uint32_t flags, needed;       /* BPF_F_* accepted at creation, and that must be there */
	uint16_t holds;               /* bits of enum fort_special */
	uint8_t key_rule, value_rule; /* enum fort_size_rule */
	uint8_t entries;              /* enum fort_entries_rule */
	uint8_t btf;                  /* enum fort_map_btf */
	uint8_t gives;                /* enum fort_map_gives */
	uint8_t traits;               /* enum fort_map_trait */
	uint8_t right;                /* enum fort_map_right */
	bool runs;                    /* implemented in src/map */
};

extern const struct fort_map_info fort_maps[FORT_MAPS];

/* The type with this number, or NULL; of all, and of those that bpfort runs. */
const struct fort_map_info *fort_map_by_number(uint32_t number);
const struct fort_map_info *fort_map_runs(uint32_t number);

/* What creation fixes for a map's life; part of what a certificate is bound to. */
struct fort_map_shape {
	uint32_t type; /* BPF_MAP_TYPE_* */
	uint32_t key_bytes, value_bytes, max_entries;
	uint32_t flags;  /* BPF_F_* */
	uint32_t frozen; /* 1: the only value will not change again, programs may take it for
			    constant */
	uint32_t inner; /* maps of maps: 1 + the place of the inner maps' shape in a program's list;
			   else 0 */
};

static inline const struct fort_map_info *fort_map_info_of(const struct fort_map_shape *shape)
{
	return fort_map_by_number(shape->type);
}

/* What the kernel says of such a map, memory and BTF apart: 0, -EINVAL or -E2BIG. */
int fort_map_verdict(const struct fort_map_shape *shape);

/* Distance between values: the kernel's round_up(value_size, 8). */
static inline uint32_t fort_map_stride(const struct fort_map_shape *shape)
{
	return (uint32_t)fort_round_up(shape->value_bytes, 8);
}
