/* The running kernel, asked about programs: loads one and keeps what its verifier wrote. */
#pragma once

#include "abi/uapi.h"
#include "base/compiler.h"

#define ASK_LOG_BYTES (4u << 20)

struct ask {
	uint32_t type, attach_type;
	uint32_t attach_id; /* BTF id of the target */
	uint32_t flags;
	int btf_fd; /* with function records, one per subprogram */
	const struct bpf_func_info *funcs;
	uint32_t n_funcs;
	uint32_t level; /* of the log; 0: FORT_LOG_STATES */

	int err; /* 0 or -errno */
	char *log;
};

void ask_open(struct ask *ask, uint32_t type);
void ask_close(struct ask *ask);
/* Loads this assembly (isa/asm.h) in the place of whatever was asked before. */
void ask_load(struct ask *ask, const char *assembly);
/* What the log says between instruction `pc` and the next: register R1 after it ("scalar()"), or
 * NULL. Static storage. */
const char *ask_register(const struct ask *ask, uint32_t pc, unsigned reg);
/* The line `number` lines before the statistics (0: the last), or "". Static storage. */
const char *ask_last_line(const struct ask *ask, unsigned number);
