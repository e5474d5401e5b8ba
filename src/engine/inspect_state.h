/* Inside of the output checker: its state, and what its parts offer each other. */
#pragma once

#include <Zydis/Zydis.h>

#include "engine/inspect.h"
#include "engine/x64_emit.h"

/* What a register or a word of the machine stack is. */
enum fort_inspect_tag {
	FORT_TAG_LOST,  /* not to be read: the host's, or from one of several ways here */
	FORT_TAG_WORD,  /* a program's */
	FORT_TAG_CONST, /* a program's, and just written by an immediate */
	FORT_TAG_FRAME, /* the frame pointer */
	FORT_TAG_RUN,
	FORT_TAG_FUEL,
	FORT_TAG_ENTRY,    /* run->engine */
	FORT_TAG_LEFT,     /* frames left */
	FORT_TAG_COUNTING, /* one less; the flags tell whether it was 0 */
	FORT_TAG_COUNTED,  /* one less, and it was not 0 */
	FORT_TAG_HOST,     /* the machine stack */
};

/* What the flags tell. */
enum fort_inspect_flags {
	FORT_FLAGS_NOTHING,
	FORT_FLAGS_FUEL,     /* below: it was not there */
	FORT_FLAGS_LEFT,     /* below: no frame was left */
	FORT_FLAGS_ABORT,    /* not equal: a helper has ended the run */
	FORT_FLAGS_EXCHANGE, /* not equal: somebody came between */
};

/* Marks of a byte of the image. */
enum fort_inspect_mark {
	FORT_MARK_OPEN = 1,    /* an instruction that may be entered from anywhere */
	FORT_MARK_ENTERED = 2, /* something does */
	FORT_MARK_EXIT = 4, /* start of a block that only leaves: fit for any state with the run */
	FORT_MARK_LEFT_BY = 8,  /* entered by what may only leave */
	FORT_MARK_WAY_OUT = 16, /* start of a block that returns to the gate */
	FORT_MARK_OUT_BY = 32,  /* entered by the end of a block that only leaves */
};

/* Something that holds on the straight way here only. Whoever relies on it closes the way between
 * `since` and here to jumps. */
struct fort_inspect_fact {
	uint8_t value;
	uint32_t since; /* the first instruction after which it holds */
};

#define FORT_INSPECT_WORDS  16u /* of the machine stack, of one frame */
#define FORT_INSPECT_RECENT 4u

struct fort_inspect_state {
	uint8_t reg[FORT_X64_REGS];          /* tags; of r10 and r11 see scratch */
	struct fort_inspect_fact scratch[2]; /* tags of r10 and r11 */
	struct fort_inspect_fact flags, paid, saved;
	uint8_t stack[FORT_INSPECT_WORDS], depth;
	bool fresh;                           /* nothing comes here from the instruction before */
	bool deeper;                          /* rbp is the callee's */
	bool owed;                            /* fuel was taken that may not have been there */
	bool leaving;                         /* fuel was given back: the run must end */
	bool unchecked;                       /* a helper may have ended the run */
	bool out;                             /* rsp is the gate's */
	bool only_exit;                       /* nothing else since `straight` */
	uint32_t straight;                    /* no jump or call since */
	uint32_t plain;                       /* nothing but plain instructions since */
	uint32_t rax_kept;                    /* not written, but by an exchange, since */
	uint32_t recent[FORT_INSPECT_RECENT]; /* starts of instructions, newest first */
};

/* A jump a few bytes on, inside of what one instruction of the program became: what the scratch
 * registers are goes along. */
struct fort_inspect_hop {
	uint32_t target;
	struct fort_inspect_fact scratch[2];
};
#define FORT_INSPECT_HOPS      16u
#define FORT_INSPECT_HOP_BYTES 64u

