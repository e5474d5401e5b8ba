/* Compiled three times: for BPF, each program a section bpf/NAME; and for the machine, with and
 * without the vectoriser, under names that VARIANT makes. What the kernel's verifier asks for
 * (masks of indices, loops whose ends it sees) the machine's programs do too.
 */
#include "programs.h"

#define NOINLINE __attribute__((noinline))
#define INLINE   static inline __attribute__((always_inline))

extern struct bench_data bench_data;
extern char bench_array, bench_percpu, bench_hash, bench_ring, bench_tails;

#ifdef __bpf__
struct xdp_md {
	uint32_t data, data_end;
};
#define CONTEXT         struct xdp_md
#define PACKET(pointer) ((const uint8_t *)(long)(pointer))
#define PROGRAM(name)                                                                \
	INLINE uint64_t name##_body(CONTEXT *context);                               \
	__attribute__((section("bpf/" #name), used)) uint64_t name(CONTEXT *context) \
	{                                                                            \
		bench_data.result = name##_body(context);                            \
		return 2; /* XDP_PASS */                                             \
	}                                                                            \
	INLINE uint64_t name##_body(CONTEXT *context)
static void *(*const lookup)(void *map, const void *key) = (void *)BENCH_LOOKUP;
static uint64_t (*const tail_call)(void *context, void *map,
				   uint32_t index) = (void *)BENCH_TAIL_CALL;
static uint64_t (*const query)(void *map, uint64_t what) = (void *)BENCH_RING_QUERY;
/* In the section of its caller, so that the call needs no relocation. */
#define LOCAL(program) static NOINLINE __attribute__((section("bpf/" #program)))
#else
#define JOIN_(a, b)     a##_##b
#define JOIN(a, b)      JOIN_(a, b)
#define CONTEXT         const struct bench_packet
#define PACKET(pointer) (pointer)
#define PROGRAM(name)                                            \
	INLINE uint64_t name##_body(CONTEXT *context);           \
	uint64_t JOIN(name, VARIANT)(CONTEXT * context);         \
	uint64_t JOIN(name, VARIANT)(CONTEXT * context)          \
	{                                                        \
		return bench_data.result = name##_body(context); \
	}                                                        \
	INLINE uint64_t name##_body(CONTEXT *context)
#define query bench_native_query
#include <sys/rseq.h>

/* The current processor, where the C library has the kernel keep its number. */
INLINE uint32_t processor(void)
{
	return *(volatile uint32_t *)((char *)__builtin_thread_pointer() + __rseq_offset + 4);
}

INLINE void *lookup(void *map, const void *key)
{
	uint32_t index = *(const uint32_t *)key;

	if (map == &bench_hash)
		return bench_native_search(key);
	if (index >= BENCH_ARRAY_ENTRIES)
		return 0;
	if (map == &bench_array)
		return bench_array_values + 8 * index;
	return bench_percpu_values + bench_percpu_bytes * processor() + 8 * index;
}
#define LOCAL(program) static NOINLINE
#endif

#define DATA struct bench_data *d = &bench_data

PROGRAM(empty)
{
	return 0;
}

PROGRAM(mix)
{
	uint64_t x = 0x9e3779b97f4a7c15 + bench_data.seed;

	for (uint64_t i = 0; i < 200; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		x *= 0xd1342543de82ef95;
		x += i;
	}
	return x;
}

PROGRAM(divide)
{
	uint64_t found = 0, first = 901 + (bench_data.seed & 1) * 2;

	for (uint64_t n = first; n < 961; n += 2) {
		uint64_t by;

		for (by = 3; by < 33; by += 2)
			if (n % by == 0)
				break;
		found += by >= 33;
	}
	return found;
}

PROGRAM(digits)
{
	DATA;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < 16; i++) {
		uint64_t wide = d->words[i];
		uint32_t narrow = (uint32_t)d->more[i];

		for (int digit = 0; digit < 9; digit++) {
			sum += wide % 10;
			wide /= 10;
			sum ^= narrow % 7;
			narrow /= 7;
		}
	}
	return sum;
}

PROGRAM(crc)
{
	DATA;
	uint32_t crc = ~(uint32_t)d->seed;

	for (uint32_t i = 0; i < 256; i++) {
		crc ^= d->bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1) * 0xedb88320;
	}
	return ~crc;
}

INLINE uint64_t left64(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

INLINE uint32_t left32(uint32_t x, int by)
{
	return x << by | x >> (32 - by);
}

#define SIP_ROUND                                                 \
	do {                                                      \
		a += b, b = left64(b, 13) ^ a, a = left64(a, 32); \
		c += e, e = left64(e, 16) ^ c;                    \
		a += e, e = left64(e, 21) ^ a;                    \
		c += b, b = left64(b, 17) ^ c, c = left64(c, 32); \
	} while (0)

PROGRAM(siphash)
{
	DATA;
	uint64_t sum = 0, k0 = 0x0706050403020100 + d->seed, k1 = 0x0f0e0d0c0b0a0908;

	for (uint32_t i = 0; i < 64; i += 2) {
		uint64_t a = 0x736f6d6570736575 ^ k0, b = 0x646f72616e646f6d ^ k1;
		uint64_t c = 0x6c7967656e657261 ^ k0, e = 0x7465646279746573 ^ k1;

		for (uint32_t word = 0; word < 2; word++) {
			e ^= d->words[i + word];
			SIP_ROUND;
			SIP_ROUND;
			a ^= d->words[i + word];
		}
		e ^= 16ull << 56;
		SIP_ROUND;
		SIP_ROUND;
		a ^= 16ull << 56;
		c ^= 0xff;
		SIP_ROUND;
		SIP_ROUND;
		SIP_ROUND;
		SIP_ROUND;
		sum += a ^ b ^ c ^ e;
	}
	return sum;
}

#define QUARTER(a, b, c, e)                                   \
	do {                                                  \
		s[a] += s[b], s[e] = left32(s[e] ^ s[a], 16); \
		s[c] += s[e], s[b] = left32(s[b] ^ s[c], 12); \
		s[a] += s[b], s[e] = left32(s[e] ^ s[a], 8);  \
		s[c] += s[e], s[b] = left32(s[b] ^ s[c], 7);  \
	} while (0)

PROGRAM(chacha)
{
	DATA;
	uint32_t s[16], *out = d->next, sum = 0;

	for (int i = 0; i < 16; i++)
		s[i] = (uint32_t)d->words[i];
	for (int round = 0; round < 10; round++) {
		QUARTER(0, 4, 8, 12);
		QUARTER(1, 5, 9, 13);
		QUARTER(2, 6, 10, 14);
		QUARTER(3, 7, 11, 15);
		QUARTER(0, 5, 10, 15);
		QUARTER(1, 6, 11, 12);
		QUARTER(2, 7, 8, 13);
		QUARTER(3, 4, 9, 14);
	}
	for (int i = 0; i < 16; i++)
		sum ^= out[i] = s[i] + (uint32_t)d->words[i];
	return sum;
}

PROGRAM(checksum)
{
	DATA;
	const uint16_t *at = (const uint16_t *)d->bytes;
	uint64_t sum = d->seed;

	for (uint32_t i = 0; i < 512; i++)
		sum += at[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

PROGRAM(sieve)
{
	DATA;
	uint64_t primes = 0;

	for (uint32_t i = 0; i < 1000; i++)
		d->bytes[i] = 1;
	for (uint32_t i = 2; i < 1000; i++) {
		if (!d->bytes[i])
			continue;
		primes++;
		for (uint32_t j = i * 2; j < 1000; j += i)
			d->bytes[j] = 0;
	}
	return primes;
}

PROGRAM(sort)
{
	DATA;
	uint64_t x = 1 + d->seed;

	for (uint32_t i = 0; i < 32; i++) {
		x = x * 6364136223846793005 + 1442695040888963407;
		d->more[i] = x >> 20;
	}
	for (uint32_t i = 1; i < 32; i++) {
		uint64_t word = d->more[i];
		uint32_t j = i;

		for (; j && d->more[(j - 1) & 255] > word; j--)
			d->more[j & 255] = d->more[(j - 1) & 255];
		d->more[j & 255] = word;
	}
	return d->more[15];
}

PROGRAM(matrix)
{
	DATA;
	const uint64_t *a = d->words, *b = d->words + 64;
	uint64_t sum = 0;

	for (uint32_t row = 0; row < 8; row++)
		for (uint32_t column = 0; column < 8; column++) {
			uint64_t cell = 0;

			for (uint32_t i = 0; i < 8; i++)
				cell += a[8 * row + i] * b[8 * i + column];
			d->more[8 * row + column] = cell;
			sum += cell;
		}
	return sum;
}

PROGRAM(copy)
{
	DATA;
	uint64_t *to = d->more;

	for (uint32_t i = 0; i < 128; i++)
		to[i] = d->words[i];
	return to[5 + d->seed % 8];
}

PROGRAM(compare)
{
	DATA;
	uint64_t smaller = 0;

	/* The second string of each pair differs from the first in its last byte at most. */
	for (uint32_t i = 0; i < 512; i++)
		d->bytes[1024 + i] = d->bytes[i] + ((i & 31) == 31);
	for (uint32_t pair = 0; pair < 16; pair++) {
		const uint8_t *a = d->bytes + 32 * pair, *b = a + 1024;
		int difference = 0;

		for (uint32_t i = 0; i < 32; i++) {
			difference = a[i] - b[i];
			if (difference)
				break;
		}
		smaller += difference < 0;
	}
	return smaller;
}

PROGRAM(search)
{
	DATA;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < 128; i++)
		d->more[i] = 4 * i * i + d->seed;
	for (uint32_t i = 0; i < 32; i++) {
		uint64_t wanted = d->words[i] & 0xffff;
		uint32_t low = 0;

		for (uint32_t step = 64; step; step /= 2)
			if (d->more[(low + step) & 127] <= wanted)
				low += step;
		sum += low;
	}
	return sum;
}

/* Ethernet, perhaps a tag, IPv4, TCP or UDP: what a filter looks at. */
INLINE uint64_t parse_one(const uint8_t *at)
{
	uint16_t type = __builtin_bswap16(*(const uint16_t *)(at + 12));
	uint64_t key;

	at += 14;
	if (type == 0x8100) {
		type = __builtin_bswap16(*(const uint16_t *)(at + 2));
		at += 4;
	}
	if (type != 0x0800 || (*at & 15) != 5)
		return 1;
	if (__builtin_bswap16(*(const uint16_t *)(at + 6)) & 0x3fff)
		return 2;
	key = (uint64_t)__builtin_bswap32(*(const uint32_t *)(at + 12)) << 32 |
	      __builtin_bswap32(*(const uint32_t *)(at + 16));
	key ^= (uint64_t)__builtin_bswap16(*(const uint16_t *)(at + 20)) << 16 |
	       __builtin_bswap16(*(const uint16_t *)(at + 22));
	if (at[9] == 6)
		return at[33] & 2 ? key + 1 : key;
	return at[9] == 17 ? key * 3 : 3;
}

PROGRAM(parse)
{
	const uint8_t *data = PACKET(context->data), *end = PACKET(context->data_end);
	uint64_t sum = 0;

	for (uint32_t i = 0; i < BENCH_PACKETS; i++) {
		const uint8_t *at = data + 64 * i;

		if (at + 64 > end)
			break;
		sum = sum * 31 + parse_one(at);
	}
	return sum;
}

PROGRAM(machine)
{
	DATA;
	uint64_t state = d->seed, words = 0, numbers = 0;

	for (uint32_t i = 0; i < 1024; i++) {
		uint8_t c = d->bytes[i] & 127;

		switch (state) {
		case 0:
			if (c >= 'a' && c <= 'z')
				state = 1, words++;
			else if (c >= '0' && c <= '9')
				state = 2, numbers++;
			else if (c == '"')
				state = 3;
			break;
		case 1:
			if (c < 'a' || c > 'z')
				state = 0;
			break;
		case 2:
			if (c < '0' || c > '9')
				state = c == '.' ? 2 : 0;
			break;
		case 3:
			if (c < ' ')
				state = 4;
			else if (c == '"')
				state = 0;
			break;
		default: state = c & 1 ? 0 : 3;
		}
	}
	return words << 32 | numbers << 2 | state;
}

PROGRAM(chase)
{
	DATA;
	uint32_t at = (uint32_t)d->seed;

	for (uint32_t i = 0; i < 256; i++)
		d->next[i] = (i * 37 + 11) & 255;
	for (uint32_t i = 0; i < 256; i++)
		at = d->next[at & 255];
	return at;
}

PROGRAM(atomics)
{
	DATA;

	d->more[0] = d->seed;
	for (uint32_t i = 0; i < 64; i++)
		__sync_fetch_and_add(&d->more[i & 7], i);
	return d->more[0];
}

LOCAL(calls) uint64_t turn(uint64_t x, uint64_t by)
{
	return (x << 7 | x >> 57) + by;
}

PROGRAM(calls)
{
	uint64_t x = 1 + bench_data.seed;

	for (uint64_t i = 0; i < 64; i++)
		x = turn(x, i);
	return x;
}

LOCAL(nested) uint64_t inner(const uint64_t *three, uint64_t x)
{
	return three[0] * x ^ three[1] ^ three[2];
}

LOCAL(nested) uint64_t middle(uint64_t x, uint64_t y)
{
	uint64_t three[3] = {x, y, x + y};

	return inner(three, y) + inner(three, x);
}

LOCAL(nested) uint64_t outer(uint64_t x, uint64_t y)
{
	return middle(x, y) - middle(y, x + 1);
}

PROGRAM(nested)
{
	uint64_t x = 1 + bench_data.seed;

	for (uint64_t i = 0; i < 16; i++)
		x += outer(x, i);
	return x;
}

PROGRAM(helpers)
{
	uint64_t x = bench_data.seed;

	for (uint64_t i = 0; i < 64; i++)
		x += query(&bench_ring, i & 1); /* available data, size of the ring */
	return x;
}

INLINE uint64_t add_up(void *map)
{
	uint64_t sum = bench_data.seed;

	for (uint32_t i = 0; i < 64; i++) {
		uint32_t key = i * 5 & 63;
		uint64_t *value = lookup(map, &key);

		if (value)
			sum += *value += i;
	}
	return sum;
}

PROGRAM(array)
{
	return add_up(&bench_array);
}

PROGRAM(percpu)
{
	return add_up(&bench_percpu);
}

PROGRAM(hash)
{
	uint64_t sum = bench_data.seed;

	for (uint64_t i = 0; i < 64; i++) {
		uint64_t key = i * 31 % 1024;
		uint64_t *value = lookup(&bench_hash, &key);

		if (value)
			sum += *value + i;
	}
	return sum;
}

/* One step of a chain: the program is its own successor, until there were 33. */
#ifdef __bpf__
PROGRAM(tails)
{
	uint64_t n = ++bench_data.next[0];

	tail_call(context, &bench_tails, 0);
	bench_data.next[0] = 0;
	return n;
}
#else
uint64_t JOIN(tails, VARIANT)(CONTEXT *context);
uint64_t JOIN(tails, VARIANT)(CONTEXT *context)
{
	uint64_t n = ++bench_data.next[0];

	if (n <= 33)
		return bench_native_next(context);
	bench_data.next[0] = 0;
	return bench_data.result = n;
}
#endif
