#include "isolate/isolation.h"

#include <errno.h>
#include <string.h>

const struct fort_isolation_info fort_isolations[FORT_ISOLATIONS] = {
#define FORT_ISOLATION(id, name, loads, stores) [FORT_ISOLATION_##id] = {name, loads, stores},
#include "isolate/isolation.def"
};

int fort_isolation_by_name(const char *name, enum fort_isolation *out)
{
	for (unsigned i = 0; i < FORT_ISOLATIONS; i++)
		if (!strcmp(fort_isolations[i].name, name)) {
			*out = i;
			return 0;
		}
	return -EINVAL;
}

const char *fort_isolation_name(enum fort_isolation isolation)
{
	return fort_isolations[isolation].name;
}
