/* The running kernel as an engine: its maps, its programs, BPF_PROG_TEST_RUN. */
#pragma once

#include "object.h"

struct bench_kernel {
	bool there; /* false: there is nothing to compare with; a line on stdout says why */
	int maps[BENCH_PROGRAM_MAPS];
};

void bench_kernel_open(struct bench_kernel *kernel);
/* The value of map `bench_data`. */
void bench_kernel_put(const struct bench_kernel *kernel, const struct bench_data *data);
void bench_kernel_get(const struct bench_kernel *kernel, struct bench_data *data);
/* An element of another map; `value` is repeated for all processors. */
void bench_kernel_update(const struct bench_kernel *kernel, enum bench_program_map map,
			 const void *key, uint64_t value);

/* The program in the only slot of map `bench_tails`. */
void bench_kernel_put_program(const struct bench_kernel *kernel, int fd);

/* A loaded XDP program, or -1 with the kernel's words on stderr. Its machine code has
 * *code_bytes. */
int bench_kernel_load(const struct bench_kernel *kernel, const struct fort_raw_insn *insns,
		      uint32_t n, uint32_t *code_bytes);
/* Nanoseconds of one of `repeat` runs over the packet, as the kernel says; negative: an error. */
double bench_kernel_run(int fd, const void *packet, uint32_t bytes, uint32_t repeat);
