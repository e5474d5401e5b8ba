/* What bpf_trace_printk writes: lines in a ring buffer that all processes of a store share. Lines
 * that find no room are counted (fort_map_dropped).
 */
#pragma once

#include "map/ring.h"
#include "helper/services.h"

#define FORT_TRACE_COMM_BYTES 16u

/* One record of the ring: this, then the text without a NUL. */
struct fort_trace_line {
	uint64_t ktime_ns; /* CLOCK_MONOTONIC */
	uint32_t tid, cpu;
	char comm[FORT_TRACE_COMM_BYTES];
};
_Static_assert(sizeof(struct fort_trace_line) == 32, "shared layout");

/* A ring for trace lines. Its reader is a fort_ring_reader with room for FORT_TRACE_RECORD_MAX. */
#define FORT_TRACE_RECORD_MAX (sizeof(struct fort_trace_line) + FORT_TRACE_TEXT_MAX)
FORT_CHECKED int fort_trace_create(struct fort_shared *shared, struct fort_map **out);
/* That of another process, as fort_map_open. */
FORT_CHECKED int fort_trace_open(int values_fd, int meta_fd, struct fort_shared *shared,
				 struct fort_map **out);
/* Writes a line; a host without a trace drops it. */
void fort_trace_write(struct fort_services *services, const char *text, uint32_t length);
