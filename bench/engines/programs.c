/* Compiled three times: for BPF, each program a section bpf/NAME; and for the machine, with and
 * without the vectoriser, under names that VARIANT makes.
 */
#include "programs.h"

#define NOINLINE __attribute__((noinline))

#ifdef __bpf__
#define PROGRAM(name)                                               \
	__attribute__((section("bpf/" #name), used)) uint64_t name( \
		volatile struct bench_data *shared)
static void *(*const lookup)(uint64_t map, const void *key) = (void *)BENCH_LOOKUP;
static uint64_t (*const step)(uint64_t value) = (void *)BENCH_STEP;
/* In the section of its caller, so that the call needs no relocation. */
#define LOCAL(program) static NOINLINE __attribute__((section("bpf/" #program)))
#else
#define JOIN_(a, b) a##_##b
#define JOIN(a, b)  JOIN_(a, b)
#define PROGRAM(name)                                                      \
	uint64_t JOIN(name, VARIANT)(volatile struct bench_data * shared); \
	uint64_t JOIN(name, VARIANT)(volatile struct bench_data * shared)
#define lookup         bench_native_lookup
#define step           bench_native_step
#define LOCAL(program) static NOINLINE
#endif

/* Only the rounds are read as if somebody else could change them. */
#define START                                               \
	struct bench_data *d = (struct bench_data *)shared; \
	uint64_t zero = shared->rounds;                     \
	(void)d, (void)zero

PROGRAM(empty)
{
	return 0;
}

PROGRAM(mix)
{
	START;
	uint64_t x = 0x9e3779b97f4a7c15 + zero;

	for (uint64_t i = zero; i < 200; i++) {
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
	START;
	uint64_t found = 0;

	for (uint64_t n = 901 + zero; n < 961; n += 2) {
		uint64_t by = 3;

		while (by * by <= n && n % by)
			by += 2;
		found += by * by > n;
	}
	return found;
}

PROGRAM(crc)
{
	START;
	uint32_t crc = ~(uint32_t)zero;

	for (uint32_t i = (uint32_t)zero; i < 256; i++) {
		crc ^= d->bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (0xedb88320 & (0 - (crc & 1)));
	}
	return ~crc;
}

PROGRAM(checksum)
{
	START;
	const uint16_t *at = (const uint16_t *)d->bytes;
	uint64_t sum = zero;

	for (uint32_t i = (uint32_t)zero; i < 512; i++)
		sum += at[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

PROGRAM(sieve)
{
	START;
	uint64_t primes = 0;

	for (uint32_t i = 0; i < 2000; i++)
		d->bytes[i] = 1;
	for (uint32_t i = 2 + (uint32_t)zero; i < 2000; i++) {
		if (!d->bytes[i])
			continue;
		primes++;
		for (uint32_t j = i * 2; j < 2000; j += i)
			d->bytes[j] = 0;
	}
	return primes;
}

PROGRAM(sort)
{
	START;
	uint64_t x = 1 + zero;

	for (uint32_t i = 0; i < 64; i++) {
		x = x * 6364136223846793005 + 1442695040888963407;
		d->words[i] = x >> 20;
	}
	for (uint32_t i = 1; i < 64; i++) {
		uint64_t word = d->words[i];
		uint32_t j = i;

		for (; j && d->words[j - 1] > word; j--)
			d->words[j] = d->words[j - 1];
		d->words[j] = word;
	}
	return d->words[31];
}

PROGRAM(compare)
{
	START;
	uint64_t *from = d->words, *to = (uint64_t *)(d->bytes + 2048);
	uint64_t equal = 0;

	for (uint32_t i = (uint32_t)zero; i < 128; i++)
		to[i] = from[i];
	for (uint32_t i = (uint32_t)zero; i < 128; i++)
		equal += to[i] == from[127 - i];
	return equal;
}

PROGRAM(parse)
{
	START;
	uint64_t sum = zero;

	for (uint32_t i = (uint32_t)zero; i < 16; i++) {
		const uint8_t *at = d->bytes + 64 * i, *end = at + 64;
		uint32_t words = at[14] & 15;

		if (at[12] == 8 && words < 5)
			continue;
		at += 14 + 4 * words;
		if (at + 20 > end)
			continue;
		sum += (uint64_t)__builtin_bswap16(*(const uint16_t *)at) << 16 |
		       __builtin_bswap16(*(const uint16_t *)(at + 2));
		sum ^= __builtin_bswap32(*(const uint32_t *)(at + 4));
		if (at[13] & 2)
			sum += at[12] >> 4;
	}
	return sum;
}

PROGRAM(machine)
{
	START;
	uint64_t state = zero, words = 0;

	for (uint32_t i = (uint32_t)zero; i < 1024; i++) {
		uint8_t c = d->bytes[i];

		switch (state) {
		case 0:
			if (c > 128)
				state = 1, words++;
			break;
		case 1:
			if (c < 64)
				state = 2;
			break;
		case 2: state = c & 1 ? 0 : 1; break;
		}
	}
	return words << 2 | state;
}

PROGRAM(chase)
{
	START;
	uint32_t at = (uint32_t)zero;

	for (uint32_t i = 0; i < 256; i++)
		d->next[i] = (i * 37 + 11) & 255;
	for (uint32_t i = (uint32_t)zero; i < 256; i++)
		at = d->next[at & 255];
	return at;
}

PROGRAM(atomics)
{
	START;

	d->words[0] = zero;
	for (uint32_t i = (uint32_t)zero; i < 100; i++)
		__sync_fetch_and_add(&d->words[0], i);
	return d->words[0];
}

LOCAL(calls) uint64_t turn(uint64_t x, uint64_t by)
{
	return (x << 7 | x >> 57) + by;
}

PROGRAM(calls)
{
	START;
	uint64_t x = 1;

	for (uint64_t i = zero; i < 100; i++)
		x = turn(x, i);
	return x;
}

PROGRAM(helpers)
{
	START;
	uint64_t x = zero;

	for (uint64_t i = zero; i < 100; i++)
		x += step(x);
	return x;
}

PROGRAM(lookups)
{
	START;
	uint64_t sum = zero;

	for (uint32_t i = (uint32_t)zero; i < 100; i++) {
		uint32_t key = i & 63;
		uint64_t *value = lookup(d->map, &key);

		if (value)
			sum += ++*value;
	}
	return sum;
}
