/* What helpers take and return: register types, argument kinds, return kinds. From regtypes.def,
 * args.def and returns.def.
 */
#pragma once

#include "base/compiler.h"
#include "base/text.h"

enum fort_regtype {
#define FORT_REGTYPE(id, text) FORT_REGTYPE_##id,
#include "abi/regtypes.def"
	FORT_REGTYPES
};

/* The kernel's word, as in "R1 type=WORD". */
const char *fort_regtype_text(enum fort_regtype type);

enum fort_fits {
	FORT_FITS_NONE,
#define FORT_FITS(id, ...) FORT_FITS_##id,
#include "abi/args.def"
	FORT_FITS_SETS
};

#define FORT_FITS_MAX 9u /* register types of one set */

/* Each set in the kernel's order, ended by FORT_REGTYPE_NONE. */
extern const uint8_t fort_fits_sets[FORT_FITS_SETS][FORT_FITS_MAX + 1];

/* May a register of this type be given where the set is asked for? */
bool fort_fits(enum fort_fits set, enum fort_regtype type);
/* The set as the kernel lists it: "fp, pkt, ...". For hosts, like fort_regtype_text. */
void fort_fits_text(enum fort_fits set, struct fort_text *out);

enum fort_arg {
#define FORT_ARG(id, ...) FORT_ARG_##id,
#include "abi/args.def"
	FORT_ARGS
};

enum fort_arg_base {
	FORT_BASE_NONE,
	FORT_BASE_ANY,     /* any initialised register */
	FORT_BASE_ANY_OPT, /* any register */
	FORT_BASE_MAP,     /* the map argument */
	FORT_BASE_KEY,     /* key_size bytes, of the map argument before it */
	FORT_BASE_VALUE,   /* value_size bytes of the same */
	FORT_BASE_MEM,     /* `bytes`, or as many as the next argument says */
	FORT_BASE_SIZE,
	FORT_BASE_CONST_SIZE,
	FORT_BASE_CTX,
	FORT_BASE_FUNC,
	FORT_BASE_STACK,
	FORT_BASE_CONST_STR,
	FORT_BASE_RING_MEM,
	FORT_BASE_SPIN_LOCK, /* this and the next two: in a map's value or a program's object */
	FORT_BASE_TIMER,
	FORT_BASE_KPTR,
	FORT_BASE_DYNPTR,
	FORT_BASE_SOCK,
	FORT_BASE_BTF,
	FORT_BASE_PERCPU_BTF, /* a per-CPU variable of the kernel */
};

enum fort_arg_flag {
	FORT_ARG_NULL_OK = 1,
	FORT_ARG_ZERO_OK = 2,
	FORT_ARG_READ = 4,
	FORT_ARG_WRITE = 8,
	FORT_ARG_UNINIT = 16,
	FORT_ARG_RELEASE = 32,
	FORT_ARG_ALIGNED = 64,
	FORT_ARG_LOCAL = 128,
	FORT_ARG_RING = 256,
};

struct fort_arg_info {
	uint8_t base;    /* enum fort_arg_base */
	uint8_t fits;    /* enum fort_fits */
	uint16_t flags;  /* enum fort_arg_flag */
	uint32_t bytes;  /* MEM of fixed size; else 0 */
	const char *btf; /* BTF: struct of the kernel; NULL where the context decides */
};

extern const struct fort_arg_info fort_args[FORT_ARGS];

enum fort_returns {
#define FORT_RET(id, ...) FORT_RET_##id,
#include "abi/returns.def"
	FORT_RETS
};

struct fort_ret_info {
	uint8_t regtype; /* enum fort_regtype */
	bool null_ok;
	const char *btf;
};

extern const struct fort_ret_info fort_rets[FORT_RETS];
