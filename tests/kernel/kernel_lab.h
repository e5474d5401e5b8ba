/* The laboratory's programs (lab.h) in the running kernel. */
#pragma once

#include "lab.h"

struct kernel_lab {
	int fds[LAB_MAPS];
};

struct kernel_verdict {
	int fd;         /* of the program, the caller's; or -errno, -ENODATA: it was not asked */
	uint32_t pc;    /* rejected: the instruction that the log came to last, or UINT32_MAX */
	char line[512]; /* rejected: the last line before the statistics */
};

/* Makes the maps of lab_shapes. Returns 0 or -errno. */
FORT_CHECKED int kernel_lab_open(struct kernel_lab *kernel);
void kernel_lab_close(struct kernel_lab *kernel);
/* Loads the lab's program, as its environment says: license, hook, sleep. With no rights: without
 * CAP_PERFMON and CAP_SYS_ADMIN. Is it accepted? Without a log, which is most of the time of a load
 * that takes long. */
bool kernel_lab_accepts(const struct kernel_lab *kernel, const struct lab *lab);
/* The same, and why not. */
void kernel_lab_load(const struct kernel_lab *kernel, const struct lab *lab,
		     struct kernel_verdict *out);
