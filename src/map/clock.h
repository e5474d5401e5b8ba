/* Time and naps by system call, for paths that are slow already. */
#pragma once

#include <linux/time.h>

#include "base/compiler.h"
#include "base/sys.h"

struct fort_timespec {
	int64_t seconds, nanoseconds;
};

static inline uint64_t fort_clock_ns(long clock)
{
	struct fort_timespec now = {0, 0};

	fort_sys2(SYS_clock_gettime, clock, (long)&now);
	return (uint64_t)now.seconds * 1000000000u + (uint64_t)now.nanoseconds;
}

static inline void fort_nap_ns(uint32_t nanoseconds)
{
	struct fort_timespec nap = {0, nanoseconds};

	fort_sys2(SYS_nanosleep, (long)&nap, 0);
}
