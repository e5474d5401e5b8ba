#include "helper/trace_text.h"

#include <errno.h>
#include <string.h>

/* kernel/trace/trace_output.c: task, thread, processor, flags (none here), seconds, event */
int fort_trace_text(struct fort_text *text, const void *record, uint32_t bytes)
{
	struct fort_trace_line line;
	unsigned long us;

	if (bytes < sizeof(line))
		return -EBADMSG;
	memcpy(&line, record, sizeof(line));
	line.comm[sizeof(line.comm) - 1] = 0;
	us = (unsigned long)((line.ktime_ns + 500) / 1000);
	fort_text_add(text, "%16s-%-7u [%03u] ..... %5lu.%06lu: bpf_trace_printk: ", line.comm,
		      line.tid, line.cpu, us / 1000000, us % 1000000);
	fort_text_put(text, (const char *)record + sizeof(line), bytes - sizeof(line));
	fort_text_put(text, "\n", 1);
	return 0;
}
