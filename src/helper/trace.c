#include "helper/trace.h"

#include <linux/time.h>
#include <string.h>

#include "abi/uapi.h"
#include "helper/cpu.h"
#include "helper/task.h"
#include "helper/time.h"

static const struct fort_map_shape shape = {.type = BPF_MAP_TYPE_RINGBUF,
					    .max_entries = FORT_TRACE_RING_BYTES};

int fort_trace_create(struct fort_shared *shared, struct fort_map **out)
{
	return fort_map_create(&shape, "trace", shared, out);
}

int fort_trace_open(int values_fd, int meta_fd, struct fort_shared *shared, struct fort_map **out)
{
	return fort_map_open(&shape, values_fd, meta_fd, shared, out);
}

void fort_trace_write(struct fort_services *services, const char *text, uint32_t length)
{
	const struct fort_host *host = services->host;
	struct fort_trace_line line = {.tid = (uint32_t)fort_task_pid_tgid(services)};
	uint32_t offset, bytes = (uint32_t)sizeof(line) + length;

	if (!host->trace || fort_ring_reserve(host->trace, &services->seat, bytes, &offset))
		return;
	line.ktime_ns = fort_host_clock(host, CLOCK_MONOTONIC);
	line.cpu = fort_cpu(host);
	fort_task_comm(line.comm);
	memcpy(host->trace->ring.data + offset, &line, sizeof(line));
	memcpy(host->trace->ring.data + offset + sizeof(line), text, length);
	fort_ring_submit(host->trace, offset, bytes, 0);
}
