#include "btf/trust.h"

#include <string.h>

enum fort_btf_trust fort_btf_trust_of(const struct fort_btf *btf, uint32_t id,
				      const struct fort_btf_spot *spot)
{
	static const struct {
		const char *type, *member, *target;
		enum fort_btf_trust trust;
	} rows[] = {
#define FORT_TRUSTED(struct_, member_, target_, class_) \
	{#struct_, #member_, #target_, FORT_TRUST_##class_},
#include "btf/trusted.def"
	};
	struct fort_btf_type type = fort_btf_type(btf, id), target = fort_btf_type(btf, spot->type);
	const char *name = fort_btf_string(btf, type.name);
	const char *member = fort_btf_string(btf, spot->member);
	const char *target_name = fort_btf_string(btf, target.name);

	if (type.kind != FORT_BTF_STRUCT || target.kind != FORT_BTF_STRUCT || !name || !member ||
	    !target_name)
		return FORT_TRUST_NONE;
	for (unsigned i = 0; i < FORT_LEN(rows); i++)
		if (!strcmp(rows[i].type, name) && !strcmp(rows[i].member, member) &&
		    !strcmp(rows[i].target, target_name))
			return rows[i].trust;
	return FORT_TRUST_NONE;
}
