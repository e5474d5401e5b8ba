#include "engine/x64_layout.h"

#include <string.h>

#define ROUNDS_MAX 8u /* each makes some jumps shorter; the last ones would not make many */

/* --- while code is emitted --- */

uint32_t fort_x64_label(struct fort_x64 *x)
{
	uint32_t label = ++x->layout->n_labels;

	x->layout->labels[label].at = FORT_X64_UNBOUND;
	return label;
}

void fort_x64_bind(struct fort_x64 *x, uint32_t label)
{
	struct fort_x64_layout *layout = x->layout;

	layout->labels[label] =
		(struct fort_x64_label){x->bytes.at, layout->n_jumps, layout->n_aligns};
}

uint32_t fort_x64_label_here(struct fort_x64 *x)
{
	uint32_t label = fort_x64_label(x);

	fort_x64_bind(x, label);
	return label;
}

static void note_jump(struct fort_x64 *x, uint8_t cc, uint32_t label)
{
	struct fort_x64_layout *layout = x->layout;

	layout->jumps[layout->n_jumps++] =
		(struct fort_x64_jump){.at = x->bytes.at, .label = label, .cc = cc, .bytes = 4};
}

void fort_x64_jump_to(struct fort_x64 *x, enum fort_x64_cc cc, uint32_t label)
{
	note_jump(x, (uint8_t)cc, label);
	fort_x64_jump(&x->bytes, cc, 4, 0);
}

void fort_x64_call_label(struct fort_x64 *x, uint32_t label)
{
	note_jump(x, FORT_X64_CALL_LABEL, label);
	fort_x64_call(&x->bytes, 0);
}

int64_t fort_x64_slot_of(struct fort_x64 *x, fort_helper_fn *function)
{
	uint32_t i = 0;

	while (i < x->n_helpers &&
	       (x->helpers[i].function != function || x->helpers[i].lazy != x->lazy))
		i++;
	if (i == x->n_helpers) {
		x->helpers[i] = (struct fort_x64_slot){function, x->lazy};
		x->n_helpers++;
	}
	return -(int64_t)(i + 1) * (int64_t)sizeof(function);
}

void fort_x64_call_host(struct fort_x64 *x, fort_helper_fn *function)
{
	note_jump(x, FORT_X64_CALL_HOST, (uint32_t)-fort_x64_slot_of(x, function));
	fort_x64_call_slot(&x->bytes, 0);
}

uint32_t fort_x64_jump_host(struct fort_x64 *x, fort_helper_fn *function)
{
	uint32_t at = (uint32_t)-fort_x64_slot_of(x, function);

	note_jump(x, FORT_X64_JUMP_HOST, at);
	fort_x64_jump_slot(&x->bytes, 0);
	return at / (uint32_t)sizeof(function);
}

void fort_x64_align_here(struct fort_x64 *x, uint32_t last)
{
	struct fort_x64_layout *layout = x->layout;

	layout->aligns[layout->n_aligns++] = (struct fort_x64_align){.at = x->bytes.at,
								     .n_jumps = layout->n_jumps,
								     .last = last};
}

/* --- layout --- */

static uint32_t long_size(const struct fort_x64_jump *jump)
{
	return jump->cc < FORT_X64_ALWAYS || jump->cc >= FORT_X64_CALL_HOST ? 6 : 5;
}

static uint32_t size_of(const struct fort_x64_jump *jump)
{
	return jump->bytes == 1 ? 2 : long_size(jump);
}

static uint32_t saved_before(const struct fort_x64_layout *layout, uint32_t n_jumps)
{
	return n_jumps < layout->n_jumps ? layout->jumps[n_jumps].saved : layout->saved;
}

static uint32_t padded_before(const struct fort_x64_layout *layout, uint32_t n_aligns)
{
	return n_aligns ? layout->aligns[n_aligns - 1].padded : 0;
}

static uint32_t label_at(const struct fort_x64_layout *layout, uint32_t label)
{
	const struct fort_x64_label *l = &layout->labels[label];

	return l->at - saved_before(layout, l->n_jumps) + padded_before(layout, l->n_aligns);
}

