/* The running kernel's bpf(2) as an oracle for instructions: loads raw slots, returns its log. */
#pragma once

#include <linux/bpf.h>

#include "base/compiler.h"
#include "isa/insn.h"

#define KERNEL_LOG_BYTES (8u << 20)

struct kernel_load {
	int fd; /* the program's, or -errno; the caller closes it */
	char log[KERNEL_LOG_BYTES];
};

/* NULL when bpf(2) loads programs here and the kernel has all instructions (load-acquire came last,
 * with 6.15), else why not.
 */
const char *kernel_unfit(void);
/* Loads under log level 2; a failure is in load->fd. */
void kernel_load(enum bpf_prog_type type, const struct fort_raw_insn *insns, uint32_t n_insns,
		 struct kernel_load *load);
/* The last line of the log that is the verifier's complaint; the caller's array receives it. */
void kernel_complaint(const struct kernel_load *load, char *out, size_t room);
/* An array map with one value of `value_bytes`. Returns a descriptor or -errno. */
int kernel_array(uint32_t value_bytes);
/* Runs an XDP program once on a packet. Returns 0 or -errno. */
FORT_CHECKED int kernel_run(int prog_fd, const void *packet, uint32_t bytes, uint32_t *retval);
FORT_CHECKED int kernel_map_get(int map_fd, uint32_t key, void *value);
