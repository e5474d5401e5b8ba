/* Instructions as text, in the form of the kernel's verifier log and of bpftool:
 * "(07) r1 += -8", "(85) call bpf_map_lookup_elem#1".
 */
#pragma once

#include "base/text.h"
#include "isa/insn.h"

/* Names that the instruction set does not know. Every member may be NULL, as may the whole. */
struct fort_disasm_names {
	/* The function that a helper call or kfunc call reaches, or NULL if unknown. */
	const char *(*call)(void *context, const struct fort_insn *insn);
	/* What a 64-bit immediate means ("map[id:5]"), or NULL: its number is printed. */
	const char *(*imm)(void *context, const struct fort_insn *insn);
	void *context;
};

/* Adds the text of one decoded instruction, without a line end. The second slot of a 64-bit
 * immediate has none.
 */
void fort_insn_text(const struct fort_insn *insn, const struct fort_disasm_names *names,
		    struct fort_text *out);
