#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* stage[] holds text that ends at `end`: first `kept` bytes that the target already has and that
 * stay for fort_log_tail, then what has not been written yet.
 */

void fort_log_start(struct fort_log *log, struct fort_log_target target, uint32_t room, bool fixed)
{
	memset(log, 0, offsetof(struct fort_log, stage));
	log->wanted = true;
	log->fixed = fixed;
	log->target = target;
	log->room = room;
}

void fort_log_silence(struct fort_log *log)
{
	memset(log, 0, offsetof(struct fort_log, stage));
}

static void store(struct fort_log *log, uint64_t offset, const char *data, uint64_t bytes)
{
	if (!bytes || log->lost)
		return;
	if (log->target.write(log->target.owner, offset, data, bytes))
		log->lost = true;
}

/* Writes text and its NUL at `position` of an endless text, of which the target shows a window
 * of `room` bytes: what falls out at the front is not written at all.
 */
static void store_rolling(struct fort_log *log, uint64_t position, const char *text, uint64_t bytes)
{
	uint64_t end = position + bytes + 1;
	uint64_t at, first;

	if (end - log->start > log->room)
		log->start = end - log->room;
	if (position < log->start) {
		text += log->start - position;
		bytes -= log->start - position;
		position = log->start;
	}
	at = position % log->room;
	first = log->room - at < bytes ? log->room - at : bytes;
	store(log, at, text, first);
	store(log, 0, text + first, bytes - first);
	store(log, (end - 1) % log->room, "", 1);
}

static void store_fixed(struct fort_log *log, uint64_t position, const char *text, uint64_t bytes)
{
	if (position >= log->room)
		return;
	if (bytes > log->room - position - 1)
		bytes = log->room - position - 1;
	store(log, position, text, bytes);
	store(log, position + bytes, "", 1);
}

static void flush(struct fort_log *log)
{
	uint32_t fresh = log->staged - log->kept;

	if (fresh && log->room) {
		if (log->fixed)
			store_fixed(log, log->end - fresh, log->stage + log->kept, fresh);
		else
			store_rolling(log, log->end - fresh, log->stage + log->kept, fresh);
	}
	log->kept = log->staged;
}

/* Makes room in a full stage; the newest bytes stay. */
static void drain(struct fort_log *log)
{
	flush(log);
	memmove(log->stage, log->stage + log->staged - FORT_LOG_TAIL_BYTES, FORT_LOG_TAIL_BYTES);
	log->staged = log->kept = FORT_LOG_TAIL_BYTES;
}

void fort_log_put(struct fort_log *log, const char *text, size_t length)
{
	if (!log || !log->wanted)
		return;
	while (length) {
		size_t part = sizeof(log->stage) - log->staged;

		if (part > length)
			part = length;
		memcpy(log->stage + log->staged, text, part);
		log->staged += (uint32_t)part;
		log->end += part;
		text += part;
		length -= part;
		if (log->staged == sizeof(log->stage))
			drain(log);
	}
	if (log->end + 1 > log->most)
		log->most = log->end + 1;
}

void fort_log_addv(struct fort_log *log, const char *fmt, va_list args)
{
	char piece[FORT_LOG_PIECE_BYTES];
	int length;

	if (!log || !log->wanted)
		return;
	length = vsnprintf(piece, sizeof(piece), fmt, args);
	if (length >= (int)sizeof(piece))
		length = sizeof(piece) - 1;
	if (length > 0)
		fort_log_put(log, piece, (size_t)length);
	else if (log->end + 1 > log->most)
		log->most = log->end + 1;
}

void fort_log_add(struct fort_log *log, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fort_log_addv(log, fmt, args);
	va_end(args);
}

uint64_t fort_log_position(const struct fort_log *log)
{
	return log ? log->end : 0;
}

void fort_log_rewind(struct fort_log *log, uint64_t position)
{
	uint64_t back;

	if (!log || !log->wanted || position >= log->end)
		return;
	back = log->end - position;
	log->end = position;
	if (back <= log->staged - log->kept) {
		log->staged -= (uint32_t)back;
		return;
	}
	/* The target has later text already: the window and the NUL move back. */
	log->staged = back < log->staged ? log->staged - (uint32_t)back : 0;
	log->kept = log->staged;
	if (position < log->start)
		log->start = position;
	if (!log->room)
		return;
	if (!log->fixed)
		store(log, position % log->room, "", 1);
	else if (position < log->room)
		store(log, position, "", 1);
}

static void reverse(char *text, size_t length)
{
	for (size_t i = 0; i < length / 2; i++) {
		char other = text[length - 1 - i];

		text[length - 1 - i] = text[i];
		text[i] = other;
	}
}

/* Reverses [from, to) of the target, in two pieces from both ends at a time: the target may be
 * large, and we keep no copy. */
static int reverse_target(struct fort_log *log, uint64_t from, uint64_t to)
{
	const struct fort_log_target *target = &log->target;
	size_t half = sizeof(log->stage) / 2;
	char *left = log->stage, *right = log->stage + half;
	int err = 0;

	while (!err && to - from > 1) {
		size_t n = (to - from) / 2 < half ? (to - from) / 2 : half;

		err = target->read(target->owner, from, left, n);
		err = err ? err : target->read(target->owner, to - n, right, n);
		if (err)
			break;
		reverse(left, n);
		reverse(right, n);
		err = target->write(target->owner, from, right, n);
		err = err ? err : target->write(target->owner, to - n, left, n);
		from += n;
		to -= n;
	}
	return err;
}

/* A rolled log starts in the middle of the target: three reversals rotate it in place. */
static int rotate(struct fort_log *log)
{
	uint64_t split = log->room - log->start % log->room;
	char tail[FORT_LOG_TAIL_BYTES];
	size_t length;
	const char *newest = fort_log_tail(log, &length);
	int err;

	memcpy(tail, newest, length);
	err = reverse_target(log, 0, log->room);
	err = err ? err : reverse_target(log, 0, split);
	err = err ? err : reverse_target(log, split, log->room);
	memcpy(log->stage, tail, length);
	log->staged = log->kept = (uint32_t)length;
	return err;
}

int fort_log_finish(struct fort_log *log, uint32_t *needed)
{
	*needed = 0;
	if (!log->wanted)
		return 0;
	flush(log);
	*needed = log->most > UINT32_MAX ? UINT32_MAX : (uint32_t)log->most;
	if (!log->room)
		return 0;
	if (!log->lost && log->start && rotate(log))
		log->lost = true;
	if (log->lost)
		return -EFAULT;
	return log->most > log->room ? -ENOSPC : 0;
}

const char *fort_log_tail(const struct fort_log *log, size_t *length)
{
	*length = log->staged < FORT_LOG_TAIL_BYTES ? log->staged : FORT_LOG_TAIL_BYTES;
	return log->stage + log->staged - *length;
}
