/* Inside proof/: the tags of the claim format, for its writer and its reader. */
#pragma once

#include "step/state.h"

enum {
	FORT_TAG_TYPE = 0x0f, /* enum fort_type */
	FORT_TAG_MAYBE_NULL = 0x10,
	FORT_TAG_RELATED = 0x20,
	FORT_TAG_ANY = 0x40, /* NUM: nothing is claimed of the number */
	FORT_TAG_REF = 0x80,
};
_Static_assert(FORT_TYPES <= FORT_TAG_TYPE + 1, "types fit the tag");

enum {
	FORT_VIEW_ARC = 1,
	FORT_VIEW_BITS = 2,
	FORT_VIEW_LOW = 4,
	FORT_VIEW_CONST = 8, /* alone */
};

static inline bool fort_type_has_object(enum fort_type type)
{
	return type == FORT_MAP || type == FORT_MAP_VALUE || type == FORT_RING_MEM;
}

static inline bool fort_type_has_range(enum fort_type type)
{
	return type == FORT_PACKET || type == FORT_PACKET_META;
}
