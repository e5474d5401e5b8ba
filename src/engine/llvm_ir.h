/* One compilation of the llvm engine, as its parts see it.
 *
 * Each subprogram is a function, internal to the module:
 *
 *   { r0 to r5, fuel } subprogram(r0 to r10, fuel, run, entry, depth)
 *
 * and `run`, the only one seen from outside, is what the host calls (fort_llvm_code_fn). BPF
 * registers and fuel are local variables of it, which LLVM's first pass turns into values.
 *
 * Nothing is said to LLVM that was not proven or checked: no arithmetic that must not overflow, no
 * shift, division or pointer that could be undefined, no alignment but that of atomics, no object
 * that an address must stay in. What another thread may change is read once: confined accesses
 * are volatile, others are frozen.
 *
 * What depends on this process comes in by name and is filled in later (fort_llvm_symbol), so that
 * what was compiled can be kept (llvm_cache.h).
 *
 * As debug information each instruction of BPF is a line: 2 * slot + 1, or one more for the key of
 * a lookup done in its place.
 */
#pragma once

#include "engine/llvm.h"
#include "engine/llvm_api.h"

enum fort_llvm_space { FORT_LLVM_FLAT = 0, FORT_LLVM_GS = 256, FORT_LLVM_FS = 257 };

#define FORT_LLVM_PASSED (FORT_R5 + 1) /* registers that a callee gives back */

/* Jumps that lead to a slot. */
struct fort_llvm_ways {
	uint32_t first, last;
	bool there;
};

struct fort_llvm {
	const struct fort_compile *request;
	const struct fort_llvm_api *api;
	const fort_llvm_hidden *hidden;
	LLVMContextRef context;
	LLVMModuleRef module;
	LLVMBuilderRef builder;
	LLVMDIBuilderRef lines;
	LLVMMetadataRef file, scope; /* scope: the function being made */
	LLVMTypeRef i1, i8, i32, i64, nothing, pointer, result;
	LLVMTypeRef subprogram, helper, leave;
	LLVMValueRef *functions;   /* of each subprogram */
	LLVMBasicBlockRef *blocks; /* of each slot, or NULL */
	uint32_t *loop_ends;       /* fort_resolve_loops */
	/* Of each slot: the last one of the loop that counts and begins there, 0: none; where that
	 * begins when it is not being entered; and its blocks in the copy that looks at no fuel. */
	uint32_t *latches;
	LLVMBasicBlockRef *heads, *copies;
	struct fort_llvm_ways *ways; /* to each slot */
	bool copying;
	/* Of the function being made. */
	LLVMValueRef function, run, entry, depth;
	LLVMValueRef regs[FORT_REGS], fuel;
	/* Which map's handle a register holds, plus one; since the block began. */
	uint32_t map_of[FORT_REGS];
	int32_t cpu_offset; /* from fs, of the current processor's number; 0: not known */
	uint32_t pc;
	bool confines_loads, confines_stores;
};

/* --- making the module (llvm_lower.c); x->request, api are given --- */

/* Returns what fort_engine.compile does. */
FORT_CHECKED int fort_llvm_lower(struct fort_llvm *x);

/* --- loops that count (llvm_loops.c) --- */

void fort_llvm_find_loops(struct fort_llvm *x, const struct fort_subprog *subprog);
LLVMValueRef fort_llvm_is_rich(struct fort_llvm *x, uint32_t head);

/* --- instructions, by kind --- */

void fort_llvm_alu(struct fort_llvm *x, const struct fort_insn *insn);
void fort_llvm_move(struct fort_llvm *x, const struct fort_insn *insn);
void fort_llvm_end(struct fort_llvm *x, const struct fort_insn *insn);
void fort_llvm_access(struct fort_llvm *x, const struct fort_insn *insn);
void fort_llvm_call(struct fort_llvm *x, const struct fort_insn *insn);
/* Calls a function of the host with r1 to r5, as helpers are. */
void fort_llvm_call_host(struct fort_llvm *x, LLVMValueRef function);
/* The condition of a jump. */
LLVMValueRef fort_llvm_condition(struct fort_llvm *x, const struct fort_insn *insn);

