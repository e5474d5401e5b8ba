/* The programs that engines are measured with: the memory they share with the measurement, their
 * names, and what they call. One source (programs.c) is compiled for BPF and for the machine.
 */
#pragma once

#include <stdint.h>

/* The only value of the map `bench_data`, and for the machine's programs an object. They fill what
 * they change, so that each run does the same. */
struct bench_data {
	uint64_t result;
	uint64_t seed; /* 0, but no compiler knows */
	uint64_t words[256];
	uint64_t more[256];
	uint32_t next[256];
	uint8_t bytes[2048];
};

/* What the machine's programs get for a context. */
struct bench_packet {
	const uint8_t *data, *data_end;
};

/* Of the packet: the headers of 16 packets of 64 bytes. */
#define BENCH_PACKETS      16
#define BENCH_PACKET_BYTES (64 * BENCH_PACKETS)

/* name, what it is, in the geometric mean? */
#define BENCH_PROGRAMS(X)                                       \
	X(empty, "nothing: what entering costs", 0)             \
	X(mix, "64-bit shifts and multiplications", 1)          \
	X(divide, "trial division", 1)                          \
	X(digits, "division by constants", 1)                   \
	X(crc, "bitwise CRC of 256 bytes", 1)                   \
	X(siphash, "SipHash-2-4 of 32 keys of 16 bytes", 1)     \
	X(chacha, "a block of ChaCha20", 1)                     \
	X(checksum, "internet checksum of 1 KiB", 1)            \
	X(sieve, "sieve of 1,000 numbers", 1)                   \
	X(sort, "insertion sort of 32 words", 1)                \
	X(matrix, "product of 8x8 matrices", 1)                 \
	X(copy, "copy of 1 KiB, by words", 1)                   \
	X(compare, "16 comparisons of strings", 1)              \
	X(search, "32 binary searches among 128 words", 1)      \
	X(parse, "headers of 16 packets", 1)                    \
	X(machine, "state machine over 1 KiB", 1)               \
	X(chase, "chain of 256 loads", 1)                       \
	X(atomics, "64 atomic additions", 1)                    \
	X(calls, "64 calls of a subprogram", 1)                 \
	X(nested, "three levels of subprograms, with stack", 1) \
	X(helpers, "64 calls of a helper", 1)                   \
	X(array, "64 lookups in an array, and additions", 1)    \
	X(percpu, "64 lookups in a per-CPU array, and adds", 1) \
	X(hash, "64 lookups in a hash of 1,000", 1)             \
	X(tails, "33 tail calls", 1)

/* Maps of the programs, by name. Those of class VALUE are named by the address of their value. */
#define BENCH_MAPS_LIST(X)                                              \
	X(bench_data, ARRAY, 4, sizeof(struct bench_data), 1, true)     \
	X(bench_array, ARRAY, 4, 8, BENCH_ARRAY_ENTRIES, false)         \
	X(bench_percpu, PERCPU_ARRAY, 4, 8, BENCH_ARRAY_ENTRIES, false) \
	X(bench_hash, HASH, 8, 8, BENCH_HASH_ENTRIES, false)            \
	X(bench_ring, RINGBUF, 0, 0, 1 << 16, false)                    \
	X(bench_tails, PROG_ARRAY, 4, 4, 1, false)
#define BENCH_ARRAY_ENTRIES 64
#define BENCH_HASH_ENTRIES  1000

/* Helpers, by the kernel's numbers, and what stands for them in the machine's programs: arrays are
 * indexed where they are, a hash is searched and a ring asked by the functions that BPF's helpers
 * use. */
#define BENCH_LOOKUP     1
#define BENCH_TAIL_CALL  12
#define BENCH_RING_QUERY 134
extern uint8_t *bench_array_values, *bench_percpu_values;
extern uint64_t bench_percpu_bytes; /* of one processor */
void *bench_native_search(const void *key);
extern uint64_t (*bench_native_next)(const struct bench_packet *packet); /* in place of an array */
uint64_t bench_native_query(void *map, uint64_t what);
