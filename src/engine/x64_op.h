/* One compilation of the x64 engine, as its parts see it.
 *
 * Between BPF and machine code a program is a list of operations: what an instruction does, with
 * up to three operands, memory operands of base, scaled index and displacement, and what several
 * instructions do together. Registers in them are BPF's; where these live is x64.def's.
 *
 *   lower    one operation for each instruction, or for a few that are one idiom (x64_lower.c)
 *   facts    what is known where paths join: constants, upper halves that are zero (x64_facts.c)
 *   forward  along each block: copies, constants and sums take the place of registers that hold
 *            them; what could be done together is marked (x64_forward.c)
 *   live     backwards: what nobody needs goes, what was marked is put together (x64_live.c)
 *   order    blocks are put where fewer jumps are needed (x64_order.c)
 *   unroll   loops with a counter do several rounds at a time (x64_unroll.c)
 *   emit     bytes for each operation (x64_alu.c, x64_divide.c, x64_memory.c, x64_flow.c,
 *            x64_call.c), with all jumps long; x64_layout.c makes an image of them
 *
 * Each pass goes over the list once or twice; none takes more than linear time.
 *
 * The machine state between two operations, anywhere in the code of a program:
 *
 *   BPF registers     where x64.def says, if they are live
 *   r9                the run; helpers take it as their sixth argument
 *   r10, r11, flags   free
 *   r12               fuel
 *   [rsp]             in subprograms: where the frame returns to
 *   rsp               8 off a multiple of 16, but in subprograms that never call helpers
 *   gs                under sfi: the window's base
 */
#pragma once

#include "engine/engine.h"
#include "engine/x64_emit.h"
#include "engine/x64_run.h"

#define FORT_X64_RUN   FORT_X64_R9
#define FORT_X64_FUEL  FORT_X64_R12
#define FORT_X64_FREE1 FORT_X64_R10
#define FORT_X64_FREE2 FORT_X64_R11

#define FORT_X64_STOPS (FORT_ABORT_CODES + 1)

#define FORT_X64_NO_REG 0xff /* in place of a BPF register */

/* `mem` is base + index << scale + disp; `b or imm` is imm where b is FORT_X64_NO_REG. */
enum fort_x64_kind {
	FORT_X64_OP_NOTHING,
	FORT_X64_OP_MOVE,   /* dst = a */
	FORT_X64_OP_CONST,  /* dst = imm */
	FORT_X64_OP_SUM,    /* dst = the address that mem is */
	FORT_X64_OP_ALU,    /* dst = a op (b or imm, or mem) */
	FORT_X64_OP_SHIFT,  /* dst = a op (b or imm) */
	FORT_X64_OP_ROTATE, /* dst = a rotated left by imm */
	FORT_X64_OP_NEG,    /* dst = -a */
	FORT_X64_OP_EXTEND, /* dst = a from `op` bits with sign (MOVSX) or without (LE) */
	FORT_X64_OP_SWAP,   /* dst = a, its `bits` low bits in the other order */
	FORT_X64_OP_DIVIDE, /* dst = a op (b or imm) */
	FORT_X64_OP_LOAD,   /* dst = mem */
	FORT_X64_OP_STORE,  /* mem = a, or imm */
	FORT_X64_OP_UPDATE, /* mem = mem op (b or imm) */
	FORT_X64_OP_ATOMIC, /* mem, a: as the instruction */
	FORT_X64_OP_JUMP,   /* to join `target` */
	FORT_X64_OP_AHEAD,  /* fuel imm for several rounds or, if there is less, to join `target` */
	FORT_X64_OP_REFUND, /* fuel imm */
	FORT_X64_OP_CHARGE, /* fuel, as a jump back to join `target`, which comes next */
	FORT_X64_OP_BRANCH, /* to join `target` if (a, or mem) op (b or imm, or mem) */
	FORT_X64_OP_SELECT, /* dst = index, or disp, unless a op (b or imm) */
	FORT_X64_OP_HELPER, /* number imm; `value`: by what stands for it in map `target` */
	FORT_X64_OP_LOOKUP, /* r0 = the value of a key in array `target`, or NULL: `value` */
	FORT_X64_OP_CPU,    /* r0 = the current processor */
	FORT_X64_OP_CACHED, /* r0 = a word behind run->services, or what helper imm says */
	FORT_X64_OP_LOCAL,  /* the subprogram at join `target` */
	FORT_X64_OP_CALLX,  /* the helper whose number a is */
	FORT_X64_OP_EXIT,
	FORT_X64_OP_STOP, /* the run, with FORT_ABORT_INSN */
	FORT_X64_OPS
};

