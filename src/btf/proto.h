/* Prototypes of functions, taken apart: what a caller must pass and what it gets.
 *
 * The result is plain: ids and numbers, nothing that points into the BTF.
 */
#pragma once

#include "base/limits.h"
#include "btf/remark.h"

/* Bits, one for each row of suffixes.def. */
enum fort_btf_suffix_number {
#define FORT_SUFFIX(id, ...) FORT_SUFFIX_NUMBER_##id,
#include "btf/suffixes.def"
};
enum fort_btf_suffix {
#define FORT_SUFFIX(id, ...) FORT_SUFFIX_##id = 1 << FORT_SUFFIX_NUMBER_##id,
#include "btf/suffixes.def"
};

enum fort_btf_pointee {
	FORT_POINTEE_PLAIN,
#define FORT_POINTEE(id, ...) FORT_POINTEE_##id,
#include "btf/pointees.def"
	FORT_POINTEE_ITERATOR, /* struct bpf_iter_<type> */
};

/* The type of a parameter or of a result, without typedefs and the like. */
struct fort_btf_value {
	uint8_t kind;   /* enum fort_btf_kind: VOID INT ENUM ENUM64 PTR STRUCT UNION */
	bool is_signed; /* INT, ENUM, ENUM64 */
	uint32_t bytes; /* as the kernel passes it: pointers have 8 */
	uint32_t type;  /* its id; for a pointer, that of what it points to */
	/* PTR only: */
	uint8_t target;        /* enum fort_btf_kind of what it points to */
	uint8_t pointee;       /* enum fort_btf_pointee */
	uint8_t traits;        /* enum fort_btf_trait: tags of the pointer */
	uint32_t target_bytes; /* 0: no size */
};

struct fort_btf_parameter {
	struct fort_btf_value value;
	uint32_t name;     /* offset of strings, 0 for none */
	uint32_t suffixes; /* bits of enum fort_btf_suffix */
};

struct fort_btf_proto {
	uint32_t name; /* of the function, 0 for none */
	uint32_t n_params;
	struct fort_btf_value result;
	struct fort_btf_parameter params[FORT_BTF_ARGS_MAX];
};

/* The prototype of a FUNC, or a FUNC_PROTO itself, with the rules of btf_distill_func_proto: at
 * most FORT_BTF_ARGS_MAX parameters, all known, none of more than 16 bytes. Returns 0, or -EINVAL
 * with *remark (which is empty when `id` is no function).
 */
FORT_CHECKED int fort_btf_read_proto(const struct fort_btf *btf, uint32_t id,
				     struct fort_btf_proto *out, struct fort_btf_remark *remark);

/* Does the name of a parameter end with this, and start with something else? */
bool fort_btf_has_suffix(const struct fort_btf *btf, uint32_t name, const char *suffix);

enum fort_btf_contents {
	FORT_CONTENTS_NUMBERS,
	FORT_CONTENTS_OTHER,
	FORT_CONTENTS_TOO_DEEP, /* K: "max struct nesting depth exceeded" */
};

/* Does struct or union `id` hold numbers only, in no more than four levels of structs? Memory of
 * such a type may be given to a kernel function.
 */
enum fort_btf_contents fort_btf_contents_of(const struct fort_btf *btf, uint32_t id);
