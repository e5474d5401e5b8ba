/* The format strings of bpf_trace_printk (internal to helper/): the kernel's rules for what is
 * accepted (kernel/bpf/helpers.c, bpf_bprintf_prepare) and what comes out (lib/vsprintf.c).
 */
#pragma once

#include "engine/run.h"

/* Formats into `out` (room for `room` characters, the last a NUL; cut if longer). `format` ends
 * with a NUL and does not change. Strings and addresses among the arguments are read with
 * fort_probe_*. Returns the length that the whole text has, -EINVAL for a format that the kernel
 * refuses, -ENOSPC when strings take more than FORT_FORMAT_ROOM.
 */
FORT_CHECKED int fort_format(const struct fort_run *run, char *out, uint32_t room,
			     const char *format, const uint64_t args[FORT_FORMAT_ARGS_MAX]);
