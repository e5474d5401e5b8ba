/* Inside of a BTF object, for the files of this folder. */
#pragma once

#include "base/arena.h"
#include "btf/btf.h"

#define FORT_BTF_HEADER_BYTES 12u /* of a type: struct btf_type */

struct fort_btf {
	struct fort_arena arena; /* owns all of it */
	const uint8_t *data;
	uint32_t bytes;
	const uint8_t *types; /* the type section */
	const char *strings;  /* NUL-terminated as a whole */
	uint32_t types_bytes, strings_bytes;
	uint32_t n_types;
	uint32_t *offsets;        /* of each id in the type section */
	uint32_t *resolved_ids;   /* what a modifier, pointer, variable, array, ... ends at */
	uint32_t *resolved_sizes; /* of arrays; NULL in a kernel's BTF, where references are not
				     checked, and only modifiers and variables resolved */
	bool is_kernel;
	void *pages; /* a mapping that `data` lies in, or NULL: in the arena */
	size_t pages_bytes;
	struct fort_btf_index *index; /* index.c */
};

struct fort_btf_kind_info {
	const char *name;
	uint8_t fixed_bytes, item_bytes;
	const char *rules;
};

extern const struct fort_btf_kind_info fort_btf_kinds[FORT_BTF_KINDS];

static inline uint32_t fort_btf_word(const uint8_t *at)
{
	uint32_t word;

	__builtin_memcpy(&word, at, sizeof(word)); /* a header may put types at odd addresses */
	return word;
}

/* Decodes the header at `at`, which must hold FORT_BTF_HEADER_BYTES. */
struct fort_btf_type fort_btf_header_at(const uint8_t *at, uint32_t id);

/* Types without values: void, forward declarations, functions, tags; and missing ones. */
static inline bool fort_btf_is_sizeless(uint8_t kind)
{
	return kind == FORT_BTF_VOID || kind == FORT_BTF_FWD || kind == FORT_BTF_FUNC ||
	       kind == FORT_BTF_FUNC_PROTO || kind == FORT_BTF_DECL_TAG || kind == FORT_BTF_NONE;
}

/* What *id ends at when it is a modifier or variable that has been resolved, itself otherwise;
 * FORT_BTF_NONE if that has no size. *id and *bytes (may be NULL) are written on success.
 */
struct fort_btf_type fort_btf_sized(const struct fort_btf *btf, uint32_t *id, uint32_t *bytes);

/* Can values of this integer be read without shifting: 8 to 128 bits at bit 0? */
bool fort_btf_int_is_regular(const struct fort_btf_type *type);

/* Is there an identifier at this offset of the strings? */
bool fort_btf_name_ok(const struct fort_btf *btf, uint32_t name);

/* A check in progress. */
struct fort_btf_check {
	struct fort_btf *btf;
	struct fort_log *log;
	struct fort_btf_error *error;
	uint32_t type_id; /* in whose name complaints are made */
	bool metas;       /* first phase: each type alone */
};

/* Complaints: a log line, and *error. `details` off: what follows the header may be missing. */
void fort_btf_say(struct fort_btf_check *check, uint32_t offset, const char *fmt, ...)
	FORT_PRINTF(3, 4);
void fort_btf_say_type(struct fort_btf_check *check, const struct fort_btf_type *type, bool details,
		       const char *fmt, ...) FORT_PRINTF(4, 5);
void fort_btf_say_member(struct fort_btf_check *check, const struct fort_btf_type *type,
			 const struct fort_btf_member *member, const char *fmt, ...)
	FORT_PRINTF(4, 5);
void fort_btf_say_section_var(struct fort_btf_check *check, const struct fort_btf_type *type,
			      const struct fort_btf_section_var *var, const char *fmt, ...)
	FORT_PRINTF(4, 5);
/* Log lines of what passed. */
void fort_btf_list_type(struct fort_btf_check *check, const struct fort_btf_type *type);
void fort_btf_list_member(struct fort_btf_check *check, const struct fort_btf_type *type,
			  const struct fort_btf_member *member);
void fort_btf_list_section_var(struct fort_btf_check *check, const struct fort_btf_type *type,
			       const struct fort_btf_section_var *var);

/* An object without data, or NULL. Its owner sets what it is a check of, and runs it: `data`,
 * `bytes`, `is_kernel`, `pages`. */
struct fort_btf *fort_btf_new(void);
/* All phases. 0, or -errno with *error. */
FORT_CHECKED int fort_btf_check_all(struct fort_btf *btf, struct fort_log *log,
				    struct fort_btf_error *error);

struct fort_btf_index *fort_btf_index_new(void);
void fort_btf_index_free(struct fort_btf_index *index);

/* The phases after the header: each type alone, references, order of tags. */
FORT_CHECKED int fort_btf_check_metas(struct fort_btf_check *check);
FORT_CHECKED int fort_btf_check_types(struct fort_btf_check *check);
FORT_CHECKED int fort_btf_check_tags(struct fort_btf_check *check);
