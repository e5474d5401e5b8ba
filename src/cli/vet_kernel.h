/* A program before the running kernel's verifier. It is loaded and let go again: nothing is
 * attached, pinned or run. */
#pragma once

#include "cli/vet.h"

struct bpf_object;
struct bpf_program;

/* Loads `object` with only `prog` in it. What it comes to, or why the kernel was not the judge,
 * goes into *out. Returns 0 or -ENOMEM. */
FORT_CHECKED int fort_vet_ask_kernel(struct fort_front *front, struct bpf_object *object,
				     struct bpf_program *prog, struct fort_vet_kernel *out);
