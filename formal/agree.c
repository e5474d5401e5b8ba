#include "agree.h"

static uint64_t next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static uint64_t draw(uint64_t *seed)
{
	uint64_t x = next(seed);

	switch (next(seed) % 6) {
	case 0: return x % 4;
	case 1: return -(x % 4);
	case 2: return (1ull << 63 | 1ull << 31) + x % 3 - 1;
	case 3: return x >> x % 64;
	case 4: return x & next(seed) & next(seed);
	default: return x;
	}
}

void agree_draw(unsigned round, unsigned bits, uint64_t *in)
{
	uint64_t seed = 0x9e3779b97f4a7c15ull * (round + 1);

	for (unsigned i = 0; i < AGREE_IN; i++)
		in[i] = draw(&seed) & (bits < 64 ? (1ull << bits) - 1 : UINT64_MAX);
}
