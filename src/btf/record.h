/* Special fields of a map's values, and of objects that programs allocate: locks, timers, pointers
 * that are owned, lists and trees (btf_parse_fields in kernel/bpf/btf.c).
 *
 * A record is plain: it can be copied, compared and hashed as bytes. Types are ids, of the
 * program's BTF or of the kernel's.
 */
#pragma once

#include "base/limits.h"
#include "btf/btf.h"

enum fort_btf_field_kind {
#define FORT_FIELD(id, ...) FORT_FIELD_##id,
#include "btf/fields.def"
	FORT_FIELD_KINDS
};

enum fort_btf_scope {
	FORT_SCOPE_NONE,
	FORT_SCOPE_PROGRAM, /* a type of the program's BTF */
	FORT_SCOPE_KERNEL,
};

struct fort_btf_field {
	uint32_t offset;
	uint16_t bytes;
	uint8_t kind;         /* enum fort_btf_field_kind */
	uint8_t scope;        /* enum fort_btf_scope, of `type` */
	uint32_t type;        /* what is pointed to, or contained; 0: nothing */
	uint32_t node_offset; /* LIST_HEAD, RB_ROOT: of the node in it */
};
_Static_assert(sizeof(struct fort_btf_field) == 16, "no padding");

struct fort_btf_record {
	uint32_t count;
	uint32_t kinds;                                    /* bits: 1 << enum fort_btf_field_kind */
	struct fort_btf_field fields[FORT_BTF_FIELDS_MAX]; /* by offset; zero behind `count` */
};

enum fort_btf_record_use {
	FORT_RECORD_VALUE,  /* a map's values: struct or section */
	FORT_RECORD_OBJECT, /* what bpf_obj_new gives */
};

/* The special fields of struct (or section) `id`, whose values have `bytes` bytes. Structs of which
 * `kernel` has the name are the kernel's; NULL: none are. A type without fields is no error.
 * Returns 0; or -EINVAL, -E2BIG, -EEXIST, -ENOENT, -EFAULT, as the kernel does.
 */
FORT_CHECKED int fort_btf_read_record(const struct fort_btf *btf, const struct fort_btf *kernel,
				      uint32_t id, uint32_t bytes, enum fort_btf_record_use use,
				      struct fort_btf_record *out);

/* The record of a struct that programs may allocate: K: empty unless a member itself, not a member
 * of a member, is special. */
FORT_CHECKED int fort_btf_object_record(const struct fort_btf *btf, const struct fort_btf *kernel,
					uint32_t id, struct fort_btf_record *out);

/* All structs of a program that may be allocated have good records, and none owns what owns it:
 * what BTF_LOAD asks for besides fort_btf_parse. Returns 0 or an error as above, or -ELOOP.
 */
FORT_CHECKED int fort_btf_check_objects(const struct fort_btf *btf, const struct fort_btf *kernel);

/* What a map's record must say besides: structs that are contained are objects, user memory is of
 * the program's types. 0, -EFAULT, -EINVAL, -E2BIG, -ELOOP. */
FORT_CHECKED int fort_btf_check_owned(const struct fort_btf *btf, const struct fort_btf *kernel,
				      const struct fort_btf_record *record);

/* The first field that [offset, offset + bytes) touches, or NULL. */
const struct fort_btf_field *fort_btf_field_at(const struct fort_btf_record *record,
					       uint32_t offset, uint32_t bytes);
static inline bool fort_btf_record_has(const struct fort_btf_record *record,
				       enum fort_btf_field_kind kind)
{
	return record->kinds >> kind & 1;
}

/* As the kernel's log has it: "bpf_timer"; "kptr" for untrusted ones as well. */
const char *fort_btf_field_name(uint8_t kind);
/* Bits of map types (1ull << BPF_MAP_TYPE_*) whose values may have such a field. */
uint64_t fort_btf_field_maps(uint8_t kind);

/* May a map own a kernel struct of this name? */
bool fort_btf_is_kptr(const char *name);
/* Is a pointer to a kernel struct of this name good in an RCU critical section? */
bool fort_btf_is_rcu_kptr(const char *name);
