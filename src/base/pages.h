/* Memory straight from the kernel, in whole pages, zeroed. */
#pragma once

#include "base/compiler.h"

/* Maps `bytes` (rounded up to pages) read-write and private. *out is written only on success.
 * Returns 0 or -ENOMEM and the like. The caller owns the pages until fort_pages_free.
 */
FORT_CHECKED int fort_pages_alloc(size_t bytes, void **out);
void fort_pages_free(void *pages, size_t bytes);
