/* How SHA-256 goes over whole blocks of 64 bytes, for its own file and its tests. */
#pragma once

#include "base/sha256.h"

typedef void fort_sha256_blocks_fn(uint32_t state[8], const uint8_t *blocks, size_t n);

fort_sha256_blocks_fn fort_sha256_blocks_plain;
#if __STDC_HOSTED__
/* By the processor's own instructions for it, where it has them. */
fort_sha256_blocks_fn fort_sha256_blocks_fast;
bool fort_sha256_is_fast(void);
#endif
