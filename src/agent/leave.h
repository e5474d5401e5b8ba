/* The end of an agent: code restored, stacks restored, memory returned. */
#pragma once

#include "agent/agent.h"

/* Undoes everything, waiting as long as it takes until the code can be restored (another tracer may
 * hold the threads, or have patched over ours). Then waits a bounded time until no thread is in a
 * stub or gate, and unmaps all but the gates' page; or leaves the agent's memory in place, inert,
 * when some thread will not come out. `alone` says, when asked, that the process is ending.
 */
struct fort_left fort_agent_undo(bool (*alone)(void));

/* Is the stopped thread in code of ours, or will it come back there from a signal handler? */
struct fort_regs;
bool fort_agent_holds(const struct fort_regs *regs);
