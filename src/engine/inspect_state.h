/* Inside of the output checker: its state, and what its parts offer each other. */
#pragma once

#include <Zydis/Zydis.h>

#include "engine/inspect.h"
#include "engine/x64_emit.h"

/* What a register or a word of the machine stack is. */
enum fort_inspect_tag {
	FORT_TAG_LOST,  /* not to be read: the host's, or from one of several ways here */
	FORT_TAG_KEPT,  /* the same, and the host wants it back: not to be written either */
	FORT_TAG_BYTE,  /* lost, but for the low byte, which is a program's */
	FORT_TAG_WORD,  /* a program's */
	FORT_TAG_CONST, /* a program's, and known: reader->constants */
	FORT_TAG_FRAME, /* the frame pointer */
	FORT_TAG_RUN,
	FORT_TAG_FUEL,
	FORT_TAG_ENTRY,    /* run->engine */
	FORT_TAG_SERVICES, /* run->services */
	FORT_TAG_STACK,    /* the machine stack */
	FORT_TAG_PAD,      /* a word of it that is nothing */
};

/* What the flags tell. */
enum fort_inspect_flags {
	FORT_FLAGS_NOTHING,
	FORT_FLAGS_FUEL,     /* below: it was not there */
	FORT_FLAGS_FRAMES,   /* below: no frame was left */
	FORT_FLAGS_ABORT,    /* not equal: a helper has ended the run */
	FORT_FLAGS_EXCHANGE, /* not equal: somebody came between */
};

/* Where in an image the reader is. */
enum fort_inspect_part {
	FORT_PART_NOWHERE, /* nothing comes here from the instruction before */
	FORT_PART_START,   /* before the entry knows where the stack is */
	FORT_PART_BODY,
	FORT_PART_LEAVING, /* the run ends */
	FORT_PART_CLOSING, /* the host gets its registers back */
};

#define FORT_INSPECT_WORDS  16u /* of the machine stack, of one frame */
#define FORT_INSPECT_RECENT 4u

struct fort_inspect_state {
	uint8_t reg[FORT_X64_REGS]; /* tags */
	uint8_t stack[FORT_INSPECT_WORDS], depth;
	uint8_t part, flags;
	uint16_t function;
	bool deeper;     /* rbp is the callee's */
	bool saved;      /* fuel is in the run */
	bool unchecked;  /* a helper may have ended the run */
	uint8_t counted; /* 1: a frame was taken for a call; 2: it was made */
	uint32_t owed;   /* fuel that was taken and may not have been there */
	uint64_t ahead;  /* fuel that is paid for ways to come: back, or into a call */
	uint64_t order;  /* of the last label */
};

/* A jump over a few bytes of what one operation became: to no label, with the whole state. */
struct fort_inspect_hop {
	uint32_t target;
	struct fort_inspect_state state;
};
#define FORT_INSPECT_HOPS      16u
#define FORT_INSPECT_HOP_BYTES 127u

/* What is known of a label so far. */
struct fort_inspect_seen {
	uint16_t words; /* brought by all ways so far; once passed: what is taken for granted */
	bool entered, passed;
};

