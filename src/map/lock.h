/* A lock in shared memory that survives the death of its holder.
 *
 * One word: a count of changes in the upper half, the holder's token (map/shared.h) in the lower,
 * 0 when free. The holder is recorded by the same instruction that takes the lock, so there is no
 * moment at which it is unknown. The count makes the word a sequence lock as well: a reader
 * beside the lock saw one state if the word was free and the same before and after.
 *
 * Who waits spins for FORT_LOCK_SPIN_NS, then looks whether the holder is dead and takes over;
 * then it must repair what the lock guards, for the holder may have died between any two stores.
 * A holder that lives but does not move (stopped) is waited for FORT_LOCK_WAIT_NS, then -EAGAIN.
 */
#pragma once

#include "map/shared.h"

#define FORT_LOCK_COUNT (1ull << 32)
/* A token that nobody has, and so counts as dead. */
#define FORT_TOKEN_LOST UINT32_MAX

/* Returns 0, or -EAGAIN. *died is set when the last holder died inside, else left alone. */
FORT_CHECKED int fort_lock_wait(const struct fort_seat *seat, uint64_t *lock, uint32_t *died);

static inline bool fort_lock_try(const struct fort_seat *seat, uint64_t *lock)
{
	uint64_t word = fort_load(lock);

	return !(uint32_t)word && fort_cas(lock, &word, (word + FORT_LOCK_COUNT) | seat->token);
}

/* *died: token of a holder that died inside, 0 if none did. */
FORT_CHECKED static inline int fort_lock_take(const struct fort_seat *seat, uint64_t *lock,
					      uint32_t *died)
{
	*died = 0;
	if (FORT_LIKELY(fort_lock_try(seat, lock)))
		return 0;
	return fort_lock_wait(seat, lock, died);
}

static inline void fort_lock_drop(uint64_t *lock)
{
	uint64_t word = fort_load(lock);

	fort_store(lock, ((word >> 32) + 1) << 32);
}

/* Reading beside the lock: begin gives a word to compare with, or 1 while somebody writes. */
static inline uint64_t fort_lock_read_begin(const uint64_t *lock)
{
	uint64_t word = fort_load(lock);

	return (uint32_t)word ? 1 : word;
}

static inline bool fort_lock_read_ok(const uint64_t *lock, uint64_t begun)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return begun != 1 && fort_load(lock) == begun;
}
