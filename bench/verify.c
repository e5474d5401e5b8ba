/* Verification time, here and in the running kernel, for the same programs.
 *
 * The kernel's time is the one it reports itself (log level 4): from the first look at the program
 * to the rewritten one, without code generation. Ours is the search; beside it stands the check of
 * its certificate. Programs are made up here to stretch one thing each; those of compiled objects
 * are added for each OBJECT given.
 *
 * usage: verify [OBJECT...]
 */
#include <bpf/libbpf.h>
#include <math.h>

#include "bench.h"

#define LOG_BYTES (1u << 16)
#define STATS     4u /* BPF_LOG_STATS */

long __real_syscall(long nr, ...);
long __wrap_syscall(long nr, ...);

struct outcome {
	long err;
	double verify_us, check_us;
	uint64_t insns, processed, certificate_bytes;
};

/* One program on one side. What is measured last is in `now`. */
struct subject {
	struct fort_store *store; /* NULL: the kernel's */
	const char *name;         /* PROG_LOAD of this program is measured */
	struct outcome *now;
};

static struct subject subject;

/* --- one program --- */

static void read_log(const char *text, struct outcome *out)
{
	const char *time = strstr(text, "verification time "), *count = strstr(text, "processed ");

	out->verify_us = time ? strtod(time + strlen("verification time "), NULL) : 0;
	out->processed = count ? strtoull(count + strlen("processed "), NULL, 10) : 0;
}

static long load(struct fort_store *store, union fort_attr *attr, struct outcome *out)
{
	static char text[LOG_BYTES];
	union fort_attr copy = *attr;
	long fd;

	copy.prog_load.log_level = STATS;
	copy.prog_load.log_buf = PTR(text);
	copy.prog_load.log_size = sizeof(text);
	memset(text, 0, sizeof(text));
	fd = bench_bpf(store, FORT_CMD_PROG_LOAD, &copy);
	*out = (struct outcome){.err = fd < 0 ? fd : 0, .insns = attr->prog_load.insn_cnt};
	if (store) {
		const struct fort_load_report *report = fort_store_last_load(store);

		out->verify_us = (double)report->verify_ns * 1e-3;
		out->check_us = (double)report->check_ns * 1e-3;
		out->processed = report->insns_processed;
		out->certificate_bytes = report->certificate_bytes;
	} else {
		read_log(text, out);
	}
	return fd;
}

/* Loads several times, on the sides in turns: medians. */
static void measure(struct fort_store *const stores[], union fort_attr *const attrs[],
		    struct outcome *const out[], unsigned n_sides)
{
	double verify[2][BENCH_ROUNDS], check[2][BENCH_ROUNDS];

	for (unsigned i = 0; i < BENCH_ROUNDS; i++)
		for (unsigned s = 0; s < n_sides; s++) {
			long fd = load(stores[s], attrs[s], out[s]);

			if (fd >= 0)
				close((int)fd);
			verify[s][i] = out[s]->verify_us;
			check[s][i] = out[s]->check_us;
		}
	for (unsigned s = 0; s < n_sides; s++) {
		out[s]->verify_us = bench_median(verify[s], BENCH_ROUNDS);
		out[s]->check_us = bench_median(check[s], BENCH_ROUNDS);
	}
}

static struct {
	double ratio_log, check, verify;
	unsigned n, rejected;
} total;

static void print(const char *name, const struct outcome *ours, const struct outcome *kernel)
{
	if (ours->err) {
		total.rejected++;
		if (!kernel->err && kernel->processed)
			printf("%-34s rejected here only: error %ld\n", name, ours->err);
		return;
	}
	printf("%-34s %7lu %8lu %9.0f %9.1f %9lu", name, ours->insns, ours->processed,
	       ours->verify_us, ours->check_us, ours->certificate_bytes);
	total.check += ours->check_us;
	total.verify += ours->verify_us;
	if (kernel->err || !kernel->processed) {
		printf("        -         -      -\n");
		return;
	}
	printf(" %8lu %9.0f", kernel->processed, kernel->verify_us);
	if (kernel->verify_us < 20) {
		printf("      -\n"); /* its clock counts whole microseconds */
		return;
	}
	printf(" %6.2f\n", ours->verify_us / kernel->verify_us);
	total.ratio_log += log(ours->verify_us / kernel->verify_us);
	total.n++;
}

/* --- made-up programs --- */

struct made {
	const char *name;
	uint32_t type;
	void (*write)(struct fort_text *text);
};

