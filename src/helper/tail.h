/* bpf_tail_call for engines that call it by its address (internal to helper/): the same as through
 * the gate. */
#pragma once

#include "engine/run.h"

fort_helper_fn fort_tail_find;
