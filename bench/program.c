/* The time of one run of a program, as PROG_TEST_RUN reports it: by our interpreter, with and
 * without its checks of memory accesses, and by the running kernel.
 *
 * The kernel compiles programs to machine code unless net.core.bpf_jit_enable is 0, which is
 * printed: that comparison is of an interpreter with a compiler.
 *
 * usage: program [NAME]
 */
#include "bench.h"

static const struct subject {
	const char *name;
	uint32_t type;
	uint32_t repeat;
	uint32_t insns; /* that one run executes; 0: not counted here */
	const char *text;
} subjects[] = {
	{"empty", BPF_PROG_TYPE_SCHED_CLS, 200000, 2, "mov r0, 0\nexit"},
	{"arithmetic, 1,000 rounds", BPF_PROG_TYPE_SCHED_CLS, 500, 5005,
	 "mov r0, 0\nmov r1, 0\nmov r2, 7\ntop: add r0, r2\nmul r2, 3\nxor r2, r1\nadd r1, 1\n"
	 "jlt r1, 1000, top\nmov r0, 0\nexit"},
	{"stack, 1,000 rounds", BPF_PROG_TYPE_SCHED_CLS, 500, 5005,
	 "mov r1, 0\nstdw [r10-8], 0\nmov r0, 0\ntop: ldxdw r2, [r10-8]\nadd r2, r1\n"
	 "stxdw [r10-8], r2\nadd r1, 1\njlt r1, 1000, top\nmov r0, 0\nexit"},
	{"packet, 64 bytes summed", BPF_PROG_TYPE_XDP, 20000, 0,
	 "ldxw r2, [r1+0]\nldxw r3, [r1+4]\nmov r4, r2\nadd r4, 64\nmov r0, 0\n"
	 "jgt r4, r3, out\nmov r1, 0\ntop: mov r5, r2\nadd r5, r1\nldxb r5, [r5+0]\nadd r0, r5\n"
	 "add r1, 1\njlt r1, 64, top\nout: exit"},
	{"array lookup and add", BPF_PROG_TYPE_SCHED_CLS, 100000, 0,
	 "stw [r10-4], 1\nlddw r1, map_idx 0\nmov r2, r10\nadd r2, -4\ncall 1\njeq r0, 0, out\n"
	 "ldxdw r1, [r0+0]\nadd r1, 1\nstxdw [r0+0], r1\nout: mov r0, 0\nexit"},
	{"hash lookup", BPF_PROG_TYPE_SCHED_CLS, 100000, 0,
	 "stdw [r10-8], 1\nlddw r1, map_idx 1\nmov r2, r10\nadd r2, -8\ncall 1\nmov r0, 0\nexit"},
	{"hash update", BPF_PROG_TYPE_SCHED_CLS, 100000, 0,
	 "stdw [r10-8], 1\nstdw [r10-16], 2\nlddw r1, map_idx 1\nmov r2, r10\nadd r2, -8\n"
	 "mov r3, r10\nadd r3, -16\nmov r4, 0\ncall 2\nmov r0, 0\nexit"},
	{"ring record sent", BPF_PROG_TYPE_SCHED_CLS, 2000, 0,
	 "lddw r1, map_idx 2\nmov r2, 16\nmov r3, 0\ncall 131\njeq r0, 0, out\nstdw [r0+0], 1\n"
	 "mov r1, r0\nmov r2, 1\ncall 132\nout: mov r0, 0\nexit"},
	{"clock", BPF_PROG_TYPE_SCHED_CLS, 100000, 0, "call 5\nmov r0, 0\nexit"},
};

enum side { INTERP_SFI, INTERP_NONE, KERNEL, SIDES };

struct place {
	struct fort_store *store; /* NULL: the kernel */
	int maps[BENCH_MAPS];
};

/* A new ring each time: nobody reads, and a full one is another measurement. */
static bool renew_ring(struct place *place)
{
	union fort_attr attr = {
		.map_create = {.map_type = BPF_MAP_TYPE_RINGBUF, .max_entries = 1u << 16}};
	long fd = bench_bpf(place->store, FORT_CMD_MAP_CREATE, &attr);

	close(place->maps[BENCH_RING]);
	place->maps[BENCH_RING] = (int)fd;
	return fd >= 0;
}

