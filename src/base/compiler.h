/* What every file needs from the compiler: checked results, cleanup, array length, bit tricks.
 *
 * The lower layers (base isa abi domain step proof engine isolate map helper) are also built
 * freestanding for the agent that lives in foreign processes. They may use the integer headers
 * and memory and string functions of <string.h>, nothing else of libc.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A result that must be looked at: 0 or a negative errno. */
#define FORT_CHECKED __attribute__((warn_unused_result))
/* Run fn(&variable) when the variable leaves its scope. */
#define FORT_CLEANUP(fn) __attribute__((cleanup(fn)))
#define FORT_LEN(array)  (sizeof(array) / sizeof((array)[0]))

/* For inner loops: inlined whatever its size, so that constant arguments fold; or never. */
#define FORT_INLINE            inline __attribute__((always_inline))
#define FORT_OUTLINE           __attribute__((noinline))
#define FORT_LIKELY(x)         __builtin_expect(!!(x), 1)
#define FORT_UNLIKELY(x)       __builtin_expect(!!(x), 0)
#define FORT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* The object of type `type` whose member `member` is at `ptr`. */
#define FORT_CONTAINER(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* Sums and differences modulo 2^64: offsets that programs choose may be anything. */
static inline int64_t fort_wrap_add(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

static inline int64_t fort_wrap_sub(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a - (uint64_t)b);
}

static inline uint64_t fort_round_up(uint64_t value, uint64_t power_of_two)
{
	return (value + power_of_two - 1) & ~(power_of_two - 1);
}

static inline bool fort_is_power_of_two(uint64_t value)
{
	return value && !(value & (value - 1));
}
