#include "cli/choose.h"

#include <errno.h>

#include "isolate/keys.h"

int fort_choose_engine(struct fort_front *front, const char *engine_name,
		       const char *isolation_name, struct fort_text *why)
{
	struct fort_store *store = fort_front_store(front);
	const struct fort_engine *engine = fort_store_engine(store);
	enum fort_isolation isolation = fort_store_isolation(store);

	if (engine_name)
		engine = fort_engine_by_name(engine_name);
	if (!engine) {
		fort_text_add(why, "engine '%s': there is", engine_name);
		for (size_t i = 0; fort_engines[i]; i++)
			fort_text_add(why, " %s", fort_engines[i]->name);
		return -EINVAL;
	}
	if (isolation_name && fort_isolation_by_name(isolation_name, &isolation)) {
		fort_text_add(why, "isolation '%s': there is", isolation_name);
		for (unsigned i = 0; i < FORT_ISOLATIONS; i++)
			fort_text_add(why, " %s", fort_isolation_name(i));
		return -EINVAL;
	}
	if (fort_store_set_engine(store, engine, isolation)) {
		fort_text_add(why, "engine %s does not have isolation '%s'", engine->name,
			      fort_isolation_name(isolation));
		if (engine->isolations & 1u << isolation)
			fort_text_add(why, " here: %s",
				      fort_keys_why(fort_isolation_probe(isolation)));
		return -EOPNOTSUPP;
	}
	return 0;
}
