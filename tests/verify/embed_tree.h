/* Inside of embed: a certificate's regions as trees of instructions, along which runs are followed.
 */
#pragma once

#include "embed.h"

/* Where the proof goes on from an instruction. */
enum { WAY_NONE = UINT32_MAX };
#define WAY_REGION 0x80000000u /* a claimed state takes over; else a node */

struct embed_node {
	uint32_t pc;
	uint32_t ways[2]; /* falling through, or the only one; and jumping */
};

/* A number that was remembered at the head of a loop, in a run. */
struct embed_ghost {
	bool set;
	uint64_t value;
};

/* Says what is wrong, in embed->error. Always false. */
bool embed_wrong(struct embed *e, const char *format, ...) FORT_PRINTF(2, 3);
/* As the checker does wherever paths may meet. */
bool embed_settle(struct embed *e, struct fort_state *state, uint32_t pc);
/* Makes the trees. */
bool embed_walk(struct embed *e);
