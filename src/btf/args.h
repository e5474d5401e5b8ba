/* What the global functions of a program take: the verifier checks each of them once, by its
 * prototype and tags, and each call against them (btf_prepare_func_args in kernel/bpf/btf.c).
 */
#pragma once

#include "base/limits.h"
#include "btf/remark.h"

enum fort_func_arg_kind {
	FORT_FUNC_NUMBER,
	FORT_FUNC_CONTEXT,
	FORT_FUNC_DYNPTR, /* read-only */
	FORT_FUNC_MEMORY,
	FORT_FUNC_STRUCT, /* of the kernel */
	FORT_FUNC_ARENA,
};

struct fort_func_arg {
	uint8_t kind;      /* enum fort_func_arg_kind */
	bool may_be_null;  /* MEMORY, STRUCT */
	bool is_untrusted; /* MEMORY (read-only, of any size), STRUCT; else a STRUCT is trusted */
	uint32_t bytes;    /* MEMORY */
	uint32_t type;     /* STRUCT: its id in the kernel's BTF */
};

struct fort_func_args {
	uint32_t count;
	struct fort_func_arg args[FORT_BTF_FUNC_ARGS_MAX];
};

/* Whose function it is. */
struct fort_func_owner {
	uint32_t prog_type, attach_type; /* BPF_PROG_TYPE_*; EXT: those of the target */
	const struct fort_btf *kernel;   /* NULL: not known */
};

/* Does FUNC `id` return a number? */
bool fort_btf_func_returns_number(const struct fort_btf *btf, uint32_t id);

/* Arguments of FUNC `id`, which is `global` or static. Static functions are not bound to what their
 * prototypes say: a failure only means that it says nothing, and *remark may then be empty.
 * Returns 0; or -EINVAL, -EFAULT, -EOPNOTSUPP, -ENOENT, -ESRCH, as the kernel does.
 */
FORT_CHECKED int fort_btf_func_args(const struct fort_btf *btf, uint32_t id, bool global,
				    const struct fort_func_owner *owner, struct fort_func_args *out,
				    struct fort_btf_remark *remark);
