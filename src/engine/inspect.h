/* The output checker: reads an image of the x64 engine back, before it runs, and refuses what could
 * do anything but what isolation allows. Independent of the emitter: it decodes with Zydis, knows
 * nothing of the program, and accepts only the forms of inspect.def.
 *
 * It goes through the bytes once, front to back, with a small state: what each machine register
 * and word of the machine stack is (a program's word, the run, the frame, ...), and what was just
 * paid or compared. Where code is entered from elsewhere the emitter claims what holds there, as a
 * certificate does for a program: at labels, which registers have words of the program; of
 * functions, what they write and leave. Nothing of that is believed: whatever leads to a label must
 * bring what is claimed, and what is claimed is all that is known there. So there is nothing to
 * iterate, and the work is linear in the bytes.
 *
 * What an accepted image does, called as fort_x64_code_fn:
 *
 *   memory    programs' accesses go to the window, to the current frame, or, where the isolation
 *             does not confine them, anywhere; else only fields of the run and the entry are named
 *   control   jumps and calls lead to labels of the same function or image; the host is entered
 *             through slots only, with the stack aligned and fuel saved; returns take return
 *             addresses that calls put there, and the host gets its registers back; so it does
 *             before the jump that ends a program by a tail call
 *   time      no way round, and no call, without fuel for it; how much each costs is not checked
 *   depth     calls nest no deeper than FORT_FRAMES_MAX, counted here or when they are made
 *   secrets   what a function of the host left in registers is never read
 *   bytes     no instruction that changes keys, segments or mode begins at any byte
 *
 * Not checked: that arithmetic is right, that divisions do not trap (the fault handler ends the
 * run), that atomics are atomic.
 */
#pragma once

#include "engine/engine.h"

enum fort_inspect_fault {
	FORT_INSPECT_OK,
	FORT_INSPECT_BYTES,   /* a barred sequence begins here */
	FORT_INSPECT_DECODE,  /* no instruction */
	FORT_INSPECT_PREFIX,  /* with prefixes that nothing here needs */
	FORT_INSPECT_FORM,    /* no row of inspect.def has this instruction with these operands */
	FORT_INSPECT_STATE,   /* not where it stands */
	FORT_INSPECT_FUEL,    /* round, or deeper, without fuel */
	FORT_INSPECT_TARGET,  /* a jump to what is no label, or that does not bring what is claimed
			       */
	FORT_INSPECT_CLAIM,   /* a claim that cannot be, or that the code does not keep */
	FORT_INSPECT_DEPTH,   /* calls that may nest too deep */
	FORT_INSPECT_END,     /* the image ends in the middle of something */
	FORT_INSPECT_NO_ROOM, /* not enough memory to check */
	FORT_INSPECT_FAULTS
};

/* "a barred sequence", ... */
const char *fort_inspect_fault_text(enum fort_inspect_fault fault);

/* A place that is entered by jumps or calls. `words`: registers of the machine, a bit each, that
 * have words of the program there. `order`: ways that are not paid for lead from lower labels to
 * higher ones, so that none leads round. `ahead`: fuel that is paid there for ways to come, of
 * which the rest may be given back. `owed`: fuel that was not there, and is given back at once.
 * Places that `leave` are entered from anywhere, and end the run. */
struct fort_inspect_label {
	uint64_t order;
	uint32_t at;
	uint32_t ahead, owed;
	uint16_t words;
	uint16_t function;
	bool leaves;
};

/* A part of the image that calls enter at `at`, which is a label; the first is what the host calls,
 * at 0, which no call enters. */
struct fort_inspect_function {
	uint32_t at;
	uint16_t returns; /* registers that have words of the program when it returns */
	uint16_t writes;  /* registers that it or what it calls may write */
	bool aligned;     /* is always called with the machine's stack aligned */
};

#define FORT_INSPECT_CACHED_MAX 8u

struct fort_inspect {
	const uint8_t *code;
	uint32_t bytes;   /* filled up with int3 */
	uint32_t n_slots; /* words before the code */
	uint64_t gap;     /* bytes between them */
	/* Of these, the only one that is jumped through, and never called; counted from the code,
	 * the nearest is 1. 0: none. */
	uint32_t tail_slot;
	enum fort_isolation isolation;
	const struct fort_inspect_label *labels; /* ascending */
	uint32_t n_labels;
	const struct fort_inspect_function *functions;
	uint32_t n_functions; /* 1 to FORT_SUBPROGS_MAX + 1 */
	int32_t cpu_offset;   /* from fs, of the current processor's number; 0: not to be read */
	uint32_t cached[FORT_INSPECT_CACHED_MAX]; /* offsets in run->services that may be read */
	uint32_t n_cached;
};

struct fort_inspection {
	enum fort_inspect_fault fault;
	uint32_t at;      /* the instruction, from the image's start */
	uint32_t n_insns; /* seen */
};

/* Words of run->services that helpers of a request do nothing but return: their offsets, how many.
 */
uint32_t fort_inspect_cached(const struct fort_compile *request,
			     uint32_t out[FORT_INSPECT_CACHED_MAX]);
/* Where the next barred sequence begins, at or after `from`; `bytes` if there is none. */
uint32_t fort_inspect_barred(const uint8_t *code, uint32_t bytes, uint32_t from);
/* True when the image may run. *out in any case. */
FORT_CHECKED bool fort_inspect(const struct fort_inspect *image, struct fort_inspection *out);
