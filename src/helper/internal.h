/* The runtime's own functions, by the numbers of enum fort_internal (internal to helper/). */
#pragma once

#include "helper/call.h"

/* NULL: there is none of this number. */
fort_helper_fn *fort_internal_function(uint32_t number);
