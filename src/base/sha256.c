#include "base/sha256.h"

#include <string.h>

#if __STDC_HOSTED__
#include <cpuid.h>
#include <immintrin.h>
#endif

#include "base/sha256_blocks.h"

/* FIPS 180-4, 4.2.2: fractional parts of the cube roots of the first 64 primes. */
static const uint32_t round_constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2,
};

static uint32_t rotate(uint32_t x, unsigned n)
{
	return x >> n | x << (32 - n);
}

static uint32_t load_be32(const uint8_t *at)
{
	uint32_t word;

	memcpy(&word, at, sizeof(word));
	return __builtin_bswap32(word);
}

/* FIPS 180-4, 6.2.2. Instead of the eight words, their roles go round. */
#define ROUND(a, b, c, d, e, f, g, h, i)                                                \
	do {                                                                            \
		uint32_t sum = (h) + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) +   \
			       ((g) ^ ((e) & ((f) ^ (g)))) + round_constants[i] + w[i]; \
		(d) += sum;                                                             \
		(h) = sum + (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) +            \
		      (((a) & (b)) | ((c) & ((a) | (b))));                              \
	} while (0)

static void compress_one(uint32_t state[8], const uint8_t *block)
{
	uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
	uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
	uint32_t w[64];

	for (unsigned i = 0; i < 16; i++)
		w[i] = load_be32(block + 4 * i);
	for (unsigned i = 16; i < 64; i++) {
		uint32_t x = w[i - 15], y = w[i - 2];

		w[i] = w[i - 16] + w[i - 7] + (rotate(x, 7) ^ rotate(x, 18) ^ x >> 3) +
		       (rotate(y, 17) ^ rotate(y, 19) ^ y >> 10);
	}
	for (unsigned i = 0; i < 64; i += 8) {
		ROUND(a, b, c, d, e, f, g, h, i);
		ROUND(h, a, b, c, d, e, f, g, i + 1);
		ROUND(g, h, a, b, c, d, e, f, i + 2);
		ROUND(f, g, h, a, b, c, d, e, i + 3);
		ROUND(e, f, g, h, a, b, c, d, i + 4);
		ROUND(d, e, f, g, h, a, b, c, i + 5);
		ROUND(c, d, e, f, g, h, a, b, i + 6);
		ROUND(b, c, d, e, f, g, h, a, i + 7);
	}
	state[0] += a;
	state[1] += b;
	state[2] += c;
	state[3] += d;
	state[4] += e;
	state[5] += f;
	state[6] += g;
	state[7] += h;
}
#undef ROUND

void fort_sha256_blocks_plain(uint32_t state[8], const uint8_t *blocks, size_t n)
{
	for (; n; n--, blocks += 64)
		compress_one(state, blocks);
}

#if __STDC_HOSTED__

/* The same by instructions made for it, which want the state as two vectors: words a, b, e, f and
 * c, d, g, h, the first ones on top. Sixteen steps of four rounds; each also makes the schedule's
 * words that come four steps later. */
__attribute__((target("sha,sse4.1"))) void fort_sha256_blocks_fast(uint32_t state[8],
								   const uint8_t *blocks, size_t n)
{
	const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
	__m128i badc = _mm_shuffle_epi32(_mm_loadu_si128((void *)state), 0xb1);
	__m128i hgfe = _mm_shuffle_epi32(_mm_loadu_si128((void *)(state + 4)), 0x1b);
	__m128i abef = _mm_alignr_epi8(badc, hgfe, 8), cdgh = _mm_blend_epi16(hgfe, badc, 0xf0);

	for (; n; n--, blocks += 64) {
		const __m128i abef_before = abef, cdgh_before = cdgh;
		__m128i w[4];

		for (unsigned i = 0; i < 4; i++)
			w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const void *)(blocks + 16 * i)),
						swap);
#pragma GCC unroll 16
		for (unsigned i = 0; i < 16; i++) {
			const __m128i w0 = w[i % 4], w1 = w[(i + 1) % 4], w2 = w[(i + 2) % 4];
			const __m128i w3 = w[(i + 3) % 4];
			__m128i k = _mm_add_epi32(
				w0, _mm_loadu_si128((const void *)&round_constants[4 * i]));

			cdgh = _mm_sha256rnds2_epu32(cdgh, abef, k);
			abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(k, 0x0e));
			k = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4));
			w[i % 4] = _mm_sha256msg2_epu32(k, w3);
		}
		abef = _mm_add_epi32(abef, abef_before);
		cdgh = _mm_add_epi32(cdgh, cdgh_before);
	}
	badc = _mm_shuffle_epi32(abef, 0x1b);
	hgfe = _mm_shuffle_epi32(cdgh, 0xb1);
	_mm_storeu_si128((void *)state, _mm_blend_epi16(badc, hgfe, 0xf0));
	_mm_storeu_si128((void *)(state + 4), _mm_alignr_epi8(hgfe, badc, 8));
}

__attribute__((no_sanitize("address", "undefined"))) bool fort_sha256_is_fast(void)
{
	unsigned a, b, c, d;

	return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSE4_1) &&
	       __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA);
}

/* Asked once, when the program is linked: in virtual machines the question is expensive. */
static __attribute__((used, no_sanitize("address", "undefined"))) fort_sha256_blocks_fn *choose(
	void)
{
	return fort_sha256_is_fast() ? fort_sha256_blocks_fast : fort_sha256_blocks_plain;
}
static void compress(uint32_t state[8], const uint8_t *blocks, size_t n)
	__attribute__((ifunc("choose")));

#else
#define compress fort_sha256_blocks_plain
#endif

void fort_sha256_init(struct fort_sha256 *hash)
{
	static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
					  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

	memset(hash, 0, sizeof(*hash));
	memcpy(hash->state, start, sizeof(start));
}

void fort_sha256_add(struct fort_sha256 *hash, const void *data, size_t bytes)
{
	const uint8_t *at = data;
	size_t held = hash->bytes % 64;

	hash->bytes += bytes;
	if (held) {
		size_t take = bytes < 64 - held ? bytes : 64 - held;

		memcpy(hash->block + held, at, take);
		at += take;
		bytes -= take;
		if (held + take < 64)
			return;
		compress(hash->state, hash->block, 1);
	}
	if (bytes >= 64)
		compress(hash->state, at, bytes / 64);
	if (bytes % 64)
		memcpy(hash->block, at + bytes / 64 * 64, bytes % 64);
}

void fort_sha256_end(struct fort_sha256 *hash, uint8_t out[FORT_SHA256_BYTES])
{
	uint64_t bits = __builtin_bswap64(hash->bytes * 8);
	static const uint8_t pad[64] = {0x80};
	size_t held = hash->bytes % 64;

	fort_sha256_add(hash, pad, held < 56 ? 56 - held : 120 - held);
	fort_sha256_add(hash, &bits, sizeof(bits));
	for (unsigned i = 0; i < 8; i++) {
		uint32_t word = __builtin_bswap32(hash->state[i]);

		memcpy(out + 4 * i, &word, sizeof(word));
	}
}
