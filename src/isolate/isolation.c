#include "isolate/isolation.h"

#include <errno.h>
#include <string.h>

#include "isolate/keys.h"

const struct fort_isolation_info fort_isolations[FORT_ISOLATIONS] = {
#define FORT_ISOLATION(id, name, loads, stores, keys) \
	[FORT_ISOLATION_##id] = {name, loads, stores, keys},
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

int fort_isolation_probe(enum fort_isolation isolation)
{
	return fort_isolations[isolation].keys ? fort_keys_probe() : 0;
}

enum fort_isolation fort_isolation_without_keys(enum fort_isolation isolation)
{
	unsigned i = 0;

	while (fort_isolations[i].keys ||
	       fort_isolations[i].loads != fort_isolations[isolation].loads ||
	       fort_isolations[i].stores != fort_isolations[isolation].stores)
		i++;
	return i;
}

const char *fort_isolation_name(enum fort_isolation isolation)
{
	return fort_isolations[isolation].name;
}
