#include "map/lock.h"

#include <errno.h>

#include "map/clock.h"

#define SPINS_MAX 256u
#define NAP_NS    50000u

/* Takes the lock from a dead holder. */
static bool take_over(const struct fort_seat *seat, uint64_t *lock, uint64_t word)
{
	return fort_token_dead(seat->shared, (uint32_t)word) &&
	       fort_cas(lock, &word, (((word >> 32) + 2) << 32) | seat->token);
}

static void back_off(unsigned *spins)
{
	for (unsigned i = 0; i < *spins; i++)
		fort_pause();
	if (*spins < SPINS_MAX)
		*spins *= 2;
	else
		fort_sys0(SYS_sched_yield);
}

int fort_lock_wait(const struct fort_seat *seat, uint64_t *lock, uint32_t *died)
{
	uint64_t start = fort_clock_ns(CLOCK_MONOTONIC), looked = start;
	unsigned spins = 1;

	for (;;) {
		uint64_t word, now;

		if (fort_lock_try(seat, lock))
			return 0;
		word = fort_load(lock);
		now = fort_clock_ns(CLOCK_MONOTONIC);
		if (now - start < FORT_LOCK_SPIN_NS) {
			back_off(&spins);
			continue;
		}
		if ((uint32_t)word && now - looked >= FORT_LOCK_SPIN_NS) {
			looked = now;
			if (take_over(seat, lock, word)) {
				*died = (uint32_t)word;
				return 0;
			}
		}
		if (now - start >= FORT_LOCK_WAIT_NS)
			return -EAGAIN;
		fort_nap_ns(NAP_NS);
	}
}