/* Would the short form reach, whatever the padding between? Jumps ahead may still get closer. */
static bool reaches(const struct fort_x64_layout *layout, const struct fort_x64_jump *jump,
		    uint32_t n_aligns)
{
	const struct fort_x64_label *l = &layout->labels[jump->label];
	int64_t from = (int64_t)jump->at + 2 - jump->saved;
	int64_t to = (int64_t)l->at - saved_before(layout, l->n_jumps);
	int64_t pad = ((int64_t)l->n_aligns - n_aligns) * (FORT_X64_LINE - 1);

	return to - from + (to < from ? pad : 0) >= INT8_MIN &&
	       to - from + (to < from ? 0 : pad) <= INT8_MAX;
}

static bool shorten(struct fort_x64_layout *layout)
{
	uint32_t saved = 0, n_aligns = 0;
	bool changed = false;

	for (uint32_t i = 0; i < layout->n_jumps; i++) {
		struct fort_x64_jump *jump = &layout->jumps[i];

		while (n_aligns < layout->n_aligns && layout->aligns[n_aligns].n_jumps <= i)
			n_aligns++;
		jump->saved = saved;
		if (jump->cc <= FORT_X64_ALWAYS && jump->bytes == 4 &&
		    reaches(layout, jump, n_aligns)) {
			jump->bytes = 1;
			changed = true;
		}
		if (jump->bytes == 1)
			saved += long_size(jump) - 2;
	}
	layout->saved = saved;
	return changed;
}

/* Where a place is when jumps have their size; `jump` goes on from the place before. */
static uint32_t unpadded(const struct fort_x64_layout *layout, uint32_t *jump, uint32_t at)
{
	while (*jump < layout->n_jumps && layout->jumps[*jump].at < at)
		++*jump;
	return at - saved_before(layout, *jump);
}

static uint32_t lines(uint32_t at, uint32_t bytes)
{
	return (at % FORT_X64_LINE + bytes + FORT_X64_LINE - 1) / FORT_X64_LINE;
}

/* Padding inside a loop is not counted: it is little, and only moves what is rarely right. */
static void pad(const struct fort_x64 *x)
{
	struct fort_x64_layout *layout = x->layout;

	layout->padded = 0;
	for (uint32_t i = 0; i < layout->n_aligns; i++) {
		struct fort_x64_align *align = &layout->aligns[i];
		uint32_t jump = align->n_jumps, end;
		uint32_t at = align->at - saved_before(layout, jump) + layout->padded;
		uint32_t raw_end = x->places[align->last + 1];

		if (raw_end - align->at <= 2 * FORT_X64_LOOP_BYTES) {
			end = unpadded(layout, &jump, raw_end) + layout->padded;
			if (lines(at, end - at) > lines(0, end - at))
				layout->padded += -at & (FORT_X64_LINE - 1);
		}
		align->padded = layout->padded;
	}
}

uint32_t fort_x64_lay_out(struct fort_x64 *x)
{
	struct fort_x64_layout *layout = x->layout;

	for (uint32_t round = 0; round < ROUNDS_MAX && shorten(layout); round++)
		;
	pad(x);
	return x->bytes.at - layout->saved + layout->padded;
}

uint32_t fort_x64_label_place(const struct fort_x64 *x, uint32_t label)
{
	return label_at(x->layout, label);
}

/* --- the image --- */

/* A part of the code that nothing in it changes. */
static void copy(const struct fort_x64 *x, struct fort_x64_bytes *to, uint32_t from, uint32_t end)
{
	memcpy(to->out + to->at, x->bytes.out + from, end - from);
	to->at += end - from;
}

static void put_jump(const struct fort_x64 *x, struct fort_x64_bytes *to,
		     const struct fort_x64_jump *jump)
{
	int64_t end = to->at + size_of(jump), slot = -(int64_t)x->gap - jump->label;

	if (jump->cc == FORT_X64_CALL_HOST)
		fort_x64_call_slot(to, slot - end);
	else if (jump->cc == FORT_X64_JUMP_HOST)
		fort_x64_jump_slot(to, slot - end);
	else if (jump->cc == FORT_X64_CALL_LABEL)
		fort_x64_call(to, label_at(x->layout, jump->label) - end);
	else
		fort_x64_jump(to, jump->cc, jump->bytes, label_at(x->layout, jump->label) - end);
}

