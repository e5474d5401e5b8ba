/* The rules as C, by names of both widths: the side of agree.inc that is held against terms. */
#include <stdbool.h>

#include "domain/compare.h"

#include "agree.h"

#define BITS     32
#define WORD     uint32_t
#define SWORD    int32_t
#define W_(name) w32_##name
#include "native_width.inc"
#include "width_end.inc"
#undef SWORD

#define BITS     64
#define WORD     uint64_t
#define SWORD    int64_t
#define W_(name) w64_##name
#include "native_width.inc"

#define HALF       uint32_t
#define HONES      UINT32_MAX
#define LOW(x)     ((uint32_t)(x))
#define WIDE(h)    ((uint64_t)(h))
#define SEXT(h)    ((uint64_t)(int64_t)(int32_t)(h))
#define HTNUM      struct w32_tnum
#define HTNUM_(op) w32_tnum_##op
#define HARC       struct w32_arc
#define HARC_(op)  w32_arc_##op
#define NAME(op)   views_##op
#include "domain/reduce.inc"
#include "agree_views.inc"

unsigned views_native_agree(const uint64_t *in, uint64_t *out)
{
	return views_agree(in, out);
}
