/* Claims: what a certificate says is known at a point, as bytes.
 *
 * A claim is a state with most of it left out. A register or slot that is not mentioned is
 * claimed to hold anything at all, so it may not be read; a number may be claimed as any number.
 * Encoding (all integers LEB128 varints):
 *
 *   claim  := ids frames (frame)* refs (id)*
 *   frame  := subprog return_pc registers:mask (value)* slots (slot)*
 *   slot   := index bytes:16 bits, two a byte  [value if a byte is SPILL]
 *   value  := tag:1 byte [object] [frame] [id] [ref] [sym delta] [range] [num]
 *   num    := views:1 byte [arc base size] [bits value mask] [low base size]
 *
 * Ids are numbered from 1 in the order in which they appear; `ids` is how many there are. Reading
 * checks everything: the bytes come from whoever made the certificate.
 */
#pragma once

#include "base/buf.h"
#include "base/span.h"
#include "step/step.h"

#define FORT_CLAIM_IDS_MAX 1024u

/* What of a state is to be claimed: one bit per register, one per stack slot. */
struct fort_need_frame {
	uint16_t regs, exact_regs; /* mentioned; mentioned with their numbers' facts */
	uint64_t slots, exact_slots;
};

struct fort_need {
	struct fort_need_frame frames[FORT_FRAMES_MAX];
};

/* Appends the claim that `state` makes when only `need` is kept (NULL: everything). Errors stay
 * in the buffer. */
void fort_claim_write(struct fort_buf *buf, const struct fort_state *state,
		      const struct fort_need *need);

/* The state that a claim describes. Returns 0, -ENOMEM, or -EBADMSG for bytes that are no claim,
 * that have a rest, or that name functions, maps or return points that `env` does not have. */
FORT_CHECKED int fort_claim_read(struct fort_span claim, struct fort_pool *pool,
				 const struct fort_env *env, struct fort_state **out);

/* Is everything that is claimed true in `state`? False for malformed bytes as well. Trusted: this
 * is the inclusion test on which every certificate rests. */
bool fort_claim_covers(struct fort_span claim, const struct fort_state *state);
