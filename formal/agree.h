/* The rules as C and as solver terms, held against each other: the same text (agree.inc) computes
 * results of all rules from a few words, as numbers and as terms.
 */
#pragma once

#include <stdint.h>

#define AGREE_IN     8u
#define AGREE_OUT    256u
#define AGREE_ROUNDS 100u

/* As C (native.c). `in` has AGREE_IN words, `out` room for AGREE_OUT; the number of results. */
unsigned w32_native_agree(const uint64_t *in, uint64_t *out);
unsigned w64_native_agree(const uint64_t *in, uint64_t *out);
unsigned views_native_agree(const uint64_t *in, uint64_t *out);

/* Fills `in` with words of the kinds that rules tell apart: round by round the same. */
void agree_draw(unsigned round, unsigned bits, uint64_t *in);
