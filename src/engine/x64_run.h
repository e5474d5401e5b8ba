/* Entering code of the x64 engine, and what one entry keeps on the host's stack while the program
 * runs.
 */
#pragma once

#include "engine/engine.h"

/* Emitted code knows these offsets; run->engine points to it. */
struct fort_x64_entry {
	uint64_t stack;   /* rsp for leaving early; 0: the code has not begun */
	uint32_t stop;    /* why code left early: an abort's code, or FORT_X64_STOP_HELPER */
	uint32_t pc;      /* where, if it did */
	uint32_t detail;  /* FORT_ABORT_HELPER: the helper's number; HELPER_ARG: the argument's */
	uint32_t bytes;   /* FORT_ABORT_MEMORY: of the access */
	uint64_t address; /* FORT_ABORT_MEMORY: offset in the window */
	uint32_t frames;  /* that there may still be */
	/* Calls by register: the helper's number, and who knows the helpers. */
	uint64_t number;
	fort_helper_lookup *helper;
	/* Under protection keys: the functions of slots, and the thread's rights while one of them
	 * runs, and while code of the program does. */
	fort_helper_fn *const *functions;
	uint32_t open, closed;
	uint64_t r10; /* of what a tail call enters (x64_tail.c) */
};

/* The helper whose number the entry has, called with these arguments; or the end of the run. */
uint64_t fort_x64_call_by_number(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
				 struct fort_run *run);

/* Why code leaves before the program's end. Codes of aborts, and: a helper has written run->abort,
 * all but the pc. */
#define FORT_X64_STOP_HELPER FORT_ABORT_CODES
/* After code left early: the run's end from what the entry says. */
void fort_x64_tell(struct fort_run *run, const struct fort_x64_entry *entry);

/* An image's first instruction, as C sees it: returns r0, run->fuel is what is left. */
typedef uint64_t fort_x64_code_fn(uint64_t ctx, uint64_t ctx_length, uint64_t r10,
				  struct fort_run *run, struct fort_x64_entry *entry,
				  uint64_t fuel);

/* The base of segment gs, which is the window's while code under sfi runs. Processors and kernels
 * that let programs read and write it directly (`fast`) make entering cheap; others ask the kernel.
 */
bool fort_x64_gs_is_fast(void);
uint64_t fort_x64_gs_get(bool fast);
void fort_x64_gs_set(bool fast, uint64_t base);

/* Is it the window's? A thread keeps that of the last program that ran on it, so that most runs
 * find what they need. */
static inline bool fort_x64_gs_is(bool fast, uint64_t window)
{
	uint64_t base;

	if (FORT_UNLIKELY(!fast))
		return fort_x64_gs_get(fast) == window;
	__asm__ volatile("rdgsbase %0" : "=r"(base));
	return FORT_LIKELY(base == window);
}
/* Makes it the window's, where it is not; returns what leave must be given if the host has one of
 * its own, else 0. */
uint64_t fort_x64_gs_enter(bool fast, uint64_t window);
void fort_x64_gs_leave(bool fast, uint64_t entered);
