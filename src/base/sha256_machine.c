/* SHA-256 by the processor (SHA extensions): a program's hash is a part of every load, and takes a
 * tenth of the time. Freestanding code cannot have it: nobody saves its vector registers.
 */
#include "base/sha256_block.h"

#if __STDC_HOSTED__
#include <immintrin.h>
#include <sys/platform/x86.h>

/* The C library knows since the process started: asking the processor takes microseconds in a
 * virtual machine. */
bool fort_sha256_has_machine(void)
{
	return CPU_FEATURE_ACTIVE(SHA) && CPU_FEATURE_ACTIVE(SSE4_1);
}

#define FORT_HAS_SHA __attribute__((target("sha,sse4.1")))

/* The state as the instructions have it: a, b, e, f in one register, c, d, g, h in the other. */
struct halves {
	__m128i abef, cdgh;
};

FORT_HAS_SHA static struct halves split(const uint32_t state[8])
{
	__m128i abcd = _mm_loadu_si128((const __m128i *)state);
	__m128i efgh = _mm_loadu_si128((const __m128i *)(state + 4));
	__m128i cdab = _mm_shuffle_epi32(abcd, 0xb1), hgfe = _mm_shuffle_epi32(efgh, 0x1b);

	return (struct halves){_mm_alignr_epi8(cdab, hgfe, 8), _mm_blend_epi16(hgfe, cdab, 0xf0)};
}

FORT_HAS_SHA static void unite(struct halves halves, uint32_t state[8])
{
	__m128i feba = _mm_shuffle_epi32(halves.abef, 0x1b);
	__m128i dchg = _mm_shuffle_epi32(halves.cdgh, 0xb1);

	_mm_storeu_si128((__m128i *)state, _mm_blend_epi16(feba, dchg, 0xf0));
	_mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

/* Four rounds, with the four words of the schedule that they take. */
FORT_HAS_SHA static struct halves four_rounds(struct halves s, __m128i words, unsigned first)
{
	__m128i k = _mm_loadu_si128((const __m128i *)&fort_sha256_constants[first]);
	__m128i sum = _mm_add_epi32(words, k);
	__m128i cdgh = _mm_sha256rnds2_epu32(s.cdgh, s.abef, sum);
	__m128i abef = _mm_sha256rnds2_epu32(s.abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));

	return (struct halves){abef, cdgh};
}

/* The next four words from the sixteen before, oldest first. */
FORT_HAS_SHA static __m128i schedule(const __m128i w[4], unsigned oldest)
{
	__m128i a = w[oldest], b = w[(oldest + 1) % 4], c = w[(oldest + 2) % 4],
		d = w[(oldest + 3) % 4];
	__m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(a, b), _mm_alignr_epi8(d, c, 4));

	return _mm_sha256msg2_epu32(sum, d);
}

FORT_HAS_SHA static struct halves one_block(struct halves s, const uint8_t *block)
{
	const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
	struct halves before = s;
	__m128i w[4];

	for (unsigned i = 0; i < 4; i++) {
		w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(block + 16 * i)), swap);
		s = four_rounds(s, w[i], 4 * i);
	}
	for (unsigned i = 4; i < 16; i++) {
		w[i % 4] = schedule(w, i % 4);
		s = four_rounds(s, w[i % 4], 4 * i);
	}
	return (struct halves){_mm_add_epi32(s.abef, before.abef),
			       _mm_add_epi32(s.cdgh, before.cdgh)};
}

FORT_HAS_SHA void fort_sha256_machine(uint32_t state[8], const uint8_t *blocks, size_t n)
{
	struct halves s = split(state);

	for (; n; blocks += FORT_SHA256_BLOCK_BYTES, n--)
		s = one_block(s, blocks);
	unite(s, state);
}
#else
bool fort_sha256_has_machine(void)
{
	return false;
}

void fort_sha256_machine(uint32_t state[8], const uint8_t *blocks, size_t n)
{
	fort_sha256_portable(state, blocks, n);
}
#endif
