/* How the agent lies in the target's memory and what its thread finds on its stack when it starts.
 * The injector writes both; nothing of this is seen by anyone else.
 *
 *   image + 0                       gates: one page, the only one that outlives the agent
 *   image + FORT_PAGE_BYTES         the rest of the image: code, constants, data
 *   behind the image                the thread's stack, a page without access below it
 *   image + boot.bytes              end
 */
#pragma once

/* The gate page starts with this, so that the next loader finds what an agent could not unmap. */
#define FORT_GATE_MAGIC       "bpfort gate 0001"
#define FORT_GATE_MAGIC_BYTES 16

#define FORT_AGENT_STACK_BYTES (256u << 10)
#define FORT_AGENT_NAME        "bpfort-agent" /* of the thread */

#define FORT_BOOT_FSGSBASE 1u /* rdfsbase may be used */

#ifndef __ASSEMBLER__
#include <stdint.h>

struct fort_boot {
	uint64_t image, bytes; /* all memory of the agent */
	int32_t socket;
	uint32_t flags;  /* FORT_BOOT_* */
	uint64_t secret; /* random: what marks our frames on foreign stacks */
	uint64_t park;   /* not 0: the main thread will wait in the park gate until RELEASE */
};
#endif
