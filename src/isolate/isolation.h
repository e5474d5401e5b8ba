/* Isolation modes, from isolation.def. They are orthogonal to engines: an engine lists those it
 * has.
 */
#pragma once

#include "base/compiler.h"

enum fort_isolation {
#define FORT_ISOLATION(id, ...) FORT_ISOLATION_##id,
#include "isolate/isolation.def"
	FORT_ISOLATIONS
};

struct fort_isolation_info {
	const char *name;
	bool loads, stores; /* confined */
	bool keys;          /* protection keys beside that */
};

extern const struct fort_isolation_info fort_isolations[FORT_ISOLATIONS];

/* -EINVAL for unknown names. */
FORT_CHECKED int fort_isolation_by_name(const char *name, enum fort_isolation *out);
const char *fort_isolation_name(enum fort_isolation isolation);

/* Does it work on this machine? 0, or fort_keys_probe's errors. */
FORT_CHECKED int fort_isolation_probe(enum fort_isolation isolation);
/* The mode that confines the same accesses and asks nothing of the machine. */
enum fort_isolation fort_isolation_without_keys(enum fort_isolation isolation);

/* Does safety rest on the program's proof under this mode? */
static inline bool fort_isolation_needs_proof(enum fort_isolation isolation)
{
	return !fort_isolations[isolation].loads || !fort_isolations[isolation].stores;
}
