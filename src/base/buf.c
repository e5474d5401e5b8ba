#include "base/buf.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "base/pages.h"

void fort_buf_init(struct fort_buf *buf, size_t limit_bytes)
{
	*buf = (struct fort_buf){.limit_bytes = limit_bytes};
}

void fort_buf_free(struct fort_buf *buf)
{
	fort_pages_free(buf->data, buf->room);
	*buf = (struct fort_buf){.limit_bytes = buf->limit_bytes};
}

static int reserve(struct fort_buf *buf, size_t bytes)
{
	size_t room = buf->room ? buf->room * 2 : FORT_PAGE_BYTES;
	void *pages = buf->data;
	int err;

	if (bytes > buf->limit_bytes - buf->bytes)
		return -EFBIG;
	if (bytes <= buf->room - buf->bytes)
		return 0;
	while (room - buf->bytes < bytes)
		room *= 2;
	err = pages ? fort_pages_grow(buf->room, room, &pages) : fort_pages_alloc(room, &pages);
	if (err)
		return err;
	buf->data = pages;
	buf->room = room;
	return 0;
}

void fort_buf_reserve(struct fort_buf *buf, size_t bytes)
{
	if (!buf->err)
		buf->err = reserve(buf, bytes);
}

void fort_buf_put(struct fort_buf *buf, const void *data, size_t bytes)
{
	if (buf->err || !bytes)
		return;
	buf->err = reserve(buf, bytes);
	if (buf->err)
		return;
	memcpy(buf->data + buf->bytes, data, bytes);
	buf->bytes += bytes;
}

void fort_buf_u32(struct fort_buf *buf, uint32_t value)
{
	fort_buf_put(buf, &value, sizeof(value));
}

void fort_buf_varint_long(struct fort_buf *buf, uint64_t value)
{
	uint8_t bytes[10];
	size_t n = 0;

	do {
		bytes[n] = value & 0x7f;
		value >>= 7;
		if (value)
			bytes[n] |= 0x80;
		n++;
	} while (value);
	fort_buf_put(buf, bytes, n);
}
