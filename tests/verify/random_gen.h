/* Inside the generator of random programs: what is known of registers and stack while a program is
 * written, and the pieces from which shapes are made.
 */
#pragma once

#include "random.h"

enum held {
	HELD_NOTHING, /* unset, or different things on different paths: never read */
	HELD_NUMBER,
	HELD_STACK,
	HELD_CTX,
	HELD_VALUE,
	HELD_PACKET,
	HELD_META,
	HELD_END,
	HELD_RING,
};

/* What a register or a slot holds. */
struct holding {
	enum held held;
	uint32_t object; /* VALUE: map; RING: bytes */
	uint32_t id;     /* RING: which record */
	uint64_t most;   /* NUMBER: largest, if it was bounded; else all ones */
};

#define GEN_SLOTS (FORT_STACK_BYTES / 8)

struct scope {
	struct holding regs[FORT_R10];
	struct holding slots[GEN_SLOTS]; /* slot i is at fp - 8 (i + 1) */
	uint16_t fixed_regs;             /* not to be written here */
	uint64_t fixed_slots;
};

#define GEN_FUNCTIONS 3
#define GEN_EXITS     64
#define GEN_DEPTH     4 /* blocks inside blocks */

/* A function of the program: what it is called with. */
struct signature {
	unsigned n_args;
	enum held args[5];
	uint32_t stack_bytes; /* behind a STACK argument */
	uint32_t object;      /* map of a VALUE argument */
	uint32_t calls_back;  /* the helper that calls it, instead of programs; or 0 */
	uint32_t start;       /* its first slot, once it is written */
	bool called;
};

struct gen {
	struct random random;
	struct random_program *out;
	struct scope scope;
	struct signature functions[GEN_FUNCTIONS];
	unsigned n_functions, function; /* being written; main is n_functions */
	unsigned wild;                  /* of 1000 choices, how many are mistakes */
	bool has_packet;                /* by program type */
	bool two_results;               /* 0 and 1: others are refused */
	uint32_t options;               /* of random.h */
	uint32_t stack_slots;           /* of the function being written */
	uint32_t n_records;
	struct {
		uint32_t pc;
		unsigned function;
	} calls[GEN_EXITS];
	unsigned n_calls;
};

/* Jumps to the end of a block, and what was known at each. */
struct block {
	struct scope known[GEN_EXITS];
	uint32_t jumps[GEN_EXITS];
	unsigned n;
};

/* --- choices --- */
uint32_t gen_below(struct gen *g, uint32_t n);
bool gen_chance(struct gen *g, unsigned percent);
/* A mistake, now and then. */
bool gen_slip(struct gen *g);

/* --- instructions --- */
bool gen_full(const struct gen *g, unsigned slots);
uint32_t gen_put(struct gen *g, enum fort_row row, unsigned dst, unsigned src, int off,
		 int64_t imm);
void gen_patch(struct gen *g, uint32_t pc); /* the jump at pc goes to the next slot */
void gen_number(struct gen *g, unsigned reg, uint64_t number);
void gen_move(struct gen *g, unsigned dst, unsigned src);
void gen_call(struct gen *g, int number); /* clobbers r0 to r5; r0 holds a number */
/* Any row of a kind, at random. */
enum fort_row gen_row(struct gen *g, enum fort_kind kind);
/* The row of a memory instruction for so many bytes. */
enum fort_row gen_memory_row(enum fort_kind kind, enum fort_op op, unsigned bytes);

/* --- registers --- */
/* One that may be written; `saved`: that survives calls. FORT_R10: none is free. */
unsigned gen_free(struct gen *g, bool saved);
/* One that holds this, or FORT_R10. */
unsigned gen_find(struct gen *g, enum held held);
/* One that holds a number, made if need be; FORT_R10: no register is free. */
unsigned gen_any_number(struct gen *g);
void gen_set(struct gen *g, unsigned reg, enum held held);
/* Is there one that may be written and survives calls? */
bool gen_has_saved(const struct gen *g);
/* A number of at most `most` (but for slips), or FORT_R10. */
unsigned gen_index(struct gen *g, uint32_t most);
/* A pointer to the global variables' value. */
void gen_global(struct gen *g, unsigned reg);
/* A call took r1 to r5 and left a number in r0. */
void gen_forget_arguments(struct gen *g);
/* Nothing holds this object any more. */
void gen_forget_object(struct gen *g, enum held held, uint32_t id);
/* A number into a slot; false if it is not to be written. */
bool gen_store_zero(struct gen *g, uint32_t slot);

/* --- blocks --- */
void gen_leave(struct gen *g, struct block *block, uint32_t jump); /* a jump that goes to the end */
void gen_end(struct gen *g, struct block *block);
void gen_merge(struct scope *into, const struct scope *other);
/* Statements, about `weight` instructions' worth. */
void gen_block(struct gen *g, int weight, unsigned depth);

/* --- functions that are called back --- */
void gen_choose_callback(struct gen *g, struct signature *f);
void gen_describe(const struct gen *g);
void gen_may_leave(struct gen *g, struct block *block);
/* So many bytes of stack, written, into a register; false if they are not to be. */
bool gen_pass_stack(struct gen *g, unsigned reg, uint32_t bytes);

/* --- shapes: each writes one statement --- */
typedef void gen_shape(struct gen *g, unsigned depth);
gen_shape gen_alu, gen_copy, gen_bound, gen_store, gen_load, gen_stack_variable, gen_value,
	gen_lookup, gen_ring, gen_packet, gen_context, gen_helper, gen_branch, gen_loop, gen_local,
	gen_atomic, gen_related, gen_pointer_tricks, gen_anything, gen_update, gen_socket,
	gen_lookup_socket, gen_inner, gen_queue, gen_move_packet, gen_legacy, gen_idle_helper,
	gen_tail_call, gen_call_back;
