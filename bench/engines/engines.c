/* The time of one run on each engine, beside the same source compiled for the machine by the same
 * compiler, -O2: without its vectoriser (the reference of all ratios) and with it. Results and
 * memory are compared before anything is measured; sides take turns, numbers are medians.
 * Nothing verifies the programs here: engines, not the road to them, are the subject.
 *
 * usage: bench_engines [NAME]
 */
#include <elf.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "abi/uapi.h"
#include "engine/engine.h"
#include "helper/helper.h"
#include "helper/services.h"
#include "map/map.h"
#include "programs.h"

#define ROUNDS   15
#define ROUND_NS 400000.0
#define ARENA    (16u << 20)

typedef uint64_t native_fn(volatile struct bench_data *data);

#define DECLARE(name, what) native_fn name##_plain, name##_vector;
BENCH_PROGRAMS(DECLARE)

static const struct subject {
	const char *name, *what;
	native_fn *plain, *vector;
} subjects[] = {
#define ROW(name, what) {#name, what, name##_plain, name##_vector},
	BENCH_PROGRAMS(ROW)};

enum side { PLAIN, VECTOR, X64_NONE, X64_SFI, INTERP_SFI, SIDES };

static const struct {
	const char *name;
	const struct fort_engine *engine; /* NULL: the machine's own code */
	enum fort_isolation isolation;
} sides[SIDES] = {
	[PLAIN] = {"native"},
	[VECTOR] = {"vector"},
	[X64_NONE] = {"x64 none", &fort_engine_x64, FORT_ISOLATION_NONE},
	[X64_SFI] = {"x64 sfi", &fort_engine_x64, FORT_ISOLATION_SFI},
	[INTERP_SFI] = {"interp", &fort_engine_interp, FORT_ISOLATION_SFI},
};

struct bench {
	struct fort_shared *shared;
	struct fort_host host;
	struct fort_services services;
	struct fort_map *map;
	struct fort_domain domain;
	struct fort_arena arena; /* of one program */
	struct fort_program program;
	struct fort_code *code[SIDES];
	struct fort_run run;
	struct bench_data before, *data;
};

static struct bench bench;
static volatile uint64_t sink;

static void die(const char *what)
{
	fprintf(stderr, "bench_engines: %s\n", what);
	exit(2);
}

/* --- what programs call --- */

void *bench_native_lookup(uint64_t map, const void *key)
{
	int64_t offset = bench.map->ops->find(bench.map, key, 0);

	return offset < 0 ? NULL : bench.map->values + offset;
}

__attribute__((noinline)) uint64_t bench_native_step(uint64_t value)
{
	return value * 3 + 1;
}

static uint64_t step(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
		     struct fort_run *run)
{
	return a1 * 3 + 1;
}

static fort_helper_fn *helper_by_number(uint32_t number)
{
	return number == BENCH_STEP ? step : fort_helper_function(number);
}

/* --- the object --- */

static const uint8_t *read_object(void)
{
	int fd = open(PROGRAMS_OBJECT, O_RDONLY | O_CLOEXEC);
	struct stat status;
	void *at;

	if (fd < 0 || fstat(fd, &status))
		die("cannot open " PROGRAMS_OBJECT);
	at = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (at == MAP_FAILED)
		die("cannot map " PROGRAMS_OBJECT);
	return at;
}

static const Elf64_Shdr *find_section(const uint8_t *object, const char *name)
{
	const Elf64_Ehdr *header = (const Elf64_Ehdr *)object;
	const Elf64_Shdr *sections = (const Elf64_Shdr *)(object + header->e_shoff);
	const char *names = (const char *)object + sections[header->e_shstrndx].sh_offset;

	for (unsigned i = 0; i < header->e_shnum; i++)
		if (!strncmp(names + sections[i].sh_name, "bpf/", 4) &&
		    !strcmp(names + sections[i].sh_name + 4, name))
			return &sections[i];
	return NULL;
}

static void load(const char *name, const uint8_t *object)
{
	const Elf64_Shdr *section = find_section(object, name);
	struct fort_decode_error decode_error;
	struct fort_graph_error graph_error;
	struct fort_graph graph;
	struct fort_insn *insns;
	uint32_t n;

	if (!section)
		die("a program is missing");
	n = (uint32_t)(section->sh_size / sizeof(struct fort_raw_insn));
	fort_arena_init(&bench.arena, ARENA);
	insns = FORT_ARENA_ARRAY(&bench.arena, n, struct fort_insn);
	if (!insns ||
	    fort_insn_decode((const struct fort_raw_insn *)(object + section->sh_offset), n, insns,
			     &decode_error) ||
	    fort_graph_build(&bench.arena, insns, n, &graph, &graph_error))
		die("a program is none");
	bench.program = graph.program;
}

/* --- runs --- */

static uint64_t run_side(const struct subject *subject, enum side side)
{
	if (side == PLAIN)
		return subject->plain(&bench.before);
	if (side == VECTOR)
		return subject->vector(&bench.before);
	bench.run.fuel = UINT64_MAX;
	return sides[side].engine->run(bench.code[side], &bench.run);
}

