/* Entering and leaving code of the x64 engine: the gate, and what one entry keeps on the host's
 * stack while the program runs.
 */
#pragma once

#include "engine/engine.h"

/* The gate and emitted code know these offsets; run->engine points to it. */
struct fort_x64_entry {
	uint64_t stack;   /* where the outermost frame's return address is: rsp for leaving early */
	uint64_t code;    /* first instruction */
	uint64_t r1, r2;  /* at the start */
	uint64_t r10;     /* at the start */
	uint64_t fuel;    /* in and out */
	uint32_t stop;    /* why code left early: an abort's code, or FORT_X64_STOP_HELPER */
	uint32_t pc;      /* where, if it did */
	uint32_t detail;  /* FORT_ABORT_HELPER: the helper's number */
	uint32_t bytes;   /* FORT_ABORT_MEMORY: of the access */
	uint64_t address; /* FORT_ABORT_MEMORY: offset in the window */
	/* Calls by register: the helper's number, r0 at the call, and who knows the helpers. */
	uint64_t number, r0;
	fort_helper_lookup *helper;
};

/* Calls entry->code with registers as the engine contract says; returns r0.
 */
uint64_t fort_x64_enter(struct fort_x64_entry *entry, struct fort_run *run);

/* The helper whose number the entry has, called with these arguments; or the end of the run, with
 * r0 as it was. */
uint64_t fort_x64_call_by_number(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
				 struct fort_run *run);

/* The base of segment gs, which is the window's while code under sfi runs. Processors and kernels
 * that let programs read and write it directly (`fast`) make entering cheap; others ask the kernel.
 */
bool fort_x64_gs_is_fast(void);
uint64_t fort_x64_gs_get(bool fast);
void fort_x64_gs_set(bool fast, uint64_t base);
