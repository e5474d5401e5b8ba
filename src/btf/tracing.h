/* What programs that are attached to a function of the kernel see: a context of 64-bit words, one
 * for each argument, typed by the function's prototype (bpf_check_attach_target in
 * kernel/bpf/verifier.c, btf_ctx_access in kernel/bpf/btf.c).
 *
 * Targets are functions and tracepoints of the kernel, not of other programs.
 */
#pragma once

#include "btf/proto.h"

struct fort_btf_target {
	const struct fort_btf *btf;
	uint32_t prog_type, attach_type; /* BPF_PROG_TYPE_*, BPF_* attach types */
	uint32_t proto;                  /* FUNC_PROTO; 0: not known, five numbers */
	uint32_t name;                   /* as messages have it, an offset of strings */
	uint32_t hidden;                 /* parameters before the first that programs see */
	bool is_trusted;                 /* so are pointers to structs */
	bool is_iterator;                /* iterators.def has more */
	uint16_t null, error;            /* bits: arguments that may be NULL, or an error */
};

/* Finds out about target `id` of programs of this type: TRACING (RAW_TP, FENTRY, FEXIT,
 * MODIFY_RETURN, ITER) and LSM. Whether the function can be traced at all is not asked.
 * Returns 0; or -EINVAL, -EOPNOTSUPP with *remark, which the kernel leaves empty at times.
 */
FORT_CHECKED int fort_btf_find_target(const struct fort_btf *btf, uint32_t prog_type,
				      uint32_t attach_type, uint32_t id,
				      struct fort_btf_target *out, struct fort_btf_remark *remark);

enum fort_btf_ctx_kind {
	FORT_CTX_NUMBER,
	FORT_CTX_POINTER,     /* to a struct of the target's BTF */
	FORT_CTX_BUFFER,      /* memory of a size that the program's attachment decides */
	FORT_CTX_READ_BUFFER, /* the same, read-only */
};

struct fort_btf_ctx_value {
	uint8_t kind;   /* enum fort_btf_ctx_kind */
	uint8_t traits; /* POINTER: enum fort_btf_trait, of its tags */
	bool is_trusted, may_be_null;
	bool is_result; /* what an LSM hook has decided so far */
	uint32_t type;  /* POINTER: the struct */
};

/* What a load of `bytes` bytes at `offset` of the context gives. Returns 0, or -EACCES.
 * *remark: why not; what the kernel's log says of a pointer that is loaded; or empty.
 */
FORT_CHECKED int fort_btf_target_access(const struct fort_btf_target *target, uint32_t offset,
					uint32_t bytes, struct fort_btf_ctx_value *out,
					struct fort_btf_remark *remark);

/* The same for programs of netfilter, whose context is struct bpf_nf_ctx. -EACCES also when the
 * kernel's BTF has no such types.
 */
FORT_CHECKED int fort_btf_netfilter_access(const struct fort_btf *btf, uint32_t offset,
					   uint32_t bytes, struct fort_btf_ctx_value *out);
