/* Claims: what a certificate says is known at a point, as bytes.
 *
 * A claim is a state with most of it left out. A register or slot that is not mentioned is
 * claimed to hold anything at all, so it may not be read; a number may be claimed as any number.
 * Most claims say no more than which of the registers and slots matter: the rest of it is what the
 * path brings that is the first to arrive (kept). The others say it all. Encoding (all integers
 * LEB128 varints):
 *
 *   claim  := KEPT frames (keep)*
 *           | SAID ids refs (id)* frames (frame)* rest facts (fact)* ghosts (ghost)*
 *   keep   := registers:mask slots:mask goes:0 or 1     (slots: bit i is that at fp - 8 (i + 1))
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

/* Is it said in full, or what arrives first? */
bool fort_claim_is_kept(struct fort_span claim);

/* Appends the claim that keeps what a state still has of what arrived, and no ghosts. */
void fort_claim_write_kept(struct fort_buf *out, const struct fort_state *state);

/* Forgets of a state all that the claim does not keep, and settles it. It says nothing then that it
 * did not say before. Returns 0, -ENOMEM, or -EBADMSG for what is no such claim of a state with so
 * many frames; the state means nothing then. */
FORT_CHECKED int fort_claim_keep(struct fort_span claim, struct fort_pool *pool,
				 struct fort_state *state);

/* Appends the claim that a settled `state` makes, said in full, without ghosts; these go to
 * `ghosts`, each as owner:4 length:4 bytes (the rest of the ghost) so that a list of them can be
 * chosen later. Errors stay in the buffers: -EFBIG for too many ids.
 */
void fort_claim_write(struct fort_buf *body, struct fort_buf *ghosts,
		      const struct fort_state *state);

/* The state that a claim describes in full. Ghosts of owners from `n_owners` on are refused.
 * Returns 0, -ENOMEM, or -EBADMSG for bytes that are no claim, that have a rest, or that name
 * functions, maps or return points that `env` does not have. */
FORT_CHECKED int fort_claim_read(struct fort_span claim, struct fort_pool *pool,
				 const struct fort_env *env, uint32_t n_owners,
				 struct fort_state **out);
