/* How many processors there may ever be: what per-CPU values are multiplied by. */
#pragma once

#include "base/compiler.h"

/* From /sys/devices/system/cpu/possible. -EBADMSG when it makes no sense. */
FORT_CHECKED int fort_cpus_possible(uint32_t *out);
