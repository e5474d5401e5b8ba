/* The time of one run on each engine, beside the same source compiled for the machine by the same
 * compiler, -O2: without its vectorisers (the reference of all ratios) and with them; and beside
 * the running kernel's compiled code. Results and memory are compared before anything is measured;
 * sides take turns, numbers are medians.
 *
 * The kernel counts whole nanoseconds and the turns of its own loop; its empty program is taken
 * off. Nothing is taken off ours.
 *
 * usage: bench_engines [NAME]
 */
#include <math.h>
#include <stdlib.h>

#include "../bench.h"
#include "engine/engine.h"
#include "helper/helper.h"
#include "kernel.h"
#include "map/hash_find.h"
#include "ours.h"

#define ROUNDS    15
#define ROUND_NS  400000.0
#define KERNEL_NS 2000000.0

typedef uint64_t native_fn(const struct bench_packet *packet);

#define DECLARE(name, what, counts) native_fn name##_plain, name##_vector;
BENCH_PROGRAMS(DECLARE)

static const struct subject {
	const char *name, *what;
	bool counts;
	native_fn *plain, *vector;
} subjects[] = {
#define ROW(name, what, counts) {#name, what, counts, name##_plain, name##_vector},
	BENCH_PROGRAMS(ROW)};

enum side { PLAIN, VECTOR, X64_NONE, X64_SFI, INTERP, KERNEL, SIDES };
enum kind { NATIVE, OURS, THE_KERNEL };

static const struct {
	const char *name;
	enum kind kind;
	const struct fort_engine *engine;
	enum fort_isolation isolation;
} sides[SIDES] = {
	[PLAIN] = {"native", NATIVE},
	[VECTOR] = {"vector", NATIVE},
	[X64_NONE] = {"x64-none", OURS, &fort_engine_x64, FORT_ISOLATION_NONE},
	[X64_SFI] = {"x64-sfi", OURS, &fort_engine_x64, FORT_ISOLATION_SFI},
	[INTERP] = {"interp", OURS, &fort_engine_interp, FORT_ISOLATION_SFI},
	[KERNEL] = {"kernel", THE_KERNEL},
};

/* One program on one side. */
struct contestant {
	struct fort_loaded *loaded;
	struct fort_run run;
	int kernel_fd;
	uint32_t code_bytes;
	bool there;
};

static struct {
	struct bench_ours ours;
	struct bench_kernel kernel;
	struct contestant contestants[SIDES];
	uint8_t packet[BENCH_PACKET_BYTES];
	fort_helper_fn *query;
	double kernel_empty_ns;
	unsigned rounds;
} bench;

static volatile uint64_t sink;

static void die(const char *program, const char *side, const char *what)
{
	fprintf(stderr, "bench_engines: %s on %s: %s\n", program, side, what);
	exit(2);
}

/* --- what the machine's programs find --- */

struct bench_data bench_data;
char bench_array, bench_percpu, bench_hash, bench_ring;

uint8_t *bench_array_values, *bench_percpu_values;
uint64_t bench_percpu_bytes;

static void open_natives(void)
{
	bench_array_values = bench.ours.maps[BENCH_MAP_bench_array]->values;
	bench_percpu_values = bench.ours.maps[BENCH_MAP_bench_percpu]->values;
	bench_percpu_bytes = bench.ours.maps[BENCH_MAP_bench_percpu]->cpu_bytes;
	bench.query = fort_helper_function(BENCH_RING_QUERY);
}

void *bench_native_search(const void *key)
{
	struct fort_map *map = bench.ours.maps[BENCH_MAP_bench_hash];
	int64_t offset = fort_hash_find(map, key, 8);

	return offset < 0 ? NULL : map->values + offset;
}

uint64_t bench_native_query(void *map, uint64_t what)
{
	return bench.query(fort_map_handle(BENCH_MAP_bench_ring), what, 0, 0, 0,
			   &bench.contestants[INTERP].run);
}

/* --- runs --- */

static uint64_t run_native(native_fn *function)
{
	struct bench_packet packet = {bench.packet, bench.packet + sizeof(bench.packet)};

	return function(&packet);
}

static uint64_t run_ours(struct contestant *c)
{
	c->run.fuel = FORT_FUEL_DEFAULT;
	return c->loaded->engine->run(c->loaded->code, &c->run);
}

