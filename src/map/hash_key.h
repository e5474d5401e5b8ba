/* Hashing and comparing keys. The hash folds 128-bit products with a random seed per map, so that
 * who does not know the seed cannot choose keys that collide. */
#pragma once

#include <string.h>

#include "base/compiler.h"

static inline uint64_t fort_key_word(const void *at)
{
	uint64_t word;

	memcpy(&word, at, 8);
	return word;
}

static inline uint64_t fort_key_tail(const void *at, uint32_t bytes)
{
	uint64_t word = 0;

	memcpy(&word, at, bytes);
	return word;
}

static inline void fort_key_copy(void *to, const void *from, uint32_t bytes)
{
	if (bytes == 8)
		memcpy(to, from, 8);
	else if (bytes == 4)
		memcpy(to, from, 4);
	else
		memcpy(to, from, bytes);
}

static inline uint64_t fort_key_fold(uint64_t a, uint64_t b)
{
	__uint128_t product = (__uint128_t)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Odd numbers with no pattern: the fractional parts of sqrt(2) and sqrt(3). */
#define FORT_KEY_MIX1 0x6a09e667f3bcc909ull
#define FORT_KEY_MIX2 0xbb67ae8584caa73bull

static inline uint64_t fort_key_hash(const void *key, uint32_t bytes, const uint64_t seed[2])
{
	uint64_t hash = seed[0] ^ FORT_KEY_MIX1;
	uint32_t done = 0;

	if (bytes == 8)
		return fort_key_fold(fort_key_fold(fort_key_word(key) ^ hash,
						   seed[1] ^ FORT_KEY_MIX2),
				     FORT_KEY_MIX1);
	if (bytes == 4)
		return fort_key_fold(fort_key_fold(fort_key_tail(key, 4) ^ hash,
						   seed[1] ^ FORT_KEY_MIX2),
				     FORT_KEY_MIX1);
	for (; bytes - done > 8; done += 8)
		hash = fort_key_fold(fort_key_word((const uint8_t *)key + done) ^ hash,
				     seed[1] ^ FORT_KEY_MIX2);
	hash = fort_key_fold(fort_key_tail((const uint8_t *)key + done, bytes - done) ^ hash,
			     seed[1] ^ FORT_KEY_MIX2);
	return fort_key_fold(hash, FORT_KEY_MIX1);
}

static inline bool fort_key_equal(const void *a, const void *b, uint32_t bytes)
{
	uint32_t done = 0;

	if (bytes == 8)
		return fort_key_word(a) == fort_key_word(b);
	if (bytes == 4)
		return fort_key_tail(a, 4) == fort_key_tail(b, 4);
	for (; bytes - done > 8; done += 8)
		if (fort_key_word((const uint8_t *)a + done) !=
		    fort_key_word((const uint8_t *)b + done))
			return false;
	return fort_key_tail((const uint8_t *)a + done, bytes - done) ==
	       fort_key_tail((const uint8_t *)b + done, bytes - done);
}
