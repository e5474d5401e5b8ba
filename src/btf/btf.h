/* BTF: the types, functions and source lines that a compiler leaves in a BPF object.
 *
 * A blob comes from a program's author and is hostile until checked. fort_btf_parse accepts what
 * the kernel's BTF_LOAD accepts (Linux 6.18, kernel/bpf/btf.c; but for rules about locks, lists and
 * owned pointers, which are in record.h): after it every type id, name and offset that the
 * accessors return is in range, and following references ends. A kernel's own BTF (kernel.h)
 * promises less. Types are numbered from 1; 0 is void.
 */
#pragma once

#include "base/compiler.h"
#include "base/log.h"

enum fort_btf_kind {
	FORT_BTF_VOID,
#define FORT_BTF_KIND(id, number, ...) FORT_BTF_##id = (number),
#include "btf/kinds.def"
	FORT_BTF_KINDS,
	FORT_BTF_NONE = 0xff, /* no type has this id */
};

struct fort_btf;

/* Why a blob was refused, and where: `offset` in the blob; `type_id` 0 outside the types. */
struct fort_btf_error {
	uint32_t offset, type_id;
	char what[120];
};

/* Checks `bytes` bytes and keeps a copy. `log` (may be NULL) receives what the kernel would print.
 * Returns 0; -EINVAL, -ENOTSUPP (524), -E2BIG, -EEXIST, -ELOOP as the kernel does, with *error
 * filled; -ENOMEM. The caller owns *out.
 */
FORT_CHECKED int fort_btf_parse(const void *data, size_t bytes, struct fort_log *log,
				struct fort_btf **out, struct fort_btf_error *error);
void fort_btf_free(struct fort_btf *btf);

/* The blob as it was given. */
const void *fort_btf_data(const struct fort_btf *btf, size_t *bytes);
/* Number of type ids, void included: valid ids are below. */
uint32_t fort_btf_count(const struct fort_btf *btf);

/* A type's header. */
struct fort_btf_type {
	uint32_t id;
	uint8_t kind; /* enum fort_btf_kind; FORT_BTF_NONE for an id out of range */
	bool kflag;
	uint16_t vlen;
	uint32_t name; /* offset of the name; 0 for none */
	union {
		uint32_t size; /* bytes: INT ENUM ENUM64 STRUCT UNION DATASEC FLOAT */
		uint32_t ref;  /* type id: all others */
	};
	const uint8_t *more; /* what follows the header in the blob */
};

struct fort_btf_int {
	uint8_t encoding; /* enum fort_btf_encoding bits */
	uint8_t bit_offset, bits;
};
enum fort_btf_encoding { FORT_BTF_SIGNED = 1, FORT_BTF_CHAR = 2, FORT_BTF_BOOL = 4 };

struct fort_btf_array {
	uint32_t element, index, count;
};

struct fort_btf_member {
	uint32_t name, type;
	uint32_t raw;        /* offset field as it is in the blob */
	uint32_t bit_offset; /* in the struct */
	uint32_t bit_size;   /* of a bit field of a kflag struct, else 0 */
};

struct fort_btf_constant {
	uint32_t name;
	uint64_t value; /* sign-extended when the enum's kflag is set */
};

struct fort_btf_param {
	uint32_t name, type; /* both 0 in the last parameter: variable arguments */
};

struct fort_btf_section_var {
	uint32_t type, offset, size;
};

struct fort_btf_type fort_btf_type(const struct fort_btf *btf, uint32_t id);
/* Parts of a type of the kind that the function names. Indices must be below vlen. */
struct fort_btf_int fort_btf_int(const struct fort_btf_type *type);
struct fort_btf_array fort_btf_array(const struct fort_btf_type *type);
struct fort_btf_member fort_btf_member(const struct fort_btf_type *type, uint32_t index);
struct fort_btf_constant fort_btf_constant(const struct fort_btf_type *type, uint32_t index);
struct fort_btf_param fort_btf_param(const struct fort_btf_type *type, uint32_t index);
struct fort_btf_section_var fort_btf_section_var(const struct fort_btf_type *type, uint32_t index);
uint32_t fort_btf_linkage(const struct fort_btf_type *type);  /* VAR, FUNC */
int32_t fort_btf_component(const struct fort_btf_type *type); /* DECL_TAG; -1 the whole type */

/* The string at `offset`, or NULL beyond the strings; offset 0 is "". */
const char *fort_btf_string(const struct fort_btf *btf, uint32_t offset);
/* "STRUCT" and so on; "UNKNOWN" for others. */
const char *fort_btf_kind_name(uint8_t kind);

static inline bool fort_btf_is_modifier(uint8_t kind)
{
	return kind == FORT_BTF_TYPEDEF || kind == FORT_BTF_VOLATILE || kind == FORT_BTF_CONST ||
	       kind == FORT_BTF_RESTRICT || kind == FORT_BTF_TYPE_TAG;
}

static inline bool fort_btf_is_struct(uint8_t kind)
{
	return kind == FORT_BTF_STRUCT || kind == FORT_BTF_UNION;
}

/* What pointers are tagged with, and what becomes of them on the way. */
enum fort_btf_trait {
	FORT_TRAIT_USER = 1,      /* __user */
	FORT_TRAIT_PERCPU = 2,    /* __percpu */
	FORT_TRAIT_RCU = 4,       /* __rcu */
	FORT_TRAIT_UNTRUSTED = 8, /* may point anywhere */
};

/* The tag of what a PTR points to, as one of the first three, or 0. */
uint8_t fort_btf_pointer_traits(const struct fort_btf *btf, const struct fort_btf_type *pointer);

/* The type behind typedefs, const, volatile, restrict and tags. */
struct fort_btf_type fort_btf_strip(const struct fort_btf *btf, uint32_t id);
/* Size of a value of this type. Returns 0 or -EINVAL: void, functions and the like have none. */
FORT_CHECKED int fort_btf_size(const struct fort_btf *btf, uint32_t id, uint32_t *bytes);
/* The first type of this kind and name, or 0 (index.h has more of these). */
uint32_t fort_btf_find(const struct fort_btf *btf, const char *name, uint8_t kind);