static void load_sides(const struct subject *subject, const struct fort_raw_insn *insns, uint32_t n)
{
	bench_ours_prove(&bench.ours, insns, n);
	for (unsigned side = 0; side < SIDES; side++) {
		struct contestant *c = &bench.contestants[side];

		*c = (struct contestant){.there = true};
		if (sides[side].kind == OURS)
			c->loaded = bench_ours_load(&bench.ours, sides[side].engine,
						    sides[side].isolation);
		if (sides[side].kind != THE_KERNEL)
			continue;
		c->there = bench.kernel.there;
		if (c->there)
			c->kernel_fd = bench_kernel_load(&bench.kernel, insns, n, &c->code_bytes);
		if (c->kernel_fd < 0)
			die(subject->name, "kernel", "not loaded");
	}
}

static void unload_sides(void)
{
	for (unsigned side = 0; side < SIDES; side++) {
		fort_loaded_close(bench.contestants[side].loaded);
		if (bench.contestants[side].kernel_fd)
			close(bench.contestants[side].kernel_fd);
	}
	bench_ours_drop(&bench.ours);
}

/* --- every run starts from the same --- */

static void fill(struct bench_data *data)
{
	uint32_t x = 1;

	*data = (struct bench_data){0};
	for (unsigned i = 0; i < sizeof(data->bytes); i++)
		data->bytes[i] = (uint8_t)((x = x * 1103515245 + 12345) >> 16);
	for (unsigned i = 0; i < FORT_LEN(data->words); i++) {
		x = x * 1103515245 + 12345;
		data->words[i] = (uint64_t)x * x;
		data->more[i] = (uint64_t)x << 32 | x;
	}
}

/* Headers of all kinds that `parse` tells apart. */
static void fill_packet(void)
{
	for (unsigned i = 0; i < BENCH_PACKETS; i++) {
		uint8_t *at = bench.packet + 64 * i + 12;

		for (unsigned byte = 0; byte < 52; byte++)
			at[byte] = (uint8_t)(i * 7 + byte);
		if (i % 5 == 3) { /* a tag */
			at[0] = 0x81, at[1] = 0;
			at += 4;
		}
		at[0] = i % 7 == 6 ? 0x86 : 0x08, at[1] = 0;
		at[2] = 0x45;
		at[8] = i % 8 == 5 ? 0x20 : 0x40, at[9] = 0;
		at[11] = i % 3 ? 6 : 17;
	}
}

static void fill_maps(void)
{
	memset(bench.ours.maps[BENCH_MAP_bench_array]->values, 0, 64 * 8);
	memset(bench.ours.maps[BENCH_MAP_bench_percpu]->values, 0,
	       bench.ours.maps[BENCH_MAP_bench_percpu]->values_bytes);
	for (uint32_t i = 0; i < 64 && bench.kernel.there; i++) {
		bench_kernel_update(&bench.kernel, BENCH_MAP_bench_array, &i, 0);
		bench_kernel_update(&bench.kernel, BENCH_MAP_bench_percpu, &i, 0);
	}
}

static void fill_hash(void)
{
	for (uint64_t i = 0; i < BENCH_HASH_ENTRIES; i++) {
		uint64_t value = i * i;

		if (fort_map_update(bench.ours.maps[BENCH_MAP_bench_hash], &i, &value, 0))
			die("hash", "all", "cannot be filled");
		if (bench.kernel.there)
			bench_kernel_update(&bench.kernel, BENCH_MAP_bench_hash, &i, value);
	}
}

static void run_once(const struct subject *subject, unsigned side, const struct bench_data *before,
		     struct bench_data *after)
{
	struct contestant *c = &bench.contestants[side];

	if (sides[side].kind == NATIVE) {
		bench_data = *before;
		run_native(side == PLAIN ? subject->plain : subject->vector);
		*after = bench_data;
	} else if (sides[side].kind == OURS) {
		*bench_ours_data(&bench.ours) = *before;
		bench_ours_first_run(&bench.ours, c->loaded, bench.packet, sizeof(bench.packet),
				     &c->run);
		*after = *bench_ours_data(&bench.ours);
	} else {
		bench_kernel_put(&bench.kernel, before);
		if (bench_kernel_run(c->kernel_fd, bench.packet, sizeof(bench.packet), 1) < 0)
			die(subject->name, "kernel", "does not run");
		bench_kernel_get(&bench.kernel, after);
	}
}

