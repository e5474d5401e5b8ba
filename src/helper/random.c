#include "base/sys.h"
#include "helper/call.h"

static uint64_t rotate(uint64_t word, unsigned bits)
{
	return word << bits | word >> (64 - bits);
}

/* Without a seed from the kernel (a sandbox that forbids getrandom) the clock must do. */
static void seed(struct fort_random *random)
{
	long got = fort_sys3(SYS_getrandom, (long)random->state, sizeof(random->state), 0);

	if (got != sizeof(random->state)) {
		random->state[0] = __builtin_ia32_rdtsc();
		random->state[1] = (uint64_t)(uintptr_t)random;
	}
	random->state[0] |= 1; /* never all zero */
	random->seeded = true;
}

/* xoroshiro128++ (D. Blackman, S. Vigna, 2019) */
static uint64_t next(struct fort_random *random)
{
	uint64_t a = random->state[0], b = random->state[1];
	uint64_t result = rotate(a + b, 17) + a;

	b ^= a;
	random->state[0] = rotate(a, 49) ^ b ^ b << 21;
	random->state[1] = rotate(b, 28);
	return result;
}

uint64_t fort_do_GET_PRANDOM_U32(struct fort_call *call)
{
	struct fort_random *random = &fort_call_services(call)->random;

	if (FORT_UNLIKELY(!random->seeded))
		seed(random);
	return next(random) >> 32;
}
