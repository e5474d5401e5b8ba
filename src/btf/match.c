#include "btf/match.h"

#include <string.h>

#include "base/limits.h"

bool fort_btf_has_struct(const struct fort_btf *btf, uint32_t id, uint32_t offset,
			 const struct fort_btf *need, uint32_t need_id, bool strict,
			 enum fort_btf_view view, struct fort_btf_remark *remark)
{
	struct fort_btf_spot spot = {0};

	*remark = (struct fort_btf_remark){0};
	if (!offset && btf == need && id == need_id)
		return true;
	for (uint32_t depth = 0; !strict && depth < FORT_BTF_NEST_MAX; depth++) {
		if (fort_btf_at(btf, id, offset, 1, view, &spot, remark) ||
		    spot.kind != FORT_SPOT_STRUCT)
			return false;
		if (btf == need && spot.type == need_id)
			return true;
		id = spot.type;
		offset = 0;
	}
	return false;
}

bool fort_btf_is_uncast_alias(const char *name, const char *other)
{
	static const char suffix[] = "___init";
	const char *shorter = strlen(name) < strlen(other) ? name : other;
	const char *longer = shorter == name ? other : name;
	size_t length = strlen(shorter);

	return !strncmp(longer, shorter, length) && !strcmp(longer + length, suffix);
}

bool fort_btf_is_projection(const char *context, const char *kernel)
{
	return (!strcmp(context, "__sk_buff") && !strcmp(kernel, "sk_buff")) ||
	       (!strcmp(context, "xdp_md") && !strcmp(kernel, "xdp_buff"));
}
