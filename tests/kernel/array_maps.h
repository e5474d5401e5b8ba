/* The maps that the kernel's instruction tests name, in the running kernel. */
#pragma once

#include "array_test.h"

/* A map that is made, or -1 with errno. `prog_type` is that of the program that will use it: maps
 * of programs belong to a type. `to` is filled with what the tests expect to find. */
int array_map_make(enum array_map map, uint32_t prog_type);

const char *array_map_name(enum array_map map);
