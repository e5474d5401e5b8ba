#include "helper/time.h"

#include "helper/call.h"
#include "map/clock.h"

uint64_t fort_host_clock(const struct fort_host *host, int clock)
{
	struct fort_timespec now;

	if (!host->clock || host->clock(clock, &now))
		return fort_clock_ns(clock);
	return (uint64_t)now.seconds * 1000000000u + (uint64_t)now.nanoseconds;
}

uint64_t fort_do_KTIME_GET_NS(struct fort_call *call)
{
	return fort_host_clock(fort_call_services(call)->host, CLOCK_MONOTONIC);
}

uint64_t fort_do_KTIME_GET_BOOT_NS(struct fort_call *call)
{
	return fort_host_clock(fort_call_services(call)->host, CLOCK_BOOTTIME);
}

uint64_t fort_do_KTIME_GET_COARSE_NS(struct fort_call *call)
{
	return fort_host_clock(fort_call_services(call)->host, CLOCK_MONOTONIC_COARSE);
}
