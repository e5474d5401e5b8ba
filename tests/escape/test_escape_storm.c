/* Faults in numbers: on several threads at once, between faults of the host's own, inside of signal
 * handlers that interrupt the allocator, and with maps whose values somebody else overwrites all
 * the time.
 */
#include "cage.h"

#include <pthread.h>

#include "helper/trace.h"
#include "isolate/signals.h"

#define THREADS     4u
#define FAULTS      20000u
#define HOST_FAULTS 64u /* one in so many is the host's */
#define HANDLED     500u

/* --- threads --- */

/* Accesses of all kinds of addresses, deep in frames; r1 decides, r0 = 7 all the way. */
static const char source[] =
	"mov r0, 7\nldxdw r6, [r1]\nldxdw r7, [r1+8]\njeq r7, 1, b\njeq r7, 2, c\n"
	"ldxdw r8, [r6]\nexit\nb: stb [r6+1], 1\nexit\n"
	"c: call local f\nexit\nf: call local g\nexit\n"
	"g: lock fetch_or [r6], r7\nexit";

struct storm {
	struct cage cage;
	struct caged caged;
	struct fort_code *code;
	pthread_t thread;
	uint64_t seed;
	unsigned wrong, host_faults;
};

static __thread sigjmp_buf back;
static __thread volatile unsigned host_faults;

static void note_fault(int number)
{
	host_faults++;
	siglongjmp(back, 1);
}

static volatile char *volatile nowhere;

static void fault_in_the_host(void)
{
	if (!sigsetjmp(back, 1))
		*nowhere = 1;
}

static void *storm(void *argument)
{
	struct storm *s = argument;
	struct bad_address bad[BAD_ADDRESSES_MAX];
	uint32_t n_bad = bad_addresses(&s->cage, bad), wanted = 0;
	struct rng rng = {s->seed};

	for (unsigned i = 0; i < FAULTS; i++) {
		uint64_t *ctx = cage_ctx(&s->cage);
		struct fort_run *run = &s->cage.world.run;
		uint64_t address = bad[rng_below(&rng, n_bad)].address, kind = rng_below(&rng, 3);
		bool allowed = fort_window_allows_word(&s->cage.world.domain.window,
						       address + (kind == 1), kind == 1 ? 1 : 8,
						       kind == 0   ? FORT_READ
						       : kind == 1 ? FORT_WRITE
								   : FORT_RW);
		uint64_t r0;

		ctx[0] = address;
		ctx[1] = kind;
		cage_reset(&s->cage);
		run->fuel = 1000;
		run->abort = (struct fort_abort){0};
		r0 = fort_engine_x64.run(s->code, run);
		s->wrong += (run->abort.code == FORT_ABORT_MEMORY) == allowed ||
			    (!allowed && run->abort.address != (uint32_t)(address + (kind == 1))) ||
			    r0 != (allowed ? 7 : 0);
		if (!rng_below(&rng, HOST_FAULTS)) {
			fault_in_the_host();
			wanted++;
		}
	}
	s->wrong += host_faults != wanted || !!cage_damage(&s->cage);
	s->host_faults = host_faults;
	return NULL;
}

static void set_host_handler(void)
{
	struct sigaction action = {.sa_handler = note_fault};

	assert_int_equal(sigaction(SIGSEGV, &action, NULL), 0);
	assert_int_equal(fort_signals_install(), 0);
}

static void faults_of_programs_and_of_the_host(void **state)
{
	static struct storm storms[THREADS];

	nowhere = mmap(NULL, FORT_PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	set_host_handler();
	for (unsigned i = 0; i < THREADS; i++) {
		struct fort_compile request;

		storms[i].seed = i;
		cage_open(&storms[i].cage);
		caged_assemble(&storms[i].caged, source);
		request =
			cage_compile(&storms[i].cage, FORT_ISOLATION_SFI, false, &storms[i].caged);
		assert_int_equal(fort_engine_x64.compile(&request, &storms[i].code), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&storms[i].thread, NULL, storm, &storms[i]), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(storms[i].thread, NULL), 0);
		assert_int_equal(storms[i].wrong, 0);
		assert_true(storms[i].host_faults > 0);
		fort_engine_x64.free(storms[i].code);
		caged_free(&storms[i].caged);
		cage_close(&storms[i].cage);
	}
}

/* --- in a signal handler --- */

static struct storm inside;
static volatile unsigned handled, handled_wrong;

/* Interrupts malloc and free, with whatever they hold. */
static void run_in_handler(int number)
{
	struct fort_run *run = &inside.cage.world.run;

	run->fuel = 1000;
	run->abort = (struct fort_abort){0};
	handled_wrong +=
		fort_engine_x64.run(inside.code, run) != 0 || run->abort.code != FORT_ABORT_MEMORY;
	handled++;
}

