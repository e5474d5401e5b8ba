/* Trace lines as people and tools read them: the form of /sys/kernel/tracing/trace_pipe. */
#pragma once

#include "base/text.h"
#include "helper/trace.h"

/* Adds one line, with a newline at its end. -EBADMSG for a record that is too short. */
FORT_CHECKED int fort_trace_text(struct fort_text *text, const void *record, uint32_t bytes);
