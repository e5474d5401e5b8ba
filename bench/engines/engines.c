/* The time of one run on each engine, beside the same source compiled for the machine by the same
 * compiler, -O2: without its vectorisers (the reference of all ratios) and with them; and beside
 * the running kernel's compiled code. Results and memory are compared before anything is measured;
 * sides take turns on one processor, numbers are medians of processor time.
 *
 * The kernel counts whole nanoseconds and the turns of its own loop; its empty program is taken
 * off. Nothing is taken off ours.
 *
 * usage: bench_engines [--tsv FILE] [NAME]
 */
#include <math.h>
#include <sched.h>
#include <stdlib.h>

#include "../bench.h"
#include "calls.h"
#include "engine/engine.h"
#include "helper/helper.h"
#include "kernel.h"
#include "map/hash_find.h"
#include "map/prog_array.h"
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

enum side { PLAIN, VECTOR, X64_NONE, X64_STORE, X64_SFI, X64_MPK, LLVM, INTERP, KERNEL, SIDES };
enum kind { NATIVE, OURS, THE_KERNEL };

/* `engine`: by name, as not every build has all. */
static const struct {
	const char *name;
	enum kind kind;
	const char *engine;
	enum fort_isolation isolation;
} sides[SIDES] = {
	[PLAIN] = {"native", NATIVE},
	[VECTOR] = {"vector", NATIVE},
	[X64_NONE] = {"x64-none", OURS, "x64", FORT_ISOLATION_NONE},
	[X64_STORE] = {"x64-store", OURS, "x64", FORT_ISOLATION_SFI_STORE},
	[X64_SFI] = {"x64-sfi", OURS, "x64", FORT_ISOLATION_SFI},
	[X64_MPK] = {"x64-mpk", OURS, "x64", FORT_ISOLATION_MPK},
	[LLVM] = {"llvm", OURS, "llvm", FORT_ISOLATION_NONE},
	[INTERP] = {"interp", OURS, "interp", FORT_ISOLATION_SFI},
	[KERNEL] = {"kernel", THE_KERNEL},
};

/* Does this side exist here? */
static bool is_there(unsigned side, bool kernel)
{
	const struct fort_engine *engine;

	if (sides[side].kind != OURS)
		return sides[side].kind == NATIVE || kernel;
	engine = fort_engine_by_name(sides[side].engine);
	return engine && fort_engine_has(engine, sides[side].isolation);
}

/* One program on one side. */
struct contestant {
	struct fort_loaded *loaded;
	struct fort_run run;
	int kernel_fd;
	uint32_t code_bytes;
	double compile_us;
	bool there;
};

/* What came out for one program. */
struct outcome {
	const struct subject *subject;
	uint32_t insns;
	uint64_t executed; /* instructions of one run */
	double ns[SIDES];  /* medians; NAN: not there */
	uint32_t code_bytes[SIDES];
	double compile_us[SIDES];
};

static struct {
	struct bench_ours ours;
	struct bench_kernel kernel;
	struct contestant contestants[SIDES];
	uint8_t packet[BENCH_PACKET_BYTES];
	fort_helper_fn *query;
	double kernel_empty_ns;
	struct outcome outcomes[FORT_LEN(subjects)];
	unsigned n_outcomes;
	FILE *tsv;
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
native_fn *bench_native_next;

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
	if (c->run.tails.at) /* the last run ended in another program */
		bench_ours_bind(&bench.ours, c->loaded, &c->run);
	c->run.fuel = FORT_FUEL_DEFAULT;
	return c->loaded->engine->run(c->loaded->code, &c->run);
}

static void load_ours(struct contestant *c, unsigned side)
{
	const struct fort_engine *engine = fort_engine_by_name(sides[side].engine);
	struct fort_code_view view = {0};
	double start = bench_cpu_ns();

	c->loaded = bench_ours_load(&bench.ours, engine, sides[side].isolation);
	c->compile_us = (bench_cpu_ns() - start) / 1000;
	if (engine->view)
		engine->view(c->loaded->code, &view);
	c->code_bytes = view.n_bytes;
}

