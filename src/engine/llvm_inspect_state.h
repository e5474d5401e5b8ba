/* Inside of the llvm engine's output checker: its state, and what its parts offer each other. */
#pragma once

#include <Zydis/Zydis.h>

#include "engine/llvm_inspect.h"
#include "engine/x64_emit.h"

/* What a register or a cell of the stack holds. */
enum fort_scan_tag {
	FORT_SCAN_NEVER, /* no way leads here */
	FORT_SCAN_WORD,  /* a number of `bits` bits: those above are 0 */
	FORT_SCAN_LOW,   /* nothing to be read but the low `bits` bits, which are a number's */
	FORT_SCAN_RUN,
	FORT_SCAN_ENTRY,
	FORT_SCAN_SERVICES,
	FORT_SCAN_FUNCTION, /* of the host, from slot `off` */
	FORT_SCAN_STACK,    /* the stack pointer when the function began, plus `off` */
	FORT_SCAN_ROOM,     /* where the caller has room for a result, plus `off` */
	FORT_SCAN_KEPT,     /* the caller's register `off` */
	FORT_SCAN_RETURN,   /* where the caller goes on */
	FORT_SCAN_REST,     /* of a cell: the upper half of what the one before holds */
	FORT_SCAN_LOST, /* not to be read: the host's, or different ways brought different things */
};

struct fort_scan_value {
	uint8_t tag, bits;
	int32_t off;
};

/* A label's or the reader's. Cells are of 4 bytes; what has 8 takes two. */
struct fort_scan_state {
	uint32_t function;
	struct fort_scan_value reg[FORT_X64_REGS];
	struct fort_scan_value cells[];
};

#define FORT_SCAN_CELL_BYTES 4
#define FORT_SCAN_RED_ZONE   128 /* below the stack pointer, that signals leave alone */
#define FORT_SCAN_SLACK_BYTES \
	(512 + FORT_SCAN_RED_ZONE)  /* of a frame, beside what it makes room for */
#define FORT_SCAN_OUTSIDE_BYTES 256 /* above: the return address, and arguments */
#define FORT_SCAN_ROOM_BYTES    128 /* of a result */

/* RAX, RDX, RCX: what a function may return in. */
#define FORT_SCAN_RESULTS 3u

/* What a function, and those that it hands them on to, write of its arguments and of the room for
 * its result. */
struct fort_scan_extent {
	int32_t args, room; /* bytes */
};

struct fort_scan_reader {
	const struct fort_llvm_inspect *image;
	enum fort_inspect_fault fault;
	uint32_t at, next;
	ZydisDecoder decoder;
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	bool open; /* the next instruction follows */
	/* Where instructions begin: their length; and which are labels: their index, plus one. */
	uint8_t *lengths;
	uint32_t *labels;
	/* By label. */
	uint32_t *places;
	bool *is_function, *due;
	struct fort_scan_value (*results)[FORT_SCAN_RESULTS];
	uint8_t *states; /* of state_bytes */
	size_t state_bytes;
	uint32_t n_labels;
	int32_t frame_bytes; /* that there are cells for, below where the stack was */
	uint32_t n_cells;
	struct fort_scan_extent *extents; /* by label, of functions */
	bool grew; /* these or results have, since labels were last all due */
	struct fort_scan_state *now;
};

static inline bool fort_scan_refuse(struct fort_scan_reader *reader, enum fort_inspect_fault fault)
{
	reader->fault = fault;
	return false;
}

/* Of the function that is being read, which is not the image's entry. */
static inline struct fort_scan_extent *fort_scan_own(struct fort_scan_reader *reader)
{
	return &reader->extents[reader->now->function - 1];
}

static inline void fort_scan_extend(struct fort_scan_reader *reader, int32_t *extent, int64_t bytes)
{
	if (bytes <= *extent)
		return;
	*extent = (int32_t)fort_round_up((uint64_t)bytes, 8);
	reader->grew = true;
}

static inline struct fort_scan_value fort_scan_word(unsigned bits)
{
	return (struct fort_scan_value){.tag = FORT_SCAN_WORD, .bits = (uint8_t)bits};
}

static inline struct fort_scan_value fort_scan_lost(void)
{
	return (struct fort_scan_value){.tag = FORT_SCAN_LOST};
}

/* --- llvm_inspect_value.c: values, registers, cells --- */

