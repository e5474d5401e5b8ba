/* Clocks (internal to helper/). */
#pragma once

#include "helper/services.h"

/* Nanoseconds of CLOCK_MONOTONIC and the like. */
uint64_t fort_host_clock(const struct fort_host *host, int clock);
