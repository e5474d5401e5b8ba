/* Planning a patch: which instructions a jump at the start of a function would overwrite, and how
 * they must read elsewhere to mean the same. Only bytes are looked at; nothing is written.
 *
 * Five bytes change, no more: an instruction that the jump cuts in two keeps its tail, and code
 * behind the five bytes stays whole, so that only addresses strictly inside of them are dead.
 */
#pragma once

#include "attach/protocol.h"
#include "base/compiler.h"

enum fort_refusal {
#define FORT_REFUSAL(name, why) FORT_REFUSAL_##name,
#include "attach/refusal.def"
#undef FORT_REFUSAL
	FORT_REFUSALS
};

const char *fort_refusal_text(enum fort_refusal refusal);

struct fort_displace {
	const uint8_t *code; /* what is now at `address`; */
	size_t bytes;        /* at least FORT_DISPLACE_BYTES unless the mapping ends */
	uint64_t address;    /* of the function in the process */
	uint64_t room;       /* bytes until something else starts that must not change */
	uint64_t stub, block;
	bool shadow_stack;
};

#define FORT_DISPLACE_BYTES 32u

/* Plans the patch. Fills *plan but for site and kind. What else can lead into the bytes that change
 * is asked of reach.h. */
FORT_CHECKED enum fort_refusal fort_displace_plan(const struct fort_displace *request,
						  struct fort_site_plan *plan);
