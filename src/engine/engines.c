/* Which engines are built in. */
#include <string.h>

#include "engine/engine.h"

const struct fort_engine *const fort_engines[] = {&fort_engine_interp, &fort_engine_x64, NULL};

bool fort_engine_has(const struct fort_engine *engine, enum fort_isolation isolation)
{
	return engine->isolations & 1u << isolation && !fort_isolation_probe(isolation);
}

const struct fort_engine *fort_engine_by_name(const char *name)
{
	for (unsigned i = 0; fort_engines[i]; i++)
		if (!strcmp(fort_engines[i]->name, name))
			return fort_engines[i];
	return NULL;
}
