/* What fuzz targets share. */
#pragma once

#include "base/compiler.h"

/* Unlike assert, also there when assertions are compiled out. */
#define FUZZ_ASSERT(condition)            \
	do {                              \
		if (!(condition))         \
			__builtin_trap(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
