/* Conformance data files: one case each. Sections start with `-- NAME`; `#` starts a comment.
 *
 *   -- asm      instructions in the assembler's syntax
 *   -- raw      the same as 64-bit words in hex, one a line; with both, they must agree
 *   -- mem      hex bytes: the context
 *   -- result   r0: decimal or 0x hex
 *   -- error    what is said instead, exactly
 *   -- c, -- no register offset     for other tools
 *
 * Before the first section, comments of one lower-case word and a colon tell our runner more:
 *
 *   # engine: interp,x64      only these
 *   # isolation: sfi          only these
 *   # profile: kernel         load by the kernel's rules instead of RFC 9669's
 *   # fault: 0x11000          ends in a memory abort at this offset of the window
 *   # kernel: TEXT            the running kernel refuses this program and says TEXT; `-`: it
 *                             cannot be asked
 */
#pragma once

#include "base/arena.h"
#include "base/text.h"
#include "isa/insn.h"

struct data_case {
	const struct fort_raw_insn *insns;
	uint32_t n_insns;
	const uint8_t *mem;
	uint32_t mem_bytes;
	bool has_result, has_fault;
	uint64_t result, fault;
	const char *error;              /* or NULL */
	const char *engine, *isolation; /* comma-separated, or NULL for all */
	const char *profile, *kernel;   /* or NULL */
};

/* Parses `bytes` bytes of a file. Everything in *out is the arena's. Returns 0, -ENOMEM, or -EINVAL
 * with a line such as "line 3: unknown section 'asn'" in *message.
 */
FORT_CHECKED int data_parse(struct fort_arena *arena, const char *text, size_t bytes,
			    struct data_case *out, struct fort_text *message);

/* Is `word` in the comma-separated list? NULL lists everything. */
bool data_lists(const char *list, const char *word);