/* Nanoseconds of one run, or negative. */
static double run_once(struct place *place, const struct subject *subject,
		       const struct fort_assembly *assembly)
{
	static const uint8_t packet[64] = {1, 2, 3};
	union fort_attr attr = {.prog_load = {.prog_type = subject->type,
					      .insns = PTR(assembly->insns),
					      .insn_cnt = assembly->n_insns,
					      .license = PTR("GPL"),
					      .fd_array = PTR(place->maps)}};
	long fd, err;

	if (!renew_ring(place))
		return -1;
	fd = bench_bpf(place->store, FORT_CMD_PROG_LOAD, &attr);
	if (fd < 0)
		return -1;
	attr = (union fort_attr){.test = {.prog_fd = (uint32_t)fd,
					  .data_in = PTR(packet),
					  .data_size_in = sizeof(packet),
					  .repeat = subject->repeat}};
	err = bench_bpf(place->store, FORT_CMD_PROG_TEST_RUN, &attr);
	close((int)fd);
	return err ? -1 : (double)attr.test.duration;
}

static void print_one(const struct subject *subject, const double ns[SIDES])
{
	printf("%-28s", subject->name);
	for (unsigned s = 0; s < SIDES; s++)
		if (ns[s] >= 0)
			printf(" %10.0f", ns[s]);
		else
			printf(" %10s", "-");
	if (ns[KERNEL] >= 1)
		printf(" %7.2f", ns[INTERP_SFI] / ns[KERNEL]);
	else
		printf(" %7s", "-");
	if (subject->insns > 1000)
		printf(" %9.2f", ns[INTERP_SFI] / subject->insns);
	printf("\n");
}

static void measure(const struct subject *subject, struct place places[SIDES], bool kernel_answers)
{
	double times[SIDES][BENCH_ROUNDS], medians[SIDES];
	struct fort_assembly assembly;
	struct fort_asm_error error;
	struct fort_arena arena;

	fort_arena_init(&arena, 1u << 20);
	if (fort_assemble(&arena, subject->text, strlen(subject->text), &assembly, &error)) {
		fprintf(stderr, "%s: line %u: expected %s\n", subject->name, error.line,
			error.expected);
		exit(2);
	}
	for (unsigned round = 0; round < BENCH_ROUNDS; round++)
		for (unsigned s = 0; s < SIDES; s++)
			times[s][round] = s == KERNEL && !kernel_answers
						  ? -1
						  : run_once(&places[s], subject, &assembly);
	for (unsigned s = 0; s < SIDES; s++)
		medians[s] = bench_median(times[s], BENCH_ROUNDS);
	print_one(subject, medians);
	fort_arena_free(&arena);
}

static void print_jit(void)
{
	FILE *file = fopen("/proc/sys/net/core/bpf_jit_enable", "re");
	int value = file ? fgetc(file) : EOF;

	if (file)
		fclose(file);
	printf("the kernel's programs are %s\n", value == '0'   ? "interpreted"
						 : value == EOF ? "run in a way we cannot see"
								: "compiled to machine code");
}

int main(int argc, char **argv)
{
	struct place places[SIDES] = {0};
	bool kernel_answers;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (unsigned s = 0; s < KERNEL; s++)
		if (fort_store_create(&places[s].store) ||
		    fort_store_set_engine(places[s].store, &fort_engine_interp,
					  s == INTERP_SFI ? FORT_ISOLATION_SFI
							  : FORT_ISOLATION_NONE) ||
		    !bench_make_maps(places[s].store, places[s].maps))
			return 2;
	kernel_answers = bench_kernel_answers() && bench_make_maps(NULL, places[KERNEL].maps);
	print_jit();
	printf("%-28s %10s %10s %10s %7s %9s\n", "ns of one run", "interp sfi", "unchecked",
	       "kernel", "ratio", "ns/insn");
	for (unsigned i = 0; i < FORT_LEN(subjects); i++)
		if (argc < 2 || !strcmp(argv[1], subjects[i].name))
			measure(&subjects[i], places, kernel_answers);
	for (unsigned s = 0; s < KERNEL; s++)
		fort_store_free(places[s].store);
	return 0;
}