/* `value` of LOOKUP, bits. The key is mem, or a, which was stored there. */
enum fort_x64_lookup {
	FORT_X64_KEY_CONSTANT = 1, /* the key is the upper half of imm */
	FORT_X64_OFFSET = 2,       /* r0 is the offset from the array's start */
	FORT_X64_INDEX = 4,        /* r0 is the key */
	FORT_X64_TESTED = 8,       /* the branch that follows asks whether r0 is NULL */
};

enum fort_x64_flag {
	FORT_X64_LABEL = 1,    /* paths join here: join `join` */
	FORT_X64_BACK = 2,     /* JUMP, BRANCH: to a join before it, which costs fuel */
	FORT_X64_UNLESS = 4,   /* BRANCH, SELECT: the condition is negated */
	FORT_X64_MEM_A = 8,    /* BRANCH: mem takes the place of a */
	FORT_X64_MEM_B = 16,   /* ALU, BRANCH: of b */
	FORT_X64_KEEP_R0 = 32, /* DIVIDE: r0 is live behind it */
	FORT_X64_KEEP_R3 = 64, /* and r3 */
	FORT_X64_PAID =
		128, /* fuel `join` is paid ahead: not due if the run, or the loop, ends here */
};

/* Its bytes spelled something forbidden (x64_layout.h), or those between it and the one before. */
enum fort_x64_avoid {
	FORT_X64_CONSTANTS = 1, /* hide its constants */
	FORT_X64_PAD = 2,       /* bytes of nothing go first */
};

/* What could be done together, if what is between is not needed: found by forward, done by live. */
enum fort_x64_pattern {
	FORT_X64_ALONE,
	FORT_X64_TAKE_A,    /* BRANCH: a is what the load `from` operations before gave */
	FORT_X64_TAKE_B,    /* ALU, BRANCH: b */
	FORT_X64_REWRITE,   /* STORE: what the ALU `from` before made of the load `from2` before */
	FORT_X64_ROTATION,  /* ALU: of the shifts `from` and `from2` before, left one first */
	FORT_X64_LOW_SUM,   /* ALU: its lower half is that of the sum mem */
	FORT_X64_REMAINDER, /* ALU: a - (a / b) * b: multiplied `from`, divided `from2` before */
};

struct fort_x64_op {
	uint8_t kind, op, bits, flags;
	uint8_t dst, a, b;
	uint8_t base, index, scale; /* of mem */
	uint8_t pattern, from, from2;
	/* HELPER and the like: registers of r1-r5 that are live behind it, a bit each (and how many
	 * it looks at in `scale`); LOCAL: of r6-r9 that the callee changes; ALU, BRANCH: bits of
	 * mem; SELECT: dst is 0 or 1 (which, says `value`), and the other one unless the condition
	 * holds. */
	uint8_t keep;
	/* SELECT, HELPER, LOOKUP: as above; SWAP: there is nothing above two bytes; BRANCH: it asks
	 * what the LOOKUP before it knows. */
	uint8_t value;
	uint8_t avoid; /* enum fort_x64_avoid */
	int32_t disp;
	uint32_t pc; /* slot of the instruction; of the load that it took in */
	int64_t imm;
	/* Joins; EXIT: the subprogram; LOOKUP: the map; PAID: fuel. */
	uint32_t target, join;
};

/* A place where paths join: target of a jump or call. */
struct fort_x64_join {
	uint32_t pc, op;
	uint32_t cost; /* of a jump back to it */
	uint32_t live; /* before it; see x64_live.c */
	uint32_t subprog;
	uint8_t known[12]; /* of each register: enum fort_x64_known */
	/* Where it is in the code with all jumps long, and how many of these and of the places to
	 * align are before it; a stub that ends the run for lack of fuel: label, 0: not needed yet.
	 */
	uint32_t label, out_of_fuel;
	/* As operations are placed: it is bound before them, how many lead here, and the last one
	 * that jumps back to it (0: none does). */
	bool bound, seldom;
	uint32_t refs, last;
};

