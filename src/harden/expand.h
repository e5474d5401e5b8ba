/* Expanding: what no engine has becomes instructions that all have, so that each way to run a
 * program under each isolation has it, and the same.
 *
 *   function addresses  numbers that name the function (FORT_FUNC_HANDLE)
 *   bpf_loop            a loop around a local call of the function, as the kernel does it
 *   for_each_map_elem   the same, around two calls of the runtime: which element is next, where is
 *                       its value
 *   may_goto            a counter of the frame; every FORT_TURNS_BATCH rounds the runtime says how
 *                       many more
 *   ldabs, ldind        a call of the runtime, and an exit where the packet has no such byte
 *
 * Which function a register holds is known from the instruction before the call, or compared with
 * each that the program names; what is none of them ends the run (FORT_ABORT_HELPER_ARG), so that
 * calls need no addresses that a program could forge. A loop is fuel like any other.
 *
 * Frames have words beside their stack for this, which nothing of the program reaches by its own
 * stack pointer (below). Who forges them changes how often something is done, and registers.
 */
#pragma once

#include "base/arena.h"
#include "isa/graph.h"

/* What a register holds for a function: not an address, in the page that no window has. */
#define FORT_FUNC_HANDLE(subprog) (0x800 + (int32_t)(subprog))
_Static_assert(0x800 + FORT_SUBPROGS_MAX <= FORT_PAGE_BYTES, "in the first page");

/* Hidden memory of a slot of the domain, behind its stack and a page of nothing: a page of words
 * and a page of keys, FORT_STACK_BYTES of each for each frame. From the frame's r10 they lie at */
#define FORT_HIDDEN_WORDS ((int32_t)(FORT_PAGE_BYTES + (FORT_FRAMES_MAX - 1) * FORT_STACK_BYTES))
#define FORT_HIDDEN_KEYS  (FORT_HIDDEN_WORDS + (int32_t)FORT_PAGE_BYTES)
#define FORT_HIDDEN_BYTES (2 * FORT_PAGE_BYTES)
_Static_assert(FORT_FRAMES_MAX *FORT_STACK_BYTES == FORT_PAGE_BYTES, "a page is all frames");
_Static_assert(FORT_MAP_KEY_BYTES_MAX <= FORT_STACK_BYTES, "a key fits");

/* Numbers of the runtime's own functions, where helpers have theirs. Arguments that make no sense
 * end the run. */
enum fort_internal {
	/* (map, cursor, key): where the element after the one at `cursor` is (0: the first), never
	 * 0; its key is copied. 0: there are no more. */
	FORT_INTERNAL_NEXT = 248,
	/* (map, cursor): the address of the element's value */
	FORT_INTERNAL_VALUE,
	/* (turns): 1, and the counter set anew; or 0: it is used up */
	FORT_INTERNAL_TURNS,
	/* (ctx, offset, bytes): what the packet has there, or -EFAULT */
	FORT_INTERNAL_PACKET,
};
/* As disassemblies call them; NULL for other numbers. */
const char *fort_internal_name(uint32_t number);
_Static_assert(FORT_INTERNAL_PACKET < FORT_HELPER_NUMBERS, "a helper's number");

/* The counter of a frame's may_goto, at its first hidden word. */
struct fort_turns {
	uint64_t left;    /* until the runtime is asked */
	uint64_t batches; /* so often it was */
	uint64_t fuel;    /* that there was when it was asked first */
};

/* Where in an expanded program somebody who looks on (engine/interp.h) sees the program itself. */
enum fort_sight {
	FORT_SIGHT_NONE,
	FORT_SIGHT_BEGINS, /* the instruction begins here */
	FORT_SIGHT_AGAIN,  /* a function that the instruction called came back */
};

struct fort_expanded {
	struct fort_program program;
	/* Of each slot: the slot that it was made of, and what can be seen there (enum fort_sight).
	 * NULL: there was nothing to expand, all is as it was. */
	const uint32_t *origin;
	const uint8_t *sights;
	bool hidden; /* its frames need their hidden memory */
};

/* Is it expanded to what needs its frame's hidden memory? */
bool fort_expands_hidden(const struct fort_insn *insn);

/* Of a program with a graph, whoever wrote it; parts of it that stay are shared. Returns 0 or
 * -ENOMEM. */
FORT_CHECKED int fort_expand(const struct fort_program *program, struct fort_arena *arena,
			     struct fort_expanded *out);
