/* Types of programs whose section says nothing to libbpf. */
#pragma once

#include "base/compiler.h"

struct bpf_program;

/* Gives the program a type, if its section's name did not: that of sections.def, or what the user
 * says (`type`: as in fort_guess_knows, or NULL). */
void fort_guess_type(struct bpf_program *prog, const char *type);
/* Is this a type's name ("xdp", "sched_cls"), or that of a section ("cgroup/bind4", "tcx/egress")?
 */
bool fort_guess_knows(const char *type);
