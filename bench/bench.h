/* What measurements share: time, medians, bpf(2) of the running kernel and of a store of ours under
 * one name. Numbers that are compared come from one process and alternate, so that what disturbs
 * one disturbs the other.
 */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "abi/cmds.h"
#include "base/sys.h"
#include "isa/asm.h"
#include "store/store.h"

#define BENCH_ROUNDS 9u
#define PTR(p)       ((uint64_t)(uintptr_t)(p))

static inline double bench_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Of this thread: what others do on the machine is not in it. */
static inline double bench_cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static inline int bench_by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts. */
static inline double bench_median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), bench_by_value);
	return values[n / 2];
}

/* bpf(2): `store` NULL is the kernel's. */
static inline long bench_bpf(struct fort_store *store, int cmd, union fort_attr *attr)
{
	return store ? fort_store_bpf(store, cmd, attr, sizeof(*attr))
		     : fort_sys3(SYS_bpf, cmd, (long)attr, sizeof(*attr));
}

/* False, with the reason on stdout, where there is no kernel to compare with. */
static inline bool bench_kernel_answers(void)
{
	union fort_attr attr = {.map_create = {.map_type = BPF_MAP_TYPE_ARRAY,
					       .key_size = 4,
					       .value_size = 4,
					       .max_entries = 1}};
	long fd = bench_bpf(NULL, FORT_CMD_MAP_CREATE, &attr);

	if (fd < 0)
		printf("(no bpf(2) of the kernel: %s; its columns are empty)\n",
		       strerror((int)-fd));
	else
		close((int)fd);
	return fd >= 0;
}

/* The maps of the programs below, which name them by their place in fd_array. */
enum bench_map { BENCH_ARRAY, BENCH_HASH, BENCH_RING, BENCH_MAPS };

static inline bool bench_make_maps(struct fort_store *store, int fds[BENCH_MAPS])
{
	static const struct fort_attr_map_create shapes[BENCH_MAPS] = {
		{.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8, .max_entries = 64},
		{.map_type = BPF_MAP_TYPE_HASH,
		 .key_size = 8,
		 .value_size = 8,
		 .max_entries = 1000},
		{.map_type = BPF_MAP_TYPE_RINGBUF, .max_entries = 1u << 16},
	};

	for (unsigned i = 0; i < BENCH_MAPS; i++) {
		union fort_attr attr = {.map_create = shapes[i]};
		long fd = bench_bpf(store, FORT_CMD_MAP_CREATE, &attr);

		if (fd < 0)
			return false;
		fds[i] = (int)fd;
	}
	return true;
}