/* What facts says of a register: nothing, that its upper half is zero, or which map's handle it
 * holds (from FORT_X64_MAP on). */
enum fort_x64_known {
	FORT_X64_ANYTHING,
	FORT_X64_LOW_HALF,
	FORT_X64_MAP,
	FORT_X64_UNREACHED = 0xff
};
_Static_assert(FORT_X64_MAP + FORT_MAPS_PER_PROG_MAX < FORT_X64_UNREACHED, "a byte");

struct fort_x64_subprog {
	uint32_t live;   /* at its exits */
	uint8_t changes; /* bits of r6-r9 that it or what it calls writes */
	bool helpers;    /* it or what it calls calls helpers */
	bool frame;      /* it or what it calls uses r10 */
	uint8_t depth;   /* frames above it, at most; FORT_FRAMES_MAX: too many or endless */
};

/* What is known of an instruction that accesses memory, for when it faults. */
struct fort_x64_access {
	uint32_t at; /* of its first byte */
	uint32_t pc;
	int32_t disp;
	uint8_t base, index, scale; /* enum fort_x64_reg */
	uint8_t bytes;              /* 0: the key of a lookup, argument 2 of a helper */
	uint32_t load_pc;           /* the slot to blame if it was not even readable */
	uint32_t refund;            /* fuel that is paid ahead here */
};

/* A function that code calls. */
struct fort_x64_slot {
	fort_helper_fn *function;
	bool lazy;
};

struct fort_x64_layout;
struct fort_x64_stop;
struct fort_x64_cold;

struct fort_x64 {
	const struct fort_compile *request;
	struct fort_code_pool *pool; /* or NULL: the image has a file of its own */
	struct fort_x64_bytes bytes;
	struct fort_x64_op *ops, *reordered;
	uint8_t *placed;             /* of each operation */
	struct fort_x64_join *joins; /* from 1 */
	uint8_t *refs;       /* of each slot: jumps and calls that lead here, 255 for more */
	uint32_t *join_at;   /* of each slot: its join, 0: none */
	uint32_t *loop_ends; /* of each slot: fort_resolve_loops */
	uint32_t *places;    /* of each operation in `bytes` */
	struct fort_x64_subprog *subprogs;
	struct fort_x64_access *accesses;
	struct fort_x64_layout *layout;
	struct fort_x64_stop *stops;
	struct fort_x64_cold *colds;
	struct fort_x64_slot *helpers; /* slots, from the image's start backwards */
	uint32_t n_ops, n_joins, n_accesses, n_helpers, n_stops, n_colds;
	uint32_t image_bytes; /* once laid out */
	uint64_t gap;         /* between slots and code, once there is a place for them */
	uint32_t at;          /* of the operation being worked on */
	uint32_t cold_at;     /* index of what is being emitted, of colds */
	uint32_t missing;     /* label: after the branch that asks what a LOOKUP found */
	uint32_t way_out;     /* label: ends the run, entry is filled in */
	uint32_t stops_at;    /* what comes from here on in `bytes` only leaves */
	uint32_t epilogue;    /* label: ends the run well; 0: not yet */
	uint32_t tail_exit;   /* label: goes on with another program; 0: none does (x64_tail.h) */
	uint32_t tail_slot;   /* through which; counted from 1 */
	int32_t cpu_offset;   /* from fs, of the current processor's number; 0: not known */
	bool window;          /* all accesses are confined to the window */
	bool fuel;            /* something costs fuel */
	bool counts_frames;   /* calls may go too deep: counted when it runs */
	bool keyed;           /* calls go through gates (x64_keys.h) */
	bool lazy;            /* the call being emitted may leave open what it opens */
	bool main_is_called;  /* as a subprogram too */
	uint8_t saved;        /* registers of the host that are used (x64_exit.c) */
	uint8_t hiding;       /* enum fort_x64_hiding (x64_hide.h) */
	uint32_t tries;       /* to emit without forbidden bytes */
	uint64_t keys;        /* state of a generator */
	bool grew;            /* a sweep of live found that more is needed */
	/* The register whose value the flags tell of, compared with zero; else none. */
	uint8_t flags_of, flags_bits;
};

