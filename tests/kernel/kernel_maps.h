/* The laboratory's maps (lab.h) in the running kernel, with the BTF that some of them need. */
#pragma once

#include "lab.h"

/* Makes map `index` of lab_shapes, or what LAB_ARRAYS and LAB_HASHES hold. The descriptor, or
 * -errno. */
FORT_CHECKED int kernel_map_make(uint32_t index);
