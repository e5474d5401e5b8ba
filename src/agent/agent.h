/* The agent: what the loader puts into a process to run programs there. One for each loader and
 * target, with a thread of its own that waits on a socket, and gates through which the target's
 * threads come when they hit a probe.
 *
 * It uses nothing of the process: no libc, no TLS, no locks, not even its descriptors (its thread
 * has a table of its own). State that hits need is below; all else belongs to the files that use
 * it. After fork the child keeps gates, stubs and return probes, and its page of `live` is wiped,
 * so that there the gates do nothing.
 */
#pragma once

#include "attach/boot.h"
#include "attach/protocol.h"
#include "base/compiler.h"

struct fort_agent {
	/* Nonzero while hits run programs. In a page of its own, zero in forked children. */
	volatile uint32_t *live;
	uint64_t *counters; /* FORT_COUNTER_ROWS rows of `probes` words */
	uint32_t probes;
	bool fsgsbase;
	uint64_t secret;
	bool keep_pending;
	int32_t pid, tid;
	int socket, proc_fd, mem_fd, status_fd;
	struct fort_boot boot;
};

extern struct fort_agent fort_agent;

/* gate.S */
extern uint32_t fort_agent_parked; /* nonzero while the main thread waits in the park gate */
void fort_gate_entry(void);
void fort_gate_return_entry(void);
void fort_gate_exit(void);
void fort_gate_unwinder(void);
void fort_gate_park(void);
long fort_agent_clone(unsigned long flags, void *stack, void (*function)(void *), void *arg);

/* What is left to unmap when the agent's thread ends: {0, 0} for nothing. */
struct fort_rest {
	uint64_t start, bytes;
};
struct fort_rest fort_agent_main(const struct fort_boot *boot);

/* What the gates call: registers, and the word to return to. */
uint64_t fort_hit_entry(uint64_t *regs, uint64_t resume);
uint64_t fort_hit_return_entry(uint64_t *regs, uint64_t resume);
uint64_t fort_hit_exit(uint64_t *regs, uint64_t index);
uint64_t fort_hit_unwinder(uint64_t *regs, uint64_t resume);
/* A return that was caught and will not be seen. */
struct fort_site;
void fort_hit_missed_return(const struct fort_site *site);
