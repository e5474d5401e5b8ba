/* The registers of a stopped thread or of a hit, as words in the kernel's order: the first 21 are
 * struct pt_regs, which programs see as their context; all 27 are what ptrace reads and writes
 * (struct user_regs_struct of x86-64).
 */
#pragma once

#include <stdint.h>

enum fort_reg {
	FORT_REG_R15,
	FORT_REG_R14,
	FORT_REG_R13,
	FORT_REG_R12,
	FORT_REG_RBP,
	FORT_REG_RBX,
	FORT_REG_R11,
	FORT_REG_R10,
	FORT_REG_R9,
	FORT_REG_R8,
	FORT_REG_RAX,
	FORT_REG_RCX,
	FORT_REG_RDX,
	FORT_REG_RSI,
	FORT_REG_RDI,
	FORT_REG_ORIG_RAX,
	FORT_REG_RIP,
	FORT_REG_CS,
	FORT_REG_FLAGS,
	FORT_REG_RSP,
	FORT_REG_SS,
	FORT_HIT_REGS, /* how many a program sees */
	FORT_REG_FS_BASE = FORT_HIT_REGS,
	FORT_REG_GS_BASE,
	FORT_REG_DS,
	FORT_REG_ES,
	FORT_REG_FS,
	FORT_REG_GS,
	FORT_REGS
};

struct fort_regs {
	uint64_t word[FORT_REGS];
};

#define FORT_USER_CS   0x33 /* 64-bit code; 0x23 is 32-bit */
#define FORT_USER_CS32 0x23
#define FORT_USER_SS   0x2b
