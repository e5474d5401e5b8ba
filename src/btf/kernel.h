/* The types of a kernel: of the running one, or from a file.
 *
 * A kernel's BTF is checked as the kernel checks its own at boot: every type alone, and chains of
 * modifiers. References are not: ids may be out of range (their kind is FORT_BTF_NONE), and structs
 * may contain themselves. Whoever walks it bounds the walk, whoever wrote the file.
 *
 * It is opened once and shared: after that it does not change.
 */
#pragma once

#include "btf/btf.h"

#define FORT_BTF_VMLINUX "/sys/kernel/btf/vmlinux"

/* Opens `path`: raw BTF, or an ELF file with a section .BTF. NULL: FORT_BTF_VMLINUX, which is
 * mapped, not copied, where the kernel lets it be mapped.
 * Returns 0; the error of open or read; -ENODATA when the file is neither; -E2BIG; and those of
 * fort_btf_parse. *error says why. The caller owns *out.
 */
FORT_CHECKED int fort_btf_open_kernel(const char *path, struct fort_btf **out,
				      struct fort_btf_error *error);