struct fort_inspect_reader {
	const struct fort_inspect *image;
	uint8_t *marks; /* of each byte: enum fort_inspect_mark */
	uint32_t at, next;
	struct fort_inspect_state state;
	struct fort_inspect_hop hops[FORT_INSPECT_HOPS]; /* that have not arrived */
	uint32_t n_hops;
	enum fort_inspect_fault fault;
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

/* --- inspect_operand.c --- */

/* Shapes of operands, as bits: an operand may have several. */
enum fort_inspect_shape {
	FORT_SHAPE_NONE = 0,
	FORT_SHAPE_R = 1 << 0,
	FORT_SHAPE_I = 1 << 1,
	FORT_SHAPE_M = 1 << 2,
	FORT_SHAPE_A = 1 << 3,
	FORT_SHAPE_T = 1 << 4,
	FORT_SHAPE_ANY = 1 << 5,
	FORT_SHAPE_FUEL = 1 << 6,
	FORT_SHAPE_FRAME = 1 << 7,
	FORT_SHAPE_SP = 1 << 8,
	FORT_SHAPE_LEFT = 1 << 9,
	FORT_SHAPE_COUNT = 1 << 10,
	FORT_SHAPE_SLOT = 1 << 11,
	FORT_SHAPE_FIELD = 1 << 12, /* of the first row; that of others follow */
};

enum fort_inspect_field {
#define FORT_FIELD(shape, ...) FORT_FIELD_##shape,
#include "engine/inspect.def"
	FORT_INSPECT_FIELDS
};

/* All shapes that an operand has where the reader is. */
uint32_t fort_inspect_shapes(const struct fort_inspect_reader *reader,
			     const ZydisDecodedOperand *operand);
/* The register of an operand; FORT_X64_REGS for those that are no general ones. */
enum fort_x64_reg fort_inspect_reg(ZydisRegister reg);
enum fort_inspect_tag fort_inspect_tag_of(const struct fort_inspect_state *state,
					  enum fort_x64_reg reg);
void fort_inspect_set_tag(struct fort_inspect_reader *reader, enum fort_x64_reg reg,
			  enum fort_inspect_tag tag);
/* Relies on a fact. */
uint8_t fort_inspect_use(struct fort_inspect_reader *reader, struct fort_inspect_fact *fact);
/* Relies on what the operand's registers are, where that is such a fact. */
void fort_inspect_use_operand(struct fort_inspect_reader *reader,
			      const ZydisDecodedOperand *operand);

/* --- inspect_rule.c --- */

enum fort_inspect_rule_id {
	/* What blocks that only leave are made of. */
	FORT_RULE_PLAIN,
	FORT_RULE_NOTHING,
	FORT_RULE_REFUND,
	FORT_RULE_LOAD_ENTRY,
	FORT_RULE_TELL,
	FORT_RULE_LEAVE,
	FORT_RULE_EXIT_LAST = FORT_RULE_LEAVE,
	/* All others. */
	FORT_RULE_EXCHANGE,
	FORT_RULE_TAKE_FUEL,
	FORT_RULE_SAVE_FUEL,
	FORT_RULE_LOAD_FUEL,
	FORT_RULE_LOAD_COUNT,
	FORT_RULE_COUNT_DOWN,
	FORT_RULE_FRAME_DOWN,
	FORT_RULE_FRAME_UP,
	FORT_RULE_ASK_ABORT,
	FORT_RULE_PUSH,
	FORT_RULE_POP,
	FORT_RULE_JUMP,
	FORT_RULE_BRANCH,
	FORT_RULE_CALL,
	FORT_RULE_CALL_HOST,
	FORT_RULE_RETURN,
	FORT_RULES
};

/* Applies a rule to the instruction at reader->at. False and the fault. */
bool fort_inspect_apply(struct fort_inspect_reader *reader, enum fort_inspect_rule_id rule);
/* Takes in the hops that arrive at reader->at. False, and the fault, when one leads between
 * instructions. */
bool fort_inspect_arrive(struct fort_inspect_reader *reader);
/* The state in which code is entered from elsewhere. */
void fort_inspect_open(struct fort_inspect_reader *reader);
/* Is it this one, but for facts? */
bool fort_inspect_is_open(const struct fort_inspect_state *state);
