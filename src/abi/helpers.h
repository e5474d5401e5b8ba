/* Helper functions, from helpers.def. */
#pragma once

#include "abi/maps.h"
#include "abi/progs.h"

enum fort_helper_id {
#define FORT_HELPER(id, ...) FORT_HELPER_##id,
#include "abi/helpers.def"
	FORT_HELPERS
};

enum fort_returns {
	FORT_RET_INTEGER,
	FORT_RET_LENGTH,
	FORT_RET_VOID,
	FORT_RET_MAP_VALUE,
	FORT_RET_RING_MEM,
};

enum fort_arg {
	FORT_ARG_NONE,
	FORT_ARG_ANY,
	FORT_ARG_ANY_OPT,
	FORT_ARG_MAP,
	FORT_ARG_KEY,
	FORT_ARG_VALUE,
	FORT_ARG_MEM,
	FORT_ARG_MEM_OUT,
	FORT_ARG_SIZE,
	FORT_ARG_SIZE_OR_ZERO,
	FORT_ARG_CONST_SIZE,
	FORT_ARG_RING_MEM,
	FORT_ARG_CTX,
};

enum fort_license { FORT_LICENSE_ANY, FORT_LICENSE_GPL };
enum fort_helper_right { FORT_RIGHT_BASE, FORT_RIGHT_PERF };

#define FORT_HELPER_ARGS 5

struct fort_helper_info {
	const char *name;
	uint32_t number;
	uint8_t returns;                /* enum fort_returns */
	uint8_t args[FORT_HELPER_ARGS]; /* enum fort_arg */
	uint8_t license;                /* enum fort_license */
	uint8_t right;                  /* enum fort_helper_right */
	uint8_t map_classes;            /* enum fort_map_class that arg1 must have */
	bool takes_packet, writes_map;
	uint32_t progs; /* enum fort_prog_bit */
};

extern const struct fort_helper_info fort_helpers[FORT_HELPERS];

/* The helper with this number, or NULL. */
const struct fort_helper_info *fort_helper_by_number(uint32_t number);
/* Does the kernel have a helper with this number, whether bpfort offers it or not? */
bool fort_helper_exists(uint32_t number);
/* The kernel's name of helper `number` for messages, also of those that bpfort does not offer;
 * "unknown" beyond the kernel's list. */
const char *fort_helper_kernel_name(uint32_t number);
