#include "kernel.h"

#include "../bench.h"

#define LOG_BYTES (1u << 20)
#define CPUS      1024u

static const struct fort_attr_map_create shapes[BENCH_PROGRAM_MAPS] = {
#define X(name, type, key, value, entries, by_value) \
	{BPF_MAP_TYPE_##type, key, value, entries, .map_name = #name},
	BENCH_MAPS_LIST(X)
#undef X
};

void bench_kernel_open(struct bench_kernel *kernel)
{
	*kernel = (struct bench_kernel){.there = bench_kernel_answers()};
	for (unsigned i = 0; i < BENCH_PROGRAM_MAPS && kernel->there; i++) {
		union fort_attr attr = {.map_create = shapes[i]};
		long fd = bench_bpf(NULL, FORT_CMD_MAP_CREATE, &attr);

		kernel->there = fd >= 0;
		kernel->maps[i] = (int)fd;
		if (fd < 0)
			printf("(the kernel makes no map %s: %s; its column is empty)\n",
			       shapes[i].map_name, strerror((int)-fd));
	}
}

static void element(const struct bench_kernel *kernel, int cmd, enum bench_program_map map,
		    const void *key, const void *value)
{
	union fort_attr attr = {.elem = {.map_fd = (uint32_t)kernel->maps[map],
					 .key = PTR(key),
					 .value = PTR(value)}};
	long err = bench_bpf(NULL, cmd, &attr);

	if (err) {
		fprintf(stderr, "map %s: %s\n", shapes[map].map_name, strerror((int)-err));
		exit(2);
	}
}

void bench_kernel_put(const struct bench_kernel *kernel, const struct bench_data *data)
{
	element(kernel, FORT_CMD_MAP_UPDATE_ELEM, BENCH_MAP_bench_data, &(uint32_t){0}, data);
}

void bench_kernel_get(const struct bench_kernel *kernel, struct bench_data *data)
{
	element(kernel, FORT_CMD_MAP_LOOKUP_ELEM, BENCH_MAP_bench_data, &(uint32_t){0}, data);
}

void bench_kernel_update(const struct bench_kernel *kernel, enum bench_program_map map,
			 const void *key, uint64_t value)
{
	uint64_t values[CPUS];

	for (unsigned i = 0; i < CPUS; i++)
		values[i] = value;
	element(kernel, FORT_CMD_MAP_UPDATE_ELEM, map, key, values);
}

void bench_kernel_put_program(const struct bench_kernel *kernel, int fd)
{
	element(kernel, FORT_CMD_MAP_UPDATE_ELEM, BENCH_MAP_bench_tails, &(uint32_t){0}, &fd);
}

int bench_kernel_load(const struct bench_kernel *kernel, const struct fort_raw_insn *insns,
		      uint32_t n, uint32_t *code_bytes)
{
	static char log[LOG_BYTES];
	struct bpf_prog_info info = {0};
	union fort_attr attr = {.prog_load = {.prog_type = BPF_PROG_TYPE_XDP,
					      .insns = PTR(insns),
					      .insn_cnt = n,
					      .license = PTR("GPL"),
					      .log_level = FORT_LOG_PATH,
					      .fd_array = PTR(kernel->maps)}};
	long fd;

	attr.prog_load.log_level = 0;
	fd = bench_bpf(NULL, FORT_CMD_PROG_LOAD, &attr);
	if (fd < 0) {
		attr.prog_load.log_level = FORT_LOG_PATH;
		attr.prog_load.log_buf = PTR(log);
		attr.prog_load.log_size = sizeof(log);
		bench_bpf(NULL, FORT_CMD_PROG_LOAD, &attr);
		fprintf(stderr, "the kernel refuses: %s\n%s\n", strerror((int)-fd),
			strlen(log) > 2000 ? log + strlen(log) - 2000 : log);
		return -1;
	}
	attr = (union fort_attr){.info = {(uint32_t)fd, sizeof(info), PTR(&info)}};
	if (!bench_bpf(NULL, FORT_CMD_OBJ_GET_INFO_BY_FD, &attr))
		*code_bytes = info.jited_prog_len;
	return (int)fd;
}

double bench_kernel_run(int fd, const void *packet, uint32_t bytes, uint32_t repeat)
{
	union fort_attr attr = {.test = {.prog_fd = (uint32_t)fd,
					 .data_in = PTR(packet),
					 .data_size_in = bytes,
					 .repeat = repeat}};

	return bench_bpf(NULL, FORT_CMD_PROG_TEST_RUN, &attr) ? -1 : (double)attr.test.duration;
}
