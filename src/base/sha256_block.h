/* Inside base/: what a hash does to its blocks, in C and by the processor's own instructions. Which
 * of them runs is the processor's matter: both give the same.
 */
#pragma once

#include "base/compiler.h"

#define FORT_SHA256_BLOCK_BYTES 64u

extern const uint32_t fort_sha256_constants[64];

/* `n` blocks into the state. */
void fort_sha256_portable(uint32_t state[8], const uint8_t *blocks, size_t n);

/* Can the processor do it? The agent, whose code has general registers only, does not ask. */
bool fort_sha256_has_machine(void);
void fort_sha256_machine(uint32_t state[8], const uint8_t *blocks, size_t n);
