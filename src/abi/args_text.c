#include "abi/args.h"

static const char *const texts[FORT_REGTYPES] = {
#define FORT_REGTYPE(id, text) [FORT_REGTYPE_##id] = text,
#include "abi/regtypes.def"
};

const char *fort_regtype_text(enum fort_regtype type)
{
	return texts[type];
}

void fort_fits_text(enum fort_fits set, struct fort_text *out)
{
	const uint8_t *first = fort_fits_sets[set];

	for (const uint8_t *at = first; *at != FORT_REGTYPE_NONE; at++)
		fort_text_add(out, at == first ? "%s" : ", %s", texts[*at]);
}
