/* One compilation of the x64 engine, as its parts see it: where the bytes go, where slots ended up,
 * what is still to be patched. Each part emits the instructions of some kinds.
 *
 * The machine state between two BPF instructions, anywhere in the code of a program:
 *
 *   BPF registers     where x64.def says
 *   r9                the run; helpers take it as their sixth argument
 *   r10, r11, flags   free
 *   r12               fuel
 *   [rsp]             where the frame returns to; rsp is 8 off a multiple of 16
 *   [rsp + 8]         how many more frames there may be
 *   gs                under sfi: the window's base
 *
 * The program is emitted twice: once to measure, with the long form of each forward jump, then
 * for good. No instruction is longer the second time, so the first pass bounds all distances. If
 * constants happened to spell instructions that no image may have, both are done again, with care.
 */
#pragma once

#include "engine/engine.h"
#include "engine/x64_emit.h"

#define FORT_X64_RUN   FORT_X64_R9
#define FORT_X64_FUEL  FORT_X64_R12
#define FORT_X64_FREE1 FORT_X64_R10
#define FORT_X64_FREE2 FORT_X64_R11

/* Why emitted code leaves before the program's end. Codes of aborts, and: */
#define FORT_X64_STOP_HELPER                                                \
	FORT_ABORT_CODES /* a helper has written run->abort, all but the pc \
			  */

/* What stops lead to, once an image. Index of `stops` and of FORT_X64_STOP codes. */
#define FORT_X64_STOPS (FORT_ABORT_CODES + 1)

/* What is known of an instruction that accesses memory, for when it faults. 16 bytes. */
struct fort_x64_access {
	uint32_t at; /* of its first byte */
	uint32_t pc;
	int32_t disp;
	uint8_t base; /* enum fort_x64_reg */
	uint8_t bytes;
	bool r0_in_free1; /* r0 must be taken back from there */
};

/* A forward jump or call whose target was not known yet. */
struct fort_x64_fixup {
	uint32_t at, bytes, target; /* target: a slot */
};

/* A jump to the end of the run: the code that it leads to comes after the program's. */
struct fort_x64_stop {
	uint32_t from; /* the displacement to patch */
	uint32_t pc;
	uint32_t refund; /* FUEL: what was taken although it was not there */
	uint32_t detail; /* HELPER */
	uint8_t code;
};

struct fort_x64 {
	struct fort_x64_bytes bytes;
	const struct fort_compile *request;
	bool last;         /* the second pass */
	uint32_t pc;       /* being emitted */
	uint32_t estimate; /* of its place, from the first pass */
	uint32_t *offsets; /* of each slot: bounds ahead of pc in the second pass, else exact */
	uint8_t *targets;  /* of each slot: does a jump or call lead there? */
	uint8_t *careful;  /* of each slot, and of the stops after them: fort_x64_bytes.careful */
	struct fort_x64_fixup *fixups;
	struct fort_x64_stop *stops;
	struct fort_x64_access *accesses; /* NULL in the first pass */
	uint32_t n_fixups, n_stops, n_accesses;
	uint32_t stops_at;        /* where the code of stops begins */
	fort_helper_fn **helpers; /* slots, from the image's start backwards */
	uint32_t n_helpers, room_helpers;
};

/* Where a BPF register lives. */
enum fort_x64_reg fort_x64_home(uint8_t reg);

/* Jump over a few bytes of the same instruction: land() makes it lead to here. */
static inline uint32_t fort_x64_skip(struct fort_x64 *x, enum fort_x64_cc cc)
{
	return fort_x64_jump(&x->bytes, cc, 1, 0);
}
static inline void fort_x64_land(struct fort_x64 *x, uint32_t from)
{
	fort_x64_patch(&x->bytes, from, 1, x->bytes.at);
}

/* Leaves the run when the condition holds. The caller fills in what its code asks for. */
struct fort_x64_stop *fort_x64_leave(struct fort_x64 *x, enum fort_x64_cc cc, uint8_t code);
/* The code that all stops lead to, after the program's. */
void fort_x64_stops(struct fort_x64 *x);
/* The slot of a function that code may call, as an offset in the image: before its start. */
int64_t fort_x64_slot(struct fort_x64 *x, fort_helper_fn *function);

/* Emits several instructions from pc on as one; returns the slots done, or 0 and nothing emitted.
 */
uint32_t fort_x64_fuse(struct fort_x64 *x);

/* Emitters, by kind. */
typedef void fort_x64_emitter(struct fort_x64 *x, const struct fort_insn *insn);
fort_x64_emitter fort_x64_alu_k, fort_x64_alu_x, fort_x64_neg, fort_x64_mov_k, fort_x64_mov_x,
	fort_x64_movsx, fort_x64_end;
fort_x64_emitter fort_x64_ldx, fort_x64_st, fort_x64_stx, fort_x64_atomic;
fort_x64_emitter fort_x64_ja, fort_x64_jcc_k, fort_x64_jcc_x, fort_x64_calls, fort_x64_callx,
	fort_x64_exit;

/* Division: dst by src or, with src NULL, by the immediate. */
void fort_x64_divide_x(struct fort_x64 *x, const struct fort_insn *insn);
void fort_x64_divide_k(struct fort_x64 *x, const struct fort_insn *insn);
