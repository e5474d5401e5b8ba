#include "engine/llvm_inspect_state.h"

/* --- values --- */

static bool is_same(struct fort_scan_value a, struct fort_scan_value b)
{
	return a.tag == b.tag && a.bits == b.bits && a.off == b.off;
}

/* Of widths there are few, so that a number that a loop adds to has its last one soon. */
static unsigned widened(unsigned bits)
{
	return bits <= 8 ? 8 : bits <= 16 ? 16 : bits <= 32 ? 32 : 64;
}

struct fort_scan_value fort_scan_either(struct fort_scan_value a, struct fort_scan_value b)
{
	bool low = a.tag == FORT_SCAN_LOW || b.tag == FORT_SCAN_LOW;
	unsigned bits = a.bits > b.bits ? a.bits : b.bits;

	if (a.tag == FORT_SCAN_NEVER || is_same(a, b))
		return b;
	if (b.tag == FORT_SCAN_NEVER)
		return a;
	if (a.tag == FORT_SCAN_WORD && b.tag == FORT_SCAN_WORD)
		return fort_scan_word(widened(bits));
	if (low && (a.tag == FORT_SCAN_WORD || b.tag == FORT_SCAN_WORD))
		return a.tag == FORT_SCAN_LOW ? a : b;
	if (a.tag == FORT_SCAN_LOW && b.tag == FORT_SCAN_LOW)
		return a.bits < b.bits ? a : b;
	return fort_scan_lost();
}

static bool join_value(struct fort_scan_value *into, struct fort_scan_value from)
{
	struct fort_scan_value joined = fort_scan_either(*into, from);
	bool changed = !is_same(joined, *into);

	*into = joined;
	return changed;
}

bool fort_scan_join(struct fort_scan_state *into, const struct fort_scan_state *from,
		    uint32_t n_cells)
{
	bool changed = false;

	for (unsigned i = 0; i < FORT_X64_REGS; i++)
		changed |= join_value(&into->reg[i], from->reg[i]);
	for (uint32_t i = 0; i < n_cells; i++)
		changed |= join_value(&into->cells[i], from->cells[i]);
	return changed;
}

bool fort_scan_is_number(struct fort_scan_value value, unsigned bits)
{
	return value.tag == FORT_SCAN_WORD || (value.tag == FORT_SCAN_LOW && value.bits >= bits);
}

/* --- cells --- */

static uint32_t cell_of(const struct fort_scan_reader *reader, int32_t off)
{
	return (uint32_t)(off + reader->frame_bytes) / FORT_SCAN_CELL_BYTES;
}

bool fort_scan_has_cells(const struct fort_scan_reader *reader, int64_t off, uint32_t bytes)
{
	struct fort_scan_value top = reader->now->reg[FORT_X64_RSP];

	return top.tag == FORT_SCAN_STACK && off >= -(int64_t)reader->frame_bytes &&
	       off >= (int64_t)top.off - FORT_SCAN_RED_ZONE &&
	       off + bytes <= FORT_SCAN_OUTSIDE_BYTES;
}

/* Both halves of it are there. */
static bool is_whole(const struct fort_scan_value *cell, const struct fort_scan_value *end)
{
	return cell + 1 < end && cell[1].tag == FORT_SCAN_REST && cell->tag != FORT_SCAN_REST;
}

struct fort_scan_value fort_scan_fetch(const struct fort_scan_reader *reader, int32_t off,
				       uint32_t bytes)
{
	const struct fort_scan_value *cells = reader->now->cells;
	uint32_t first = cell_of(reader, off), last = cell_of(reader, off + (int32_t)bytes - 1);
	bool aligned = off % FORT_SCAN_CELL_BYTES == 0;

	if (aligned && bytes == 8 && is_whole(&cells[first], cells + reader->n_cells))
		return cells[first];
	for (uint32_t i = first; i <= last; i++) {
		uint32_t at = cells[i].tag == FORT_SCAN_REST && i ? i - 1 : i;

		if (cells[at].tag != FORT_SCAN_WORD)
			return fort_scan_lost();
	}
	if (aligned && bytes == 4 && cells[first].tag == FORT_SCAN_WORD && cells[first].bits < 32)
		return cells[first];
	return fort_scan_word(8 * bytes);
}

/* What a cell is a half of is no more: a number's halves are numbers. */
static void split(struct fort_scan_reader *reader, uint32_t cell)
{
	struct fort_scan_value *cells = reader->now->cells;
	uint32_t first = cells[cell].tag == FORT_SCAN_REST && cell ? cell - 1 : cell;
	bool number = cells[first].tag == FORT_SCAN_WORD;

	if (!is_whole(&cells[first], cells + reader->n_cells))
		return;
	cells[first] = cells[first + 1] = number ? fort_scan_word(32) : fort_scan_lost();
}

/* What a part of it is written to counts as a number: the rest was one, or the stack's. */
void fort_scan_keep(struct fort_scan_reader *reader, int32_t off, uint32_t bytes,
		    struct fort_scan_value value)
{
	struct fort_scan_value *cells = reader->now->cells;
	uint32_t first = cell_of(reader, off), last = cell_of(reader, off + (int32_t)bytes - 1);
	bool aligned = off % FORT_SCAN_CELL_BYTES == 0;

	for (uint32_t i = first; i <= last; i++) {
		split(reader, i);
		cells[i] = fort_scan_word(32);
	}
	if (aligned && bytes == 4 && value.tag == FORT_SCAN_WORD && value.bits < 32)
		cells[first] = value;
	if (aligned && bytes == 8) {
		cells[first] = value;
		cells[first + 1] = (struct fort_scan_value){.tag = FORT_SCAN_REST};
	}
}

void fort_scan_forget(struct fort_scan_reader *reader, int32_t off, int32_t end)
{
	for (; off < end; off += FORT_SCAN_CELL_BYTES)
		fort_scan_keep(reader, off, FORT_SCAN_CELL_BYTES, fort_scan_word(32));
}

void fort_scan_forget_below(struct fort_scan_reader *reader, int32_t off)
{
	int32_t first = -reader->frame_bytes;

	if (off <= first)
		return;
	split(reader, cell_of(reader, off - 1));
	for (; first < off; first += FORT_SCAN_CELL_BYTES)
		reader->now->cells[cell_of(reader, first)] = fort_scan_lost();
}
