/* A verifier's log: text for a buffer of the caller's that may be too small for it.
 *
 * The rules are the kernel's (kernel/bpf/log.c) because loaders depend on them. Without `fixed`
 * the newest text is kept, with it the oldest; the result is NUL-terminated; the bytes that the
 * whole text would have needed are counted, and a caller whose buffer was smaller learns it at the
 * end. The buffer belongs to somebody else and may be unwritable: it is reached through a target.
 */
#pragma once

#include <stdarg.h>

#include "base/compiler.h"

#define FORT_LOG_PIECE_BYTES 1024u       /* K: one formatted piece, with its NUL */
#define FORT_LOG_STAGE_BYTES (16u << 10) /* gathered before it goes to the target */
#define FORT_LOG_TAIL_BYTES  (4u << 10)  /* newest text, kept for reports */

/* The caller's buffer. Both return 0 or -EFAULT. */
struct fort_log_target {
	int (*write)(void *owner, uint64_t offset, const void *data, size_t bytes);
	int (*read)(void *owner, uint64_t offset, void *data, size_t bytes);
	void *owner;
};

struct fort_log {
	bool wanted; /* false: nothing is formatted, nothing counted */
	bool fixed, lost;
	struct fort_log_target target;
	uint32_t room;         /* bytes of the target; 0: text is counted only */
	uint64_t start, end;   /* text positions that the target holds */
	uint64_t most;         /* the largest end there was, and one for the NUL */
	uint32_t staged, kept; /* of stage[]: bytes held, and those that have been written */
	char stage[FORT_LOG_STAGE_BYTES];
};

/* A log that goes to `room` bytes of `target`; room 0 counts only. */
void fort_log_start(struct fort_log *log, struct fort_log_target target, uint32_t room, bool fixed);
/* A log that drops everything. */
void fort_log_silence(struct fort_log *log);

/* One piece, cut at FORT_LOG_PIECE_BYTES as the kernel does. `log` may be NULL. */
void fort_log_add(struct fort_log *log, const char *fmt, ...) FORT_PRINTF(2, 3);
void fort_log_addv(struct fort_log *log, const char *fmt, va_list args) FORT_PRINTF(2, 0);
/* Text of any length. */
void fort_log_put(struct fort_log *log, const char *text, size_t length);

/* Takes back what was written since the log was at `position` (fort_log_position). */
uint64_t fort_log_position(const struct fort_log *log);
void fort_log_rewind(struct fort_log *log, uint64_t position);

/* Brings the target into its final form. *needed: bytes for the whole text and its NUL.
 * Returns 0, -ENOSPC when text was lost, or -EFAULT when the target could not be written.
 */
FORT_CHECKED int fort_log_finish(struct fort_log *log, uint32_t *needed);

/* The newest text, at most FORT_LOG_TAIL_BYTES, not terminated; valid until the log changes. */
const char *fort_log_tail(const struct fort_log *log, size_t *length);
