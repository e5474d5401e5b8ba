/* The control-flow graph of a program: its subprograms, where paths meet, what is reachable.
 *
 * Successors need no storage (they follow from the instruction); what is worth keeping is one
 * byte of marks per slot and the table of subprograms.
 */
#pragma once

#include "base/arena.h"
#include "base/limits.h"
#include "isa/insn.h"

/* A subprogram: slots [start, end). Number 0 is the main program. */
struct fort_subprog {
	uint32_t start, end;
};

/* A decoded program and its subprograms. Immutable once built. */
struct fort_program {
	const struct fort_insn *insns;
	uint32_t n_insns;
	const struct fort_subprog *subprogs;
	uint32_t n_subprogs;
};

enum fort_mark {
	FORT_MARK_REACHED = 1,
	FORT_MARK_JOIN = 2,        /* more than one way in: paths may meet here */
	FORT_MARK_LOOP_HEAD = 4,   /* target of a back edge of the depth-first walk */
	FORT_MARK_SUBPROG = 8,     /* first slot of a subprogram */
	FORT_MARK_RETURN = 16,     /* where a local call returns to */
	FORT_MARK_CALLS_BACK = 32, /* a call that runs a function of the program, perhaps often; put
				    * there by who knows what is called */
};

struct fort_graph {
	struct fort_program program;
	uint8_t *marks; /* enum fort_mark bits, one byte a slot */
};

enum fort_graph_fault {
	FORT_GRAPH_JUMP_OUT = 1, /* jump leaves its subprogram */
	FORT_GRAPH_JUMP_LDIMM,   /* jump into the second half of a 64-bit immediate */
	FORT_GRAPH_FALL_OFF,     /* a subprogram does not end in exit or an unconditional jump */
	FORT_GRAPH_UNREACHABLE,
	FORT_GRAPH_CALL_OUT, /* local call to outside the program */
	FORT_GRAPH_SUBPROGS, /* too many */
};

struct fort_graph_error {
	enum fort_graph_fault fault;
	uint32_t pc;
	int64_t target; /* of the jump or call at pc */
};

/* Builds the graph of `count` decoded slots (1 or more), which must outlive it. Marks and table
 * are the arena's. Returns 0, -ENOMEM, or -EINVAL with *error filled.
 */
FORT_CHECKED int fort_graph_build(struct fort_arena *arena, const struct fort_insn *insns,
				  uint32_t count, struct fort_graph *out,
				  struct fort_graph_error *error);

/* Where control may go from slot pc within its function, falling through first: how many, at most
 * two. A call goes on behind itself. */
static inline unsigned fort_successors(const struct fort_insn *insns, uint32_t pc, uint32_t out[2])
{
	const struct fort_insn *insn = &insns[pc];
	unsigned n = 0;

	if (insn->kind == FORT_EXIT)
		return 0;
	if (insn->kind != FORT_JA)
		out[n++] = pc + fort_insn_slots(insn);
	if (fort_insn_jumps(insn))
		out[n++] = (uint32_t)fort_insn_target(insn, pc);
	return n;
}

/* The subprogram that contains slot pc. */
uint32_t fort_subprog_of(const struct fort_program *program, uint32_t pc);
/* The subprogram that starts at slot pc, or -1. */
int fort_subprog_at(const struct fort_program *program, int64_t pc);
