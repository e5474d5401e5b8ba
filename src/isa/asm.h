/* The assembler of the conformance data files, for tests and tools: text in, raw slots out.
 *
 *   name:                      a label, alone or before an instruction
 *   add %r1, 7                 registers with or without %; decimal or 0x hex numbers
 *   ldxdw r0, [r1+8]           memory operands
 *   lock fetch_add [r1], r2    (or `lock fetch add`); swap16 may be written bswap16
 *   jeq32 r1, 0x10, name       targets are labels or +N / -N slots; `exit` without such a label
 *                              is the first exit instruction
 *   call 5, call r2, call local name, call kfunc 7, 1
 *   lddw r1, 0x1122334455667788
 *   lddw r1, map_idx_value 2, 16        pseudo sources by isa.def's symbol; `func name`
 *
 * One instruction a line; `#` starts a comment. Mnemonics are isa.def's. What can be written can
 * be wrong on purpose: registers up to r15 pass, so that tests can reach the decoder's checks.
 */
#pragma once

#include "base/arena.h"
#include "base/text.h"
#include "isa/insn.h"

struct fort_assembly {
	const struct fort_raw_insn *insns; /* the arena's */
	uint32_t n_insns;                  /* at least 1 */
};

struct fort_asm_error {
	uint32_t line, column; /* from 1 */
	const char *expected;  /* "a register" */
};

/* Assembles `bytes` bytes of text. Returns 0, -ENOMEM, or -EINVAL with *error filled. */
FORT_CHECKED int fort_assemble(struct fort_arena *arena, const char *text, size_t bytes,
			       struct fort_assembly *out, struct fort_asm_error *error);

/* "line 3, column 9: expected a register" */
void fort_asm_error_text(const struct fort_asm_error *error, struct fort_text *out);
