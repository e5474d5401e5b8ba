/* The programs that engines are measured with: the memory they share with the measurement, their
 * names, and what they call. One source (programs.c) is compiled for BPF and for the machine.
 */
#pragma once

#include <stdint.h>

/* Their context. They fill what they need themselves, so that each run does the same. */
struct bench_data {
	uint64_t rounds; /* 0 at the start of a run, so that no compiler knows how many */
	uint64_t map;    /* of 64 words, by 4-byte index */
	uint8_t bytes[4096];
	uint64_t words[256];
	uint32_t next[256];
};

/* name, what it is */
#define BENCH_PROGRAMS(X)                                 \
	X(empty, "nothing")                               \
	X(mix, "64-bit shifts and multiplications")       \
	X(divide, "trial division")                       \
	X(crc, "bitwise CRC of 256 bytes")                \
	X(checksum, "internet checksum of 1 KiB")         \
	X(sieve, "sieve of 2,000 numbers")                \
	X(sort, "insertion sort of 64 words")             \
	X(compare, "copy and compare of 1 KiB, by words") \
	X(parse, "16 packet headers")                     \
	X(machine, "state machine over 1 KiB")            \
	X(chase, "chain of 256 loads")                    \
	X(atomics, "100 atomic additions")                \
	X(calls, "100 calls of a function")               \
	X(helpers, "100 calls of a helper")               \
	X(lookups, "100 array lookups by helper")

enum bench_helper { BENCH_LOOKUP = 1, BENCH_STEP = 2 };

/* What the machine's programs call where BPF's call helpers. */
void *bench_native_lookup(uint64_t map, const void *key);
uint64_t bench_native_step(uint64_t value);
