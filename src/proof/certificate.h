/* Certificates: a proof that a program is safe, as bytes.
 *
 * The search explores; its certificate is a list of states, each claimed to cover whatever
 * arrives at its instruction, and for each the places where its paths arrive at others:
 *
 *   certificate := magic:4 version:2 flags:2 binding:32 steps groups states roots
 *                  (group)* (state)* (root)*   (the four counts are varints, as all numbers)
 *   group       := first count rank
 *   state       := pc length claim:bytes edges
 *   root        := kind function object edges
 *   edges       := count (edge)*
 *
 * A region is all that can happen from one claimed state until its paths end in others. Walking
 * it depth-first, falling through before jumping, each arrival at a cut point (a place where
 * paths may meet) takes the next edge: 0 goes on within the region, n means that state n - 1 covers
 * what is known here. A jump to a cut point arrives there at once, before the path that falls
 * through goes on; if it goes on within the region, the other one waits. Regions are walked in the
 * order that edges lead: roots first, then states from the highest number down. So the claims can
 * be checked in one pass, with few states at a time, and a claim may be whatever arrives first,
 * less what does not matter (claim.h).
 *
 * Runs end because edges go down the list, to states with lower numbers, with one exception: loops.
 * A group is a number of neighbours in the list, the states at the head of one loop, with a rank:
 * a place (register, slot, length) whose number rises, or falls, each time around. On entering a
 * state of the group its number is remembered, as the group's ghost; an edge to a state of the
 * group that does not go down to it from outside is allowed where the number is provably past the
 * ghost. Numbers have 64 bits, so that ends. Entering a state sets back the ghosts of all groups
 * below it in the list: an inner loop starts anew. A run that never ended would pass through some
 * highest group for ever, whose ghost nobody sets back.
 *
 * Roots are where runs begin: the program, and functions that something else calls.
 *
 * The binding is a hash of everything that the proof depends on: the instructions, the program
 * type, what is said of its functions, the shapes of its maps, the rights, the version of these
 * rules, and, where a step looked at them, the kernel's types.
 */
#pragma once

#include "base/sha256.h"
#include "proof/claim.h"
#include "step/step.h"

#define FORT_CERT_MAGIC   0x54524346u /* "FCRT" */
#define FORT_CERT_VERSION 8u          /* changes with the format and with the meaning of step/ */

enum fort_cert_flag {
	FORT_CERT_KERNEL = 1, /* the proof depends on the kernel's types: it is bound to them */
};

/* Hashes what a proof of this program depends on. `flags`: enum fort_cert_flag. */
void fort_binding(const struct fort_env *env, uint16_t flags, uint8_t out[FORT_SHA256_BYTES]);

/* Marks where regions may end: where paths meet. */
static inline bool fort_is_cut_point(const struct fort_graph *graph, uint32_t pc)
{
	return graph->marks[pc] & (FORT_MARK_JOIN | FORT_MARK_LOOP_HEAD | FORT_MARK_SUBPROG |
				   FORT_MARK_RETURN | FORT_MARK_CALLS_BACK);
}

/* The states at the head of a loop: numbers first to first + count - 1. */
struct fort_cert_group {
	uint32_t first, count;
	struct fort_cell rank;
	bool falls; /* the rank goes down each time around, else up */
};

/* One listed state, and what follows it. */
struct fort_cert_state {
	uint32_t pc;
	struct fort_span claim;
	struct fort_span edges; /* varints, `n_edges` of them */
	uint32_t n_edges;
};

struct fort_cert_root {
	struct fort_root root;
	struct fort_span edges;
	uint32_t n_edges;
};

/* A certificate taken apart: spans into the caller's bytes. */
struct fort_certificate {
	uint16_t flags; /* enum fort_cert_flag */
	uint8_t binding[FORT_SHA256_BYTES];
	uint64_t steps; /* instructions that checking applies */
	uint32_t n_groups, n_states, n_roots;
	const struct fort_cert_group *groups; /* in order, none within another */
	const struct fort_cert_state *states;
	const struct fort_cert_root *roots;
};

/* The group that state `index` belongs to, or n_groups. */
uint32_t fort_certificate_group(const struct fort_certificate *cert, uint32_t index);
/* How many groups lie wholly below state `index`: entering it sets their ghosts back. */
uint32_t fort_certificate_groups_below(const struct fort_certificate *cert, uint32_t index);

/* Takes certificate bytes apart, into the arena. Checks the form only. Returns 0, -ENOMEM, or
 * -EBADMSG with *offset at what is wrong.
 */
FORT_CHECKED int fort_certificate_parse(struct fort_span bytes, const struct fort_env *env,
					struct fort_arena *arena, struct fort_certificate *out,
					size_t *offset);

/* Writing one: head, groups, states, each with its edges, roots, each with its edges. */
struct fort_cert_counts {
	uint64_t steps;
	uint32_t groups, states, roots;
};
void fort_certificate_begin(struct fort_buf *buf, const struct fort_env *env,
			    const struct fort_cert_counts *counts);
void fort_certificate_put_group(struct fort_buf *buf, const struct fort_cert_group *group);
/* `body`: what fort_claim_write wrote; `ghosts`: their number, and those that were chosen. */
void fort_certificate_put_state(struct fort_buf *buf, uint32_t pc, struct fort_span body,
				struct fort_span ghosts);
void fort_certificate_put_root(struct fort_buf *buf, const struct fort_root *root);
void fort_certificate_put_edges(struct fort_buf *buf, const uint32_t *edges, uint32_t n_edges);
