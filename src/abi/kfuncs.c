#include "abi/kfuncs.h"

#include <string.h>

#include "abi/words.h"

/* Short names for the column of flags. */
enum {
	ACQUIRE = FORT_KFUNC_ACQUIRE,
	RELEASE = FORT_KFUNC_RELEASE,
	RET_NULL = FORT_KFUNC_RET_NULL,
	TRUSTED = FORT_KFUNC_TRUSTED,
	RCU = FORT_KFUNC_RCU,
	RCU_PROTECTED = FORT_KFUNC_RCU_PROTECTED,
	SLEEPABLE = FORT_KFUNC_SLEEPABLE,
	DESTRUCTIVE = FORT_KFUNC_DESTRUCTIVE,
	ITER_NEW = FORT_KFUNC_ITER_NEW,
	ITER_NEXT = FORT_KFUNC_ITER_NEXT,
	ITER_DESTROY = FORT_KFUNC_ITER_DESTROY,
	FASTCALL = FORT_KFUNC_FASTCALL,
	UNDER_LOCK = FORT_KFUNC_UNDER_LOCK,
	CALLS = FORT_KFUNC_CALLS,
	CALLS_LATER = FORT_KFUNC_CALLS_LATER,
	DEVICE = FORT_KFUNC_DEVICE,
};

const struct fort_kfunc_info fort_kfuncs[FORT_KFUNCS] = {
#define FORT_KFUNC(name_, progs_, attach_, flags_, run_) \
	[FORT_KFUNC_##name_] = {.name = #name_,          \
				.attach = (attach_),     \
				.progs = (progs_),       \
				.flags = (flags_),       \
				.runs = FORT_##run_},
#include "abi/kfuncs.def"
};

const struct fort_kfunc_info *fort_kfunc_by_name(const char *name)
{
	for (unsigned i = 0; i < FORT_KFUNCS; i++)
		if (!strcmp(fort_kfuncs[i].name, name))
			return &fort_kfuncs[i];
	return NULL;
}

bool fort_kfunc_is_for(const struct fort_kfunc_info *kfunc, const struct fort_hook *hook)
{
	return kfunc->progs & hook->prog->bit && kfunc->attach & fort_attach_bit(hook);
}
