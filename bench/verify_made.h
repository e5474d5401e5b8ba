/* Programs that are made up to stretch one thing each. */
#pragma once

#include "base/text.h"

struct verify_made {
	const char *name;
	uint32_t type; /* BPF_PROG_TYPE_* */
	void (*write)(struct fort_text *text);
};

extern const struct verify_made verify_made[];
extern const unsigned n_verify_made;