/* --- what they are made with --- */

LLVMTypeRef fort_llvm_int(struct fort_llvm *x, unsigned bits);
LLVMValueRef fort_llvm_const(struct fort_llvm *x, uint64_t value);
/* A number of any type, which LLVM need not see as such; nor machine code have, if slot x->pc is
 * hidden. */
LLVMValueRef fort_llvm_number(struct fort_llvm *x, LLVMTypeRef type, uint64_t value);
/* The same word, but nothing is known of it. */
LLVMValueRef fort_llvm_opaque(struct fort_llvm *x, LLVMTypeRef type, LLVMValueRef word);
/* Code of slot x->pc that does nothing, the more the oftener it is hidden: what comes next lies
 * elsewhere. */
void fort_llvm_shift(struct fort_llvm *x);
LLVMValueRef fort_llvm_get(struct fort_llvm *x, unsigned reg);
/* The low `bits` of it. */
LLVMValueRef fort_llvm_get_low(struct fort_llvm *x, unsigned reg, unsigned bits);
/* Of any width up to 64 bits, filled up with zeros. */
void fort_llvm_set(struct fort_llvm *x, unsigned reg, LLVMValueRef value);
LLVMValueRef fort_llvm_binary(struct fort_llvm *x, LLVMOpcode op, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef fort_llvm_cast(struct fort_llvm *x, LLVMOpcode op, LLVMValueRef a, LLVMTypeRef to);
LLVMValueRef fort_llvm_compare(struct fort_llvm *x, LLVMIntPredicate is, LLVMValueRef a,
			       LLVMValueRef b);
LLVMValueRef fort_llvm_call_function(struct fort_llvm *x, LLVMTypeRef type, LLVMValueRef function,
				     LLVMValueRef *args, unsigned n);
/* Where an access of a program goes: the sum of `base` and `off`, confined or not. */
LLVMValueRef fort_llvm_place(struct fort_llvm *x, LLVMValueRef base, int64_t off, bool confined);
/* An access to be seen as it is, at any alignment. */
LLVMValueRef fort_llvm_load(struct fort_llvm *x, LLVMTypeRef type, LLVMValueRef place,
			    bool confined);
/* A member of the run, the entry or another structure of the host. */
LLVMValueRef fort_llvm_member(struct fort_llvm *x, LLVMValueRef object, uint64_t offset);
LLVMValueRef fort_llvm_read(struct fort_llvm *x, LLVMTypeRef type, LLVMValueRef place);
void fort_llvm_write(struct fort_llvm *x, LLVMValueRef place, LLVMValueRef value);
/* A function or object from outside: `kind` and number, or a name. */
LLVMValueRef fort_llvm_outside(struct fort_llvm *x, char kind, uint32_t number);
LLVMValueRef fort_llvm_function(struct fort_llvm *x, const char *name, LLVMTypeRef type);
LLVMBasicBlockRef fort_llvm_block(struct fort_llvm *x);
void fort_llvm_at(struct fort_llvm *x, LLVMBasicBlockRef block);
/* Goes on in a new block unless the condition holds; then in *then, which the caller fills. */
void fort_llvm_unless(struct fort_llvm *x, LLVMValueRef condition, LLVMBasicBlockRef *then);
void fort_llvm_jump(struct fort_llvm *x, LLVMBasicBlockRef to);
/* Ends the run here. */
void fort_llvm_abort(struct fort_llvm *x, uint32_t code, uint32_t pc, LLVMValueRef detail);
/* Takes fuel, or ends the run at `pc`. */
void fort_llvm_charge(struct fort_llvm *x, uint32_t cost, uint32_t pc);
/* What comes next belongs to slot x->pc; or to the key of its lookup. */
void fort_llvm_line(struct fort_llvm *x, bool key);
