/* Functions of the kernel that programs may call, from kfuncs.def. */
#pragma once

#include "abi/hooks.h"

enum fort_kfunc_id {
#define FORT_KFUNC(name, ...) FORT_KFUNC_##name,
#include "abi/kfuncs.def"
	FORT_KFUNCS
};

enum fort_kfunc_flag {
	FORT_KFUNC_ACQUIRE = 1,
	FORT_KFUNC_RELEASE = 2,
	FORT_KFUNC_RET_NULL = 4,
	FORT_KFUNC_TRUSTED = 8,
	FORT_KFUNC_RCU = 16,
	FORT_KFUNC_RCU_PROTECTED = 32,
	FORT_KFUNC_SLEEPABLE = 64,
	FORT_KFUNC_DESTRUCTIVE = 128,
	FORT_KFUNC_ITER_NEW = 256,
	FORT_KFUNC_ITER_NEXT = 512,
	FORT_KFUNC_ITER_DESTROY = 1024,
	FORT_KFUNC_FASTCALL = 2048,
	FORT_KFUNC_UNDER_LOCK = 4096,
	FORT_KFUNC_CALLS = 8192,
	FORT_KFUNC_CALLS_LATER = 16384,
	FORT_KFUNC_DEVICE = 32768,
};

struct fort_kfunc_info {
	const char *name;
	uint64_t attach; /* bits of enum fort_attach */
	uint32_t progs;  /* enum fort_prog_bit */
	uint16_t flags;  /* enum fort_kfunc_flag */
	bool runs;
};

extern const struct fort_kfunc_info fort_kfuncs[FORT_KFUNCS];

/* The kfunc of this name, or NULL. */
const struct fort_kfunc_info *fort_kfunc_by_name(const char *name);
/* Is it in a set of such a program? */
bool fort_kfunc_is_for(const struct fort_kfunc_info *kfunc, const struct fort_hook *hook);
