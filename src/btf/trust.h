/* Which pointers in kernel structs are as good as the pointer that they were loaded through. */
#pragma once

#include "btf/walk.h"

enum fort_btf_trust {
	FORT_TRUST_NONE,
	FORT_TRUST_RCU,             /* in an RCU critical section, and not NULL */
	FORT_TRUST_RCU_OR_NULL,     /* the same, or NULL */
	FORT_TRUST_TRUSTED,         /* always, and not NULL */
	FORT_TRUST_TRUSTED_OR_NULL, /* the same, or NULL */
};

/* Of a pointer that a load through a pointer to struct `id` found (FORT_SPOT_STRUCT_POINTER). */
enum fort_btf_trust fort_btf_trust_of(const struct fort_btf *btf, uint32_t id,
				      const struct fort_btf_spot *spot);
