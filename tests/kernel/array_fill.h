/* The programs of the kernel's tests that are too long to be written out. */
#pragma once

#include "array_test.h"
#include "isa/asm.h"

struct array_filled {
	struct fort_assembly code; /* the arena's */
	uint32_t value;            /* what it returns */
	uint32_t callback;         /* slot of its second function, 0: none */
};

/* False: no such program, or no memory. The test's first expected value says which of several. */
bool array_fill(const struct array_test *test, struct fort_arena *arena, struct array_filled *out);
