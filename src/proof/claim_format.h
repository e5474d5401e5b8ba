/* Inside proof/: the tags of the claim format, for its writer and its reader. */
#pragma once

#include "step/state.h"

/* How a claim begins. */
enum { FORT_CLAIM_SAID, FORT_CLAIM_KEPT };

/* Parts of a value that follow its type; what is not there is 0. A pointer without NUM is at offset
 * 0, a number without NUM is any number. */
enum {
	FORT_PART_OBJECT = 1,
	FORT_PART_FRAME = 2,
	FORT_PART_FLAGS = 4,
	FORT_PART_ID = 8,
	FORT_PART_REF = 16,
	FORT_PART_BASE = 32,
	FORT_PART_RELATED = 64,
	FORT_PART_NUM = 128,
};

enum {
	FORT_VIEW_ARC = 1,
	FORT_VIEW_BITS = 2,
	FORT_VIEW_LOW = 4,
	FORT_VIEW_CONST = 8, /* alone */
	FORT_VIEW_WIDTH = 9, /* alone: all words of so many bits */
};

/* Marks of a slot: one for all eight bytes, or three bits for each. Objects have all eight. */
#define FORT_MARKS_EACH FORT_BYTES

/* What is said of a state beside its frames. */
enum {
	FORT_SAID_PACKET = 1,
	FORT_SAID_META = 2,
	FORT_SAID_LOCK = 4,
	FORT_SAID_RATES = 8, /* follow the facts */
	FORT_SAID_ALL = 15
};
/* What is said of a frame's counters. */
enum { FORT_SAID_TURNS = 1, FORT_SAID_GOES = 2, FORT_SAID_COUNTERS = 3 };

/* How a fact names what it is about. */
enum { FORT_CODE_NONE, FORT_CODE_SELF, FORT_CODE_CELLS };
_Static_assert(FORT_CELL_KINDS <= 8, "kinds of cells fit three bits");
_Static_assert(FORT_FRAMES_MAX <= 8, "frames fit three bits");

static inline uint32_t fort_cell_code(struct fort_cell cell)
{
	return FORT_CODE_CELLS + cell.kind + 8u * (cell.frame + 8u * cell.index);
}

static inline struct fort_cell fort_cell_of(uint32_t code)
{
	uint32_t rest = code - FORT_CODE_CELLS;

	return (struct fort_cell){.kind = rest & 7,
				  .frame = rest >> 3 & 7,
				  .index = (uint8_t)(rest >> 6)};
}
