/* The running kernel's judgement of a program. */
#pragma once

#include "oracle.h"

struct kernel_side;

/* Opens the judge: log room, and a program to stand in for rejected ones. NULL with errno when the
 * kernel loads nothing. */
struct kernel_side *kernel_side_open(void);
void kernel_side_close(struct kernel_side *kernel);

/* Loads the program of `attr` (`bytes` long) with the rights of `half`. Returns its descriptor, the
 * caller's, or -1. side->log points into the judge. */
int kernel_side_judge(struct kernel_side *kernel, const union bpf_attr *attr, uint32_t bytes,
		      enum half half, const struct oracle_wants *wants, struct side *side);
/* What the kernel says that a load cost it. */
struct kernel_cost {
	double us; /* of verification, rewriting included and code generation not */
	uint64_t states, peak_states;
};

/* Loads with all rights, for the statistics alone; nothing stays loaded. */
void kernel_side_measure(struct kernel_side *kernel, const union bpf_attr *attr, uint32_t bytes,
			 struct side *side, struct kernel_cost *cost);
/* A new descriptor of a program that anything can be done with. */
int kernel_side_stand_in(struct kernel_side *kernel);
