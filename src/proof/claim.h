/* Claims: what a certificate says is known at a point, as bytes.
 *
 * A claim is a state with most of it left out. A register or slot that is not mentioned is
 * claimed to hold anything at all, so it may not be read; a number may be claimed as any number.
 * Encoding (all integers LEB128 varints):
 *
 *   claim  := ids refs (id)* frames (frame)* rest facts (fact)* ghosts (ghost)*
 *   frame  := kind subprog return_pc registers:mask (value)* slots (slot)* counters
 *                                (slots: the deepest first, so that their number is known)
 *   slot   := index mark run                        (INVALID, MISC, ZERO: this and `run` above it)
 *           | index mark value                      (SPILL, OBJECT)
 *           | index EACH marks:24 bits, three a byte [value if the first is SPILL]
 *   counters := which:byte [value] [value]
 *   rest   := which:byte [value] [value] [value]   (packet, meta, lock)
 *   value  := type:byte parts:byte [object] [frame] [flags] [id] [ref] [base] [sym delta] [num]
 *   num    := views:byte [arc base size] [bits value mask] [low base size], or CONST number, or
 *             WIDTH bits
 *   fact   := cell cell cell most
 *   ghost  := owner value facts (fact)*
 *   cell   := 0 for none, 1 for the ghost itself, or 2 + kind + 8 * (frame + 8 * index)
 *
 * Ids are numbered from 1; `ids` is how many there are. Facts are
 * about the values at cells, not about symbols. Reading checks everything: the bytes come from
 * whoever made the certificate.
 */
#pragma once

#include "base/buf.h"
#include "base/span.h"
#include "step/step.h"

#define FORT_CLAIM_IDS_MAX 1024u

/* Appends the claim that a settled `state` makes, without ghosts; these go to `ghosts`, each as
 *   owner:4 length:4 bytes (the rest of the ghost)
 * so that a list of them can be chosen later. Errors stay in the buffers: -EFBIG for too many ids.
 */
void fort_claim_write(struct fort_buf *body, struct fort_buf *ghosts,
		      const struct fort_state *state);

/* The state that a claim describes. Ghosts of owners from `n_owners` on are refused. Returns 0,
 * -ENOMEM, or -EBADMSG for bytes that are no claim, that have a rest, or that name functions, maps
 * or return points that `env` does not have. */
FORT_CHECKED int fort_claim_read(struct fort_span claim, struct fort_pool *pool,
				 const struct fort_env *env, uint32_t n_owners,
				 struct fort_state **out);