/* What is one or the other. Numbers get few more widths, so that joins come to an end. */
struct fort_scan_value fort_scan_either(struct fort_scan_value a, struct fort_scan_value b);
/* Joins `from` into `*into`; true when that changed it. */
bool fort_scan_join(struct fort_scan_state *into, const struct fort_scan_state *from,
		    uint32_t n_cells);
/* May `bits` of it be computed with? */
bool fort_scan_is_number(struct fort_scan_value value, unsigned bits);
/* Cells [off, off + bytes) of the stack. False when there are none, or they are below what signals
 * leave alone. */
bool fort_scan_has_cells(const struct fort_scan_reader *reader, int64_t off, uint32_t bytes);
struct fort_scan_value fort_scan_fetch(const struct fort_scan_reader *reader, int32_t off,
				       uint32_t bytes);
void fort_scan_keep(struct fort_scan_reader *reader, int32_t off, uint32_t bytes,
		    struct fort_scan_value value);
/* What is in cells below `off`, or in [off, end), is no more. */
void fort_scan_forget_below(struct fort_scan_reader *reader, int32_t off);
void fort_scan_forget(struct fort_scan_reader *reader, int32_t off, int32_t end);

/* --- llvm_inspect_place.c: operands --- */

/* An operand's value, or the fault. */
bool fort_scan_get(struct fort_scan_reader *reader, const ZydisDecodedOperand *operand,
		   struct fort_scan_value *out);
/* The same, and the instruction computes with it. */
bool fort_scan_get_number(struct fort_scan_reader *reader, const ZydisDecodedOperand *operand,
			  struct fort_scan_value *out);
bool fort_scan_set(struct fort_scan_reader *reader, const ZydisDecodedOperand *operand,
		   struct fort_scan_value value);
/* The number that base, index and displacement come to, in the address's width. */
bool fort_scan_sum(struct fort_scan_reader *reader, const ZydisDecodedOperand *operand,
		   struct fort_scan_value *out);
/* The word before the image that an operand names, counted from 0; n_slots if it names none. */
uint32_t fort_scan_slot(const struct fort_scan_reader *reader, const ZydisDecodedOperand *operand);

/* --- llvm_inspect_rule.c --- */

enum fort_scan_rule {
	FORT_SCAN_RULE_NONE,
	FORT_SCAN_RULE_PLAIN,
	FORT_SCAN_RULE_PLAIN_BITS,
	FORT_SCAN_RULE_CLEAR,
	FORT_SCAN_RULE_ADD,
	FORT_SCAN_RULE_SUB,
	FORT_SCAN_RULE_AND,
	FORT_SCAN_RULE_SHR,
	FORT_SCAN_RULE_LEA,
	FORT_SCAN_RULE_MOVE,
	FORT_SCAN_RULE_EXTEND,
	FORT_SCAN_RULE_CHOOSE,
	FORT_SCAN_RULE_NOTHING,
	FORT_SCAN_RULE_PUSH,
	FORT_SCAN_RULE_POP,
	FORT_SCAN_RULE_CALL,
	FORT_SCAN_RULE_RETURN,
	FORT_SCAN_RULE_JUMP,
	FORT_SCAN_RULE_BRANCH,
	FORT_SCAN_RULES
};

/* The rule of an instruction; NONE: it is refused. */
enum fort_scan_rule fort_scan_rule_of(ZydisMnemonic mnemonic);
/* Applies it to the instruction at reader->at. False and the fault. */
bool fort_scan_apply(struct fort_scan_reader *reader, enum fort_scan_rule rule);

/* --- llvm_inspect_flow.c: calls, returns, jumps --- */

/* Where a direct jump or call leads. */
uint32_t fort_scan_target(const struct fort_scan_reader *reader);
bool fort_scan_flow_to(struct fort_scan_reader *reader, uint32_t target);
bool fort_scan_flow_call(struct fort_scan_reader *reader);
bool fort_scan_flow_return(struct fort_scan_reader *reader);
/* The state in which the host calls the image, at its label. */
void fort_scan_flow_start(struct fort_scan_reader *reader, uint32_t label);

static inline struct fort_scan_state *fort_scan_state_of(const struct fort_scan_reader *reader,
							 uint32_t label)
{
	return (struct fort_scan_state *)(void *)(reader->states + label * reader->state_bytes);
}
