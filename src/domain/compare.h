/* Comparisons, reduced: each conditional jump is one of six primitives, perhaps with its sides
 * swapped, perhaps negated. Whether a primitive is negated and which side is which are the only
 * things a transfer function for branches must get right besides the six.
 */
#pragma once

#include "isa/insn.h"

enum fort_primitive {
	FORT_CMP_EQ,
	FORT_CMP_ULT,
	FORT_CMP_ULE,
	FORT_CMP_SLT,
	FORT_CMP_SLE,
	FORT_CMP_SET, /* (a & b) != 0 */
};

struct fort_comparison {
	uint8_t primitive; /* enum fort_primitive */
	bool swap, negate;
};

static inline struct fort_comparison fort_comparison_of(enum fort_op op)
{
	switch (op) {
	case FORT_OP_JEQ: return (struct fort_comparison){FORT_CMP_EQ, false, false};
	case FORT_OP_JNE: return (struct fort_comparison){FORT_CMP_EQ, false, true};
	case FORT_OP_JLT: return (struct fort_comparison){FORT_CMP_ULT, false, false};
	case FORT_OP_JGT: return (struct fort_comparison){FORT_CMP_ULT, true, false};
	case FORT_OP_JLE: return (struct fort_comparison){FORT_CMP_ULE, false, false};
	case FORT_OP_JGE: return (struct fort_comparison){FORT_CMP_ULE, true, false};
	case FORT_OP_JSLT: return (struct fort_comparison){FORT_CMP_SLT, false, false};
	case FORT_OP_JSGT: return (struct fort_comparison){FORT_CMP_SLT, true, false};
	case FORT_OP_JSLE: return (struct fort_comparison){FORT_CMP_SLE, false, false};
	case FORT_OP_JSGE: return (struct fort_comparison){FORT_CMP_SLE, true, false};
	default: return (struct fort_comparison){FORT_CMP_SET, false, false};
	}
}

/* The comparison whose truth is `holds` of this one: not (a < b) is b <= a, and so on. */
static inline struct fort_comparison fort_comparison_when(enum fort_op op, bool holds)
{
	struct fort_comparison c = fort_comparison_of(op);

	if (c.negate == !holds) {
		c.negate = false;
		return c;
	}
	c.negate = false;
	switch (c.primitive) {
	case FORT_CMP_ULT: return (struct fort_comparison){FORT_CMP_ULE, !c.swap, false};
	case FORT_CMP_ULE: return (struct fort_comparison){FORT_CMP_ULT, !c.swap, false};
	case FORT_CMP_SLT: return (struct fort_comparison){FORT_CMP_SLE, !c.swap, false};
	case FORT_CMP_SLE: return (struct fort_comparison){FORT_CMP_SLT, !c.swap, false};
	default: c.negate = true; return c; /* EQ and SET have no opposite among the six */
	}
}
