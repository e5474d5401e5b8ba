/* What engines may know of helpers: how many arguments they look at, and which they can do without
 * a call. */
#include <stddef.h>

#include "abi/helpers.h"
#include "helper/helper.h"
#include "helper/services.h"
#include "helper/tail.h"

static uint8_t count_args(const struct fort_helper_info *info)
{
	uint8_t n = FORT_HELPER_ARGS;

	while (n && info->args[n - 1] == FORT_ARG_NONE)
		n--;
	return n;
}

struct fort_helper_shape fort_helper_shape(uint32_t number)
{
	const struct fort_helper_info *info = fort_helper_by_number(number);
	struct fort_helper_shape shape = {.n_args = FORT_HELPER_ARGS};

	if (!info)
		return shape;
	shape.n_args = count_args(info);
	switch (info - fort_helpers) {
	case FORT_HELPER_MAP_LOOKUP_ELEM: shape.inlines = FORT_INLINE_LOOKUP; break;
	case FORT_HELPER_GET_SMP_PROCESSOR_ID: shape.inlines = FORT_INLINE_CPU; break;
	case FORT_HELPER_GET_CURRENT_PID_TGID:
		shape.inlines = FORT_INLINE_CACHED;
		shape.offset = offsetof(struct fort_services, pid_tgid);
		break;
	case FORT_HELPER_TAIL_CALL:
		shape.inlines = FORT_INLINE_TAIL;
		shape.function = fort_tail_find;
		break;
	default: break;
	}
	return shape;
}