static void *send_signals(void *argument)
{
	pthread_t to = *(pthread_t *)argument;

	while (handled < HANDLED) {
		pthread_kill(to, SIGUSR1);
		usleep(200);
	}
	return NULL;
}

static void faults_while_the_host_is_in_its_allocator(void **state)
{
	pthread_t self = pthread_self(), thread;
	struct fort_compile request;
	void *blocks[64] = {0};

	cage_open(&inside.cage);
	caged_assemble(&inside.caged, source);
	request = cage_compile(&inside.cage, FORT_ISOLATION_SFI, false, &inside.caged);
	assert_int_equal(fort_engine_x64.compile(&request, &inside.code), 0);
	assert_int_equal(fort_signals_install(), 0);
	cage_reset(&inside.cage); /* the context is zero: a load from nowhere */
	signal(SIGUSR1, run_in_handler);
	assert_int_equal(pthread_create(&thread, NULL, send_signals, &self), 0);
	for (unsigned i = 0; handled < HANDLED; i++) {
		free(blocks[i % FORT_LEN(blocks)]);
		blocks[i % FORT_LEN(blocks)] = malloc(16 + i % 3000);
	}
	pthread_join(thread, NULL);
	signal(SIGUSR1, SIG_DFL);
	for (unsigned i = 0; i < FORT_LEN(blocks); i++)
		free(blocks[i]);
	assert_int_equal(handled_wrong, 0);
	fort_engine_x64.free(inside.code);
	caged_free(&inside.caged);
	cage_close(&inside.cage);
}

/* --- somebody else overwrites --- */

static _Atomic bool done;

/* Whoever has a map's values may do this, and nothing else comes of it. */
static void *scribble(void *argument)
{
	struct cage *cage = argument;
	struct rng rng = {5};

	while (!done) {
		uint32_t i = rng_below(&rng, CAGE_RODATA);
		struct fort_map *map = cage->world.maps[i];
		uint64_t word = rng_next(&rng), at = rng_next(&rng) % (map->values_bytes / 8);

		__atomic_store_n((uint64_t *)(void *)map->values + at, word, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* Keys, values, records and formats that change while helpers read them. */
static const char *const readers[] = {
	"lddw r6, map_idx_value 1, 0\nmov r7, 200\n"
	"l: lddw r1, map_idx 0\nmov r2, r6\nmov r3, r6\nmov r4, 0\ncall 2\n"
	"lddw r1, map_idx 0\nmov r2, r6\ncall 1\nlddw r1, map_idx 0\nmov r2, r6\ncall 3\n"
	"sub r7, 1\njne r7, 0, l\nmov r0, 0\nexit",
	"lddw r6, map_idx_value 1, 0\nmov r7, 200\n"
	"l: mov r1, r6\nmov r2, 64\nmov r3, 1\nmov r4, 2\nmov r5, r6\ncall 6\n"
	"sub r7, 1\njne r7, 0, l\nmov r0, 0\nexit",
	"lddw r6, map_idx_value 1, 0\nmov r7, 200\n"
	"l: lddw r1, map_idx 3\nmov r2, 24\nmov r3, 0\ncall 131\njeq r0, 0, n\nmov r1, r0\n"
	"mov r2, 0\ncall 132\nn: lddw r1, map_idx 3\nmov r2, r6\nmov r3, 64\nmov r4, 0\ncall 130\n"
	"sub r7, 1\njne r7, 0, l\nmov r0, 0\nexit",
	"lddw r6, map_idx_value 1, 0\nmov r7, 200\n"
	"l: ldxdw r8, [r6]\nlddw r1, map_idx 2\nmov r2, r6\ncall 1\njeq r0, 0, n\nstxdw [r0], r8\n"
	"n: mov r1, r10\nadd r1, -64\nmov r2, 64\nmov r3, r6\ncall 114\nsub r7, 1\njne r7, 0, l\n"
	"mov r0, 0\nexit",
};

static void values_change_under_programs(void **state)
{
	static struct cage cage;
	pthread_t thread;

	cage_open(&cage);
	assert_int_equal(pthread_create(&thread, NULL, scribble, &cage), 0);
	for (unsigned round = 0; round < 20; round++)
		for (unsigned i = 0; i < FORT_LEN(readers); i++)
			for (unsigned e = 0; e < FORT_LEN(cage_engines); e++) {
				struct outcome outcome;
				struct caged caged;

				caged_assemble(&caged, readers[i]);
				outcome = cage_run(&cage, cage_engines[e], FORT_ISOLATION_SFI,
						   false, &caged, 100000);
				assert_int_equal(outcome.abort.code, FORT_ABORT_NONE);
				assert_int_equal(outcome.r0, 0);
				caged_free(&caged);
			}
	done = true;
	pthread_join(thread, NULL);
	cage_close(&cage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(faults_of_programs_and_of_the_host),
		cmocka_unit_test(faults_while_the_host_is_in_its_allocator),
		cmocka_unit_test(values_change_under_programs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