static void compile_sides(void)
{
	for (unsigned side = 0; side < SIDES; side++) {
		struct fort_compile request = {.program = &bench.program,
					       .proven = true,
					       .domain = &bench.domain,
					       .isolation = sides[side].isolation,
					       .helper = helper_by_number};

		if (sides[side].engine && sides[side].engine->compile(&request, &bench.code[side]))
			die("an engine cannot compile");
	}
}

static void fill(struct bench_data *data)
{
	uint32_t x = 1;

	*data = (struct bench_data){.map = fort_map_handle(0)};
	for (unsigned i = 0; i < sizeof(data->bytes); i++)
		data->bytes[i] = (uint8_t)((x = x * 1103515245 + 12345) >> 16);
	for (unsigned i = 0; i < FORT_LEN(data->words); i++)
		data->words[i] = x = x * 1103515245 + 12345;
}

/* Each side from the same start; the machine's own code says what is right. */
static void check(const struct subject *subject)
{
	uint64_t expected = 0;
	struct bench_data after;

	for (unsigned side = 0; side < SIDES; side++) {
		uint64_t got;

		fill(&bench.before);
		*bench.data = bench.before;
		memset(bench.map->values, 0, 64 * 8);
		got = run_side(subject, side);
		if (side == PLAIN) {
			expected = got;
			after = bench.before;
		}
		if (got != expected || bench.run.abort.code ||
		    memcmp(sides[side].engine ? bench.data : &bench.before, &after, sizeof(after)))
			die("sides differ");
	}
}

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double time_runs(const struct subject *subject, enum side side, unsigned n)
{
	double start = now_ns();

	for (unsigned i = 0; i < n; i++)
		sink += run_side(subject, side);
	return (now_ns() - start) / n;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void measure(const struct subject *subject, double medians[SIDES])
{
	double times[SIDES][ROUNDS];
	unsigned n[SIDES];

	for (unsigned side = 0; side < SIDES; side++)
		n[side] = 1 + (unsigned)(ROUND_NS / time_runs(subject, side, 20));
	for (unsigned round = 0; round < ROUNDS; round++)
		for (unsigned side = 0; side < SIDES; side++)
			times[side][round] = time_runs(subject, side, n[side]);
	for (unsigned side = 0; side < SIDES; side++) {
		qsort(times[side], ROUNDS, sizeof(double), by_value);
		medians[side] = times[side][ROUNDS / 2];
	}
}

static void one(const struct subject *subject, const uint8_t *object, double logs[SIDES])
{
	double medians[SIDES];

	load(subject->name, object);
	compile_sides();
	check(subject);
	measure(subject, medians);
	printf("%-10s %9.1f", subject->name, medians[PLAIN]);
	for (unsigned side = VECTOR; side < SIDES; side++) {
		printf(" %9.2f", medians[side] / medians[PLAIN]);
		logs[side] += log(medians[side] / medians[PLAIN]);
		if (sides[side].engine)
			sides[side].engine->free(bench.code[side]);
	}
	printf(" %9.3f  %s\n", medians[X64_SFI] / medians[X64_NONE], subject->what);
	fort_arena_free(&bench.arena);
}

static void open_bench(void)
{
	struct fort_map_shape shape = {BPF_MAP_TYPE_ARRAY, 4, 8, 64, 0, 0};
	struct fort_domain_layout layout = {.n_slots = 1, .ctx_bytes = sizeof(struct bench_data)};
	struct fort_map_window window;
	struct fort_domain_map map;

	if (fort_shared_create(1, &bench.shared))
		die("no shared memory");
	fort_host_init(&bench.host, bench.shared, NULL);
	if (fort_services_init(&bench.services, &bench.host) ||
	    fort_map_create(&shape, "bench", bench.shared, &bench.map))
		die("no map");
	window = fort_map_window_of(bench.map);
	map = (struct fort_domain_map){bench.map->values_fd, window.file_offset, window.bytes,
				       window.writable};
	if (fort_domain_open(&layout, &map, 1, &bench.domain))
		die("no domain");
	bench.run = (struct fort_run){.domain = &bench.domain,
				      .maps = &bench.map,
				      .n_maps = 1,
				      .ctx = fort_domain_ctx(&bench.domain, 0),
				      .services = &bench.services};
	bench.data = fort_window_at(&bench.domain.window, bench.run.ctx);
}

int main(int argc, char **argv)
{
	const uint8_t *object = read_object();
	double logs[SIDES] = {0};
	unsigned n = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	open_bench();
	printf("%-10s %9s", "", "native ns");
	for (unsigned side = VECTOR; side < SIDES; side++)
		printf(" %9s", sides[side].name);
	printf(" %9s  times native; sfi to none\n", "sfi/none");
	for (unsigned i = 0; i < FORT_LEN(subjects); i++)
		if (argc < 2 || !strcmp(argv[1], subjects[i].name)) {
			one(&subjects[i], object, logs);
			n++;
		}
	if (!n)
		die("no such program");
	printf("%-10s %9s", "geomean", "");
	for (unsigned side = VECTOR; side < SIDES; side++)
		printf(" %9.2f", exp(logs[side] / n));
	printf(" %9.3f\n", exp((logs[X64_SFI] - logs[X64_NONE]) / n));
	return 0;
}
