/* The interpreter: the reference for what each instruction does, expanded from isa.def. */
#pragma once

#include "engine/engine.h"

/* Who looks at a run before each instruction: checked runs compare the registers with what the
 * verifier claimed. `frame` is 0 in the main program. Returning false ends the run with
 * FORT_ABORT_STATE.
 */
struct fort_observer {
	bool (*look)(void *context, uint32_t pc, uint32_t frame, const uint64_t regs[FORT_REGS]);
	void *context;
};

/* As fort_engine_interp.run, with somebody looking on. `code` is the interpreter's. */
uint64_t fort_interp_run_observed(const struct fort_code *code, struct fort_run *run,
				  const struct fort_observer *observer);
