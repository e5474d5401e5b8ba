/* The registers of a stopped thread or of a hit, as words in the kernel's order: the first 21 are
 * struct pt_regs, which programs see as their context; all 27 are what ptrace reads and writes
 * (struct user_regs_struct of x86-64).
 */
#pragma once

#include <stdint.h>

enum fort_cpu_reg {
	FORT_CPU_R15,
	FORT_CPU_R14,
	FORT_CPU_R13,
	FORT_CPU_R12,
	FORT_CPU_RBP,
	FORT_CPU_RBX,
	FORT_CPU_R11,
	FORT_CPU_R10,
	FORT_CPU_R9,
	FORT_CPU_R8,
	FORT_CPU_RAX,
	FORT_CPU_RCX,
	FORT_CPU_RDX,
	FORT_CPU_RSI,
	FORT_CPU_RDI,
	FORT_CPU_ORIG_RAX,
	FORT_CPU_RIP,
	FORT_CPU_CS,
	FORT_CPU_FLAGS,
	FORT_CPU_RSP,
	FORT_CPU_SS,
	FORT_HIT_REGS, /* how many a program sees */
	FORT_CPU_FS_BASE = FORT_HIT_REGS,
	FORT_CPU_GS_BASE,
	FORT_CPU_DS,
	FORT_CPU_ES,
	FORT_CPU_FS,
	FORT_CPU_GS,
	FORT_CPU_REGS
};

struct fort_regs {
	uint64_t word[FORT_CPU_REGS];
};

#define FORT_USER_CS   0x33 /* 64-bit code; 0x23 is 32-bit */
#define FORT_USER_CS32 0x23
#define FORT_USER_SS   0x2b
