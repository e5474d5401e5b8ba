#include "engine/engine.h"

#include <errno.h>
#include <string.h>

const struct fort_engine *const fort_engines[] = {&fort_engine_interp, NULL};

static const char *const isolation_names[FORT_ISOLATIONS] = {
	[FORT_ISOLATION_NONE] = "none",
	[FORT_ISOLATION_SFI] = "sfi",
};

const struct fort_engine *fort_engine_by_name(const char *name)
{
	for (unsigned i = 0; fort_engines[i]; i++)
		if (!strcmp(fort_engines[i]->name, name))
			return fort_engines[i];
	return NULL;
}

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
