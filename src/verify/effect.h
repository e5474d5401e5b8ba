/* What an instruction depends on, in the state in which it was executed: which values it reads,
 * which it overwrites, and through which facts pass from one to the other. From these, walking a
 * finished path backwards, follows what a claimed state must mention so that the path can be
 * repeated. None of this is trusted: a fact forgotten here is a certificate that does not check.
 */
#pragma once

#include "step/step.h"

/* Some values of one frame; those of them that are pointers (whose offsets always matter). */
struct fort_cells {
	uint8_t frame;
	uint16_t regs, pointer_regs;
	uint64_t slots, pointer_slots;
};

enum fort_effect_kind {
	FORT_EFFECT_PLAIN,
	FORT_EFFECT_CALL,   /* a frame was pushed: arguments become the callee's */
	FORT_EFFECT_RETURN, /* a frame was popped: its r0 becomes the caller's */
};

#define FORT_EFFECT_CELLS 4 /* frames remembered in one list */

/* Values of several frames. */
struct fort_cell_list {
	uint8_t n;
	bool over; /* of more frames than fit */
	struct fort_cells *cells;
};

struct fort_effect {
	uint8_t kind, frame;                   /* enum fort_effect_kind; current frame before */
	uint16_t defs, uses;                   /* registers overwritten; that must be readable */
	uint16_t exact;                        /* whose numbers decide something here */
	uint16_t flow;                         /* from which facts pass to what is overwritten */
	bool reads_exact;                      /* the numbers in `reads` matter as well */
	bool reads_flow;                       /* they matter if what is overwritten does */
	bool compares;                         /* facts pass among all of `links` */
	bool decided;                          /* a comparison with one possible outcome */
	uint8_t slot_frame;                    /* of the stores below */
	uint64_t slots_touched, slots_written; /* stored to; every byte of them */
	struct fort_cell_list reads;           /* memory read, and values that lend facts */
	struct fort_cell_list links;           /* comparison: operands and their relatives */
};

/* Room for the lists of one effect. */
struct fort_effect_room {
	struct fort_cells reads[FORT_EFFECT_CELLS], links[FORT_EFFECT_CELLS];
};

/* The effect of the instruction at pc, from the state before it. Its lists lie in `room`. */
void fort_effect_before(const struct fort_env *env, const struct fort_state *state, uint32_t pc,
			struct fort_effect_room *room, struct fort_effect *out);
/* What only the outcome shows: a decided comparison depends on its operands' numbers. */
void fort_effect_after(const struct fort_step *step, struct fort_effect *effect);