static void straight(struct fort_text *text)
{
	fort_text_add(text, "ldxw r2, [r1+0]\nmov r0, 0\n");
	for (unsigned i = 0; i < 2000; i++)
		fort_text_add(text, "add r0, r2\nxor r0, %u\n", i);
	fort_text_add(text, "mov r0, 0\nexit\n");
}

static void diamonds(struct fort_text *text)
{
	fort_text_add(text, "mov r0, 0\n");
	for (unsigned i = 0; i < 1000; i++)
		fort_text_add(text, "ldxw r2, [r1+0]\njset r2, %u, +1\nadd r0, 1\n", 1u << i % 16);
	fort_text_add(text, "mov r0, 0\nexit\n");
}

static void loop(struct fort_text *text)
{
	fort_text_add(text, "mov r0, 0\nmov r1, 0\ntop: add r0, r1\nadd r1, 1\n"
			    "jlt r1, 50000, top\nmov r0, 0\nexit\n");
}

static void nested_loops(struct fort_text *text)
{
	fort_text_add(text, "mov r0, 0\nmov r1, 0\nouter: mov r2, 0\ninner: add r0, 1\nadd r2, 1\n"
			    "jlt r2, 200, inner\nadd r1, 1\njlt r1, 200, outer\nmov r0, 0\nexit\n");
}

static void spills(struct fort_text *text)
{
	fort_text_add(text, "ldxw r2, [r1+0]\nand r2, 0xff\n");
	for (unsigned i = 0; i < 1500; i++)
		fort_text_add(text, "stxdw [r10-%u], r2\nldxdw r2, [r10-%u]\n", 8 + 8 * (i % 32),
			      8 + 8 * (i % 32));
	fort_text_add(text, "mov r0, 0\nexit\n");
}

static void packets(struct fort_text *text)
{
	fort_text_add(text, "ldxw r2, [r1+0]\nldxw r3, [r1+4]\nmov r0, 0\n");
	for (unsigned i = 0; i < 400; i++)
		fort_text_add(text,
			      "mov r4, r2\nadd r4, %u\njgt r4, r3, out\nldxb r5, [r2+%u]\n"
			      "add r0, r5\n",
			      i + 1, i);
	fort_text_add(text, "out: mov r0, 2\nexit\n");
}

static void lookups(struct fort_text *text)
{
	for (unsigned i = 0; i < 400; i++)
		fort_text_add(text,
			      "stdw [r10-8], %u\nlddw r1, map_idx 1\nmov r2, r10\nadd r2, -8\n"
			      "call 1\njeq r0, 0, +3\nldxdw r1, [r0+0]\nadd r1, 1\n"
			      "stxdw [r0+0], r1\n",
			      i);
	fort_text_add(text, "mov r0, 0\nexit\n");
}

static void variable_index(struct fort_text *text)
{
	fort_text_add(text, "mov r6, r1\n");
	for (unsigned i = 0; i < 400; i++)
		fort_text_add(text, "ldxw r7, [r6+0]\nand r7, 7\nstdw [r10-8], 0\nmov r2, r10\n"
				    "add r2, -8\nadd r2, r7\nldxb r0, [r2+0]\n");
	fort_text_add(text, "mov r0, 0\nexit\n");
}

static const struct made made[] = {
	{"4,000 instructions in a row", BPF_PROG_TYPE_SCHED_CLS, straight},
	{"1,000 branches that join", BPF_PROG_TYPE_SCHED_CLS, diamonds},
	{"a loop of 50,000 rounds", BPF_PROG_TYPE_SCHED_CLS, loop},
	{"200 x 200 rounds of two loops", BPF_PROG_TYPE_SCHED_CLS, nested_loops},
	{"1,500 spills and fills", BPF_PROG_TYPE_SCHED_CLS, spills},
	{"400 checked packet reads", BPF_PROG_TYPE_XDP, packets},
	{"400 map lookups", BPF_PROG_TYPE_SCHED_CLS, lookups},
	{"400 reads at variable offsets", BPF_PROG_TYPE_SCHED_CLS, variable_index},
};

