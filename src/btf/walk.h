/* What lies at an offset inside of a struct: the rules by which the kernel types a load through a
 * pointer to one of its structs (btf_struct_walk and btf_struct_access in kernel/bpf/btf.c).
 *
 * Walks are bounded whatever the types are, and need no memory.
 */
#pragma once

#include "btf/remark.h"

enum fort_btf_spot_kind {
	FORT_SPOT_NUMBER,
	FORT_SPOT_STRUCT_POINTER,
	FORT_SPOT_OTHER_POINTER, /* to numbers, void, functions, pointers: memory of unknown size */
	FORT_SPOT_STRUCT,        /* the start of a struct or union (fort_btf_at only) */
};

struct fort_btf_spot {
	uint8_t kind;    /* enum fort_btf_spot_kind */
	uint8_t traits;  /* enum fort_btf_trait; UNTRUSTED: the way led through a union */
	uint32_t type;   /* STRUCT, STRUCT_POINTER: the struct, without modifiers; else 0 */
	uint32_t member; /* STRUCT_POINTER: the name of the member, an offset of strings */
};

/* Whose structs these are. */
enum fort_btf_view {
	FORT_VIEW_KERNEL, /* an array without length at the end goes on for ever */
	FORT_VIEW_OBJECT, /* allocated by the program: it has none, and its pointers are numbers */
};

/* One step: what `bytes` bytes at `offset` of struct or union `id` (or of a modifier of one) belong
 * to. Stops where a member that is a struct starts at `offset`. `spot->traits` is added to.
 * Returns 0, or -EACCES, -EINVAL, -EFAULT, -E2BIG with *remark.
 */
FORT_CHECKED int fort_btf_at(const struct fort_btf *btf, uint32_t id, uint32_t offset,
			     uint32_t bytes, enum fort_btf_view view, struct fort_btf_spot *spot,
			     struct fort_btf_remark *remark);

/* All steps, to something that can be loaded. Same results. */
FORT_CHECKED int fort_btf_access(const struct fort_btf *btf, uint32_t id, uint32_t offset,
				 uint32_t bytes, enum fort_btf_view view,
				 struct fort_btf_spot *spot, struct fort_btf_remark *remark);
