/* One instruction of x86-64 machine code, as far as moving it elsewhere is concerned. Decoded by
 * Zydis.
 */
#pragma once

#include "base/compiler.h"

#define FORT_MACHINE_INSN_BYTES 15u

enum fort_machine_kind {
	FORT_MACHINE_PLAIN, /* goes on behind itself */
	FORT_MACHINE_NOP,
	FORT_MACHINE_ENDBR,
	FORT_MACHINE_SYSCALL,
	FORT_MACHINE_JUMP,          /* to `target` */
	FORT_MACHINE_BRANCH,        /* jcc: to `target` or behind itself */
	FORT_MACHINE_LOOP,          /* loop, jrcxz: the same, 8-bit distance only */
	FORT_MACHINE_CALL,          /* of `target` */
	FORT_MACHINE_JUMP_INDIRECT, /* to what a register or memory holds */
	FORT_MACHINE_CALL_INDIRECT,
	FORT_MACHINE_RETURN,
	FORT_MACHINE_BREAKPOINT, /* int3 */
	FORT_MACHINE_TRAP,       /* ud2, hlt: nothing behind it runs */
	FORT_MACHINE_BARRED,     /* cannot be moved: far branches, transactions, ... */
};

struct fort_machine_insn {
	enum fort_machine_kind kind;
	uint8_t bytes;
	uint8_t condition; /* BRANCH: low bits of the opcode */
	uint8_t modrm_at;  /* where its ModRM byte is; 0: none */
	uint8_t disp_at;   /* RIP-relative: where the 32-bit displacement is; 0: none */
	bool uses_rsp;     /* addresses memory by rsp, or branches to rsp */
	uint64_t target;   /* of a direct branch */
	uint64_t memory;   /* RIP-relative: the address meant */
	uint64_t table;    /* memory operand without base register: its displacement; 0: none */
};

/* Decodes the instruction at `code`, which lies at `address`. False when the bytes are none. */
FORT_CHECKED bool fort_machine_decode(const uint8_t *code, size_t bytes, uint64_t address,
				      struct fort_machine_insn *out);

/* Does control never come to what is behind the instruction? */
bool fort_machine_ends(const struct fort_machine_insn *insn);
