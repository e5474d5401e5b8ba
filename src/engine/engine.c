#include "engine/engine.h"

#include <errno.h>
#include <string.h>

static const char *const isolation_names[FORT_ISOLATIONS] = {
	[FORT_ISOLATION_NONE] = "none",
	[FORT_ISOLATION_SFI] = "sfi",
};

int fort_isolation_by_name(const char *name, enum fort_isolation *out)
{
	for (unsigned i = 0; i < FORT_ISOLATIONS; i++)
		if (!strcmp(isolation_names[i], name)) {
			*out = i;
			return 0;
		}
	return -EINVAL;
}

const char *fort_isolation_name(enum fort_isolation isolation)
{
	return isolation_names[isolation];
}
