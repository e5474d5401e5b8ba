/* How deep calls may go, by the kernel's rules (check_max_stack_depth in kernel/bpf/verifier.c).
 *
 * In the kernel all frames of a run share 512 bytes of stack, so it adds up what each function was
 * seen to use. Frames here have 512 bytes each: this is about programs that are to load in the
 * kernel too, not about safety, and nothing that the checker knows of.
 */
#pragma once

#include "step/step.h"

/* Adds up the stacks of a program that was verified (env->stacks, env->demands). `most` is
 * FORT_STACK_BYTES as in the kernel. Returns 0; -ENOMEM; or -E2BIG with *why. */
FORT_CHECKED int fort_depth_check(struct fort_arena *arena, const struct fort_env *env,
				  uint32_t most, struct fort_violation *why);
