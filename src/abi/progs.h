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

enum fort_access_rule {
	FORT_RULE_NONE,
	FORT_RULE_EXACT,
	FORT_RULE_NARROW,
	FORT_RULE_SPAN,
	FORT_RULE_U64
};

enum fort_yield {
	FORT_YIELD_SCALAR,
	FORT_YIELD_PACKET,
	FORT_YIELD_PACKET_META,
	FORT_YIELD_PACKET_END,
	FORT_YIELD_LATER, /* the kernel allows it, we do not support it yet */
};

struct fort_ctx_field {
	const char *name;
	uint32_t offset, bytes;
	uint8_t read, write;       /* enum fort_access_rule */
	uint8_t yields;            /* enum fort_yield */
	uint32_t readers, writers; /* enum fort_prog_bit */
	uint32_t image;            /* offset in the run-time image */
};

enum fort_packet_rights { FORT_PACKET_NONE, FORT_PACKET_RO, FORT_PACKET_RW, FORT_PACKET_BUF };
enum fort_attach_rule {
	FORT_ATTACH_IS_FREE,
	FORT_ATTACH_IS_OWN,
	FORT_ATTACH_IS_OWN_OR_FIRST,
	FORT_ATTACH_IS_ZERO,
	FORT_ATTACH_IS_MEMBER,
};
enum fort_target_rule { FORT_TARGET_NONE, FORT_TARGET_NEEDED, FORT_TARGET_PROG };
enum fort_sleepable { FORT_SLEEP_NEVER, FORT_SLEEP_MAY, FORT_SLEEP_MUST };

struct fort_prog_info {
	const char *name;
	uint32_t number; /* BPF_PROG_TYPE_* */
	uint32_t bit;    /* enum fort_prog_bit */
	uint32_t ctx_bytes, image_bytes;
	uint8_t packet;    /* enum fort_packet_rights */
	uint8_t sleepable; /* enum fort_sleepable */
	uint8_t attach;    /* enum fort_attach_rule */
	uint8_t target;    /* enum fort_target_rule */
	bool runs;         /* else only its rules are known */
	const struct fort_ctx_field *fields;
	uint32_t n_fields;
};

extern const struct fort_prog_info fort_progs[FORT_PROGS];

/* Columns that say whether bpfort can run the thing expand to these. */
enum { FORT_VERIFY, FORT_RUN };

/* The type with this number or this name, or NULL; of those that bpfort runs. */
const struct fort_prog_info *fort_prog_runs(uint32_t number);
/* Of all. */
const struct fort_prog_info *fort_prog_by_number(uint32_t number);
const struct fort_prog_info *fort_prog_by_name(const char *name);

/* The field that contains byte `offset` of the type's context, or NULL. */
const struct fort_ctx_field *fort_ctx_field_at(const struct fort_prog_info *prog, int64_t offset);

/* May a program of this type access `bytes` bytes at `offset` this way? The field is returned for
 * an allowed access, NULL otherwise. `sign_extends`: the load is a sign-extending one.
 */
const struct fort_ctx_field *fort_ctx_access(const struct fort_prog_info *prog, int64_t offset,
					     uint32_t bytes, bool write, bool sign_extends);
