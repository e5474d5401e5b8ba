/* Small memory for the agent's thread (hits allocate nothing): powers of two from 64 bytes to half
 * a chunk, given back to lists. Chunks stay until fort_heap_close.
 */
#pragma once

#include "base/compiler.h"

/* Zeroed memory, or NULL. */
void *fort_heap_alloc(size_t bytes);
void fort_heap_free(const void *memory, size_t bytes);
void fort_heap_close(void);
