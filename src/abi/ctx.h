/* Contexts of programs, and objects behind pointers: which bytes may be accessed how, and what a
 * load gives. From ctx.def and ctx/.
 */
#pragma once

#include "abi/args.h"
#include "abi/hooks.h"

enum fort_access_rule {
#define FORT_RULE(id, ...) FORT_RULE_##id,
#include "abi/ctx.def"
};

enum fort_yield {
#define FORT_YIELD(id, ...) FORT_YIELD_##id,
#include "abi/ctx.def"
	FORT_YIELDS
};

/* What a register is after a load that yields so. */
extern const struct fort_ret_info fort_yields[FORT_YIELDS];

struct fort_ctx_field {
	uint16_t offset, bytes;
	uint16_t image;            /* offset in the run-time image */
	uint8_t read, write;       /* enum fort_access_rule */
	uint8_t yields;            /* enum fort_yield */
	uint8_t at;                /* which attach types: a row of FORT_AT */
	uint32_t readers, writers; /* enum fort_prog_bit */
};

/* One struct. */
struct fort_ctx {
	const struct fort_ctx_field *fields;
	uint32_t n_fields;
	uint32_t bytes;       /* as PROG_TEST_RUN takes it; 0: not limited to one size */
	uint32_t image_bytes; /* of the context that a program really sees */
};

enum fort_ctx_id {
#define FORT_CTX(id, ...) FORT_CTX_##id,
#include "abi/ctx.def"
	FORT_CTXS
};

extern const struct fort_ctx fort_ctxs[FORT_CTXS];

/* Does bpfort offer what such a load yields? What it does not leads to objects of the kernel. */
static inline bool fort_yield_runs(enum fort_yield yields)
{
	return yields <= FORT_YIELD_PACKET_END;
}

/* The first field that contains byte `offset` of the type's context, or NULL. */
const struct fort_ctx_field *fort_ctx_field_at(const struct fort_prog_info *prog, int64_t offset);
/* The kernel's name of one of the type's fields. For hosts. */
const char *fort_ctx_field_name(const struct fort_prog_info *prog,
				const struct fort_ctx_field *field);

/* May such a program access `bytes` bytes at `offset` of its context this way? The field is
 * returned for an allowed access, NULL otherwise. `sign_extends`: the load is a sign-extending one.
 */
const struct fort_ctx_field *fort_ctx_access(const struct fort_hook *hook, int64_t offset,
					     uint32_t bytes, bool write, bool sign_extends);
/* May any program do so through a pointer of this type (a socket, flow keys, ...)? */
bool fort_behind_access(enum fort_regtype through, int64_t offset, uint32_t bytes, bool write);
