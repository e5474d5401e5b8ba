/* Telling instructions apart before they are decoded: what the store must find is a handful of
 * 64-bit immediates.
 */
#pragma once

#include "isa/insn.h"

/* Is this slot an instruction of that row, as far as the fields that select rows say? For rows
 * that are told apart by src. */
static inline bool fort_raw_is(const struct fort_raw_insn *insn, enum fort_row row)
{
	return insn->opcode == fort_rows[row].opcode && insn->src == fort_rows[row].value;
}
