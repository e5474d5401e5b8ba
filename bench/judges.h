/* The running kernel's verifier and ours on the same load, in turns. */
#pragma once

#include "kernel_side.h"
#include "our_side.h"

#define JUDGES_MAPS 3u

struct judges {
	struct kernel_side *kernel;
	struct our_side *ours;
	int maps[JUDGES_MAPS]; /* array, hash, ring buffer: for programs that are made up */
};

/* Medians of the rounds that there was time for. */
struct measured {
	struct side kernel, ours; /* of the last round */
	double kernel_us, search_us, check_us;
	struct kernel_cost kernel_cost;
	struct our_cost our_cost;
	uint32_t insns;
	unsigned rounds;
};

/* False, with the reason on stdout, where there is no kernel to compare with. */
bool judges_open(struct judges *judges);
void judges_close(struct judges *judges);

void judges_measure(struct judges *judges, const union bpf_attr *attr, uint32_t bytes,
		    struct measured *out);
/* The program of an assembly text, whose maps are judges->maps by index. Ends the process when the
 * text is wrong. */
void judges_measure_text(struct judges *judges, uint32_t prog_type, const char *text, size_t bytes,
			 struct measured *out);

/* Both looked at it and accept it. */
static inline bool measured_both(const struct measured *m)
{
	return m->kernel.verdict == VERDICT_ACCEPTS && m->ours.verdict == VERDICT_ACCEPTS;
}
