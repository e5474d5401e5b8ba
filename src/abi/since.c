#include "abi/since.h"

#include <stddef.h>
#include <string.h>

#include "base/compiler.h"

static const struct {
	const char *version;
	uint32_t helper, map, prog; /* the greatest numbers */
} releases[] = {
#define FORT_RELEASE(version, helper, map, prog) {(version), (helper), (map), (prog)},
#include "abi/since.def"
};

const char *fort_since_helper(uint32_t number)
{
	for (unsigned i = 0; number && i < FORT_LEN(releases); i++)
		if (releases[i].helper >= number)
			return releases[i].version;
	return NULL;
}

const char *fort_since_map(uint32_t number)
{
	for (unsigned i = 0; number && i < FORT_LEN(releases); i++)
		if (releases[i].map >= number)
			return releases[i].version;
	return NULL;
}

const char *fort_since_prog(uint32_t number)
{
	for (unsigned i = 0; number && i < FORT_LEN(releases); i++)
		if (releases[i].prog >= number)
			return releases[i].version;
	return NULL;
}

/* Each row's names end with NULL. */
static const struct {
	const char *version;
	const char *const *names;
} rows[] = {
#define FORT_KFUNC_SINCE(version, ...) {(version), (const char *const[]){__VA_ARGS__, NULL}},
#include "abi/since.def"
};

const char *fort_since_kfunc(const char *name)
{
	for (unsigned i = 0; i < FORT_LEN(rows); i++)
		for (const char *const *at = rows[i].names; *at; at++)
			if (!strcmp(*at, name))
				return rows[i].version;
	return NULL;
}