/* The machine's own code says what is right. The interpreter goes first: natives borrow its run. */
static void check(const struct subject *subject)
{
	struct bench_data before, expected, after;

	fill(&before);
	run_once(subject, INTERP, &before, &after);
	for (unsigned side = 0; side < SIDES; side++) {
		if (!bench.contestants[side].there)
			continue;
		fill_maps();
		run_once(subject, side, &before, &after);
		if (side == PLAIN)
			expected = after;
		if (memcmp(&after, &expected, sizeof(after)))
			die(subject->name, sides[side].name, "differs");
	}
}

/* --- measuring --- */

static double time_runs(const struct subject *subject, unsigned side, uint32_t n)
{
	struct contestant *c = &bench.contestants[side];
	double start;

	if (sides[side].kind == THE_KERNEL)
		return bench_kernel_run(c->kernel_fd, bench.packet, sizeof(bench.packet), n);
	start = bench_now_ns();
	for (uint32_t i = 0; i < n; i++)
		sink += sides[side].kind == OURS
				? run_ours(c)
				: run_native(side == PLAIN ? subject->plain : subject->vector);
	return (bench_now_ns() - start) / n;
}

static void measure(const struct subject *subject, double medians[SIDES])
{
	double times[SIDES][ROUNDS];
	uint32_t n[SIDES];

	for (unsigned side = 0; side < SIDES; side++)
		if (bench.contestants[side].there)
			n[side] = 1 + (uint32_t)((side == KERNEL ? KERNEL_NS : ROUND_NS) /
						 (1 + time_runs(subject, side, 20)));
	for (unsigned round = 0; round < bench.rounds; round++)
		for (unsigned side = 0; side < SIDES; side++)
			if (bench.contestants[side].there)
				times[side][round] = time_runs(subject, side, n[side]);
	for (unsigned side = 0; side < SIDES; side++)
		medians[side] = bench.contestants[side].there
					? bench_median(times[side], bench.rounds)
					: (double)NAN;
	if (!subject->counts)
		bench.kernel_empty_ns = medians[KERNEL];
	medians[KERNEL] -= bench.kernel_empty_ns;
}

/* --- printing --- */

static void print_head(void)
{
	printf("%-10s %9s", "", "native ns");
	for (unsigned side = VECTOR; side < SIDES; side++)
		printf(" %8s", sides[side].name);
	printf(" %8s  times native; sfi to none\n", "sfi/none");
}

static void print_row(const struct subject *subject, const double medians[SIDES],
		      double logs[SIDES])
{
	printf("%-10s %9.1f", subject->name, medians[PLAIN]);
	for (unsigned side = VECTOR; side < SIDES; side++) {
		double ratio = medians[side] / medians[PLAIN];

		printf(" %8.2f", ratio);
		if (subject->counts)
			logs[side] += log(ratio);
	}
	printf(" %8.3f  %s\n", medians[X64_SFI] / medians[X64_NONE], subject->what);
}

static void print_foot(const double logs[SIDES], unsigned n)
{
	printf("%-10s %9s", "geomean", "");
	for (unsigned side = VECTOR; side < SIDES; side++)
		printf(" %8.2f", exp(logs[side] / n));
	printf(" %8.3f\n", exp((logs[X64_SFI] - logs[X64_NONE]) / n));
}

static void one(const struct subject *subject, const struct bench_object *object,
		double logs[SIDES])
{
	struct fort_raw_insn insns[BENCH_INSNS_MAX];
	uint32_t n = bench_object_program(object, subject->name, insns);
	double medians[SIDES];

	if (!n)
		exit(2);
	load_sides(subject, insns, n);
	check(subject);
	measure(subject, medians);
	print_row(subject, medians, logs);
	unload_sides();
}

int main(int argc, char **argv)
{
	double logs[SIDES] = {0};
	struct bench_object object;
	const char *only = NULL;
	unsigned n = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	bench.rounds = ROUNDS;
	for (int i = 1; i < argc; i++)
		only = argv[i];
	if (!bench_object_open(PROGRAMS_OBJECT, &object))
		return 2;
	bench_ours_open(&bench.ours);
	open_natives();
	bench_kernel_open(&bench.kernel);
	fill_packet();
	fill_hash();
	print_head();
	for (unsigned i = 0; i < FORT_LEN(subjects); i++)
		if (!only || !subjects[i].counts || !strcmp(only, subjects[i].name)) {
			one(&subjects[i], &object, logs);
			n += subjects[i].counts;
		}
	print_foot(logs, n);
	return 0;
}
