/* Memory straight from the kernel, in whole pages, zeroed. */
#pragma once

#include "base/compiler.h"

/* Maps `bytes` (rounded up to pages) read-write and private. *out is written only on success.
 * Returns 0 or -ENOMEM and the like. The caller owns the pages until fort_pages_free.
 */
FORT_CHECKED int fort_pages_alloc(size_t bytes, void **out);
/* The same, with every page there already: for what will be used soon, from end to end. */
FORT_CHECKED int fort_pages_alloc_present(size_t bytes, void **out);
/* More of them, with what is in them; they may move. `before`: bytes so far. On failure they are as
 * they were. */
FORT_CHECKED int fort_pages_grow(size_t before, size_t bytes, void **pages);
void fort_pages_free(void *pages, size_t bytes);
