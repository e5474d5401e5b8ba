/* The output checker of the llvm engine: reads an image back before it runs, and refuses what could
 * do anything but what isolation allows. Independent of LLVM and of what was told to it: it decodes
 * with Zydis, knows nothing of the program, and accepts only instructions of llvm_inspect.def.
 *
 * LLVM claims nothing of its code, so what registers and words of the stack hold is found out: the
 * state (llvm_inspect_state.h) is carried along every way, joined at labels until nothing changes.
 * A number is known by how many of its low bits may be set, which is what decides whether gs:[r]
 * stays in the window: r is what an instruction of 32 bits made, and no more is added than the page
 * behind the window.
 *
 * What an accepted image does, called as fort_llvm_code_fn:
 *
 *   memory    programs' accesses go to the window or, where the isolation does not confine them,
 *             anywhere; else only words of the own frame at constant places, arguments, the result
 *             that a caller has room for, and the fields of FORT_LLVM_FIELD are named
 *   control   jumps and calls lead to instructions, which do not overlap; the host is entered
 *             through slots only, with the stack aligned and the run as its last argument; returns
 *             take the address that the call put there, and callers get their registers back
 *   secrets   pointers of the host, and what its functions left in registers, are not computed with
 *             and do not get into the window
 *   bytes     no instruction that changes keys, segments or mode begins at any byte
 *
 * Not checked: that arithmetic is right, that fuel is taken, that calls nest no deeper than they
 * may (behind the host's stack is a guard page, and a fault in an image ends the run), what the
 * host left in words of the stack that the image never wrote.
 */
#pragma once

#include "engine/inspect.h"

enum fort_llvm_slot { FORT_LLVM_SLOT_WORD, FORT_LLVM_SLOT_FUNCTION, FORT_LLVM_SLOT_LEAVE };

struct fort_llvm_inspect {
	const uint8_t *code;
	uint32_t bytes, start; /* of code; of `run` in it */
	const uint8_t *slots;  /* enum fort_llvm_slot, the nearest to the code first */
	uint32_t n_slots;
	enum fort_isolation isolation;
	int32_t cpu_offset;                       /* as in struct fort_inspect */
	uint32_t cached[FORT_INSPECT_CACHED_MAX]; /* the same */
	uint32_t n_cached;
};

/* True when the image may run. *out in any case; n_insns: those that can be reached. */
FORT_CHECKED bool fort_llvm_inspect(const struct fort_llvm_inspect *image,
				    struct fort_inspection *out);
