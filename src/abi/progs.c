#include "abi/progs.h"

#include <string.h>

#include "abi/ctx.h"
#include "abi/words.h"

const struct fort_prog_info fort_progs[FORT_PROGS] = {
#define FORT_PROG(id_, number_, bit_, name_, ctx_, packet_, sleep_, attach_, target_, run_) \
	[FORT_PROG_##id_] = {.name = (name_),                                               \
			     .number = (number_),                                           \
			     .bit = FORT_BIT_##bit_,                                        \
			     .packet = FORT_PACKET_##packet_,                               \
			     .sleepable = FORT_SLEEP_##sleep_,                              \
			     .attach = FORT_ATTACH_IS_##attach_,                            \
			     .target = FORT_TARGET_##target_,                               \
			     .runs = FORT_##run_,                                           \
			     .ld_abs = !!(FORT_BIT_##bit_ & (SF | CLS)),                    \
			     .ctx = &fort_ctxs[FORT_CTX_##ctx_]},
#include "abi/progs.def"
};

const struct fort_prog_info *fort_prog_by_number(uint32_t number)
{
	for (unsigned i = 0; i < FORT_PROGS; i++)
		if (fort_progs[i].number == number)
			return &fort_progs[i];
	return NULL;
}

const struct fort_prog_info *fort_prog_runs(uint32_t number)
{
	const struct fort_prog_info *info = fort_prog_by_number(number);

	return info && info->runs ? info : NULL;
}

const struct fort_prog_info *fort_prog_by_name(const char *name)
{
	for (unsigned i = 0; i < FORT_PROGS; i++)
		if (!strcmp(fort_progs[i].name, name))
			return &fort_progs[i];
	return NULL;
}
