/* Speaks the conformance plugin's protocol to a program. */
#pragma once

#include "base/compiler.h"
#include "isa/insn.h"

struct plugin_request {
	const char *path;
	const struct fort_raw_insn *insns;
	uint32_t n_insns;
	const uint8_t *mem;
	uint32_t mem_bytes;
	const char *engine, *isolation, *profile;
	bool elf; /* hand the program over as an object file */
};

struct plugin_result {
	bool failed; /* exit status 1 */
	uint64_t r0;
	char message[512]; /* what it said on standard error, right-trimmed */
};

/* Returns 0, or -errno: -EPROTO for a plugin that breaks the protocol (both streams written, a
 * death by signal, a status other than 0 and 1, no number).
 */
FORT_CHECKED int plugin_run(const struct plugin_request *request, struct plugin_result *result);
