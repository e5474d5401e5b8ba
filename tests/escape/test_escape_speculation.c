/* The textbook gadget of speculative execution, compiled: a bounds check that is predicted, a load
 * behind the bound, and a second load that leaves its value in the cache. Under isolation none it
 * reads memory of the host, which is the control: without it there is nothing to see on this
 * machine, and the test is skipped. Under sfi the very same program must not, since addresses are
 * computed inside of the window, also by instructions that never retire.
 */
#include "cage.h"
#include "isolate/signals.h"

#include <sched.h>
#include <x86intrin.h>

#define SECRET_BYTES 16u
#define LINE         512u /* apart enough for prefetchers */
#define VALUES       256u
#define ARRAY_AT     4096u
#define PROBE_AT     8192u
#define MAP_BYTES    (PROBE_AT + VALUES * LINE)
#define BOUND        16u
#define TRAINING     5u /* calls in bounds before each that is not */
#define ROUNDS       400u

static struct {
	struct fort_domain domain;
	struct fort_code *code;
	uint8_t *map;
	uint64_t hit_cycles; /* a load that takes less found its line in the cache */
} gadget;
static uint8_t *secret;

static const char source[] =
	"lddw r2, map_idx_value 0, 0\nldxdw r4, [r1]\nldxdw r3, [r2]\njge r4, r3, out\n"
	"mov r5, r2\nadd r5, 4096\nadd r5, r4\nldxb r5, [r5]\nlsh r5, 9\nadd r5, r2\n"
	"ldxb r0, [r5+8192]\nout: exit";

static fort_helper_fn *no_helper(uint32_t number)
{
	return NULL;
}

static void open_gadget(enum fort_isolation isolation)
{
	int fd = memfd_create("values", MFD_ALLOW_SEALING);
	const struct fort_domain_map map = {.fd = fd, .bytes = MAP_BYTES, .writable = true};
	struct fort_domain_layout layout = {.n_slots = 1, .ctx_bytes = 64};
	struct fort_compile request;
	struct caged caged;

	assert_int_equal(ftruncate(fd, (MAP_BYTES + 4095) & ~4095u), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	assert_int_equal(fort_domain_open(&layout, &map, 1, &gadget.domain), 0);
	close(fd);
	gadget.map = gadget.domain.window.base + gadget.domain.map_start[0];
	memset(gadget.map, 1, MAP_BYTES); /* pages of its own */
	*(uint64_t *)(void *)gadget.map = BOUND;
	caged_assemble(&caged, source);
	request = (struct fort_compile){.program = &caged.graph.program,
					.domain = &gadget.domain,
					.isolation = isolation,
					.helper = no_helper,
					.proven = fort_isolation_needs_proof(isolation)};
	assert_int_equal(fort_engine_x64.compile(&request, &gadget.code), 0);
	assert_int_equal(fort_signals_install(), 0);
	caged_free(&caged);
}

static void close_gadget(void)
{
	fort_engine_x64.free(gadget.code);
	fort_domain_close(&gadget.domain);
}

static void call_gadget(uint64_t index)
{
	struct fort_run run = {.domain = &gadget.domain,
			       .fuel = 1000,
			       .ctx = fort_domain_ctx(&gadget.domain, 0)};

	*(uint64_t *)fort_window_at(&gadget.domain.window, run.ctx) = index;
	fort_engine_x64.run(gadget.code, &run);
}

static uint64_t time_of(const volatile uint8_t *at)
{
	unsigned processor;
	uint64_t start = __rdtscp(&processor);

	(void)*at;
	return __rdtscp(&processor) - start;
}

static uint8_t *line(unsigned value)
{
	return gadget.map + PROBE_AT + value * LINE;
}

/* Between a hit and a miss. */
static void calibrate(void)
{
	uint64_t hit = UINT64_MAX, miss = UINT64_MAX;

	for (unsigned i = 0; i < 1000; i++) {
		uint64_t cycles;

		(void)*(volatile uint8_t *)line(7);
		_mm_mfence();
		cycles = time_of(line(7));
		hit = cycles < hit ? cycles : hit;
		_mm_clflush(line(7));
		_mm_mfence();
		cycles = time_of(line(7));
		miss = cycles < miss ? cycles : miss;
	}
	gadget.hit_cycles = hit + (miss - hit) / 2;
}

/* One call out of bounds, after some in bounds, with the bound slow to come. How many is random: a
 * pattern would be learned. */
static void try_once(struct rng *rng, uint64_t index)
{
	unsigned training = TRAINING + rng_below(rng, 4 * TRAINING);

	for (unsigned i = 0; i <= training; i++) {
		uint64_t mask = (uint64_t)(i == training) * UINT64_MAX;

		_mm_clflush(gadget.map);
		_mm_mfence();
		call_gadget((index & mask) | (i % BOUND & ~mask)); /* no branch tells them apart */
	}
}

/* The value that was seen most often. Training leaves 1, which is no value of the secret's. */
static int guess(const uint8_t *target)
{
	uint64_t index = (uint64_t)(uintptr_t)target - (uint64_t)(uintptr_t)gadget.map - ARRAY_AT;
	unsigned seen[VALUES] = {0}, best = 0;
	struct rng rng = {index};

	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned v = 0; v < VALUES; v++)
			_mm_clflush(line(v));
		_mm_mfence();
		try_once(&rng, index);
		for (unsigned i = 0; i < VALUES; i++) {
			unsigned v = (i * 167 + 13) % VALUES;

			seen[v] += time_of(line(v)) < gadget.hit_cycles;
		}
	}
	seen[1] = 0;
	for (unsigned v = 0; v < VALUES; v++)
		best = seen[v] > seen[best] ? v : best;
	return seen[best] > ROUNDS / 20 ? (int)best : -1;
}

/* Bytes of the host's secret that the program found. */
static unsigned leaked(enum fort_isolation isolation)
{
	unsigned n = 0;

	open_gadget(isolation);
	calibrate();
	for (unsigned i = 0; i < SECRET_BYTES; i++) {
		(void)*(volatile uint8_t *)(secret + i); /* the host uses it */
		n += guess(secret + i) == secret[i];
	}
	close_gadget();
	return n;
}

static void speculation_stays_inside(void **state)
{
	unsigned control;

	secret = mmap(NULL, FORT_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		      -1, 0);
	for (unsigned i = 0; i < SECRET_BYTES; i++)
		secret[i] = (uint8_t)(0x40 + 11 * i);
	control = leaked(FORT_ISOLATION_NONE);
	if (control < SECRET_BYTES / 2) {
		print_message("isolation none leaked %u of %u bytes: too noisy a machine to tell\n",
			      control, SECRET_BYTES);
		skip();
	}
	print_message("# leaked under none: %u of %u bytes\n", control, SECRET_BYTES);
	assert_int_equal(leaked(FORT_ISOLATION_SFI), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(speculation_stays_inside)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
