/* The kernel that a program is meant for, as far as its types go: its BTF, and in it all that the
 * tables name. Opened once, shared by everything that verifies, and never changed.
 */
#pragma once

#include "abi/ctx.h"
#include "abi/kfuncs.h"
#include "abi/maps.h"
#include "base/sha256.h"
#include "btf/kernel.h"
#include "btf/proto.h"
#include "btf/tracing.h"
#include "step/step.h"

enum fort_known {
#define FORT_KNOWN(id, ...) FORT_KNOWN_##id,
#include "step/known.def"
	FORT_KNOWNS
};

/* Ids of structs, by what names them; 0 where the kernel has none of the name. */
struct fort_kernel {
	const struct fort_btf *btf;
	uint32_t args[FORT_ARGS], rets[FORT_RETS], yields[FORT_YIELDS];     /* columns `btf` */
	uint32_t regs[FORT_REGTYPES], maps[FORT_MAPS], others[FORT_KNOWNS]; /* known.def */
	uint32_t contexts[FORT_PROGS];     /* the kernel's own in place of what programs see */
	uint8_t digest[FORT_SHA256_BYTES]; /* of the BTF */
	uint32_t percpu_section;           /* of variables that each processor has */
	uint32_t mark_offset, mark_bytes; /* of a CONNECTION: what programs may write; or 0 bytes */
};

/* A function of the kernel that the program calls. */
struct fort_kfunc_ref {
	int64_t imm; /* as instructions name it: imm and off */
	int32_t off;
	uint16_t diag; /* enum fort_diag: why nobody can call it; or NONE, and then: */
	uint16_t id;   /* enum fort_kfunc_id */
	struct fort_btf_proto proto;
	struct fort_btf_remark why; /* of diag, if it has one */
};

/* The function that a call names, or NULL: not one of those that may be named. */
const struct fort_kfunc_ref *fort_env_kfunc(const struct fort_env *env,
					    const struct fort_insn *insn);

/* --- for hosts --- */

/* The types of a kernel: fort_btf_open_kernel, and its errors. The caller owns *out. */
FORT_CHECKED int fort_kernel_open(const char *path, struct fort_kernel **out,
				  struct fort_btf_error *error);
void fort_kernel_close(struct fort_kernel *kernel);

/* Tells an environment, whose program and hook are there, of the kernel: what the program is
 * attached to (`target`, an id of its BTF; 0: nothing), and the functions that it calls. The kernel
 * outlives the environment; the rest is the arena's. Returns 0 or -ENOMEM; or the errno of a target
 * that cannot be, with *remark (fort_btf_find_target).
 */
FORT_CHECKED int fort_env_meet(struct fort_env *env, struct fort_arena *arena,
			       const struct fort_kernel *kernel, uint32_t target,
			       struct fort_btf_remark *remark);
