/* Certificates: a proof that a program is safe, as bytes.
 *
 * The search explores; its certificate is a list of states, each claimed to cover whatever
 * arrives at its instruction, and for each the places where its paths arrive at others:
 *
 *   certificate := magic:4 version:2 flags:2 binding:32 steps:varint states:varint
 *                  (state)* (edges of the entry)
 *   state       := pc:varint length:varint claim:bytes (edges)
 *   edges       := count:varint (edge:varint)*
 *
 * A region is all that can happen from one claimed state until its paths end in others. Walking
 * it depth-first, falling through before jumping, each arrival at a cut point (a place where
 * paths may meet) takes the next edge: 0 goes on within the region, d means that state i - d, which
 * was listed before, covers what is known here. Edges only go back in the list, so the claims can
 * be checked in one pass, and no run can go on for ever: it goes down the list.
 *
 * The binding is a hash of everything that the proof depends on: the instructions, the program
 * type, the shapes of its maps, the rights, and the version of these rules.
 */
#pragma once

#include "base/sha256.h"
#include "proof/claim.h"
#include "step/step.h"

#define FORT_CERT_MAGIC   0x54524346u /* "FCRT" */
#define FORT_CERT_VERSION 1u          /* changes with the format and with the meaning of step/ */

/* Hashes what a proof of this program depends on. */
void fort_binding(const struct fort_env *env, uint8_t out[FORT_SHA256_BYTES]);

/* Marks where regions may end: where paths meet. */
static inline bool fort_is_cut_point(const struct fort_graph *graph, uint32_t pc)
{
	return graph->marks[pc] &
	       (FORT_MARK_JOIN | FORT_MARK_LOOP_HEAD | FORT_MARK_SUBPROG | FORT_MARK_RETURN);
}

/* One listed state, and what follows it. The entry is listed last, with an empty claim. */
struct fort_cert_state {
	uint32_t pc;
	struct fort_span claim;
	struct fort_span edges; /* varints, `n_edges` of them */
	uint32_t n_edges;
};

/* A certificate taken apart: spans into the caller's bytes. */
struct fort_certificate {
	uint8_t binding[FORT_SHA256_BYTES];
	uint64_t steps; /* instructions that checking applies */
	uint32_t n_states;
	const struct fort_cert_state *states; /* n_states, and the entry at [n_states] */
};

/* Takes certificate bytes apart, into the arena. Checks the form only. Returns 0, -ENOMEM, or
 * -EBADMSG with *offset at what is wrong.
 */
FORT_CHECKED int fort_certificate_parse(struct fort_span bytes, const struct fort_env *env,
					struct fort_arena *arena, struct fort_certificate *out,
					size_t *offset);

/* Writing one: head, states in order, then the entry's edges. */
void fort_certificate_begin(struct fort_buf *buf, const struct fort_env *env, uint64_t steps,
			    uint32_t n_states);
void fort_certificate_state(struct fort_buf *buf, uint32_t pc, struct fort_span claim);
void fort_certificate_edges(struct fort_buf *buf, const uint32_t *edges, uint32_t n_edges);
