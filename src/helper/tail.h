/* bpf_tail_call finds the program; the engine goes there (engine/tail.h). For engines that call it
 * by its address: the same as through the gate (internal to helper/). */
#pragma once

#include "engine/run.h"

fort_helper_fn fort_tail_find;
