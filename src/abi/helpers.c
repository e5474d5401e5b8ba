#include "abi/helpers.h"

#include "abi/uapi.h"

/* Short names for the columns of the table. */
enum {
#define FORT_PROG(id, number, bit, ...) bit = FORT_BIT_##bit,
#include "abi/progs.def"
	ALL = FORT_BIT_ALL,
	PACKET = 1,
	CHANGES = 2,
};

const struct fort_helper_info fort_helpers[FORT_HELPERS] = {
#define FORT_HELPER(id_, name_, number_, returns_, a1, a2, a3, a4, a5, progs_, license_, right_, \
		    maps_, flags_)                                                               \
	[FORT_HELPER_##id_] = {.name = (name_),                                                  \
			       .number = (number_),                                              \
			       .returns = FORT_RET_##returns_,                                   \
			       .args = {FORT_ARG_##a1, FORT_ARG_##a2, FORT_ARG_##a3,             \
					FORT_ARG_##a4, FORT_ARG_##a5},                           \
			       .license = FORT_LICENSE_##license_,                               \
			       .right = FORT_RIGHT_##right_,                                     \
			       .map_classes = FORT_CLASS_##maps_,                                \
			       .takes_packet = !!((flags_)&PACKET),                              \
			       .writes_map = !!((flags_)&CHANGES),                               \
			       .progs = (progs_)},
#include "abi/helpers.def"
};

const struct fort_helper_info *fort_helper_by_number(uint32_t number)
{
	for (unsigned i = 0; i < FORT_HELPERS; i++)
		if (fort_helpers[i].number == number)
			return &fort_helpers[i];
	return NULL;
}

static const char *const kernel_names[] = {
#define NAME(id) [BPF_FUNC_##id] = "bpf_" #id
	__BPF_FUNC_MAPPER(NAME)
#undef NAME
};

bool fort_helper_exists(uint32_t number)
{
	return number && number < FORT_LEN(kernel_names) && kernel_names[number];
}

const char *fort_helper_kernel_name(uint32_t number)
{
	if (number < FORT_LEN(kernel_names) && kernel_names[number])
		return kernel_names[number];
	return "unknown";
}
