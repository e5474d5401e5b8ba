/* The output checker: reads an image of the x64 engine back, before it runs, and refuses what could
 * do anything but what isolation allows. Independent of the emitter: it decodes with Zydis, knows
 * nothing of the program, and accepts only the forms of inspect.def.
 *
 * It goes through the bytes once, front to back, with a small state: what each machine register
 * and word of the machine stack is (a program's word, the run, the frame, ...), and what was just
 * paid or compared. Wherever a jump may lead, and wherever instructions are entered from elsewhere,
 * that state must be the one that x64_code.h gives for "between two instructions". So there is
 * nothing to iterate: the work is linear in the bytes.
 *
 * What an accepted image does, from its start and with the gate's registers:
 *
 *   memory    programs' accesses go to the window, to the current frame, or, where the isolation
 *             does not confine them, anywhere; else only fields of the run and the entry are named
 *   control   jumps and calls lead to instructions of the same image that are not inside of a
 *             sequence; the host is entered through slots only, with the stack aligned and fuel
 *             saved; returns take return addresses that calls put there
 *   time      no way back, and no call, without fuel for it; how much each costs is not checked
 *   secrets   what a helper left in registers is never read
 *   bytes     no instruction that changes keys, segments or mode begins at any byte
 *
 * Not checked: that arithmetic is right, that divisions do not trap (the fault handler ends the
 * run), that atomics are atomic, how many frames the gate allows.
 */
#pragma once

#include "engine/engine.h"

enum fort_inspect_fault {
	FORT_INSPECT_OK,
	FORT_INSPECT_BYTES,   /* a barred sequence begins here */
	FORT_INSPECT_DECODE,  /* no instruction */
	FORT_INSPECT_PREFIX,  /* with prefixes that nothing here needs */
	FORT_INSPECT_FORM,    /* no row of inspect.def has this instruction with these operands */
	FORT_INSPECT_MEMORY,  /* memory that the program may not name */
	FORT_INSPECT_STATE,   /* not where it stands */
	FORT_INSPECT_FUEL,    /* back, or deeper, without fuel */
	FORT_INSPECT_TARGET,  /* something leads here, where nothing may be entered */
	FORT_INSPECT_END,     /* the image ends in the middle of something */
	FORT_INSPECT_NO_ROOM, /* not enough memory to check */
	FORT_INSPECT_FAULTS
};

/* "a barred sequence", ... */
const char *fort_inspect_fault_text(enum fort_inspect_fault fault);

struct fort_inspect {
	const uint8_t *code;
	uint32_t bytes;   /* whole pages, filled up with int3 */
	uint32_t n_slots; /* words before the code */
	enum fort_isolation isolation;
};

struct fort_inspection {
	enum fort_inspect_fault fault;
	uint32_t at;      /* the instruction, from the image's start */
	uint32_t n_insns; /* seen */
};

/* Where the next barred sequence begins, at or after `from`; `bytes` if there is none. */
uint32_t fort_inspect_barred(const uint8_t *code, uint32_t bytes, uint32_t from);
/* True when the image may run. *out in any case. */
FORT_CHECKED bool fort_inspect(const struct fort_inspect *image, struct fort_inspection *out);