static void measure_made(const struct made *one, struct fort_store *store, int fds[2][BENCH_MAPS],
			 bool kernel_answers)
{
	struct fort_text text = fort_text_new();
	struct fort_assembly assembly;
	struct fort_asm_error error;
	struct outcome ours, kernel = {0};
	struct fort_arena arena;
	union fort_attr attr[2];

	one->write(&text);
	fort_arena_init(&arena, 64u << 20);
	if (fort_assemble(&arena, text.data, text.length, &assembly, &error)) {
		fprintf(stderr, "%s: line %u: expected %s\n", one->name, error.line,
			error.expected);
		exit(2);
	}
	attr[0] = (union fort_attr){.prog_load = {.prog_type = one->type,
						  .insns = PTR(assembly.insns),
						  .insn_cnt = assembly.n_insns,
						  .license = PTR("GPL"),
						  .fd_array = PTR(fds[0])}};
	attr[1] = attr[0];
	attr[1].prog_load.fd_array = PTR(fds[1]);
	measure((struct fort_store *const[]){store, NULL},
		(union fort_attr *const[]){&attr[0], &attr[1]},
		(struct outcome *const[]){&ours, &kernel}, kernel_answers ? 2 : 1);
	print(one->name, &ours, &kernel);
	fort_arena_free(&arena);
	fort_text_free(&text);
}

/* --- compiled objects: libbpf loads them, and its bpf(2) ends here --- */

static long measured_load(union fort_attr *attr)
{
	if (subject.name && !strncmp(attr->prog_load.prog_name, subject.name, FORT_NAME_BYTES - 1))
		measure(&subject.store, &attr, &subject.now, 1);
	return bench_bpf(subject.store, FORT_CMD_PROG_LOAD, attr);
}

long __wrap_syscall(long nr, ...)
{
	union fort_attr attr = {0};
	long a[6], result;
	va_list args;

	va_start(args, nr);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (nr != SYS_bpf || (a[0] != FORT_CMD_PROG_LOAD && !subject.store))
		return __real_syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (a[0] == FORT_CMD_PROG_LOAD && (size_t)a[2] <= sizeof(attr)) {
		memcpy(&attr, (const void *)a[1], (size_t)a[2]);
		result = measured_load(&attr);
	} else {
		result = fort_store_bpf(subject.store, (int)a[0], (void *)a[1], (unsigned)a[2]);
	}
	if (result >= 0)
		return result;
	errno = (int)-result;
	return -1;
}

static int quiet(enum libbpf_print_level level, const char *fmt, va_list args)
{
	return 0;
}

/* Loads program number `number` of an object on one side; false when there is none. */
static bool load_object(const char *path, unsigned number, struct fort_store *store,
			struct outcome *out, char *name, size_t room)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	struct bpf_program *program;
	unsigned i = 0;
	bool found = false;

	*out = (struct outcome){.err = -ENOENT};
	if (!object) {
		printf("%s: %s\n", path, strerror(errno));
		return false;
	}
	bpf_object__for_each_program (program, object) {
		bpf_program__set_autoload(program, i == number);
		if (i++ != number)
			continue;
		found = true;
		snprintf(name, room, "%s", bpf_program__name(program));
		subject = (struct subject){store, name, out};
	}
	if (found)
		(void)!bpf_object__load(object);
	subject = (struct subject){0};
	bpf_object__close(object);
	return found;
}

static void measure_object(const char *path, struct fort_store *store, bool kernel_answers)
{
	struct outcome ours, kernel;
	char name[128];

	printf("%s\n", path);
	for (unsigned i = 0; load_object(path, i, store, &ours, name, sizeof(name)); i++) {
		kernel = (struct outcome){.err = -ENOENT};
		if (kernel_answers)
			(void)load_object(path, i, NULL, &kernel, name, sizeof(name));
		print(name, &ours, &kernel);
	}
}

int main(int argc, char **argv)
{
	int fds[2][BENCH_MAPS];
	struct fort_store *store;
	bool kernel_answers;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (fort_store_create(&store) || !bench_make_maps(store, fds[0]))
		return 2;
	kernel_answers = bench_kernel_answers() && bench_make_maps(NULL, fds[1]);
	libbpf_set_print(quiet);
	printf("%-34s %7s %8s %9s %9s %9s %8s %9s %6s\n", "program", "insns", "walked", "search us",
	       "check us", "cert. B", "kernel's", "us", "ratio");
	for (unsigned i = 0; i < FORT_LEN(made); i++)
		measure_made(&made[i], store, fds, kernel_answers);
	for (int i = 1; i < argc; i++)
		measure_object(argv[i], store, kernel_answers);
	if (total.rejected)
		printf("%u programs are rejected and not measured\n", total.rejected);
	if (total.n)
		printf("geometric mean of %u ratios, ours to the kernel's: %.2f\n", total.n,
		       exp(total.ratio_log / total.n));
	printf("all certificates: checked in %.2f of the time of the searches\n",
	       total.verify > 0 ? total.check / total.verify : 0);
	fort_store_free(store);
	return 0;
}
