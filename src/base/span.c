#include "base/span.h"

#include <string.h>

int fort_reader_take(struct fort_reader *reader, size_t bytes, const uint8_t **out)
{
	if (bytes > fort_reader_left(reader))
		return -EBADMSG;
	*out = reader->at;
	reader->at += bytes;
	return 0;
}

static int copy(struct fort_reader *reader, void *out, size_t bytes)
{
	const uint8_t *at;
	int err = fort_reader_take(reader, bytes, &at);

	if (err)
		return err;
	memcpy(out, at, bytes);
	return 0;
}

int fort_reader_u16(struct fort_reader *reader, uint16_t *out)
{
	return copy(reader, out, sizeof(*out));
}

int fort_reader_u32(struct fort_reader *reader, uint32_t *out)
{
	return copy(reader, out, sizeof(*out));
}

int fort_reader_varint_long(struct fort_reader *reader, uint64_t *out)
{
	const uint8_t *at = reader->at;
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 64 && at < reader->end; shift += 7) {
		uint8_t byte = *at++;

		if (shift == 63 && byte > 1)
			return -EBADMSG;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte & 0x80)
			continue;
		if (!byte && shift)
			return -EBADMSG; /* a longer spelling of the same number */
		reader->at = at;
		*out = value;
		return 0;
	}
	return -EBADMSG;
}
