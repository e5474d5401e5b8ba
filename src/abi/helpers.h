/* Helper functions, from helpers.def. */
#pragma once

#include "abi/args.h"
#include "abi/hooks.h"
#include "abi/maps.h"

enum fort_helper_id {
#define FORT_HELPER(id, ...) FORT_HELPER_##id,
#include "abi/helpers.def"
	FORT_HELPERS
};

enum fort_license { FORT_LICENSE_ANY, FORT_LICENSE_GPL };
enum fort_helper_right { FORT_RIGHT_BASE, FORT_RIGHT_BPF, FORT_RIGHT_PERF };

enum fort_helper_flag {
	FORT_HELPER_PACKET = 1,
	FORT_HELPER_CHANGES = 2,
	FORT_HELPER_MOVES = 4,
	FORT_HELPER_SLEEPS = 8,
	FORT_HELPER_MAY_SLEEP = 16,
	FORT_HELPER_ACQUIRES = 32,
	FORT_HELPER_CASTS = 64,
	FORT_HELPER_CALLS = 128,
	FORT_HELPER_CALLS_LATER = 256,
	FORT_HELPER_UNDER_LOCK = 512,
	FORT_HELPER_FASTCALL = 1024,
	FORT_HELPER_LISTED = 2048,
	FORT_HELPER_LEAVES = 4096,
	FORT_HELPER_PROBES = 8192,
};

#define FORT_HELPER_ARGS 5

/* One prototype. */
struct fort_helper_info {
	uint16_t number;
	uint16_t flags;                 /* enum fort_helper_flag */
	uint8_t returns;                /* enum fort_returns */
	uint8_t args[FORT_HELPER_ARGS]; /* enum fort_arg */
	uint8_t license;                /* enum fort_license */
	uint8_t right;                  /* enum fort_helper_right */
	bool runs;                      /* implemented in src/helper */
	uint32_t map_classes;           /* enum fort_map_class: the map argument has one of them */
	uint32_t progs;                 /* enum fort_prog_bit */
};

extern const struct fort_helper_info fort_helpers[FORT_HELPERS];

/* The prototype of helper `number` for programs of this hook; NULL when they do not have it. */
const struct fort_helper_info *fort_helper_for(uint32_t number, const struct fort_hook *hook);
/* Helpers that only programs for some functions may call (LISTED): is this such a program? For
 * other helpers: yes. */
bool fort_helper_is_listed(const struct fort_helper_info *helper, const struct fort_hook *hook);
/* May such a program give a map of this type to the helper? */
bool fort_helper_takes_map(const struct fort_helper_info *helper, const struct fort_map_info *map,
			   const struct fort_hook *hook);
/* The first prototype of helper `number`, whatever the program, or NULL: no such helper. */
const struct fort_helper_info *fort_helper_by_number(uint32_t number);
/* The kernel's name of helper `number`; "unknown" beyond the kernel's list. */
const char *fort_helper_kernel_name(uint32_t number);

/* For expansions of helpers.def by column `run`. */
#define FORT_WHEN_RUN(...) __VA_ARGS__
#define FORT_WHEN_VERIFY(...)
