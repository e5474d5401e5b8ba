/* Inside of record.c and its neighbours: fields.def as a table, and the search for fields. */
#pragma once

#include "btf/record.h"

struct fort_btf_field_info {
	const char *name;
	uint8_t bytes, align;
	const char *rules;
	uint64_t maps;
};

extern const struct fort_btf_field_info fort_btf_field_infos[FORT_FIELD_KINDS];

bool fort_btf_field_rule(uint8_t kind, char rule);

/* Looks for fields in a struct or section, of kinds that have this rule ('V' or 'O'). The fields
 * are in the order of the search, with what they point to or contain in the program's BTF, and
 * node_offset a name. *budget is what is left of FORT_BTF_SEARCH_MAX.
 * Returns their number, or a negative errno.
 */
int fort_btf_find_fields(const struct fort_btf *btf, uint32_t id, char use,
			 struct fort_btf_field fields[FORT_BTF_FIELDS_MAX], uint32_t *budget);

/* Is this PTR (or a volatile one) to a struct, and tagged as one of the kinds with rule `use`? 1:
 * yes, out->kind and out->type say which; 0: no; or -EINVAL.
 */
int fort_btf_find_pointer(const struct fort_btf *btf, uint32_t id, char use,
			  struct fort_btf_field *out);
