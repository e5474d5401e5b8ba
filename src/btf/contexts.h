/* Which pointers are to a program's context: by the name of what they point to
 * (btf_is_prog_ctx_type and btf_validate_prog_ctx_type in kernel/bpf/btf.c).
 */
#pragma once

#include "btf/remark.h"

struct fort_btf_context {
	uint32_t number;  /* BPF_PROG_TYPE_* */
	const char *name; /* of the struct, or of a typedef; "" when the type has none */
	const char *behind, *kernel, *rules;
};

/* The row of contexts.def, or NULL. */
const struct fort_btf_context *fort_btf_context_of(uint32_t prog_type);

/* Does this PTR point to the context of such programs? */
bool fort_btf_is_context(const struct fort_btf *btf, const struct fort_btf_type *pointer,
			 uint32_t prog_type);
/* The same, of what is behind it, without modifiers. */
bool fort_btf_is_context_struct(const struct fort_btf *btf, uint32_t id, uint32_t prog_type);

/* May parameter `index`, of type `pointer` (without modifiers), be tagged as the context?
 * Returns 0, or -EINVAL with *remark.
 */
FORT_CHECKED int fort_btf_check_context(const struct fort_btf *btf,
					const struct fort_btf_type *pointer, uint32_t index,
					uint32_t prog_type, uint32_t attach_type,
					struct fort_btf_remark *remark);