struct fort_inspect_reader {
	const struct fort_inspect *image;
	uint32_t at, next;
	struct fort_inspect_state state;
	enum fort_inspect_fault fault;
	/* What the host wants back, in the order of pushes, and what registers are after that. */
	uint8_t kept[FORT_INSPECT_WORDS], n_kept;
	uint8_t base[FORT_X64_REGS];
	bool begun;
	uint64_t constants[2];                            /* in r10 and r11 */
	struct fort_inspect_seen *seen;                   /* of each label */
	uint32_t label;                                   /* the next one */
	uint64_t (*calls)[(FORT_SUBPROGS_MAX + 64) / 64]; /* of each function: whom it calls */
	bool uncounted;                                   /* some call does not count frames */
	bool called;                                      /* the first call was made */
	struct fort_inspect_hop hops[FORT_INSPECT_HOPS];  /* that have not arrived */
	uint32_t n_hops;
	uint32_t plain;                       /* nothing but plain instructions since */
	uint32_t rax_kept;                    /* not written, but by an exchange, since */
	uint32_t recent[FORT_INSPECT_RECENT]; /* starts of instructions, newest first */
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
	FORT_SHAPE_SLOT = 1 << 9,
	FORT_SHAPE_CPU = 1 << 10,
	FORT_SHAPE_CACHED = 1 << 11,
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

/* --- inspect_label.c --- */

/* Registers that have words of the program, a bit each. */
uint16_t fort_inspect_words(const struct fort_inspect_state *state);
/* Is the state one in which code may be entered from elsewhere, but for what registers have? */
bool fort_inspect_is_open(const struct fort_inspect_reader *reader);
/* Nothing comes here from the instruction before. */
void fort_inspect_nowhere(struct fort_inspect_reader *reader);
/* The label that the reader has come to, and the hops that arrive, or the fault. */
bool fort_inspect_arrive(struct fort_inspect_reader *reader);
/* Jumps and calls from where the reader is: to where the program goes on; to the end of the run; to
 * a function, which is returned. Or the fault. */
bool fort_inspect_go(struct fort_inspect_reader *reader, uint32_t target);
bool fort_inspect_end(struct fort_inspect_reader *reader, uint32_t target);
bool fort_inspect_call(struct fort_inspect_reader *reader, uint32_t target, uint32_t *function);
/* What can be said of labels and functions only at the end. */
bool fort_inspect_settle(struct fort_inspect_reader *reader);

/* --- inspect_rule.c --- */

enum fort_inspect_rule_id {
	FORT_RULE_PLAIN,
	FORT_RULE_EXCHANGE,
	FORT_RULE_MOVE,
	FORT_RULE_TAKE_FUEL,
	FORT_RULE_REFUND,
	FORT_RULE_SAVE_FUEL,
	FORT_RULE_LOAD_FUEL,
	FORT_RULE_LOAD_ENTRY,
	FORT_RULE_LOAD_SERVICES,
	FORT_RULE_TELL,
	FORT_RULE_TELL_NUMBER,
	FORT_RULE_ENTER,
	FORT_RULE_LEAVE,
	FORT_RULE_COUNT_DOWN,
	FORT_RULE_COUNT_UP,
	FORT_RULE_FRAME_DOWN,
	FORT_RULE_FRAME_UP,
	FORT_RULE_PAD,
	FORT_RULE_UNPAD,
	FORT_RULE_PUSH,
	FORT_RULE_POP,
	FORT_RULE_ASK_ABORT,
	FORT_RULE_JUMP,
	FORT_RULE_TAIL,
	FORT_RULE_BRANCH,
	FORT_RULE_CALL,
	FORT_RULE_CALL_HOST,
	FORT_RULE_RETURN,
	FORT_RULES
};

/* What a register is from now on; false, and the fault, when nobody claims that it is written. */
bool fort_inspect_set_tag(struct fort_inspect_reader *reader, enum fort_x64_reg reg,
			  enum fort_inspect_tag tag);
/* Is r12 fuel? */
bool fort_inspect_has_fuel(const struct fort_inspect_state *state);
/* May the host get its registers back from here on? Then it does. */
bool fort_inspect_begins_closing(struct fort_inspect_reader *reader);

/* --- inspect_control.c: rules --- */

bool fort_inspect_rule_jump(struct fort_inspect_reader *reader);
bool fort_inspect_rule_branch(struct fort_inspect_reader *reader);
bool fort_inspect_rule_call(struct fort_inspect_reader *reader);
bool fort_inspect_rule_call_host(struct fort_inspect_reader *reader);
bool fort_inspect_rule_ask_abort(struct fort_inspect_reader *reader);
bool fort_inspect_rule_tail(struct fort_inspect_reader *reader);
bool fort_inspect_rule_return(struct fort_inspect_reader *reader);

/* --- inspect_rule.c again: all of them --- */

/* Applies a rule to the instruction at reader->at. False and the fault. */
bool fort_inspect_apply(struct fort_inspect_reader *reader, enum fort_inspect_rule_id rule);
/* The state in which the host calls the image. */
void fort_inspect_start(struct fort_inspect_reader *reader);

static inline bool fort_inspect_refuse(struct fort_inspect_reader *reader,
				       enum fort_inspect_fault fault)
{
	reader->fault = fault;
	return false;
}
