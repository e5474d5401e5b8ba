/* SHA-256 (FIPS 180-4). Our own because the certificate checker is freestanding; what is signed
 * goes through OpenSSL.
 */
#pragma once

#include "base/compiler.h"

#define FORT_SHA256_BYTES 32

struct fort_sha256 {
	uint32_t state[8];
	uint64_t bytes;
	uint8_t block[64];
};

void fort_sha256_init(struct fort_sha256 *hash);
void fort_sha256_add(struct fort_sha256 *hash, const void *data, size_t bytes);
void fort_sha256_end(struct fort_sha256 *hash, uint8_t out[FORT_SHA256_BYTES]);
