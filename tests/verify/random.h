/* Random programs with a shape: what a compiler or a person would write, and now and then something
 * that nobody would. The generator keeps track of what each register holds, roughly, so that a good
 * share of its programs is safe; edges and mistakes are drawn on purpose.
 *
 * Programs use the maps of lab.h (by index) and depend on nothing but the seed.
 */
#pragma once

#include "lab.h"

struct random_program {
	const char *type; /* program type by name */
	struct fort_raw_insn insns[LAB_INSNS];
	uint32_t n_insns;
	char functions[64]; /* for lab_describe; empty: nothing is said of them */
};

/* Options. */
enum {
	RANDOM_OWN_BOUNDS = 1, /* rely on bounds that the kernel does not know: of remainders */
	RANDOM_REPEATABLE = 2, /* what a run does follows from its input: no clocks, no addresses */
	RANDOM_ALIGNED = 4,    /* stack at an index byte by byte: the kernel wants it aligned */
	RANDOM_CALLBACKS = 16, /* helpers that call back, counted jumps (random_callbacks.c) */
	RANDOM_IDLE = 8,       /* what the verifier knows and nothing can run (random_calls.c) */
};

void random_program_make(uint64_t seed, uint32_t options, struct random_program *out);

/* A small generator of numbers (xorshift). */
struct random {
	uint64_t state;
};

struct random random_from(uint64_t seed);
uint64_t random_next(struct random *random);
/* 0 to n - 1. */
uint32_t random_below(struct random *random, uint32_t n);
/* A number that is interesting for 64-bit arithmetic: small, near a power of two, any. */
uint64_t random_number(struct random *random);
