/* Inside step/: dynptrs as arguments. */
#pragma once

#include "step/slots.h"

#define FORT_DYNPTR_ANY   FORT_DYNPTRS /* in place of a kind */
#define FORT_DYNPTR_SLOTS 2u

/* A dynptr that is an argument: what is asked of it, and what was found. */
struct fort_dynptr_arg {
	uint8_t kind; /* enum fort_dynptr that it must have, or that is made; or ANY */
	bool makes;   /* it need not be one yet */
	bool changes; /* it is changed, so it may not be a constant one */
	bool given, is_constant;
	struct fort_place place; /* unless it is constant */
	struct fort_value value; /* unless it is made */
};

/* Checks the argument in a register, and fills the rest of *arg. Changes nothing. */
bool fort_dynptr_check(struct fort_rule *rule, unsigned reg, struct fort_dynptr_arg *arg);
/* Makes a dynptr of the kind that was asked for, held by a reference or not (0). */
bool fort_dynptr_make(struct fort_rule *rule, const struct fort_dynptr_arg *arg, uint32_t ref);
/* Is the memory of such dynptrs the packet's? */
bool fort_dynptr_is_packet(uint8_t kind);