static void load_sides(const struct subject *subject, const struct fort_raw_insn *insns, uint32_t n)
{
	bench_ours_prove(&bench.ours, insns, n);
	for (unsigned side = 0; side < SIDES; side++) {
		struct contestant *c = &bench.contestants[side];

		*c = (struct contestant){.there = is_there(side, bench.kernel.there)};
		if (c->there && sides[side].kind == OURS)
			load_ours(c, side);
		if (!c->there || sides[side].kind != THE_KERNEL)
			continue;
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

/* A program that goes on with itself finds itself. */
static void chain(const struct subject *subject, unsigned side)
{
	struct contestant *c = &bench.contestants[side];

	if (sides[side].kind == NATIVE)
		bench_native_next = side == PLAIN ? subject->plain : subject->vector;
	else if (sides[side].kind == OURS)
		fort_prog_array_set(bench.ours.maps[BENCH_MAP_bench_tails], 0, &c->loaded->tail);
	else
		bench_kernel_put_program(&bench.kernel, c->kernel_fd);
}

static void run_once(const struct subject *subject, unsigned side, const struct bench_data *before,
		     struct bench_data *after)
{
	struct contestant *c = &bench.contestants[side];

	chain(subject, side);
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

	if (sides[side].kind == THE_KERNEL) {
		chain(subject, side);
		return bench_kernel_run(c->kernel_fd, bench.packet, sizeof(bench.packet), n);
	}
	chain(subject, side);
	start = bench_cpu_ns();
	for (uint32_t i = 0; i < n; i++)
		sink += sides[side].kind == OURS
				? run_ours(c)
				: run_native(side == PLAIN ? subject->plain : subject->vector);
	return (bench_cpu_ns() - start) / n;
}

static void measure(const struct subject *subject, double medians[SIDES])
{
	double times[SIDES][ROUNDS];
	uint32_t n[SIDES];

	for (unsigned side = 0; side < SIDES; side++)
		if (bench.contestants[side].there)
			n[side] = 1 + (uint32_t)((side == KERNEL ? KERNEL_NS : ROUND_NS) /
						 (1 + time_runs(subject, side, 20)));
	for (unsigned round = 0; round < ROUNDS; round++)
		for (unsigned side = 0; side < SIDES; side++)
			if (bench.contestants[side].there)
				times[side][round] = time_runs(subject, side, n[side]);
	for (unsigned side = 0; side < SIDES; side++)
		medians[side] = bench.contestants[side].there ? bench_median(times[side], ROUNDS)
							      : (double)NAN;
	if (!subject->counts)
		bench.kernel_empty_ns = medians[KERNEL];
	medians[KERNEL] -= bench.kernel_empty_ns;
}

/* How many instructions one run executes: the interpreter counts. */
static uint64_t count_executed(uint32_t n_insns)
{
	static uint64_t counts[BENCH_INSNS_MAX];
	struct contestant *c = &bench.contestants[INTERP];
	uint64_t sum = 0;

	memset(counts, 0, sizeof(counts));
	c->run.counts = counts;
	sink += run_ours(c);
	c->run.counts = NULL;
	for (uint32_t i = 0; i < n_insns; i++)
		sum += counts[i];
	return sum;
}

/* --- printing --- */

static void print_head(void)
{
	printf("%-10s %9s", "", "native ns");
	for (unsigned side = VECTOR; side < SIDES; side++)
		if (is_there(side, bench.kernel.there))
			printf(" %9s", sides[side].name);
	printf("  times native\n");
}

static void print_row(const struct outcome *o)
{
	printf("%-10s %9.1f", o->subject->name, o->ns[PLAIN]);
	for (unsigned side = VECTOR; side < SIDES; side++)
		if (is_there(side, bench.kernel.there))
			printf(" %9.2f", o->ns[side] / o->ns[PLAIN]);
	printf("  %s\n", o->subject->what);
}

static double geomean(unsigned side, unsigned to)
{
	double sum = 0;
	unsigned n = 0;

	for (unsigned i = 0; i < bench.n_outcomes; i++) {
		const struct outcome *o = &bench.outcomes[i];

		if (!o->subject->counts)
			continue;
		sum += log(o->ns[side] / o->ns[to]);
		n++;
	}
	return exp(sum / n);
}

static void print_foot(void)
{
	printf("%-10s %9s", "geomean", "");
	for (unsigned side = VECTOR; side < SIDES; side++)
		if (is_there(side, bench.kernel.there))
			printf(" %9.2f", geomean(side, PLAIN));
	printf("\n\n%-40s %6.3f  (at most 1.01)\n",
	       "sfi-store to none, geomean:", geomean(X64_STORE, X64_NONE));
	printf("%-40s %6.3f  (at most 1.03)\n",
	       "sfi to none, geomean:", geomean(X64_SFI, X64_NONE));
	if (bench.kernel.there)
		printf("%-40s %6.3f  (below 1)\n",
		       "x64 under sfi to the kernel, geomean:", geomean(X64_SFI, KERNEL));
}

/* Code and the time to make it; beside them the kernel's code. */
static void print_sizes(void)
{
	printf("\n%-10s %6s %8s %8s %10s", "", "insns", "x64 us", "bytes", "bytes/insn");
	printf(" %8s %8s %8s %10s %14s\n", "llvm us", "bytes", "kernel", "executed",
	       "interp ns each");
	for (unsigned i = 0; i < bench.n_outcomes; i++) {
		const struct outcome *o = &bench.outcomes[i];

		printf("%-10s %6u %8.0f %8u %10.1f", o->subject->name, o->insns,
		       o->compile_us[X64_SFI], o->code_bytes[X64_SFI],
		       (double)o->code_bytes[X64_SFI] / o->insns);
		printf(" %8.0f %8u %8u %10llu %14.2f\n", o->compile_us[LLVM], o->code_bytes[LLVM],
		       o->code_bytes[KERNEL], (unsigned long long)o->executed,
		       o->ns[INTERP] / (double)o->executed);
	}
}

/* Of programs that do nothing but compute: every instruction counts, no helper does. */
static void print_interpreter(void)
{
	static const char *const integer[] = {"mix",   "divide",   "digits", "crc",
					      "sieve", "checksum", "siphash"};
	double ns = 0, n = 0;

	for (unsigned i = 0; i < bench.n_outcomes; i++)
		for (unsigned j = 0; j < FORT_LEN(integer); j++)
			if (!strcmp(bench.outcomes[i].subject->name, integer[j])) {
				ns += bench.outcomes[i].ns[INTERP];
				n += (double)bench.outcomes[i].executed;
			}
	if (n)
		printf("%-40s %6.2f ns  (at most 1.2)\n",
		       "interpreter, of one instruction:", ns / n);
}

static const struct outcome *outcome_of(const char *name)
{
	for (unsigned i = 0; i < bench.n_outcomes; i++)
		if (!strcmp(bench.outcomes[i].subject->name, name))
			return &bench.outcomes[i];
	return NULL;
}

static void print_calls(void)
{
	const struct outcome *empty = outcome_of("empty"), *helpers = outcome_of("helpers");

	if (empty)
		printf("%-40s %6.2f ns  (at most 10)\n",
		       "x64 under sfi, entry and exit:", empty->ns[X64_SFI] - empty->ns[PLAIN]);
	if (empty && helpers)
		printf("%-40s %6.2f ns  (at most 2 above the function's own: native is %.2f)\n",
		       "x64 under sfi, helper call in a loop:",
		       (helpers->ns[X64_SFI] - empty->ns[X64_SFI]) / 64,
		       (helpers->ns[PLAIN] - empty->ns[PLAIN]) / 64);
}

static void write_row(const struct outcome *o)
{
	if (!bench.tsv)
		return;
	for (unsigned side = VECTOR; side < SIDES; side++)
		if (is_there(side, bench.kernel.there) && o->subject->counts)
			fprintf(bench.tsv, "%s\t%s\t%.4f\n", o->subject->name, sides[side].name,
				o->ns[side] / o->ns[PLAIN]);
}

static void one(const struct subject *subject, const struct bench_object *object)
{
	struct outcome *o = &bench.outcomes[bench.n_outcomes++];
	struct fort_raw_insn insns[BENCH_INSNS_MAX];

	*o = (struct outcome){.subject = subject,
			      .insns = bench_object_program(object, subject->name, insns)};
	if (!o->insns)
		exit(2);
	load_sides(subject, insns, o->insns);
	check(subject);
	measure(subject, o->ns);
	o->executed = count_executed(o->insns);
	for (unsigned side = 0; side < SIDES; side++) {
		o->code_bytes[side] = bench.contestants[side].code_bytes;
		o->compile_us[side] = bench.contestants[side].compile_us;
	}
	print_row(o);
	write_row(o);
	unload_sides();
}

/* Where threads move about, sides that take turns meet different processors. */
static void stay_here(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
}

int main(int argc, char **argv)
{
	struct bench_object object;
	const char *only = NULL;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], "--tsv") && i + 1 < argc)
			bench.tsv = fopen(argv[++i], "w");
		else
			only = argv[i];
	if (!bench_object_open(PROGRAMS_OBJECT, &object))
		return 2;
	stay_here();
	bench_ours_open(&bench.ours);
	open_natives();
	bench_kernel_open(&bench.kernel);
	fill_packet();
	fill_hash();
	if (bench.tsv)
		fprintf(bench.tsv, "program\tside\tratio\n");
	print_head();
	for (unsigned i = 0; i < FORT_LEN(subjects); i++)
		if (!only || !subjects[i].counts || !strcmp(only, subjects[i].name))
			one(&subjects[i], &object);
	print_foot();
	print_calls();
	print_interpreter();
	bench_calls();
	print_sizes();
	if (bench.tsv)
		fclose(bench.tsv);
	return 0;
}
