/* Short names for the columns of the tables in this folder: bits of program types and of attach
 * types. For the files that expand tables, and no others.
 */
#pragma once

#include "abi/hooks.h"

enum {
#define FORT_PROG(id, number, bit, ...) bit = FORT_BIT_##bit,
#include "abi/progs.def"
#define FORT_PROG_GROUP(name, ...) name = (uint32_t)(__VA_ARGS__),
#include "abi/progs.def"
};

enum {
#define FORT_ATTACH(id, number, ...) AT_##id = 1ull << (number),
#include "abi/attach.def"
#define FORT_ATTACH_GROUP(name, ...) AT_##name = (uint64_t)(__VA_ARGS__),
#include "abi/attach.def"
	AT_EVERY = UINT64_MAX,
};
