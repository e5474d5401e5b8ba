/* Writing an expanded program, instruction by instruction (internal to harden/).
 *
 * It is written twice, in the same way: the first time nothing is kept but where everything comes
 * to lie, so that the second time jumps know where they go. Where that shows a jump that goes too
 * far for its 16 bits, all long jumps become jumps of 32 bits, and it is written once more.
 */
#pragma once

#include "harden/expand.h"

/* Places within what one instruction becomes; each is one label, but NEXT, which is where the jumps
 * to it since the last such label go. */
enum fort_label {
	FORT_LABEL_NEXT,
	FORT_LABEL_HEAD, /* the only one to be jumped back to */
	FORT_LABEL_JOIN,
	FORT_LABEL_DONE,
	FORT_LABEL_END,
	FORT_LABELS
};

struct fort_label_uses {
	uint32_t at;                       /* of HEAD */
	uint32_t jumps[FORT_SUBPROGS_MAX]; /* that wait for the label */
	uint32_t n_jumps;
};

struct fort_write {
	const struct fort_program *program;
	struct fort_arena *arena;
	/* Of each slot of the program: is it jumped to; which function is in r2 (UINT32_MAX: not
	 * known); where it lies in the new one. */
	bool *targets;
	uint32_t *known, *starts;
	bool *far; /* of each slot: it jumps by 32 bits */
	/* Of each subprogram: is its address taken; has it counted jumps; where it starts. */
	bool named[FORT_SUBPROGS_MAX], counts[FORT_SUBPROGS_MAX];
	bool runs[FORT_SUBPROGS_MAX]; /* something may call it */
	uint32_t entries[FORT_SUBPROGS_MAX];
	/* The new program; `insns` is NULL the first time. */
	struct fort_insn *insns;
	uint32_t *origin;
	uint8_t *sights;
	struct fort_subprog *subprogs;
	uint32_t n, n_subprogs;
	uint32_t pc;   /* what is being written */
	uint8_t sight; /* of the next slot */
	struct fort_label_uses labels[FORT_LABELS];
};

/* Of the arena. NULL: no memory. */
struct fort_write *fort_write_open(const struct fort_program *program, struct fort_arena *arena);
/* Everything was written: do some jumps go too far? Then it must be written again, before it is
 * kept, with those that are now marked. */
FORT_CHECKED bool fort_write_stretches(struct fort_write *w);
/* Everything was written; now it is kept. 0 or -ENOMEM. */
FORT_CHECKED int fort_write_again(struct fort_write *w);

/* What follows is subprogram k, up to its end, and of it the instruction at `pc`. */
void fort_write_subprog(struct fort_write *w, uint32_t k);
void fort_write_subprog_end(struct fort_write *w, uint32_t k);
void fort_write_begin(struct fort_write *w, uint32_t pc);
/* What is seen at the next slot. */
void fort_write_sight(struct fort_write *w, enum fort_sight sight);

void fort_write(struct fort_write *w, enum fort_row row, uint8_t dst, uint8_t src, int16_t off,
		int64_t imm);
/* The instruction as it is, but for where it goes. */
void fort_write_copy(struct fort_write *w, const struct fort_insn *insn);
void fort_write_jump(struct fort_write *w, enum fort_row row, uint8_t dst, uint8_t src, int64_t imm,
		     enum fort_label label);
void fort_write_label(struct fort_write *w, enum fort_label label);
/* Jumps to what slot `target` of the program became; calls a subprogram. */
void fort_write_goto(struct fort_write *w, uint32_t target);
void fort_write_call(struct fort_write *w, uint32_t k);
