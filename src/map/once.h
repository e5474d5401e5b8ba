/* Words that other processes read or write at the same time.
 *
 * A load through here happens exactly once, so that a check and the use after it see the same
 * value. A store through here is a release: all earlier stores are visible before it. That is
 * what makes structures consistent for readers without a lock, and for whoever takes over after a
 * writer was killed between two stores. On x86-64 both are plain moves.
 */
#pragma once

#include "base/compiler.h"

#define fort_load(word)         __atomic_load_n((word), __ATOMIC_ACQUIRE)
#define fort_store(word, value) __atomic_store_n((word), (value), __ATOMIC_RELEASE)
/* Locked instructions, and so full fences. */
#define fort_swap(word, value) __atomic_exchange_n((word), (value), __ATOMIC_SEQ_CST)
#define fort_add(word, value)  __atomic_fetch_add((word), (value), __ATOMIC_SEQ_CST)
#define fort_cas(word, expected, value)                                               \
	__atomic_compare_exchange_n((word), (expected), (value), 0, __ATOMIC_SEQ_CST, \
				    __ATOMIC_RELAXED)

static inline void fort_fence(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static inline void fort_pause(void)
{
	__builtin_ia32_pause();
}
