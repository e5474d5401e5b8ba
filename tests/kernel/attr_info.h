/* What a PROG_LOAD says of the program's functions: its BTF and function records, taken out of the
 * running kernel and of the attributes.
 */
#pragma once

#include <linux/bpf.h>

#include "load/describe.h"

struct attr_info {
	struct fort_btf *btf; /* NULL: there is none */
	struct fort_info info;
	struct fort_description described; /* the arena's, and points into btf */
};

/* The BTF with this descriptor, the caller's. */
bool attr_btf_read(int fd, struct fort_btf **out);
/* The running kernel's types, for ever; NULL: it has none. And their BTF. */
const struct fort_kernel *attr_kernel(void);
const struct fort_btf *attr_btf_kernel(void);

/* False when the BTF cannot be had. Close in any case. */
bool attr_info_open(struct attr_info *out, struct fort_arena *arena, const union bpf_attr *attr);
void attr_info_close(struct attr_info *info);
