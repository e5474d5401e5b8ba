/* What programs tell while they run: lines of trace_printk and records of ring buffers, in the
 * order in which they are found, printed as they come.
 */
#pragma once

#include "cli/front.h"
#include "cli/value.h"

struct bpf_object;
struct fort_stream;

/* Readers for the trace of the store and for each ring buffer of a loaded object, which they
 * outlive. Comes before programs are attached: processes get the descriptors that wake us. With
 * `json`, one object a line. Returns 0 or a negative errno.
 */
FORT_CHECKED int fort_stream_open(struct fort_front *front, const struct bpf_object *object,
				  const struct fort_types *types, bool json,
				  struct fort_stream **out);
void fort_stream_close(struct fort_stream *stream);

/* Prints what there is. Returns how many records that were. */
uint64_t fort_stream_drain(struct fort_stream *stream);
/* Waits until there is something, `fd` is readable, or timeout_ns are over (negative: never).
 * Returns 0 or a negative errno; -EINTR is one. */
FORT_CHECKED int fort_stream_wait(struct fort_stream *stream, int fd, int64_t timeout_ns);
/* Says how many records and lines found no room, if any. */
void fort_stream_losses(const struct fort_stream *stream);
