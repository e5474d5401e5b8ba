/* From code with long jumps to an image: jumps that reach their target by the short form take it,
 * heads of loops are aligned, and displacements are filled in.
 *
 * Everything that can change its size is on a list, in the order in which it was emitted: jumps and
 * places to align. A place in the code is its distance from the start with all jumps long and
 * nothing aligned, and how much of these lists lies before it; so one pass over the lists moves
 * everything. A jump that was made short stays short: each round can only bring things closer.
 *
 * Some bytes must not appear in an image, wherever they come from (spec of isolation, J3): the
 * instructions that open protection keys, change segments or enter the kernel, at any offset. The
 * encoder never writes these instructions, but constants, displacements, and the end of one
 * instruction with the start of the next can spell them.
 */
#pragma once

#include "engine/x64_hide.h"

/* What the processor fetches at once. A loop that would lie in more of these than it must is moved
 * to the start of one; long loops are not. */
#define FORT_X64_LINE       64u
#define FORT_X64_LOOP_BYTES 512u

/* In place of a condition: not a jump, but takes its displacement the same way. */
#define FORT_X64_CALL_LABEL 0x11 /* call of a label */
#define FORT_X64_CALL_HOST  0x12 /* call through slot `label` before the image */
#define FORT_X64_JUMP_HOST  0x13 /* jump through it */

struct fort_x64_jump {
	uint32_t at, label;
	uint32_t saved; /* bytes that shorter jumps before it saved */
	uint8_t cc, bytes;
};

#define FORT_X64_UNBOUND UINT32_MAX

struct fort_x64_label {
	uint32_t at, n_jumps, n_aligns;
};

struct fort_x64_align {
	uint32_t at, n_jumps;
	uint32_t last;   /* operation that closes the loop */
	uint32_t padded; /* bytes of padding before and at it */
};

struct fort_x64_layout {
	struct fort_x64_jump *jumps;
	struct fort_x64_label *labels; /* from 1 */
	struct fort_x64_align *aligns;
	uint32_t n_jumps, n_labels, n_aligns;
	uint32_t saved, padded; /* in all, once laid out */
};

/* A label, which is bound to where it is once; or not at all, if nothing leads there. */
uint32_t fort_x64_label(struct fort_x64 *x);
void fort_x64_bind(struct fort_x64 *x, uint32_t label);
uint32_t fort_x64_label_here(struct fort_x64 *x);
/* Jumps and calls. */
void fort_x64_jump_to(struct fort_x64 *x, enum fort_x64_cc cc, uint32_t label);
void fort_x64_call_label(struct fort_x64 *x, uint32_t label);
void fort_x64_call_host(struct fort_x64 *x, fort_helper_fn *function);
/* Returns the slot, counted from 1. */
uint32_t fort_x64_jump_host(struct fort_x64 *x, fort_helper_fn *function);
/* What comes next is the head of a loop, which ends with operation `last`. */
void fort_x64_align_here(struct fort_x64 *x, uint32_t last);

/* Settles where everything goes; returns the bytes of the image. */
uint32_t fort_x64_lay_out(struct fort_x64 *x);
/* Where a label is in the image. */
uint32_t fort_x64_label_place(const struct fort_x64 *x, uint32_t label);
/* Writes the image, whose bytes lay_out returned, and moves what x->accesses say. */
void fort_x64_write(struct fort_x64 *x, uint8_t *image);
/* Where a place in x->bytes is in the image; places must come in ascending order, starting with a
 * zeroed cursor. */
struct fort_x64_cursor {
	uint32_t jump, align;
	uint32_t below, shift; /* places below move by as much as the one before */
};
uint32_t fort_x64_moved_on(const struct fort_x64 *x, struct fort_x64_cursor *cursor, uint32_t at);
static inline uint32_t fort_x64_moved(const struct fort_x64 *x, struct fort_x64_cursor *cursor,
				      uint32_t at)
{
	return at < cursor->below ? at + cursor->shift : fort_x64_moved_on(x, cursor, at);
}

/* The first place from `at` on where forbidden bytes start, or `bytes`. */
uint32_t fort_x64_forbidden(const uint8_t *image, uint32_t at, uint32_t bytes);
