/* The kernel's fast clock_gettime, found without libc. */
#pragma once

#include "helper/services.h"

/* The vDSO's clock_gettime, or NULL. */
fort_clock_fn *fort_vdso_clock(void);
