/* Memory objects that cannot shrink: what is safe to map from another process. */
#pragma once

#include "base/span.h"

/* A new zeroed memfd of `bytes`, sealed against a change of size; or -errno. */
int fort_sealed_empty(const char *name, uint64_t bytes);
/* One that holds a copy of the bytes and can never be written again. */
int fort_sealed_copy(const char *name, struct fort_span content);