/* Where a BPF register lives; FORT_X64_NONE for FORT_X64_NO_REG. */
extern const uint8_t fort_x64_homes[UINT8_MAX + 1];
static inline enum fort_x64_reg fort_x64_home(uint8_t reg)
{
	return fort_x64_homes[reg];
}

/* --- passes --- */

/* The first may find that this is no program for the engine: as fort_engine.compile. */
FORT_CHECKED int fort_x64_lower(struct fort_x64 *x);
void fort_x64_facts(struct fort_x64 *x);
void fort_x64_forward(struct fort_x64 *x);
/* Of the program: what its subprograms change, need and how deep they nest. */
void fort_x64_subprogs(struct fort_x64 *x);
void fort_x64_live(struct fort_x64 *x);
void fort_x64_order(struct fort_x64 *x);
/* Fills in what joins say of operations, as these are placed now. */
void fort_x64_find_loops(struct fort_x64 *x);
void fort_x64_unroll(struct fort_x64 *x);
#define FORT_X64_UNROLL_OPS 256u /* and as many as there are: what unrolling may add */
void fort_x64_emit(struct fort_x64 *x);
/* What emitting may take at most, in entries of the arrays and bytes of code. */
struct fort_x64_room {
	size_t bytes, jumps, labels, stops, colds, accesses, helpers;
};
struct fort_x64_room fort_x64_room(const struct fort_x64 *x);

/* --- what is known of operations --- */

/* Registers that it reads, as a bit for the low half (0 to 10) and one for the upper (16 to 26):
 * for mem, and for all else. */
uint32_t fort_x64_reads_mem(const struct fort_x64 *x, const struct fort_x64_op *op);
uint32_t fort_x64_reads_data(const struct fort_x64_op *op);
#define FORT_X64_LOW(reg)  (1u << (reg))
#define FORT_X64_BOTH(reg) (0x10001u << (reg))

/* Is what a LOOKUP finds a constant, and which? */
bool fort_x64_lookup_constant(const struct fort_x64 *x, const struct fort_x64_op *op, int64_t *out);

/* --- emitters, by kind --- */

typedef void fort_x64_emitter(struct fort_x64 *x, const struct fort_x64_op *op);
fort_x64_emitter fort_x64_move, fort_x64_constant, fort_x64_sum, fort_x64_alu, fort_x64_shift,
	fort_x64_rotate, fort_x64_neg, fort_x64_extend, fort_x64_swap, fort_x64_divide,
	fort_x64_load, fort_x64_store, fort_x64_update, fort_x64_atomic, fort_x64_ja,
	fort_x64_ahead, fort_x64_refund, fort_x64_charge, fort_x64_branch, fort_x64_select,
	fort_x64_helper, fort_x64_lookup, fort_x64_cpu, fort_x64_cached, fort_x64_local,
	fort_x64_callx, fort_x64_exit, fort_x64_stop;

/* The row of an ALU operation: dst = dst op src. */
enum fort_x64_row fort_x64_alu_row(uint8_t op);
/* The memory operand of an operation, for an access of `bits`. */
struct fort_x64_mem fort_x64_mem_of(const struct fort_x64 *x, const struct fort_x64_op *op,
				    unsigned bits);
/* The same, ready to be accessed: a displacement that must be hidden is in FREE2. */
struct fort_x64_mem fort_x64_place(struct fort_x64 *x, const struct fort_x64_op *op, unsigned bits);
/* The next instruction emitted is an access, on behalf of slot `pc`. */
void fort_x64_note(struct fort_x64 *x, struct fort_x64_mem mem, unsigned bytes, uint32_t pc,
		   uint32_t load_pc);
/* The slot of a function that code may call, as an offset in the image: before its start. */
int64_t fort_x64_slot_of(struct fort_x64 *x, fort_helper_fn *function);
