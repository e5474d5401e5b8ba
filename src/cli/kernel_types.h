/* The types of the kernel that programs are judged by: the running one's, or from a file. */
#pragma once

#include "base/text.h"

struct fort_btf;

struct fort_kernel_types {
	struct fort_btf *btf; /* NULL: not known */
	int fd;               /* raw BTF, if they are not the running kernel's; else -1 */
	char path[32];        /* of it, in this process and those that it forks; or "" */
};

/* `path`: raw BTF or an ELF file with it, or NULL: the running kernel's, which need not be there.
 * Returns 0 or a negative errno with why. */
FORT_CHECKED int fort_kernel_types_open(const char *path, struct fort_kernel_types *out,
					struct fort_text *why);
void fort_kernel_types_close(struct fort_kernel_types *types);