uint32_t fort_x64_moved_on(const struct fort_x64 *x, struct fort_x64_cursor *cursor, uint32_t at)
{
	const struct fort_x64_layout *layout = x->layout;

	while (cursor->jump < layout->n_jumps && layout->jumps[cursor->jump].at < at)
		cursor->jump++;
	while (cursor->align < layout->n_aligns && layout->aligns[cursor->align].at <= at)
		cursor->align++;
	cursor->below = UINT32_MAX;
	if (cursor->jump < layout->n_jumps)
		cursor->below = layout->jumps[cursor->jump].at + 1;
	if (cursor->align < layout->n_aligns && layout->aligns[cursor->align].at < cursor->below)
		cursor->below = layout->aligns[cursor->align].at;
	cursor->shift = padded_before(layout, cursor->align) - saved_before(layout, cursor->jump);
	return at + cursor->shift;
}

void fort_x64_write(struct fort_x64 *x, uint8_t *image)
{
	const struct fort_x64_layout *layout = x->layout;
	struct fort_x64_bytes to = {.out = image};
	struct fort_x64_cursor cursor = {0};
	uint32_t done = 0, n_aligns = 0, padded = 0;

	for (uint32_t i = 0; i <= layout->n_jumps; i++) {
		for (; n_aligns < layout->n_aligns && layout->aligns[n_aligns].n_jumps <= i;
		     n_aligns++) {
			const struct fort_x64_align *align = &layout->aligns[n_aligns];

			copy(x, &to, done, align->at);
			done = align->at;
			fort_x64_nops(&to, align->padded - padded);
			padded = align->padded;
		}
		if (i == layout->n_jumps)
			break;
		copy(x, &to, done, layout->jumps[i].at);
		put_jump(x, &to, &layout->jumps[i]);
		done = layout->jumps[i].at + long_size(&layout->jumps[i]);
	}
	copy(x, &to, done, x->bytes.at);
	for (uint32_t i = 0; i < x->n_accesses; i++)
		x->accesses[i].at = fort_x64_moved(x, &cursor, x->accesses[i].at);
}

/* --- forbidden bytes --- */

static unsigned reg_field(uint8_t modrm)
{
	return modrm >> 3 & 7;
}

static bool is_memory(uint8_t modrm)
{
	return modrm < 0xc0;
}

/* At least three bytes. wrpkru, xrstor, wrfsbase and wrgsbase (whatever prefixes they have),
 * xrstors, syscall, sysenter, int 0x80. */
static bool is_forbidden(const uint8_t at[3])
{
	if (at[0] == 0xcd)
		return at[1] == 0x80;
	if (at[0] != 0x0f)
		return false;
	switch (at[1]) {
	case 0x01: return at[2] == 0xef;
	case 0xae:
		return is_memory(at[2]) ? reg_field(at[2]) == 5
					: reg_field(at[2]) == 2 || reg_field(at[2]) == 3;
	case 0xc7: return reg_field(at[2]) == 3;
	case 0x05:
	case 0x34: return true;
	default: return false;
	}
}

static uint32_t find(const uint8_t *image, uint32_t at, uint32_t bytes, uint8_t first)
{
	while (at + 3 <= bytes) {
		const uint8_t *found = memchr(image + at, first, bytes - 2 - at);

		if (!found)
			break;
		at = (uint32_t)(found - image);
		if (is_forbidden(found))
			return at;
		at++;
	}
	return bytes;
}

uint32_t fort_x64_forbidden(const uint8_t *image, uint32_t at, uint32_t bytes)
{
	uint32_t escape = find(image, at, bytes, 0x0f), interrupt = find(image, at, bytes, 0xcd);

	return escape < interrupt ? escape : interrupt;
}
