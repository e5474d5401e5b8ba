/* Loops and an order of instructions in which they are worked through: a weak topological order
 * (Bourdoncle, "Efficient chaotic iteration strategies with widenings", 1993). Each loop is a
 * stretch of the order that begins with its head; what is inside comes before what is behind it.
 *
 * A loop is a strongly connected part of a function's graph, and those parts of it that remain
 * connected without its head, down to FORT_LOOP_DEPTH_MAX. A loop that is entered elsewhere than at
 * its head is one all the same. Only the search uses this; a wrong order costs time, not safety.
 */
#pragma once

#include "isa/graph.h"

#define FORT_NO_LOOP UINT32_MAX

struct fort_loop {
	uint32_t head;   /* instruction */
	uint32_t parent; /* the loop around it, or FORT_NO_LOOP */
};

struct fort_loops {
	const uint32_t *order;   /* of each instruction: its place */
	const uint32_t *at;      /* of each place: its instruction */
	const uint32_t *loop_of; /* of each instruction: the innermost loop, or FORT_NO_LOOP */
	const struct fort_loop *loops;
	uint32_t n_loops, n_places;
};

/* A call that calls back is a loop of its own. Returns 0 or -ENOMEM. Everything is the arena's. */
FORT_CHECKED int fort_loops_find(struct fort_arena *arena, const struct fort_graph *graph,
				 struct fort_loops *out);

/* Is the instruction inside the loop? */
bool fort_loop_has(const struct fort_loops *loops, uint32_t loop, uint32_t pc);
/* The loop whose head the instruction is, or FORT_NO_LOOP. */
uint32_t fort_loop_headed(const struct fort_loops *loops, uint32_t pc);
