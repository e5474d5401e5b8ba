/* Since which release of Linux there is what programs use, from since.def. For hosts. */
#pragma once

#include <stdint.h>

/* The first release with this helper, map type (BPF_MAP_TYPE_*), program type (BPF_PROG_TYPE_*), or
 * function of the kernel: "5.8". NULL: not known. */
const char *fort_since_helper(uint32_t number);
const char *fort_since_map(uint32_t number);
const char *fort_since_prog(uint32_t number);
const char *fort_since_kfunc(const char *name);
