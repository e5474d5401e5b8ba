/* The line table of DWARF 4, as LLVM writes it: one unit, one sequence, for .text. */
#include <errno.h>
#include <string.h>

#include "base/span.h"
#include "engine/llvm_object.h"

enum { COPY = 1, ADVANCE_PC, ADVANCE_LINE, SET_FILE, SET_COLUMN, NEGATE, BLOCK, ADD_PC, FIXED_PC };
enum { END_SEQUENCE = 1 };

struct machine {
	struct fort_reader reader;
	struct fort_llvm_line *out;
	uint32_t room, n;
	uint64_t at;
	int64_t line;
	int8_t line_base;
	uint8_t line_range, opcode_base;
	uint8_t lengths[UINT8_MAX];
};

static int leb(struct fort_reader *reader, bool sign, uint64_t *out)
{
	uint64_t value = 0;
	unsigned shift = 0;
	uint8_t byte;

	do {
		int err = fort_reader_u8(reader, &byte);

		if (err)
			return err;
		if (shift > 63)
			return -EBADMSG;
		value |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	if (sign && byte & 0x40 && shift < 64)
		value |= UINT64_MAX << shift;
	*out = value;
	return 0;
}

static int row(struct machine *m)
{
	if (m->n == m->room || m->at > UINT32_MAX || m->line < 0 || m->line > UINT32_MAX)
		return -EBADMSG;
	m->out[m->n++] = (struct fort_llvm_line){(uint32_t)m->at, (uint32_t)m->line};
	return 0;
}

static void special(struct machine *m, uint8_t opcode)
{
	uint8_t by = (uint8_t)(opcode - m->opcode_base);

	m->at += by / m->line_range;
	m->line += m->line_base + by % m->line_range;
}

/* What begins with 0 says its length. */
static int extended(struct machine *m, bool *ended)
{
	const uint8_t *body;
	uint64_t bytes;
	int err = leb(&m->reader, false, &bytes);

	err = err ? err : fort_reader_take(&m->reader, bytes, &body);
	if (!err && bytes && body[0] == END_SEQUENCE)
		*ended = true;
	return err;
}

static int standard(struct machine *m, uint8_t opcode)
{
	uint64_t value = 0;
	uint16_t fixed;
	int err = 0;

	switch (opcode) {
	case COPY: return row(m);
	case ADVANCE_PC:
		err = leb(&m->reader, false, &value);
		m->at += value;
		return err;
	case ADVANCE_LINE:
		err = leb(&m->reader, true, &value);
		m->line = fort_wrap_add(m->line, (int64_t)value);
		return err;
	case ADD_PC: m->at += (uint8_t)(UINT8_MAX - m->opcode_base) / m->line_range; return 0;
	case FIXED_PC:
		err = fort_reader_u16(&m->reader, &fixed);
		m->at += err ? 0 : fixed;
		return err;
	default: /* says nothing of places or lines */
		for (uint8_t left = m->lengths[opcode - 1]; left && !err; left--)
			err = leb(&m->reader, false, &value);
		return err;
	}
}

static int run(struct machine *m)
{
	bool ended = false;
	int err = 0;

	m->line = 1;
	while (!err && !ended) {
		uint8_t opcode;

		err = fort_reader_u8(&m->reader, &opcode);
		if (err)
			break;
		if (opcode >= m->opcode_base) {
			special(m, opcode);
			err = row(m);
		} else {
			err = opcode ? standard(m, opcode) : extended(m, &ended);
		}
	}
	return err;
}

static int start(struct machine *m, struct fort_span section)
{
	static const uint8_t skipped = 3; /* sizes of instructions, and whether statements begin */
	struct fort_reader *reader = &m->reader;
	uint32_t unit_bytes, header_bytes;
	const uint8_t *header, *body;
	uint16_t version;
	int err;

	*reader = fort_reader_on(section.data, section.bytes);
	err = fort_reader_u32(reader, &unit_bytes);
	err = err ? err : fort_reader_u16(reader, &version);
	err = err ? err : fort_reader_u32(reader, &header_bytes);
	err = err ? err : fort_reader_take(reader, header_bytes, &header);
	if (err || version != 4 || header_bytes < skipped + 3u)
		return -EBADMSG;
	body = header + skipped;
	m->line_base = (int8_t)body[0];
	m->line_range = body[1];
	m->opcode_base = body[2];
	if (!m->line_range || !m->opcode_base || header_bytes < skipped + 3u + m->opcode_base - 1u)
		return -EBADMSG;
	memcpy(m->lengths, body + 3, m->opcode_base - 1u);
	return 0;
}

int fort_llvm_lines(struct fort_span section, struct fort_llvm_line *out, uint32_t room,
		    uint32_t *n)
{
	struct machine m = {.out = out, .room = room};
	int err = start(&m, section);

	err = err ? err : run(&m);
	*n = m.n;
	return err;
}
