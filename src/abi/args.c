#include "abi/args.h"

/* Short names for the columns of the tables. */
enum {
	NULL_OK = FORT_ARG_NULL_OK,
	ZERO_OK = FORT_ARG_ZERO_OK,
	READ = FORT_ARG_READ,
	WRITE = FORT_ARG_WRITE,
	UNINIT = FORT_ARG_UNINIT,
	RELEASE = FORT_ARG_RELEASE,
	ALIGNED = FORT_ARG_ALIGNED,
	LOCAL = FORT_ARG_LOCAL,
	RING = FORT_ARG_RING,
	SURE = 0,
};

const struct fort_arg_info fort_args[FORT_ARGS] = {
#define FORT_ARG(id_, base_, fits_, flags_, bytes_, btf_) \
	[FORT_ARG_##id_] = {.base = FORT_BASE_##base_,    \
			    .fits = FORT_FITS_##fits_,    \
			    .flags = (flags_),            \
			    .bytes = (bytes_),            \
			    .btf = (btf_)},
#include "abi/args.def"
};

const struct fort_ret_info fort_rets[FORT_RETS] = {
#define FORT_RET(id_, regtype_, null_, btf_) \
	[FORT_RET_##id_] = {.regtype = FORT_REGTYPE_##regtype_, .null_ok = (null_), .btf = (btf_)},
#include "abi/returns.def"
};

/* Short names for the members of sets. */
enum {
#define FORT_REGTYPE(id, text) id = FORT_REGTYPE_##id,
#include "abi/regtypes.def"
};

const uint8_t fort_fits_sets[FORT_FITS_SETS][FORT_FITS_MAX + 1] = {
#define FORT_FITS(id, ...) [FORT_FITS_##id] = {__VA_ARGS__},
#include "abi/args.def"
};

bool fort_fits(enum fort_fits set, enum fort_regtype type)
{
	for (const uint8_t *at = fort_fits_sets[set]; *at != NONE; at++)
		if (*at == type)
			return true;
	return false;
}
