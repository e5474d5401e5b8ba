#include "btf/remark.h"

#include <errno.h>

int fort_btf_remark_set(struct fort_btf_remark *remark, enum fort_btf_remark_id id,
			const struct fort_btf *btf, const uint32_t args[FORT_REMARK_ARGS])
{
	static const uint16_t errors[FORT_REMARKS] = {
#define FORT_REMARK(id_, errno_, text_) [FORT_REMARK_##id_] = (errno_),
#include "btf/remark.def"
	};

	*remark = (struct fort_btf_remark){.id = (uint16_t)id, .btf = btf};
	for (unsigned i = 0; i < FORT_REMARK_ARGS; i++)
		remark->args[i] = args[i];
	return -(int)errors[id];
}
