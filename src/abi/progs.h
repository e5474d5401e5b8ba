/* Program types and their contexts, from progs.def and ctx/. */
#pragma once

#include "base/compiler.h"

enum fort_prog_id {
#define FORT_PROG(id, ...) FORT_PROG_##id,
#include "abi/progs.def"
	FORT_PROGS
};

/* One bit per program type, for columns that list several. */
enum fort_prog_bit {
#define FORT_PROG(id, number, bit, ...) FORT_BIT_##bit = 1u << FORT_PROG_##id,
#include "abi/progs.def"
};

enum fort_packet_rights {
	FORT_PACKET_NONE,
	FORT_PACKET_READ,
	FORT_PACKET_RO,
	FORT_PACKET_RW,
	FORT_PACKET_BUF,
};
enum fort_attach_rule {
	FORT_ATTACH_IS_FREE,
	FORT_ATTACH_IS_OWN,
	FORT_ATTACH_IS_OWN_OR_FIRST,
	FORT_ATTACH_IS_ZERO,
	FORT_ATTACH_IS_MEMBER,
};
enum fort_target_rule { FORT_TARGET_NONE, FORT_TARGET_NEEDED, FORT_TARGET_PROG };
enum fort_sleepable { FORT_SLEEP_NEVER, FORT_SLEEP_MAY, FORT_SLEEP_MUST };

struct fort_ctx; /* abi/ctx.h */

struct fort_prog_info {
	const char *name;
	uint32_t number;   /* BPF_PROG_TYPE_* */
	uint32_t bit;      /* enum fort_prog_bit */
	uint8_t packet;    /* enum fort_packet_rights */
	uint8_t sleepable; /* enum fort_sleepable */
	uint8_t attach;    /* enum fort_attach_rule */
	uint8_t target;    /* enum fort_target_rule */
	bool runs;         /* else only its rules are known */
	bool ld_abs;       /* may use the legacy packet loads */
	const struct fort_ctx *ctx;
};

extern const struct fort_prog_info fort_progs[FORT_PROGS];

/* Columns that say whether bpfort can run the thing expand to these. */
enum { FORT_VERIFY, FORT_RUN };

/* The type with this number or this name, or NULL; of those that bpfort runs. */
const struct fort_prog_info *fort_prog_runs(uint32_t number);
/* Of all. */
const struct fort_prog_info *fort_prog_by_number(uint32_t number);
const struct fort_prog_info *fort_prog_by_name(const char *name);
