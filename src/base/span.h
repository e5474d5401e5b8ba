/* Bounded reading of untrusted bytes. All input goes through a reader; it never passes its end,
 * and `fort_reader_offset` says where a complaint belongs.
 */
#pragma once

#include <errno.h>

#include "base/compiler.h"

struct fort_span {
	const uint8_t *data;
	size_t bytes;
};

struct fort_reader {
	const uint8_t *start, *at, *end;
};

static inline struct fort_reader fort_reader_on(const void *data, size_t bytes)
{
	const uint8_t *start = data;

	return (struct fort_reader){.start = start, .at = start, .end = start + bytes};
}

static inline size_t fort_reader_offset(const struct fort_reader *reader)
{
	return (size_t)(reader->at - reader->start);
}

static inline size_t fort_reader_left(const struct fort_reader *reader)
{
	return (size_t)(reader->end - reader->at);
}

/* The next `bytes` bytes in place, or -EBADMSG when fewer are left. */
FORT_CHECKED int fort_reader_take(struct fort_reader *reader, size_t bytes, const uint8_t **out);
/* Little-endian words; -EBADMSG when the input is too short. */
FORT_CHECKED int fort_reader_u16(struct fort_reader *reader, uint16_t *out);
FORT_CHECKED int fort_reader_u32(struct fort_reader *reader, uint32_t *out);
/* Of more than one byte, or none. */
FORT_CHECKED int fort_reader_varint_long(struct fort_reader *reader, uint64_t *out);

FORT_CHECKED static inline int fort_reader_u8(struct fort_reader *reader, uint8_t *out)
{
	if (reader->at == reader->end)
		return -EBADMSG;
	*out = *reader->at++;
	return 0;
}

/* LEB128, at most ten bytes, only the shortest form; -EBADMSG otherwise. */
FORT_CHECKED static inline int fort_reader_varint(struct fort_reader *reader, uint64_t *out)
{
	if (reader->at == reader->end || *reader->at >= 0x80)
		return fort_reader_varint_long(reader, out);
	*out = *reader->at++;
	return 0;
}
