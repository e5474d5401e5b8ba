/* An attached probe. */
#pragma once

#include "attach/target.h"

struct fort_probe {
	struct fort_target *target;
	uint32_t index, site;
	bool is_return;
	struct fort_probe_counts base; /* the counters when it was attached: they only grow */
};
