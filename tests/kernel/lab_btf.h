/* BTF for the kernel: of the laboratory's maps, and of a program's functions as lab_describe was
 * told. */
#pragma once

#include <linux/bpf.h>

#include "btf_build.h"
#include "lab.h"

struct lab_btf {
	struct btf_build build;
	struct bpf_func_info funcs[LAB_FUNCTIONS];
	uint32_t n_funcs;
	uint32_t keys[2], values[LAB_ALL_MAPS]; /* types of 4 and of 8 bytes; of the maps' values */
};

/* The types of the maps that have special fields. */
void lab_btf_maps(struct lab_btf *out);
/* False for a context of which the kernel's name is not known here. */
bool lab_btf_make(const struct lab *lab, struct lab_btf *out);
