/* What tests of maps share: cmocka, random numbers, maps made in one line, the kernel's bpf(2). */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "abi/uapi.h"
#include "map/cpus.h"
#include "map/hash.h"
#include "map/map.h"
#include "map/ring.h"

/* splitmix64: repeatable from a seed. */
struct rng {
	uint64_t state;
};

static inline uint64_t rng_next(struct rng *rng)
{
	uint64_t z = rng->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static inline uint32_t rng_below(struct rng *rng, uint32_t bound)
{
	return (uint32_t)((rng_next(rng) >> 32) * bound >> 32);
}

static inline struct fort_shared *new_shared(void)
{
	struct fort_shared *shared;
	uint32_t n_cpus;

	assert_int_equal(fort_cpus_possible(&n_cpus), 0);
	assert_int_equal(fort_shared_create(n_cpus, &shared), 0);
	return shared;
}

static inline struct fort_map *new_map(struct fort_shared *shared, uint32_t type, uint32_t key,
				       uint32_t value, uint32_t entries, uint32_t flags)
{
	struct fort_map_shape shape = {type, key, value, entries, flags, 0};
	struct fort_map *map;

	assert_int_equal(fort_map_create(&shape, "test", shared, &map), 0);
	return map;
}

static inline double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* How long a test that goes on until stopped runs: TEST_SECONDS, or what it says itself. */
static inline double test_seconds(double standard)
{
	const char *text = getenv("TEST_SECONDS");

	return text ? strtod(text, NULL) : standard;
}

static inline long kernel_bpf(int cmd, union bpf_attr *attr, unsigned bytes)
{
	long result = syscall(SYS_bpf, cmd, attr, bytes);

	return result < 0 ? -errno : result;
}

/* Ends and reaps a child; true if it had ended by itself with status 0 or by our signal. */
static inline bool reap(pid_t pid, bool kill_first)
{
	int status;

	if (kill_first)
		kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid)
		return false;
	return WIFEXITED(status) ? !WEXITSTATUS(status) : kill_first && WTERMSIG(status) == SIGKILL;
}
