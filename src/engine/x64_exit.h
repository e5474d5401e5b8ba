/* The ways into a run and out of it, and code that is seldom run, which comes behind all other. */
#pragma once

#include <stddef.h>

#include "engine/x64_layout.h"
#include "engine/x64_run.h"

#define FORT_X64_RUN_MEM(member) \
	fort_x64_at(FORT_X64_RUN, (int32_t)offsetof(struct fort_run, member))
#define FORT_X64_ENTRY_MEM(member) /* once FREE2 has run->engine */ \
	fort_x64_at(FORT_X64_FREE2, (int32_t)offsetof(struct fort_x64_entry, member))

/* A jump to the end of the run. */
struct fort_x64_stop {
	uint32_t label, pc;
	uint32_t refund; /* FUEL: what was taken although it was not there */
	uint32_t detail; /* HELPER */
	uint8_t code;
};

/* A jump to what is seldom done for an operation, and back. */
struct fort_x64_cold {
	uint32_t from, back; /* labels */
	bool keeps_free;     /* r10 and r11 hold something all the way */
	bool ends;           /* it does not come back: set by who emits */
	const struct fort_x64_op *op;
	fort_x64_emitter *emit;
};

/* Leaves the run when the condition holds. The caller fills in what its code asks for. */
struct fort_x64_stop *fort_x64_leave(struct fort_x64 *x, enum fort_x64_cc cc, uint32_t pc,
				     uint8_t code);
/* When the condition holds `emit`s for the operation, then goes on at the label that is returned,
 * which the caller binds. */
uint32_t fort_x64_seldom(struct fort_x64 *x, enum fort_x64_cc cc, const struct fort_x64_op *op,
			 fort_x64_emitter *emit);
/* Takes fuel; the borrow tells that it was not there. */
void fort_x64_take_fuel(struct fort_x64 *x, uint32_t cost);
/* FREE2 = run->engine. */
void fort_x64_load_entry(struct fort_x64 *x);

/* Which registers of the host the program changes. */
void fort_x64_find_saved(struct fort_x64 *x);
void fort_x64_prologue(struct fort_x64 *x);
/* The host's registers and stack, as they were where the image was entered; fuel is told the run.
 */
void fort_x64_put_registers_back(struct fort_x64 *x);
/* What all the jumps above lead to, after everything else. */
void fort_x64_endings(struct fort_x64 *x);
