/* Signal frames: registers of interrupted code that lie on a stack until the handler returns. A
 * thread that runs a handler may come back to any instruction, so these count like instruction
 * pointers.
 */
#pragma once

#include "attach/world.h"

/* The saved instruction pointer; it may be changed in place. Return false to end the walk. */
typedef bool fort_sigframe_visit(uint64_t *rip, void *arg);

/* Visits the signal frames of a stopped thread: those on the stack that it is on now, from `stack`
 * upwards, and those on stacks that a frame found says were interrupted. Found by what the kernel
 * writes there, so a dead frame may be visited too. False when a visit returned false.
 */
FORT_CHECKED bool fort_sigframe_walk(uint64_t stack, fort_sigframe_visit *visit, void *arg);

/* Is `address` on the live part of one of those stacks? False also when none can be told. */
bool fort_sigframe_covers(uint64_t stack, uint64_t address);
