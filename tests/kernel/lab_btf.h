/* BTF that says of a laboratory program's functions what lab_describe was told, for the kernel. */
#pragma once

#include <linux/bpf.h>

#include "btf_build.h"
#include "lab.h"

struct lab_btf {
	struct btf_build build;
	struct bpf_func_info funcs[LAB_FUNCTIONS];
	uint32_t n_funcs;
};

/* False for a context of which the kernel's name is not known here. */
bool lab_btf_make(const struct lab *lab, struct lab_btf *out);
