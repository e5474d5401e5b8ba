/* A growing byte buffer for things we write: certificates, machine code, wire records. */
#pragma once

#include "base/compiler.h"

struct fort_buf {
	uint8_t *data;
	size_t bytes, room, limit_bytes;
	int err; /* first failure, sticky: writers may check once at the end */
};

void fort_buf_init(struct fort_buf *buf, size_t limit_bytes);
void fort_buf_free(struct fort_buf *buf);

/* After a failure (-ENOMEM, or -EFBIG beyond the limit) further writes do nothing. */
/* Room for `bytes` more, at once. */
void fort_buf_reserve(struct fort_buf *buf, size_t bytes);
void fort_buf_put(struct fort_buf *buf, const void *data, size_t bytes);
void fort_buf_u32(struct fort_buf *buf, uint32_t value);
/* Of more than one byte, or where there is no room. */
void fort_buf_varint_long(struct fort_buf *buf, uint64_t value);

static inline void fort_buf_u8(struct fort_buf *buf, uint8_t value)
{
	if (!buf->err && buf->bytes < buf->room && buf->bytes < buf->limit_bytes)
		buf->data[buf->bytes++] = value;
	else
		fort_buf_put(buf, &value, sizeof(value));
}

static inline void fort_buf_varint(struct fort_buf *buf, uint64_t value)
{
	if (value < 0x80)
		fort_buf_u8(buf, (uint8_t)value);
	else
		fort_buf_varint_long(buf, value);
}
