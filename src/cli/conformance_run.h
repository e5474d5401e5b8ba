/* One conformance case: raw slots and memory in, r0 or a message out. Used by the plugin and by our
 * own runner, so that both mean the same by a case.
 */
#pragma once

#include "base/text.h"
#include "engine/engine.h"

/* Which rules hold at load: RFC 9669's, or those of the kernel, which refuses more. */
enum fort_profile { FORT_PROFILE_ISA, FORT_PROFILE_KERNEL, FORT_PROFILES };

struct fort_trial {
	const struct fort_raw_insn *insns;
	uint32_t n_insns;
	const uint8_t *mem; /* r1 points to a copy, r2 is its length; both 0 without */
	uint32_t mem_bytes; /* at most FORT_PLUGIN_MEM_BYTES_MAX */
	const struct fort_engine *engine;
	enum fort_isolation isolation;
	enum fort_profile profile;
	uint64_t fuel;
};

/* Returns 0 with *r0 set; -EINVAL when the program is refused or aborts, with one line in *message
 * and, after an abort, *abort set; or another error of the system, with a message.
 */
FORT_CHECKED int fort_trial_run(const struct fort_trial *trial, uint64_t *r0,
				struct fort_abort *abort, struct fort_text *message);

/* "isa", "kernel"; -EINVAL for unknown names. */
FORT_CHECKED int fort_profile_by_name(const char *name, enum fort_profile *out);
