/* Random programs made from rows of isa.def, for engines to agree on. Tame ones access memory only
 * through registers that hold what they may access; wild ones access anything.
 *
 * Loops of the runtime have numbers of their own in r6 to r9 while they call back: so the last
 * function, the only one that is called back, sets its pointers anew.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "isa/graph.h"
#include "isolate/domain.h"

#define RECIPE_SLOTS_MAX 640
#define RECIPE_FUNCTIONS 3

/* Helpers that programs call by number; the last does not exist. */
#define RECIPE_HELPERS 4
/* Indices of bpf_tail_call at which there may be a program. */
#define RECIPE_TAILS 2

/* Pages of a domain that programs have pointers to. */
enum recipe_page { STACK, CONTEXT, MAP, SEALED, PAGES };

struct recipe_place {
	uint64_t ctx;     /* the context's address there */
	bool tame, tails; /* what kind; programs are called */
};

struct recipe {
	struct fort_insn insns[RECIPE_SLOTS_MAX];
	uint32_t n, starts[RECIPE_FUNCTIONS + 1], n_functions;
	uint32_t bodies[RECIPE_FUNCTIONS]; /* where jumps of a function may go from */
	bool tame;
	/* The main program may be called: not where it sets pointers from r1, which is the context
	 * only at the start; nor with tail calls, which engines then make on other levels. */
	bool calls_main;
};

/* Numbers of a seed, one after the other. */
void draw_from(uint64_t seed);
uint64_t any(void);
uint32_t below(uint32_t n);
bool one_in(uint32_t n);

/* The next program; it may have no graph. */
void make_recipe(struct recipe *recipe, const struct recipe_place *place);
/* Is this row one that programs have? */
bool recipe_has(enum fort_row row);
